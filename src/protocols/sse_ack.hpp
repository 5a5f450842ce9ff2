#pragma once
// The body of `POST /sse/ack`: {"session":"…","room":"@me","offset":42}. No I/O.

#include <fanfare/base/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace fanfare::protocols {

struct SseAck {
    std::string session; // as `ready` told it
    std::string room;
    std::uint64_t offset = 0;
};

/// What was sent, or why it is not understood. At least 64 readable bytes follow `padded`. Members
/// that are not known are skipped.
[[nodiscard]] std::variant<Error, SseAck> parse_sse_ack(std::string_view padded);

} // namespace fanfare::protocols
