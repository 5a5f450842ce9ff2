#include "ws_handshake.hpp"

#include <openssl/evp.h>

#include <array>
#include <cstring>

namespace load {
namespace {

constexpr std::string_view subprotocol = "fanfare.json.v1";

std::string base64(const unsigned char* data, std::size_t size) {
    std::array<unsigned char, 64> out;
    const int length = EVP_EncodeBlock(out.data(), data, static_cast<int>(size));
    return {reinterpret_cast<const char*>(out.data()), static_cast<std::size_t>(length)};
}

/// Reads `permessage-deflate; a; b=1`. Parameters the offer did not ask for are faults.
Agreement check_extensions(std::string_view extensions, bool offered) {
    Agreement agreement;
    if (extensions.empty()) return agreement;
    if (!offered) return {.fault = "ws_extension_not_offered"};
    std::size_t index = 0;
    agreement.context_takeover = true;
    while (!extensions.empty()) {
        const std::size_t end = extensions.find(';');
        std::string_view part = extensions.substr(0, end);
        extensions.remove_prefix(end == extensions.npos ? extensions.size() : end + 1);
        while (part.starts_with(' ')) part.remove_prefix(1);
        while (part.ends_with(' ')) part.remove_suffix(1);
        if (index++ == 0) {
            if (part != "permessage-deflate") return {.fault = "ws_unknown_extension"};
        } else if (part == "server_no_context_takeover") {
            agreement.context_takeover = false;
        } else if (part != "client_no_context_takeover" &&
                   !part.starts_with("server_max_window_bits=") &&
                   !part.starts_with("client_max_window_bits=")) {
            // What remains is about the client's compressor, which is never used, or about a window
            // no larger than the 15 bits that the inflater has anyway.
            return {.fault = "ws_unknown_deflate_parameter"};
        }
    }
    agreement.deflate = true;
    return agreement;
}

} // namespace

std::string make_key(std::uint64_t seed) {
    std::array<unsigned char, 16> bytes{};
    std::memcpy(bytes.data(), &seed, sizeof seed);
    seed *= 0x9e3779b97f4a7c15U;
    std::memcpy(bytes.data() + sizeof seed, &seed, sizeof seed);
    return base64(bytes.data(), bytes.size());
}

std::string accept_for(std::string_view key) {
    const std::string text = std::string{key} + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, 20> digest;
    unsigned int size = 0;
    EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
    return base64(digest.data(), size);
}

std::string upgrade_request(const ProtocolSettings& settings, std::string_view room,
                            std::string_view key) {
    std::string request = settings.nchan ? "GET /sub?id=" + std::string{room} : "GET /ws";
    if (!settings.token.empty()) request += "?token=" + settings.token;
    request += " HTTP/1.1\r\nHost: " + settings.host;
    request += "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    request += "\r\nSec-WebSocket-Key: ";
    request += key;
    if (!settings.nchan) {
        request += "\r\nSec-WebSocket-Protocol: ";
        request += subprotocol;
    }
    if (settings.deflate) {
        request += "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    }
    return request + "\r\n\r\n";
}

Agreement check_response(const ResponseHead& head, const ProtocolSettings& settings,
                         std::string_view key) {
    if (!list_has_token(head.field("Upgrade"), "websocket") ||
        !list_has_token(head.field("Connection"), "upgrade")) {
        return {.fault = "ws_no_upgrade"};
    }
    if (head.field("Sec-WebSocket-Accept") != accept_for(key)) return {.fault = "ws_bad_accept"};
    if (!settings.nchan && head.field("Sec-WebSocket-Protocol") != subprotocol) {
        return {.fault = "ws_subprotocol_not_chosen"};
    }
    return check_extensions(head.field("Sec-WebSocket-Extensions"), settings.deflate);
}

} // namespace load
