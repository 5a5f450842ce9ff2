#pragma once
// What is left of a notification's time, as vendors are told it.

#include <fanfare/base/clock.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

namespace fanfare::providers {

/// Whole seconds left, rounded down, at most `longest`; 0: now or never. Nothing if it has no end.
[[nodiscard]] inline std::optional<std::chrono::seconds>
seconds_left(WallMillis expires, WallMillis now, std::chrono::seconds longest) {
    if (expires == 0) return std::nullopt;
    return std::clamp(std::chrono::seconds{(expires - now) / 1'000}, std::chrono::seconds{0},
                      longest);
}

} // namespace fanfare::providers
