#pragma once
// What the tests of this folder share: bytes from hex, client frames, and a reader's events as
// text.

#include "message_reader.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/ws/frame.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::ws::test {

/// Bytes from hex digits; white space between them is for the reader.
inline std::string hex(std::string_view digits) {
    std::string clean;
    for (const char c : digits)
        if (c != ' ') clean += c;
    return from_hex(clean).value();
}

inline std::string to_string(ByteView bytes) {
    return std::string{as_text(bytes)};
}

struct FrameSpec {
    bool fin = true;
    unsigned rsv = 0; // 4: RSV1, 2: RSV2, 1: RSV3
    unsigned opcode = 1;
    bool masked = true;
    MaskKey key{std::byte{0x37}, std::byte{0xfa}, std::byte{0x21}, std::byte{0x3d}};
};

/// Only the header, announcing `length` bytes in the shortest form.
inline std::string client_header(std::uint64_t length, const FrameSpec& spec = {}) {
    std::string out;
    out += static_cast<char>((spec.fin ? 0x80U : 0U) | spec.rsv << 4U | spec.opcode);
    const unsigned mask = spec.masked ? 0x80U : 0U;
    unsigned more = 0;
    if (length < 126) {
        out += static_cast<char>(mask | length);
    } else if (length <= 0xffff) {
        out += static_cast<char>(mask | 126U);
        more = 2;
    } else {
        out += static_cast<char>(mask | 127U);
        more = 8;
    }
    while (more-- > 0) out += static_cast<char>(length >> (8U * more) & 0xffU);
    if (spec.masked) out += to_string(spec.key);
    return out;
}

inline std::string client_frame(std::string_view payload, const FrameSpec& spec = {}) {
    std::string out = client_header(payload.size(), spec);
    for (std::size_t i = 0; i < payload.size(); ++i) {
        const auto key = spec.masked ? std::to_integer<unsigned>(spec.key[i % 4]) : 0U;
        out += static_cast<char>(static_cast<unsigned char>(payload[i]) ^ key);
    }
    return out;
}

inline std::string text(std::string_view payload) {
    return client_frame(payload);
}
inline std::string text_begin(std::string_view payload) {
    return client_frame(payload, {.fin = false});
}
inline std::string more(std::string_view payload) {
    return client_frame(payload, {.fin = false, .opcode = 0});
}
inline std::string last(std::string_view payload) {
    return client_frame(payload, {.opcode = 0});
}
inline std::string ping(std::string_view payload) {
    return client_frame(payload, {.opcode = 9});
}
inline std::string compressed(std::string_view payload) {
    return client_frame(payload, {.rsv = 4});
}
inline std::string close_frame(std::string_view payload) {
    return client_frame(payload, {.opcode = 8});
}

/// An event in one line: "text:Hello", "close:1000:bye", "fault:1002:not masked" …
inline std::string show(const MessageReader::Event& event) {
    using Kind = MessageReader::Kind;
    const std::string code = std::to_string(static_cast<unsigned>(event.code));
    switch (event.kind) {
    case Kind::need_more:
        return "need_more";
    case Kind::text:
        return "text:" + to_string(event.payload);
    case Kind::binary:
        return "binary:" + to_string(event.payload);
    case Kind::ping:
        return "ping:" + to_string(event.payload);
    case Kind::pong:
        return "pong:" + to_string(event.payload);
    case Kind::close:
        return "close:" + code + ":" + std::string{event.reason};
    case Kind::fault:
        return "fault:" + code + ":" + std::string{event.reason};
    }
    return "?";
}

using Events = std::vector<std::string>;

/// A reader with what a reactor would lend it. Each feed gets a buffer of its own that dies with
/// the call, so a view that outlives its input is found by the address sanitizer.
struct Feed {
    explicit Feed(bool deflate = true) : reader(deflate) {}

    Events operator()(std::string_view bytes) {
        std::vector<std::byte> buffer(bytes.size());
        for (std::size_t i = 0; i < bytes.size(); ++i) buffer[i] = static_cast<std::byte>(bytes[i]);
        std::span<std::byte> input{buffer};
        Events events;
        for (;;) {
            const MessageReader::Event event = reader.next(input, limits, inflater);
            if (event.kind == MessageReader::Kind::need_more) break;
            events.push_back(show(event));
        }
        return events;
    }

    Inflater inflater;
    ReaderLimits limits;
    MessageReader reader;
};

} // namespace fanfare::ws::test
