#include "handshake.hpp"
#include "header_list.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <string>
#include <variant>
#include <vector>

using namespace fanfare;
using namespace fanfare::ws;

namespace {

constexpr std::array<std::string_view, 2> names{"fanfare.json.v1", "fanfare.json.v2"};

UpgradeRequest browser() {
    UpgradeRequest request;
    request.method = "GET";
    request.host = "example.com";
    request.connection = "keep-alive, Upgrade"; // Firefox
    request.upgrade = "websocket";
    request.key = "dGhlIHNhbXBsZSBub25jZQ==";
    request.version = "13";
    request.origin = "https://example.com";
    return request;
}

UpgradeOptions options() {
    UpgradeOptions options;
    options.subprotocols = names;
    return options;
}

UpgradeAccept accepted(const UpgradeRequest& request, const UpgradeOptions& with = options()) {
    const auto answer = check_upgrade(request, with);
    if (const auto* refusal = std::get_if<UpgradeRefusal>(&answer))
        FAIL("refused: " << refusal->detail);
    return std::get<UpgradeAccept>(answer);
}

UpgradeRefusal refused(const UpgradeRequest& request, const UpgradeOptions& with = options()) {
    const auto answer = check_upgrade(request, with);
    REQUIRE(std::holds_alternative<UpgradeRefusal>(answer));
    return std::get<UpgradeRefusal>(answer);
}

} // namespace

