#pragma once
// The opening handshake as a decision: header values in, an answer out (RFC 6455 §4.2).
// Who the client is and whether it may connect is asked elsewhere, before or after.

#include <fanfare/base/error.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fanfare::ws {

/// What of an HTTP/1.1 request matters here. Headers that came several times are joined with ", ";
/// an empty view stands for a header that is not there.
struct UpgradeRequest {
    std::string_view method;
    bool http_1_1 = true;  // the version is HTTP/1.1 or later
    bool has_body = false; // Transfer-Encoding, or Content-Length above 0
    std::string_view host;
    std::string_view connection;
    std::string_view upgrade;
    std::string_view key;         // Sec-WebSocket-Key
    std::string_view version;     // Sec-WebSocket-Version
    std::string_view subprotocol; // Sec-WebSocket-Protocol
    std::string_view extensions;  // Sec-WebSocket-Extensions
    std::optional<std::string_view> origin;
};

struct UpgradeOptions {
    /// Names that we speak; the client's first that is among them is chosen.
    std::span<const std::string_view> subprotocols;
    /// As in is_origin_allowed (origin.hpp).
    std::span<const std::string> allowed_origins;
    bool deflate = true; // false: permessage-deflate is never agreed
};

/// Answer with `101 Switching Protocols`, `Upgrade: websocket`, `Connection: Upgrade` and these.
struct UpgradeAccept {
    std::string accept_key;       // Sec-WebSocket-Accept
    std::string_view subprotocol; // Sec-WebSocket-Protocol, one of the options; empty: no header
    std::string extensions;       // Sec-WebSocket-Extensions; empty: no header
    bool deflate_agreed = false;  // the client may compress: MessageReader's argument
    bool deflate_send = false;    // we may send frames made by a Deflater
};

/// Answer with an ordinary HTTP response. Browsers show none of it to the page, only code 1006.
struct UpgradeRefusal {
    int status = 400; // may be more exact than code_status(code): 426 goes with bad_request
    Code code = Code::bad_request;
    std::string_view detail; // for people; static storage
    /// Headers that the status asks for (RFC 9110 §15.5.6, §15.5.22; RFC 6455 §4.4).
    std::vector<std::pair<std::string_view, std::string_view>> headers;
};

/// Checks the request and chooses subprotocol and extensions. A client that offers no subprotocol
/// gets none; one that offers only unknown ones is refused, since browsers would fail anyway.
/// Any thread. Source: RFC 6455 §4.2.1, §4.2.2, §4.4; protocol.md §2.
[[nodiscard]] std::variant<UpgradeAccept, UpgradeRefusal>
check_upgrade(const UpgradeRequest& request, const UpgradeOptions& options);

/// Sec-WebSocket-Accept for a key: base64(SHA-1(key + GUID)). Source: RFC 6455 §4.2.2 item 5.
[[nodiscard]] std::string accept_key(std::string_view key);

/// The client's first choice among `supported`, exact in case. An empty view: it offered none.
/// Nothing: it offered, and none is supported. Shows `supported`'s characters.
/// Source: RFC 6455 §4.2.2 item 5, §11.3.4.
[[nodiscard]] std::optional<std::string_view>
choose_subprotocol(std::string_view offered, std::span<const std::string_view> supported);

} // namespace fanfare::ws
