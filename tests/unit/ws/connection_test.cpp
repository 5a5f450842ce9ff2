// One connection over a memory pipe: from the upgrade to the end of TCP.

#include "connection.hpp"
#include "support/scripted_exchange.hpp"
#include "support/session_world.hpp"
#include "ws_bytes.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstring>

using namespace fanfare;
using namespace fanfare::ws;
using namespace fanfare::ws::test;
using fanfare::test::Lines;
using fanfare::test::ScriptedExchange;
using fanfare::test::World;
using session::CloseReason;
using namespace std::chrono_literals;

namespace {

std::string server_frame(Opcode opcode, std::string_view payload) {
    std::string frame(server_header_bytes_max, '\0');
    frame.resize(write_header(frame.data(), opcode, false, payload.size()));
    return frame.append(payload);
}

/// A message is a text frame of its data.
class FrameEncoder final : public room::Encoder {
  public:
    SharedBytesRef encode(const room::Message& message) override {
        return SharedBytes::copy_of(server_frame(Opcode::text, message.data()));
    }
    SharedBytesRef encode(const room::PresenceChange& change) override {
        return SharedBytes::copy_of(server_frame(Opcode::text, change.user));
    }
    [[nodiscard]] room::Form fallback() const noexcept override { return room::Form::ws_json; }
};

room::Encoders frame_encoders() {
    room::Encoders encoders;
    for (auto& encoder : encoders) encoder = std::make_unique<FrameEncoder>();
    return encoders;
}

/// Keeps what it is told, and answers "say:…".
class Parrot final : public TextProtocol {
  public:
    void on_text(session::Session& s, std::string_view text) override {
        // Parsers read on behind the text: that must be allowed.
        std::array<char, 64> behind{};
        std::memcpy(behind.data(), text.data() + text.size(), behind.size());
        heard.emplace_back(text);
        last = &s;
        if (text.starts_with("say:")) s.outbound().send_text(text.substr(4));
    }
    [[nodiscard]] std::string_view name() const noexcept override { return "parrot"; }
    void welcome(session::Session& s) override {
        last = &s;
        s.outbound().send_text("welcome");
    }
    void error(session::Session& /*s*/, session::RequestId /*id*/, const Error& /*e*/) override {}
    void auth_ok(session::Session& /*s*/, session::RequestId /*id*/) override {}
    void subscribe_ok(session::Session& /*s*/, session::RequestId /*id*/,
                      const session::SubscribeOk& /*ok*/) override {}
    void pattern_ok(session::Session& /*s*/, session::RequestId /*id*/,
                    std::string_view /*pattern*/) override {}
    void unsubscribe_ok(session::Session& /*s*/, session::RequestId /*id*/,
                        std::string_view /*room*/, bool /*is_pattern*/) override {}
    void publish_ok(session::Session& /*s*/, session::RequestId /*id*/,
                    const session::PublishOk& /*ok*/) override {}
    void history_ok(session::Session& /*s*/, session::RequestId /*id*/,
                    const session::HistoryOk& /*ok*/) override {}
    void presence_ok(session::Session& /*s*/, session::RequestId /*id*/,
                     const session::PresenceOk& /*ok*/) override {}
    void pong(session::Session& /*s*/, session::RequestId /*id*/) override {}
    void ack_ok(session::Session& /*s*/, session::RequestId /*id*/,
                std::uint64_t /*offset*/) override {}
    void inbox_message(session::Session& /*s*/, room::Delivery& /*delivery*/,
                       bool /*repeat*/) override {}
    void acked(session::Session& /*s*/, std::uint64_t /*offset*/) override {}
    void message(session::Session& /*s*/, room::Subscription* /*subscription*/,
                 room::Delivery& /*delivery*/) override {}
    void subscribed(session::Session& /*s*/, std::string_view /*room*/,
                    const Position& /*at*/) override {}
    void unsubscribed(session::Session& /*s*/, std::string_view /*room*/,
                      const Error& /*why*/) override {}
    void reset(session::Session& /*s*/, std::string_view /*room*/,
               const Position& /*at*/) override {}
    void bye(session::Session& /*s*/, std::string_view /*code*/, std::string_view /*message*/,
             std::uint64_t /*reconnect_in*/) override {}

