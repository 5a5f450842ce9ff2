// The WebSocket opening handshake from the client's side (RFC 6455 §4.1, RFC 7692 §7.1).
#pragma once

#include "http_response.hpp"
#include "protocol.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace load {

/// base64 of 16 bytes made from `seed`. Unlike a browser's it need not be unpredictable.
[[nodiscard]] std::string make_key(std::uint64_t seed);

/// The Sec-WebSocket-Accept that belongs to `key`.
[[nodiscard]] std::string accept_for(std::string_view key);

/// The request for GET /ws; of nchan for its subscribers' location, which names the room.
[[nodiscard]] std::string upgrade_request(const ProtocolSettings& settings, std::string_view room,
                                          std::string_view key);

/// What was agreed in a 101 response.
struct Agreement {
    const char* fault = nullptr; // set: the response breaks the RFC, as described
    bool deflate = false;
    bool context_takeover = false; // each message builds on those before
};

[[nodiscard]] Agreement check_response(const ResponseHead& head, const ProtocolSettings& settings,
                                       std::string_view key);

} // namespace load
