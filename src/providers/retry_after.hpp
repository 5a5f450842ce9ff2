#pragma once
// Retry-After (RFC 9110 §10.2.3): whole seconds, or a date in one of three forms.

#include "push_answer.hpp"

#include <fanfare/base/clock.hpp>

#include <chrono>
#include <optional>
#include <string_view>

namespace fanfare::providers {

/// Longer ones are taken as this: no service means it, and what waits has a deadline of its own.
inline constexpr std::chrono::milliseconds retry_after_max = std::chrono::hours{24};

/// How long to wait, 0 to `retry_after_max`; a date that has passed is 0. Nothing if there is no
/// such field, or none that can be read. Of several the longest. A date counts from the answer's
/// own `Date`, so that a wrong clock does no harm; `now` if there is none.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_after(const PushAnswer& answer,
                                                                   WallMillis now);

/// RFC 9110 §5.6.7: IMF-fixdate, and the obsolete forms of RFC 850 and of asctime. `now` settles
/// the century of a year in two digits.
[[nodiscard]] std::optional<WallMillis> parse_http_date(std::string_view text, WallMillis now);

} // namespace fanfare::providers
