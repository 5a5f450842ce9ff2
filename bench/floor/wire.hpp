// The little of HTTP, RFC 6455 and the event stream that the floor needs. It trusts its peer, which
// is fanfare-load.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace floor_server {

/// The text between `begin` and `end`, or nothing.
[[nodiscard]] std::string_view between(std::string_view in, std::string_view begin,
                                       std::string_view end);

/// The value of Content-Length, or 0.
[[nodiscard]] std::size_t content_length(std::string_view head);

/// Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 §4.2.2).
[[nodiscard]] std::string accept_for(std::string_view key);

/// `text` with its percent-encoding undone.
[[nodiscard]] std::string percent_decode(std::string_view text);

/// Appends an unmasked frame; `opcode` 1 is text.
void append_frame(std::string& out, unsigned opcode, std::string_view payload);

/// Appends one chunk of a chunked body.
void append_chunk(std::string& out, std::string_view data);

/// A frame from a client, its mask taken off; `size` 0: not whole yet.
struct ClientFrame {
    std::size_t size = 0;
    unsigned opcode = 0;
    std::string payload;
};
[[nodiscard]] ClientFrame parse_frame(std::string_view in);

} // namespace floor_server
