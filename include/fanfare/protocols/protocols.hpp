#pragma once
// The shelf of client protocols: what `app` builds without seeing how it is made.

#include <fanfare/room/encoder.hpp>
#include <fanfare/ws/connection.hpp>

#include <cstddef>
#include <memory>

namespace fanfare::protocols {

/// One reactor's encoders, one per wire form. `deflate_min`: bytes; shorter messages are not
/// compressed (session::Options::deflate_min).
[[nodiscard]] room::Encoders make_encoders(std::size_t deflate_min);

/// Subprotocol `fanfare.json.v1` for the WebSockets of one reactor.
[[nodiscard]] std::unique_ptr<ws::TextProtocol> make_fanfare_json();

} // namespace fanfare::protocols
