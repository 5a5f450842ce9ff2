// Time as this program uses it. libstdc++'s steady_clock is CLOCK_MONOTONIC, so a count of its
// nanoseconds may travel in a message and be compared when it comes back to this machine.
#pragma once

#include <chrono>
#include <cstdint>

namespace load {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;
using Duration = std::chrono::nanoseconds;
static_assert(std::is_same_v<Clock::duration, Duration>);

/// An option's seconds as a duration; fractions count.
[[nodiscard]] inline Duration seconds(double value) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>{value});
}

/// A duration as seconds, for reports.
[[nodiscard]] inline double to_seconds(Duration value) {
    return std::chrono::duration<double>{value}.count();
}

} // namespace load
