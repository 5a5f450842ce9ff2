#pragma once
// Google's access token: one per service account in the whole process, whatever the number of
// connections. Who sends pushes takes `current()`; who runs the control path asks `claim()` when
// there is none or `next()` has come, fetches if it says so, and tells what came of it.
//
// One fetch at a time. The old token serves as long as it lives while fetches fail, but not once
// Google has refused it. 500 pushes that are refused together say which token they were sent with,
// and so cause one fetch.

#include "fcm_grant.hpp"

#include <fanfare/base/clock.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace fanfare::providers {

class FcmToken {
  public:
    /// A token is renewed so long before its end, or a quarter of its life if that is less.
    static constexpr std::chrono::milliseconds ahead = std::chrono::seconds{225};
    /// Between fetches that fail: doubling from the first to the second; of faults that an operator
    /// must mend from the third to the fourth. Up to a fifth more, at random.
    static constexpr std::chrono::milliseconds pause_min = std::chrono::seconds{1};
    static constexpr std::chrono::milliseconds pause_max = std::chrono::minutes{1};
    static constexpr std::chrono::milliseconds alert_pause_min = std::chrono::minutes{1};
    static constexpr std::chrono::milliseconds alert_pause_max = std::chrono::minutes{15};

    struct Value {
        std::string authorization; // "Bearer …", a secret
        std::uint64_t generation = 0;
        MonoMillis fetched = 0;
        MonoMillis renew_at = 0;
        MonoMillis dead_at = 0;
    };
    using ValueRef = std::shared_ptr<const Value>;

    /// `clock` outlives it.
    explicit FcmToken(const Clock& clock) : clock_(clock) {}

    /// Null: there is none that lives. Any thread, as all of these.
    [[nodiscard]] ValueRef current() const;
    /// True: the caller fetches now, and calls `granted` or `failed`. False: nothing is to be done,
    /// somebody fetches already, or it is too soon after a failure.
    [[nodiscard]] bool claim();
    void granted(const FcmGrant& grant);
    void failed(const FcmGrantFault& fault);
    /// A push with the token of this generation was refused for the token.
    void refused(std::uint64_t generation);
    /// How long until `claim` may say yes, if nothing happens; nothing: a fetch is under way.
    [[nodiscard]] std::optional<std::chrono::milliseconds> next() const;

  private:
    [[nodiscard]] MonoMillis due() const;

    const Clock& clock_;
    /// Reactors share the token: a push holds it for the copy of a pointer.
    mutable std::mutex mutex_;
    // under `mutex_`
    ValueRef value_;
    std::uint64_t generations_ = 0;
    bool fetching_ = false;
    MonoMillis not_before_ = 0;  // of the next fetch, after a failure
    std::uint32_t faults_ = 0;   // in a row
    std::uint32_t refusals_ = 0; // of young tokens, in a row
};

} // namespace fanfare::providers
