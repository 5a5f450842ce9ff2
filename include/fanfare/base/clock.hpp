#pragma once
// Monotonic and wall time behind one type, so that tests can turn the clock by hand.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare {

/// Milliseconds since an arbitrary start; never goes back. For timeouts and ages.
using MonoMillis = std::int64_t;
/// The same clock in microseconds, for latencies.
using MonoMicros = std::int64_t;
/// Milliseconds since 1970-01-01 UTC. For what people and tokens see.
using WallMillis = std::int64_t;

class Clock {
  public:
    virtual ~Clock() = default;
    [[nodiscard]] virtual MonoMillis mono() const noexcept = 0;
    [[nodiscard]] virtual MonoMicros mono_micros() const noexcept { return mono() * 1'000; }
    [[nodiscard]] virtual WallMillis wall() const noexcept = 0;
};

/// The machine's clocks. One instance serves all threads.
[[nodiscard]] const Clock& system_clock() noexcept;

/// RFC 3339 in UTC with milliseconds: "2026-11-20T10:58:00.123Z".
[[nodiscard]] std::string rfc3339(WallMillis time);
/// Any date-time of RFC 3339; what is finer than a millisecond is cut off, a leap second is the
/// second behind it. Nothing if it is none.
[[nodiscard]] std::optional<WallMillis> parse_rfc3339(std::string_view text) noexcept;

} // namespace fanfare
