// Time as this program uses it, and the random numbers that latency and faults are drawn from.
#pragma once

#include <chrono>
#include <cstdint>

namespace sim {

using Clock = std::chrono::steady_clock;
using Instant = Clock::time_point;
using Duration = std::chrono::nanoseconds;

[[nodiscard]] inline Duration milliseconds(double value) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>{value});
}

/// Milliseconds since the epoch.
[[nodiscard]] inline std::int64_t wall_ms() {
    using namespace std::chrono;
    return duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch()).count();
}

/// A small generator (xorshift64*): drawn from for every request, never for a secret.
class Dice {
  public:
    explicit Dice(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 1) {}

    /// From 0 up to, not including, 1.
    [[nodiscard]] double next() {
        state_ ^= state_ >> 12U;
        state_ ^= state_ << 25U;
        state_ ^= state_ >> 27U;
        return static_cast<double>((state_ * 0x2545F4914F6CDD1DU) >> 11U) * 0x1p-53;
    }

  private:
    std::uint64_t state_;
};

} // namespace sim
