#pragma once
// Bounds and habits of inboxes and of push; app/config fills them.

#include <fanfare/delivery/devices.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fanfare::delivery {

struct InboxOptions {
    std::chrono::milliseconds ttl{
        std::chrono::hours{24 * 7}};              // unacknowledged ones are kept so long
    std::chrono::milliseconds ack_timeout{5'000}; // between two attempts
    std::size_t attempts = 3;                     // in all, at most 100
    /// Records and timelines are kept so long after a notification's time is over.
    std::chrono::milliseconds keep{std::chrono::hours{24 * 7}};
    /// For whose devices there is a provider. None: nothing is pushed.
    PushReach pushes_to;
};

/// When a credential is left alone, since its service fails (docs/decisions/0014-push-queue.md).
struct BreakerOptions {
    std::chrono::milliseconds window{30'000}; // whose answers are looked at
    double failures = 0.5;                    // this part of them opens it, above 0, at most 1 …
    std::size_t answers_min = 20;             // … if there are so many
    std::chrono::milliseconds open_for{60'000};
};

/// Of one credential, named as its provider names it.
struct ProviderRate {
    std::string provider;
    std::string app;
    double per_second = 0; // 0: no bound
    friend bool operator==(const ProviderRate&, const ProviderRate&) = default;
};

struct PushOptions {
    std::size_t attempts = 3; // in all, at least 1
    /// The first repeat comes so long after an attempt or later, and each next one may take twice
    /// as long, up to the cap.
    std::chrono::milliseconds backoff_start{10'000};
    std::chrono::milliseconds backoff_cap{std::chrono::minutes{15}};
    std::chrono::milliseconds deadline{30'000}; // of an attempt: then it counts as failed
    std::chrono::milliseconds drain{10'000};    // at the end, attempts in flight are waited for
    BreakerOptions breaker;
    /// Jobs of a lane that wait in memory; the others wait in the store.
    std::size_t window = 2'000;
    // Pushes that begin. 0: no bound.
    double rate_per_second = 0;               // in all
    std::vector<ProviderRate> provider_rates; // of credentials; not in it: no bound
    double user_rate_per_minute = 100;        // of each user, all devices together
};

} // namespace fanfare::delivery
