#pragma once
// The body of `POST /api/v1/sessions`: one text in, one device out. No I/O.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/delivery/devices.hpp>

#include <string_view>

namespace fanfare::api {

/// Overwrites `device`, checked and complete; it is registered `now`. Returns what is wrong; then
/// `device` is worth nothing. Members that are not known are skipped; known ones may occur once.
/// Nothing of a token or a key is ever in an error.
[[nodiscard]] Error parse_device(std::string_view text, WallMillis now,
                                 delivery::PushDevice& device);

} // namespace fanfare::api
