#include "push_rate.hpp"

#include <algorithm>
#include <cmath>

namespace fanfare::delivery {
namespace {
// Looking at all users is spread out; a full table is looked at as seldom.
constexpr MonoMillis forget_every_ms = 10'000;
} // namespace

Rate Rate::per_second(double tokens) noexcept {
    if (tokens <= 0) return {};
    return {1'000 / tokens, std::max(tokens / 10, 1.0)};
}

Rate Rate::per_minute(double tokens) noexcept {
    if (tokens <= 0) return {};
    return {60'000 / tokens, std::max(tokens, 1.0)};
}

MonoMillis TokenBucket::ready_at(const Rate& rate) const noexcept {
    if (rate.unbounded()) return 0;
    // Rounded up, but for what is only the noise of sums.
    return static_cast<MonoMillis>(
        std::ceil(full_at_ - (rate.burst - 1) * rate.interval_ms - 1e-6));
}

void TokenBucket::take(const Rate& rate, MonoMillis now) noexcept {
    if (rate.unbounded()) return;
    full_at_ = std::max(full_at_, static_cast<double>(now)) + rate.interval_ms;
}

void UserRates::set_rate(const Rate& rate) {
    rate_ = rate;
    if (rate.unbounded()) buckets_.clear();
}

MonoMillis UserRates::ready_at(const std::string& user) const {
    if (rate_.unbounded()) return 0;
    const auto at = buckets_.find(user);
    return at == buckets_.end() ? 0 : at->second.ready_at(rate_);
}

void UserRates::take(const std::string& user, MonoMillis now) {
    if (rate_.unbounded()) return;
    forget_idle(now);
    const auto at = buckets_.find(user);
    if (at != buckets_.end()) return at->second.take(rate_, now);
    if (buckets_.size() >= users_max_) return;
    buckets_[user].take(rate_, now);
}

void UserRates::forget_idle(MonoMillis now) {
    if (now < forget_at_) return;
    forget_at_ = now + forget_every_ms;
    erase_if(buckets_, [now](const auto& entry) { return entry.second.full(now); });
}

} // namespace fanfare::delivery