TEST_CASE("handshake: the RFC's key", "[ws][rfc6455-4.2.2]") {
    CHECK(accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK(accepted(browser()).accept_key == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("handshake: tokens in any case and among others", "[ws][rfc6455-4.2.1]") {
    struct Case {
        const char* connection;
        const char* upgrade;
    };
    const auto c = GENERATE(values<Case>({{"Upgrade", "websocket"},
                                          {"upgrade", "WebSocket"},
                                          {"UPGRADE", "WEBSOCKET"},
                                          {"keep-alive,Upgrade", "h2c, websocket"},
                                          {" keep-alive ,\tupgrade ,", ",websocket"}}));
    UpgradeRequest request = browser();
    request.connection = c.connection;
    request.upgrade = c.upgrade;
    CAPTURE(c.connection, c.upgrade);
    CHECK_FALSE(accepted(request).accept_key.empty());
}

TEST_CASE("handshake: every request check has its refusal", "[ws][rfc6455-4.2.1][rfc6455-4.4]") {
    struct Case {
        const char* name;
        void (*spoil)(UpgradeRequest&);
        int status;
        Code code;
        const char* header; // first of the refusal's
    };
    const auto c = GENERATE(values<Case>({
        {"POST", [](UpgradeRequest& r) { r.method = "POST"; }, 405, Code::method_not_allowed,
         "Allow: GET"},
        {"lower-case method", [](UpgradeRequest& r) { r.method = "get"; }, 405,
         Code::method_not_allowed, "Allow: GET"},
        {"HTTP/1.0", [](UpgradeRequest& r) { r.http_1_1 = false; }, 400, Code::bad_request, ""},
        {"no Host", [](UpgradeRequest& r) { r.host = {}; }, 400, Code::bad_request, ""},
        {"a body", [](UpgradeRequest& r) { r.has_body = true; }, 400, Code::bad_request, ""},
        {"no Upgrade", [](UpgradeRequest& r) { r.upgrade = {}; }, 426, Code::bad_request,
         "Upgrade: websocket"},
        {"Upgrade to another", [](UpgradeRequest& r) { r.upgrade = "h2c"; }, 426, Code::bad_request,
         "Upgrade: websocket"},
        {"Upgrade that only contains it", [](UpgradeRequest& r) { r.upgrade = "websocket2"; }, 426,
         Code::bad_request, "Upgrade: websocket"},
        {"no Connection", [](UpgradeRequest& r) { r.connection = {}; }, 400, Code::bad_request, ""},
        {"Connection: close", [](UpgradeRequest& r) { r.connection = "close"; }, 400,
         Code::bad_request, ""},
        {"no version", [](UpgradeRequest& r) { r.version = {}; }, 426, Code::bad_request,
         "Sec-WebSocket-Version: 13"},
        {"version 12", [](UpgradeRequest& r) { r.version = "12"; }, 426, Code::bad_request,
         "Sec-WebSocket-Version: 13"},
        {"version 013", [](UpgradeRequest& r) { r.version = "013"; }, 426, Code::bad_request,
         "Sec-WebSocket-Version: 13"},
        {"two versions", [](UpgradeRequest& r) { r.version = "13, 8"; }, 426, Code::bad_request,
         "Sec-WebSocket-Version: 13"},
        {"no key", [](UpgradeRequest& r) { r.key = {}; }, 400, Code::bad_request, ""},
        {"key of 15 bytes", [](UpgradeRequest& r) { r.key = "dGhlIHNhbXBsZSBub25j"; }, 400,
         Code::bad_request, ""},
        {"key of 17 bytes", [](UpgradeRequest& r) { r.key = "dGhlIHNhbXBsZSBub25jZXM="; }, 400,
         Code::bad_request, ""},
        {"key of 18 bytes", [](UpgradeRequest& r) { r.key = "dGhlIHNhbXBsZSBub25jZXNz"; }, 400,
         Code::bad_request, ""},
        {"key without padding", [](UpgradeRequest& r) { r.key = "dGhlIHNhbXBsZSBub25jZQ"; }, 400,
         Code::bad_request, ""},
        {"key in base64url", [](UpgradeRequest& r) { r.key = "dGhlIHNhbXBsZSBu-_5jZQ=="; }, 400,
         Code::bad_request, ""},
        {"two keys",
         [](UpgradeRequest& r) { r.key = "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="; },
         400, Code::bad_request, ""},
        {"foreign origin", [](UpgradeRequest& r) { r.origin = "https://evil.com"; }, 403,
         Code::forbidden, ""},
        {"null origin", [](UpgradeRequest& r) { r.origin = "null"; }, 403, Code::forbidden, ""},
        {"empty origin", [](UpgradeRequest& r) { r.origin = ""; }, 403, Code::forbidden, ""},
        {"unknown subprotocol", [](UpgradeRequest& r) { r.subprotocol = "mqtt"; }, 400,
         Code::bad_request, ""},
    }));
    CAPTURE(c.name);
    UpgradeRequest request = browser();
    c.spoil(request);
    const UpgradeRefusal refusal = refused(request);
    CHECK(refusal.status == c.status);
    CHECK(refusal.code == c.code);
    CHECK_FALSE(refusal.detail.empty());
    const std::string first =
        refusal.headers.empty()
            ? ""
            : std::string{refusal.headers[0].first} + ": " + std::string{refusal.headers[0].second};
    CHECK(first == c.header);
}

TEST_CASE("handshake: no Origin is a program, not a page", "[ws][rfc6455-10.2]") {
    UpgradeRequest request = browser();
    request.origin = std::nullopt;
    CHECK_FALSE(accepted(request).accept_key.empty());
    request.origin = "https://app.example.org";
    const std::vector<std::string> list{"https://*.example.org"};
    UpgradeOptions with = options();
    with.allowed_origins = list;
    CHECK_FALSE(accepted(request, with).accept_key.empty());
}

TEST_CASE("handshake: the client's first known subprotocol", "[ws][rfc6455-4.2.2]") {
    struct Case {
        const char* offered;
        const char* chosen;
    };
    const auto c = GENERATE(values<Case>({
        {"", ""},
        {" , ", ""},
        {"fanfare.json.v1", "fanfare.json.v1"},
        {"mqtt, fanfare.json.v1", "fanfare.json.v1"},
        {"fanfare.json.v2, fanfare.json.v1", "fanfare.json.v2"},
        {"bearer.abc ,fanfare.json.v1", "fanfare.json.v1"},
    }));
    CAPTURE(c.offered);
    UpgradeRequest request = browser();
    request.subprotocol = c.offered;
    CHECK(accepted(request).subprotocol == c.chosen);
    // Names are case-sensitive.
    request.subprotocol = "Fanfare.json.v1";
    CHECK(refused(request).status == 400);
    CHECK_FALSE(choose_subprotocol("fanfare.json", names));
}

TEST_CASE("handshake: the extension is agreed and answered", "[ws][rfc7692-5]") {
    UpgradeRequest request = browser();
    CHECK_FALSE(accepted(request).deflate_agreed);
    CHECK(accepted(request).extensions.empty());

    request.extensions = "permessage-deflate; client_max_window_bits";
    UpgradeAccept accept = accepted(request);
    CHECK(accept.deflate_agreed);
    CHECK(accept.deflate_send);
    CHECK(accept.extensions ==
          "permessage-deflate; server_no_context_takeover; client_no_context_takeover");

    request.extensions = "permessage-deflate; server_max_window_bits=10";
    accept = accepted(request);
    CHECK(accept.deflate_agreed);
    CHECK_FALSE(accept.deflate_send);

    UpgradeOptions off = options();
    off.deflate = false;
    CHECK_FALSE(accepted(request, off).deflate_agreed);
    CHECK(accepted(request, off).extensions.empty());
}

TEST_CASE("header list: elements, white space, empty ones", "[ws][rfc9110-5.6.1]") {
    HeaderList list{" a,b ,, \t c d ,"};
    CHECK(list.next() == "a");
    CHECK(list.next() == "b");
    CHECK(list.next() == "c d");
    CHECK_FALSE(list.next());
    CHECK_FALSE(list.next());
    CHECK(is_token_char('~'));
    CHECK_FALSE(is_token_char('\0'));
    CHECK_FALSE(is_token_char('"'));
    CHECK_FALSE(is_token_char('\xe4'));
}
