#pragma once
// Negotiation of permessage-deflate (RFC 7692 §5, §7.1).

#include <string>
#include <string_view>

namespace fanfare::ws {

struct DeflateAgreement {
    /// The extension is in use: the client's messages may come compressed.
    bool agreed = false;
    /// May we compress? False if the client's window is smaller than the 32 KiB that our shared
    /// frames are made with; then all of our messages go uncompressed, which is legal.
    bool send = false;
    /// Value of Sec-WebSocket-Extensions in the answer; empty: no such header.
    std::string response;
};

/// Answers the client's Sec-WebSocket-Extensions (all lines joined with ", "). The first element
/// that is acceptable wins; one with an unknown, repeated or malformed parameter is declined, and
/// so is other extensions' every element. Nothing acceptable is no failure: the connection goes
/// without compression. We always ask for no context takeover in both directions.
/// Source: RFC 7692 §5.1, §7.1.1, §7.1.2; grammar: RFC 6455 §9.1.
[[nodiscard]] DeflateAgreement negotiate_deflate(std::string_view offers);

} // namespace fanfare::ws
