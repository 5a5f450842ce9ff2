#include "fcm_token.hpp"

#include <fanfare/base/ids.hpp>

#include <algorithm>

namespace fanfare::providers {
namespace {

using std::chrono::milliseconds;

/// A token that is refused sooner than this after its fetch was hardly any good: if that goes on,
/// fetching at once each time would be a loop without a pause.
constexpr milliseconds young = std::chrono::minutes{1};

milliseconds doubled(milliseconds first, milliseconds last, std::uint32_t times) {
    milliseconds pause = first;
    for (std::uint32_t i = 0; i < times && pause < last; ++i) pause *= 2;
    return std::min(pause, last);
}

/// Nodes that failed together do not come again together.
milliseconds with_jitter(milliseconds pause) {
    const auto fifth = static_cast<std::uint64_t>(pause.count() / 5);
    return pause + milliseconds{random_u64() % (fifth + 1)};
}

} // namespace

FcmToken::ValueRef FcmToken::current() const {
    const std::lock_guard lock{mutex_};
    return value_ && clock_.mono() < value_->dead_at ? value_ : nullptr;
}

MonoMillis FcmToken::due() const {
    return std::max(value_ ? value_->renew_at : not_before_, not_before_);
}

bool FcmToken::claim() {
    const std::lock_guard lock{mutex_};
    if (fetching_ || clock_.mono() < due()) return false;
    fetching_ = true;
    return true;
}

void FcmToken::granted(const FcmGrant& grant) {
    const std::lock_guard lock{mutex_};
    const milliseconds lifetime = grant.lifetime;
    auto value = std::make_shared<Value>();
    value->authorization = "Bearer " + grant.access_token;
    value->generation = ++generations_;
    value->fetched = clock_.mono();
    value->dead_at = value->fetched + lifetime.count();
    value->renew_at = value->dead_at - std::min(milliseconds{ahead}, lifetime / 4).count();
    value_ = std::move(value);
    fetching_ = false;
    faults_ = 0;
    not_before_ = 0;
}

void FcmToken::failed(const FcmGrantFault& fault) {
    const std::lock_guard lock{mutex_};
    const milliseconds pause = fault.transient ? doubled(pause_min, pause_max, faults_)
                                               : doubled(alert_pause_min, alert_pause_max, faults_);
    const milliseconds asked = fault.retry_after.value_or(milliseconds{0});
    ++faults_;
    not_before_ = clock_.mono() + with_jitter(std::max(pause, asked)).count();
    fetching_ = false;
}

void FcmToken::refused(std::uint64_t generation) {
    const std::lock_guard lock{mutex_};
    if (!value_ || value_->generation != generation) return;
    const bool was_young = clock_.mono() - value_->fetched < milliseconds{young}.count();
    refusals_ = was_young ? refusals_ + 1 : 1;
    if (refusals_ > 1)
        not_before_ = std::max(
            not_before_,
            clock_.mono() + with_jitter(doubled(pause_min, pause_max, refusals_ - 2)).count());
    value_ = nullptr;
}

std::optional<milliseconds> FcmToken::next() const {
    const std::lock_guard lock{mutex_};
    if (fetching_) return std::nullopt;
    return milliseconds{std::max<MonoMillis>(0, due() - clock_.mono())};
}

} // namespace fanfare::providers