    Lines heard;
    session::Session* last = nullptr;
};

/// The server's frames, one per line: "text:hello", "close:1000:bye" …; "…" is an incomplete one.
Lines frames(std::string_view bytes) {
    Lines lines;
    while (!bytes.empty()) {
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
        std::size_t header = 2;
        std::size_t length = bytes.size() < 2 ? 0 : byte(1);
        if (length == 126 && bytes.size() >= 4) {
            length = static_cast<std::size_t>(byte(2)) << 8 | byte(3);
            header = 4;
        }
        if (bytes.size() < header + length) {
            lines.emplace_back("…");
            break;
        }
        const std::string payload{bytes.substr(header, length)};
        bytes.remove_prefix(header + length);
        switch (static_cast<unsigned char>(
            bytes.data()[-static_cast<std::ptrdiff_t>(header + length)])) {
        case 0x81:
            lines.push_back("text:" + payload);
            break;
        case 0xc1:
            lines.push_back("compressed");
            break;
        case 0x89:
            lines.push_back("ping:" + payload);
            break;
        case 0x8a:
            lines.push_back("pong:" + payload);
            break;
        case 0x88: {
            const auto parsed = parse_close(as_byte_view(payload));
            lines.push_back(
                "close:" + (payload.empty() ? "" : std::to_string(static_cast<int>(parsed->code))) +
                ":" + std::string{parsed->reason});
            break;
        }
        default:
            lines.emplace_back("?");
            break;
        }
    }
    return lines;
}

session::Options open_options() {
    session::Options options;
    options.anonymous = true;
    options.heartbeat = 1h;
    return options;
}

struct Line {
    explicit Line(const session::Options& options = open_options(), std::string behind = {},
                  std::string extensions = {}, std::size_t room = ~std::size_t{0},
                  int fail_write_at = 0)
        : world(options, 1, {}, frame_encoders), service(*world.sessions[0], {&parrot}),
          exchange(world.reactors[0]), pipe(*exchange.pipe) {
        using http::Header;
        exchange.set(Header::host, "h")
            .set(Header::connection, "Upgrade")
            .set(Header::upgrade, "websocket")
            .set(Header::sec_websocket_version, "13")
            .set(Header::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ==");
        if (!extensions.empty())
            exchange.set(Header::sec_websocket_extensions, std::move(extensions));
        exchange.leftover = std::move(behind);
        pipe.room = room;
        pipe.fail_write_at = fail_write_at;
        world.run([&] { service.handle(exchange); });
    }
    ~Line() { world.reactors[0].destroy_owned(); }

    /// The client sends; returns the server's frames.
    Lines send(std::string_view bytes) {
        pipe.input += bytes;
        world.run([&] { pipe.deliver(); });
        return take();
    }
    Lines end() {
        pipe.input_end = true;
        return send({});
    }
    Lines take() { return frames(pipe.take_output()); }
    /// The upgrade's head and the welcome are read.
    Line& opened() {
        const std::string bytes = pipe.take_output();
        REQUIRE(bytes.find("\r\n\r\n") != std::string::npos);
        CHECK(frames(std::string_view{bytes}.substr(bytes.find("\r\n\r\n") + 4)) ==
              Lines{"text:welcome"});
        return *this;
    }
    Lines run(const std::function<void(session::Session&)>& act) {
        world.run([&] { act(*parrot.last); });
        return take();
    }
    [[nodiscard]] std::size_t sessions() const { return world.sessions[0]->size(); }
    [[nodiscard]] std::size_t connections() { return world.reactors[0].owned(); }

    World world;
    Parrot parrot;
    Service service;
    ScriptedExchange exchange;
    fanfare::test::MemoryPipe& pipe;
};

/// Everything is over: nothing is registered, the transport is gone.
void check_gone(Line& line) {
    CHECK(line.sessions() == 0);
    CHECK(line.connections() == 0);
    CHECK(line.pipe.closed);
    CHECK(line.pipe.destroyed);
}

} // namespace

// --- opening ---

TEST_CASE("ws connection: the upgrade, then the welcome", "[ws][rfc6455-4.2]") {
    Line line;
    CHECK(line.exchange.detached);
    CHECK(line.pipe.output.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    CHECK(line.pipe.output.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") !=
          std::string::npos);
    line.opened();
    CHECK(line.sessions() == 1);
}

TEST_CASE("ws connection: what came behind the request is taken", "[ws]") {
    Line line{open_options(), text("say:early") + text("say:bird").substr(0, 7)};
    const std::string bytes = line.pipe.take_output();
    CHECK(frames(std::string_view{bytes}.substr(bytes.find("\r\n\r\n") + 4)) ==
          Lines{"text:welcome", "text:early"});
    CHECK(line.send(text("say:bird").substr(7)) == Lines{"text:bird"});
}

TEST_CASE("ws connection: what is no upgrade is refused over HTTP", "[ws][protocol-2]") {
    World world{open_options(), 1, {}, frame_encoders};
    Parrot parrot;
    Service service{*world.sessions[0], {&parrot}};
    ScriptedExchange plain{world.reactors[0]};
    world.run([&] { service.handle(plain.set(http::Header::host, "h")); });
    REQUIRE(plain.responses.size() == 1);
    CHECK(plain.responses[0].status >= 400);
    CHECK_FALSE(plain.detached);
    CHECK(world.sessions[0]->size() == 0);
}

// --- messages ---

TEST_CASE("ws connection: text goes to the protocol, its answer to the client", "[ws]") {
    Line line;
    line.opened();
    CHECK(line.send(text("say:a") + text("b") + text_begin("say:") + last("c")) ==
          Lines{"text:a", "text:c"});
    CHECK(line.parrot.heard == Lines{"say:a", "b", "say:c"});
}

TEST_CASE("ws connection: however the bytes are cut", "[ws]") {
    Line line;
    line.opened();
    line.pipe.read_max = GENERATE(1U, 2U, 7U, 64U);
    const std::string long_text(300, 'x');
    CHECK(line.send(text("say:a") + ping("p") + text("say:" + long_text)) ==
          Lines{"text:a", "pong:p", "text:" + long_text});
}

TEST_CASE("ws connection: a message of a room", "[ws]") {
    Line line;
    line.opened();
    line.run([](session::Session& s) { s.subscribe(1, {"open:1", {}, 0, {}}); });
    line.world.publish("open:1", "[1]");
    CHECK(line.take() == Lines{"text:[1]"});
}

TEST_CASE("ws connection: long texts are compressed where that was agreed", "[ws][rfc7692]") {
    Line line{open_options(), {}, "permessage-deflate"};
    CHECK(line.pipe.output.find("Sec-WebSocket-Extensions: permessage-deflate") !=
          std::string::npos);
    line.opened();
    const std::size_t min = line.world.options.deflate_min;
    CHECK(line.run([&](session::Session& s) { s.outbound().send_text(std::string(min, 'x')); }) ==
          Lines{"compressed"});
    const std::string shorter(min - 1, 'x');
    CHECK(line.run([&](session::Session& s) { s.outbound().send_text(shorter); }) ==
          Lines{"text:" + shorter});
}

// --- pings ---

TEST_CASE("ws connection: a ping is answered with its payload", "[ws][rfc6455-5.5.2]") {
    Line line;
    line.opened();
    CHECK(line.send(ping("one") + text_begin("say:x") + ping("") + last("y")) ==
          Lines{"pong:one", "pong:", "text:xy"});
}

TEST_CASE("ws connection: while the client does not read, only the newest ping is kept", "[ws]") {
    Line line;
    line.opened();
    line.pipe.room = 3;
    CHECK(line.send(text("say:abc")) == Lines{"…"}); // one of its five bytes and the header
    CHECK(line.send(ping("1") + ping("2")).empty());
    CHECK(line.send(ping("3")).empty());
    line.world.run([&] { line.pipe.drain(); });
    CHECK(line.pipe.take_output() == "bc" + server_frame(Opcode::pong, "3"));
}

TEST_CASE("ws connection: the heartbeat is an empty ping", "[ws][protocol-2]") {
    session::Options options = open_options();
    options.heartbeat = 1s;
    Line line{options};
    line.opened();
    CHECK_FALSE(line.pipe.established);
    line.world.pass(1'050ms);
    CHECK(line.take() == Lines{"ping:"});
    CHECK(line.pipe.established); // it has stayed
    SECTION("any frame is an answer") {
        for (int i = 0; i < 5; ++i) {
            line.send(client_frame("", {.opcode = 10}));
            line.world.pass(1s);
        }
        CHECK(line.sessions() == 1);
    }
    SECTION("without one it ends") {
        line.world.pass(2'100ms);
        CHECK(line.take().back() == "close:4409:two heartbeats were not answered");
        CHECK(line.sessions() == 0);
    }
}

// --- the end ---

TEST_CASE("ws connection: what the client may not send", "[ws][close]") {
    struct Case {
        const char* name;
        std::string bytes;
        const char* close;
    };
    session::Options options = open_options();
    options.message_bytes_max = 100;
    Line line{options};
    line.opened();
    const auto c = GENERATE(values<Case>({
        {"binary", client_frame("x", {.opcode = 2}), "close:1003:"},
        {"not masked", client_frame("x", {.masked = false}), "close:1002:"},
        {"reserved bit", client_frame("x", {.rsv = 4}), "close:1002:"},
        {"reserved opcode", client_frame("x", {.opcode = 3}), "close:1002:"},
        {"not UTF-8", text("\xff"), "close:1007:"},
        {"too big", client_header(101), "close:1009:"},
    }));
    CAPTURE(c.name);
    const Lines answer = line.send(c.bytes + text("say:more"));
    REQUIRE(answer.size() == 1);
    CHECK(answer[0].starts_with(c.close));
    CHECK(answer[0].size() > std::strlen(c.close)); // and says why
    CHECK(line.sessions() == 0);
    CHECK(line.parrot.heard.empty());
    // What follows a fault is not understood: FIN comes with the client's own, or in time.
    line.end();
    check_gone(line);
}

TEST_CASE("ws connection: the client closes", "[ws][rfc6455-7]") {
    struct Case {
        const char* name;
        std::string payload;
        const char* answer;
    };
    Line line;
    line.opened();
    const auto c =
        GENERATE(values<Case>({{"normal", std::string{"\x03\xe8"} + "bye", "close:1000:"},
                               {"its own code", "\x0f\xa1", "close:4001:"},
                               {"no code", "", "close::"}}));
    CAPTURE(c.name);
    CHECK(line.send(text("say:last") + close_frame(c.payload) + text("say:late")) ==
          Lines{"text:last", c.answer});
    CHECK(line.sessions() == 0);
    CHECK(line.pipe.output_end); // the server ends TCP first
    CHECK_FALSE(line.pipe.closed);
    line.end();
    check_gone(line);
}

TEST_CASE("ws connection: the server closes", "[ws][rfc6455-7]") {
    Line line;
    line.opened();
    CHECK(line.run([](session::Session& s) { s.close(CloseReason::disconnected, "by the API"); }) ==
          Lines{"close:4403:by the API"});
    CHECK(line.sessions() == 0);
    CHECK_FALSE(line.pipe.output_end);
    // What the client had sent meanwhile is dropped, pings too; its Close ends it.
    CHECK(line.send(text("say:x") + ping("p")).empty());
    CHECK(line.parrot.heard.empty());
    CHECK_FALSE(line.pipe.output_end);
    CHECK(line.send(close_frame("\x03\xe8")).empty());
    CHECK(line.pipe.output_end);
    CHECK_FALSE(line.pipe.closed);
    line.end();
    check_gone(line);
}

TEST_CASE("ws connection: each reason has its code", "[ws][close]") {
    struct Case {
        CloseReason reason;
        const char* close;
    };
    const auto c = GENERATE(values<Case>({{CloseReason::normal, "close:1000:why"},
                                          {CloseReason::drain, "close:1001:why"},
                                          {CloseReason::protocol, "close:1002:why"},
                                          {CloseReason::binary, "close:1003:why"},
                                          {CloseReason::bad_utf8, "close:1007:why"},
                                          {CloseReason::too_big, "close:1009:why"},
                                          {CloseReason::internal, "close:1011:why"},
                                          {CloseReason::overloaded, "close:1013:why"},
                                          {CloseReason::not_an_object, "close:4400:why"},
                                          {CloseReason::unauthorized, "close:4401:why"},
                                          {CloseReason::disconnected, "close:4403:why"},
                                          {CloseReason::slow_consumer, "close:4408:why"},
                                          {CloseReason::idle, "close:4409:why"},
                                          {CloseReason::rate, "close:4429:why"}}));
    Line line;
    line.opened();
    CHECK(line.run([&](session::Session& s) { s.close(c.reason, "why"); }) == Lines{c.close});
}

TEST_CASE("ws connection: nobody waits for ever", "[ws]") {
    session::Options options = open_options();
    options.close_timeout = 5s;
    Line line{options};
    line.opened();
    SECTION("for the answer to a Close") {
        line.run([](session::Session& s) { s.close(CloseReason::drain, "drain"); });
    }
    SECTION("for the end of TCP") {
        line.send(close_frame("\x03\xe8"));
    }
    SECTION("for a client that reads nothing") {
        line.pipe.room = 0;
        line.run([](session::Session& s) { s.close(CloseReason::drain, "drain"); });
    }
    line.world.pass(4'900ms);
    CHECK_FALSE(line.pipe.closed);
    line.world.pass(200ms);
    check_gone(line);
}

TEST_CASE("ws connection: the client just leaves", "[ws][close-1006]") {
    Line line;
    line.opened();
    SECTION("FIN") {
        CHECK(line.end().empty());
    }
    SECTION("RST") {
        line.pipe.reset = true;
        CHECK(line.send({}).empty());
    }
    SECTION("in the middle of a message") {
        line.send(text("say:x").substr(0, 3));
        line.end();
    }
    check_gone(line);
}

TEST_CASE("ws connection: FIN goes out behind all that is queued", "[ws]") {
    Line line;
    line.opened();
    line.pipe.room = 1;
    line.send(text("say:abc") + close_frame("\x03\xe8"));
    CHECK_FALSE(line.pipe.output_end);
    line.world.run([&] { line.pipe.drain(); });
    CHECK(line.pipe.output_end);
}

// --- a client that reads slowly, or not at all ---

TEST_CASE("ws connection: for a slow consumer Close comes first", "[ws][close-4408]") {
    session::Options options = open_options();
    options.send_queue_max = 1'000;
    Line line{options};
    line.opened();
    line.run([](session::Session& s) { s.subscribe(1, {"open:1", {}, 0, {}}); });
    const std::string data = '"' + std::string(98, 'x') + '"';
    const bool begun = GENERATE(true, false);
    line.pipe.room = begun ? 10 : 0;
    for (int i = 0; i < 12; ++i) line.world.publish("open:1", data);
    CHECK(line.sessions() == 0);
    CHECK(line.world.sessions[0]->slow_consumers.value() == 1);
    line.world.run([&] { line.pipe.drain(); });
    // What had begun is completed: else the client would misread the rest.
    Lines expected{"close:4408:the client reads too slowly"};
    if (begun) expected.insert(expected.begin(), "text:" + data);
    CHECK(line.take() == expected);
}

TEST_CASE("ws connection: answers too have their bound", "[ws][close-4408]") {
    session::Options options = open_options();
    options.send_queue_max = 1'000;
    Line line{options};
    line.opened();
    line.pipe.room = 0;
    const std::string answer(400, 'x');
    for (int i = 0; i < 3; ++i) line.send(text("say:" + answer));
    CHECK(line.sessions() == 1); // 1,200 are queued: the next one finds it full
    line.send(text("say:more"));
    CHECK(line.sessions() == 0);
    line.world.run([&] { line.pipe.drain(); });
    CHECK(line.take() == Lines{"close:4408:the client reads too slowly"});
}

TEST_CASE("ws connection: bytes leave as the client takes them", "[ws]") {
    const std::size_t piece = GENERATE(1U, 3U, 50U);
    Line line;
    line.opened();
    line.pipe.room = 0;
    line.send(text("say:first") + text("say:second") + ping("p") + text("say:third"));
    for (int i = 0; i < 100; ++i) line.world.run([&] { line.pipe.drain(piece); });
    CHECK(line.take() == Lines{"text:first", "text:second", "pong:p", "text:third"});
    CHECK_FALSE(line.pipe.wants_writable);
}

TEST_CASE("ws connection: a write that fails ends it, whichever it is", "[ws]") {
    const int n = GENERATE(range(1, 6)); // the welcome, x, a, the pong, b with Close
    CAPTURE(n);
    Line line{open_options(), {}, {}, ~std::size_t{0}, n};
    if (line.sessions() != 0) line.run([](session::Session& s) { s.outbound().send_text("x"); });
    line.send(text("say:a"));
    line.send(ping("p"));
    line.world.publish("open:1", "1");
    line.send(text("say:b") + close_frame("\x03\xe8"));
    line.end();
    CHECK(line.pipe.writes == n);
    check_gone(line);
}
