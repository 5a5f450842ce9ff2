#pragma once
// The shelf of client protocols: what `app` builds without seeing how it is made.

#include <fanfare/room/encoder.hpp>

#include <cstddef>

namespace fanfare::protocols {

/// One reactor's encoders, one per wire form. `deflate_min`: bytes; shorter messages are not
/// compressed (session::Options::deflate_min).
[[nodiscard]] room::Encoders make_encoders(std::size_t deflate_min);

} // namespace fanfare::protocols
