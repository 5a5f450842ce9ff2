// WebSocket framing from the client's side (RFC 6455 §5): frames out are masked, frames in are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace load {

enum class Opcode : std::uint8_t {
    continuation = 0x0,
    text = 0x1,
    binary = 0x2,
    close = 0x8,
    ping = 0x9,
    pong = 0xa,
};

/// A frame in the input. `payload` is a view into it.
struct Frame {
    Opcode opcode = Opcode::text;
    bool fin = true;
    bool compressed = false; // RSV1
    std::string_view payload;
    std::size_t size = 0;        // header and payload; 0: needs more input
    const char* fault = nullptr; // set: the server broke the framing, as described
};

/// The frame that `in` begins with.
[[nodiscard]] Frame parse_frame(std::string_view in);

/// A whole masked frame.
[[nodiscard]] std::string encode_frame(Opcode opcode, std::string_view payload, std::uint32_t mask);

} // namespace load
