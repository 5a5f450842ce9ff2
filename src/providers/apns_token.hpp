#pragma once
// Apple's provider token: one per team and key in the whole process, whatever the number of
// connections.
//
// Apple refuses a token that is older than an hour and a sender that makes a new one more often
// than every 20 minutes. So one is made at 50 minutes, and never sooner than 20 minutes after the
// one before, whatever services and clocks say; the one exception is a token that by our own clock
// is dead already (the machine slept). 500 requests that fail together because of one token lead to
// one new token: each says by its generation which one it was sent with.

#include "jose.hpp"

#include <fanfare/base/clock.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace fanfare::providers {

class ApnsToken {
  public:
    static constexpr std::chrono::milliseconds renew_at = std::chrono::minutes{50};
    static constexpr std::chrono::milliseconds dead_at = std::chrono::minutes{60};
    static constexpr std::chrono::milliseconds pause = std::chrono::minutes{20};

    struct Value {
        std::string authorization; // "bearer …", a secret
        std::uint64_t generation = 0;
        MonoMillis made = 0;
        std::int64_t issued_at = 0; // seconds since 1970, as the token says
    };
    using ValueRef = std::shared_ptr<const Value>;

    /// Throws std::runtime_error with one sentence if a name cannot be one: Apple's have 10 letters
    /// and digits. `clock` outlives it.
    ApnsToken(SigningKey key, std::string_view key_id, std::string_view team_id,
              const Clock& clock);

    /// The token for the next request. Any thread, as all of these.
    [[nodiscard]] ValueRef current();
    /// Answer `ExpiredProviderToken` to a request with this generation. True: `current()` is a
    /// newer one now; false: there may be none before `wait()` is over.
    [[nodiscard]] bool renew(std::uint64_t generation);
    /// Answer `TooManyProviderTokenUpdates`: back to the token before, while that is younger than
    /// an hour, and no new one for 20 minutes.
    void hold(std::uint64_t generation);
    /// Until a new token may be made; 0: now.
    [[nodiscard]] std::chrono::milliseconds wait() const;

  private:
    [[nodiscard]] bool is_old(const Value& value, std::chrono::milliseconds age) const;
    [[nodiscard]] bool may_make() const;
    void make();

    // constant after construction
    SigningKey key_;
    std::string header_;
    std::string team_id_;
    const Clock& clock_;
    /// Reactors share the token: the pushes of one hold it for the copy of a pointer, and once in
    /// 50 minutes for one signature (0.1 ms).
    mutable std::mutex mutex_;
    // under `mutex_`
    ValueRef current_;
    ValueRef previous_;
    std::uint64_t generations_ = 0;
    MonoMillis made_ = 0;         // the newest
    std::int64_t newest_iat_ = 0; // of the newest
};

} // namespace fanfare::providers
