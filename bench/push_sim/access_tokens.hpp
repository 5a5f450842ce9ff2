// OAuth access tokens: made by the token endpoint, and asked for by FCM.
#pragma once

#include "clock.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace sim {

class AccessTokens {
  public:
    [[nodiscard]] std::string issue(Duration lifetime);

    enum class Verdict : std::uint8_t { good, expired, unknown };
    /// `until`: how long a verdict of `good` holds unless the generation changes.
    [[nodiscard]] Verdict judge(std::string_view token, Instant& until);

    /// Every token so far counts as expired.
    void revoke_all();
    [[nodiscard]] std::uint64_t generation() const {
        return generation_.load(std::memory_order_acquire);
    }
    [[nodiscard]] std::uint64_t issued() const { return issued_.load(std::memory_order_relaxed); }

  private:
    static constexpr std::size_t kept_max = 10'000;

    std::mutex mutex_; // workers ask once per token and generation
    std::unordered_map<std::string, Instant> until_;
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<std::uint64_t> issued_{0};
};

} // namespace sim
