#include "handshake.hpp"

#include "deflate_offer.hpp"
#include "header_list.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/ws/origin.hpp>

#include <algorithm>

namespace fanfare::ws {

namespace {

UpgradeRefusal refuse(int status, Code code, std::string_view detail) {
    return {status, code, detail, {}};
}

// Base64 of 16 bytes: 22 characters and "==". A key that came twice, joined, has the wrong size.
// The 4 unused bits of the last character are not looked at; RFC 4648 §3.5 leaves that open, and
// the key is no secret but an echo.
bool is_key(std::string_view key) {
    if (key.size() != 24 || !key.ends_with("==")) return false;
    key.remove_suffix(2);
    return std::all_of(key.begin(), key.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '+' || c == '/';
    });
}

std::optional<UpgradeRefusal> check_request(const UpgradeRequest& request) {
    if (request.method != "GET") {
        UpgradeRefusal refusal =
            refuse(405, Code::method_not_allowed, "a WebSocket is opened with GET");
        refusal.headers = {{"Allow", "GET"}};
        return refusal;
    }
    if (!request.http_1_1) return refuse(400, Code::bad_request, "HTTP/1.1 is needed");
    if (request.host.empty()) return refuse(400, Code::bad_request, "Host is missing");
    if (request.has_body) return refuse(400, Code::bad_request, "no body is expected");
    if (!list_contains(request.upgrade, "websocket")) {
        UpgradeRefusal refusal =
            refuse(426, Code::bad_request, "this is a WebSocket endpoint: Upgrade is missing");
        refusal.headers = {{"Upgrade", "websocket"}};
        return refusal;
    }
    if (!list_contains(request.connection, "upgrade"))
        return refuse(400, Code::bad_request, "Connection does not name Upgrade");
    if (request.version != "13") {
        UpgradeRefusal refusal = refuse(426, Code::bad_request, "Sec-WebSocket-Version must be 13");
        refusal.headers = {{"Sec-WebSocket-Version", "13"}, {"Upgrade", "websocket"}};
        return refusal;
    }
    if (!is_key(request.key))
        return refuse(400, Code::bad_request, "Sec-WebSocket-Key is not base64 of 16 bytes");
    return std::nullopt;
}

} // namespace

std::string accept_key(std::string_view key) {
    std::string text{key};
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    return to_base64(as_byte_view(sha1(text)));
}

std::optional<std::string_view> choose_subprotocol(std::string_view offered,
                                                   std::span<const std::string_view> supported) {
    HeaderList names{offered};
    bool any = false;
    while (const auto name = names.next()) {
        any = true;
        const auto found = std::find(supported.begin(), supported.end(), *name);
        if (found != supported.end()) return *found;
    }
    if (any) return std::nullopt;
    return std::string_view{};
}

std::variant<UpgradeAccept, UpgradeRefusal> check_upgrade(const UpgradeRequest& request,
                                                          const UpgradeOptions& options) {
    if (auto refusal = check_request(request)) return *std::move(refusal);
    if (!is_origin_allowed(request.origin, request.host, options.allowed_origins))
        return refuse(403, Code::forbidden, "pages of this Origin may not connect");
    const auto subprotocol = choose_subprotocol(request.subprotocol, options.subprotocols);
    if (!subprotocol)
        return refuse(400, Code::bad_request, "no offered Sec-WebSocket-Protocol is known");

    UpgradeAccept accept;
    accept.accept_key = accept_key(request.key);
    accept.subprotocol = *subprotocol;
    if (options.deflate) {
        DeflateAgreement deflate = negotiate_deflate(request.extensions);
        accept.deflate_agreed = deflate.agreed;
        accept.deflate_send = deflate.send;
        accept.extensions = std::move(deflate.response);
    }
    return accept;
}

} // namespace fanfare::ws
