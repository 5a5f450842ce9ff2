#include "access_tokens.hpp"

#include "text.hpp"

namespace sim {

std::string AccessTokens::issue(Duration lifetime) {
    std::string token = "ya29.sim." + to_base64url(random_bytes(24));
    const std::lock_guard lock{mutex_};
    if (until_.size() >= kept_max) until_.clear();
    until_[token] = Clock::now() + lifetime;
    ++issued_;
    return token;
}

AccessTokens::Verdict AccessTokens::judge(std::string_view token, Instant& until) {
    const std::lock_guard lock{mutex_};
    const auto found = until_.find(std::string{token});
    if (found == until_.end()) return Verdict::unknown;
    until = found->second;
    return until > Clock::now() ? Verdict::good : Verdict::expired;
}

void AccessTokens::revoke_all() {
    const std::lock_guard lock{mutex_};
    for (auto& [token, until] : until_) until = Instant::min();
    ++generation_;
}

} // namespace sim
