// What must not be sent, over TCP: each fault has its named code, the peer hears it even while it
// is still sending, and the process goes on.

#include "gateway.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

namespace fanfare::test {
namespace {

constexpr unsigned text = 0x81;
constexpr unsigned text_begin = 0x01;
constexpr unsigned continuation = 0x80;

/// A masked frame's header that announces `length` in a 64-bit field, without its payload.
std::string announce(std::uint64_t length, unsigned head = text) {
    std::string frame{static_cast<char>(head), '\xff'};
    for (unsigned byte = 8; byte-- > 0;) frame += static_cast<char>(length >> (8 * byte) & 0xff);
    return frame + "mask";
}

std::string bytes(std::initializer_list<unsigned> values) {
    std::string out;
    for (const unsigned value : values) out += static_cast<char>(value);
    return out;
}

struct BadFrame {
    const char* name;
    std::string sent;
    std::uint16_t code;
};

std::vector<BadFrame> bad_frames() {
    const std::string long_text(40'000, ' ');
    return {
        {"not masked", bytes({text, 2, '{', '}'}), 1002},
        {"reserved opcode", client_frame("x", 0x83), 1002},
        {"reserved control opcode", client_frame("", 0x8b), 1002},
        {"RSV1 without an extension", client_frame("{}", text | 0x40), 1002},
        {"RSV2", client_frame("{}", text | 0x20), 1002},
        {"ping of 126 bytes", client_frame(std::string(126, 'x'), 0x89), 1002},
        {"ping in fragments", client_frame("x", 0x09), 1002},
        {"continuation of nothing", client_frame("x", continuation), 1002},
        {"text inside a text", client_frame("{", text_begin) + client_frame("{}"), 1002},
        {"length not in its shortest form", bytes({text, 0xfe, 0, 5}) + "maskhello", 1002},
        {"length with the top bit", announce(std::uint64_t{1} << 63), 1002},
        {"close of one byte", client_frame("\x03", 0x88), 1002},
        {"close with a reserved code", client_frame("\x03\xed", 0x88), 1002},
        {"binary frame", client_frame("{}", 0x82), 1003},
        {"text that is not UTF-8", client_frame("{\"op\":\"\xff\"}"), 1007},
        {"bad UTF-8 in the first fragment", client_frame("{\"\xc0\xaf", text_begin), 1007},
        {"longer than max_message", announce(70'000), 1009},
        {"length of an exbibyte", announce(std::uint64_t{1} << 60), 1009},
        {"fragments that are too much together",
         client_frame(long_text, text_begin) + client_frame(long_text, continuation), 1009},
        {"an array", client_frame("[1]"), 4400},
        {"a number", client_frame("7"), 4400},
        {"nothing", client_frame(""), 4400},
        {"no JSON", client_frame("hello"), 4400},
    };
}

} // namespace

TEST_CASE("malformed frames close with their code, also towards a client that goes on sending",
          "[integration][malformed]") {
    Gateway gateway;
    const std::string room = gateway.room_on(0);
    WsClient witness = gateway.ws_on(0);
    witness.request(R"("op":"subscribe","room":")" + room + '"');
    // More than socket buffers hold: the gateway must read on, or its close turns into a reset that
    // destroys the code on its way.
    const std::string flood(std::size_t{4} * 1024 * 1024, '\x55');
    std::uint64_t published = 0;
    for (const BadFrame& bad : bad_frames())
        for (const bool goes_on_sending : {false, true}) {
            CAPTURE(bad.name, goes_on_sending);
            WsClient client{gateway.port()};
            client.socket().send(bad.sent);
            if (goes_on_sending) CHECK_NOTHROW(client.socket().send(flood));
            CHECK(client.read_to_end() == bad.code);
            // Others are served as before.
            CHECK(gateway.publish(room, "1") == ++published);
            CHECK(json_number(witness.next().value(), "offset") == published);
        }
    CHECK(eventually([&] { return gateway.metric("sessions") == 1; }));
}

TEST_CASE("malformed requests on a WebSocket get a named error and the session stays",
          "[integration][malformed]") {
    Gateway gateway;
    WsClient client{gateway.port()};
    struct Case {
        const char* request;
        const char* code;
    };
    const Case cases[] = {
        {R"("op":"dance")", "unknown_op"},
        {R"("op":7)", "bad_request"},
        {R"("room":"a")", "bad_request"},
        {R"("op":"subscribe")", "bad_request"},
        {R"("op":"subscribe","room":"a*")", "bad_request"},
        {R"("op":"subscribe","room":"")", "bad_request"},
        {R"("op":"subscribe","room":"a","since":7)", "bad_request"},
        {R"("op":"subscribe","room":"a","since":{"epoch":"x","offset":-1}})", "bad_request"},
        {R"("op":"subscribe","pattern":"none")", "bad_request"},
        {R"("op":"subscribe","room":"@me")", "unauthorized"},
        {R"("op":"unsubscribe","room":"a")", "not_subscribed"},
        {R"("op":"publish","room":"a","data":1)", "forbidden"},
        {R"("op":"publish","room":"a")", "bad_request"},
        {R"("op":"publish","room":"a","data":tru})", "bad_request"},
        {R"("op":"publish","room":"a","data":1,"event":"open")", "bad_request"},
        {R"("op":"history","room":"a","limit":-1)", "bad_request"},
        {R"("op":"ack","room":"a","offset":1)", "bad_request"},
    };
    for (const Case& one : cases) {
        CAPTURE(one.request);
        std::string members = one.request;
        // A text that is not JSON has no id that could be trusted; the others answer with theirs.
        client.send("{\"id\":1," + members + (members.ends_with('}') ? "" : "}"));
        const std::string reply = client.next().value();
        CHECK(json_string(reply, "op") == "error");
        CHECK(json_string(reply, "code") == one.code);
    }
    CHECK(json_string(client.request(R"("op":"ping")"), "op") == "pong");
}

TEST_CASE("malformed HTTP requests get their status and code", "[integration][malformed]") {
    Gateway gateway;
    const std::string head = "Host: localhost\r\n";
    const std::string json = "Content-Type: application/json\r\n";
    const std::string key{Gateway::api_key_line};
    const std::string publish = "POST /api/v1/publish HTTP/1.1\r\n" + head;
    const auto body = [](std::string_view text_body) {
        return "Content-Length: " + std::to_string(text_body.size()) + "\r\n\r\n" +
               std::string{text_body};
    };
    struct Case {
        const char* name;
        std::string sent;
        int status;
        const char* code; // empty: any
    };
    const std::vector<Case> cases{
        {"no request line", "\x16\x03\x01\x02hello\r\n\r\n", 400, ""},
        {"no Host", "GET /health HTTP/1.1\r\n\r\n", 400, ""},
        {"two Hosts", "GET /health HTTP/1.1\r\n" + head + head + "\r\n", 400, ""},
        {"folded header", "GET /health HTTP/1.1\r\n" + head + "A: b\r\n c\r\n\r\n", 400, ""},
        {"two lengths", publish + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, ""},
        {"length and chunks", publish + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400, ""},
        {"HTTP/2.0", "GET / HTTP/2.0\r\n" + head + "\r\n", 505, ""},
        {"endless head",
         "GET /health HTTP/1.1\r\n" + head + "A: " + std::string(70'000, 'a') + "\r\n\r\n", 431,
         ""},
        {"no such path", "GET /nothing HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
        {"no such method", "DELETE /api/v1/publish HTTP/1.1\r\n" + head + key + "\r\n", 405,
         "method_not_allowed"},
        {"no key", publish + json + body("{}"), 401, "unauthorized"},
        {"wrong key", publish + json + "X-API-Key: wrong\r\n" + body("{}"), 401, "unauthorized"},
        {"not JSON", publish + key + json + body("{\"room\":"), 400, "bad_request"},
        {"no room", publish + key + json + body("{\"data\":1}"), 400, "bad_request"},
        {"no data", publish + key + json + body("{\"room\":\"a\"}"), 400, "bad_request"},
        {"another type", publish + key + "Content-Type: text/xml\r\n" + body("<a/>"), 415,
         "unsupported_media_type"},
        {"too long", publish + key + json + "Content-Length: 2000000\r\n\r\n", 413, "too_large"},
        {"not an upgrade", "GET /ws HTTP/1.1\r\n" + head + "\r\n", 426, ""},
        {"stream of nothing", "GET /sse HTTP/1.1\r\n" + head + "\r\n", 400, "bad_request"},
    };
    for (const Case& one : cases) {
        CAPTURE(one.name);
        HttpClient client{gateway.port()};
        client.socket().send(one.sent);
        const HttpResponse response = client.receive();
        CHECK(response.status == one.status);
        if (*one.code != '\0') CHECK(json_string(response.body, "code") == one.code);
        HttpClient other{gateway.port()};
        CHECK(other.request("GET", "/health").status == 200);
    }
    CHECK(eventually([&] { return gateway.metric("connections") == 0; }));
}

} // namespace fanfare::test
