#include "cursor.hpp"
#include "encoders.hpp"
#include "sse_text.hpp"

#include <fanfare/protocols/protocols.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <string>
#include <support/manual_clock.hpp>
#include <vector>

using namespace fanfare;
using namespace fanfare::protocols;
using room::Form;

namespace {

const test::ManualClock clock{1'000, 1'767'225'600'123};
const Position position{Epoch::parse("AbCd-_12"), 18};

/// Message::Parts whose members may all be left out.
struct Parts {
    std::string_view room{};
    std::string_view data{};
    std::string_view event{};
    std::string_view id{};
    std::string_view from{};
    bool ephemeral = false;
};
room::DraftRef message(const Parts& parts) {
    const room::DraftRef draft = room::Message::make({.room = parts.room,
                                                      .data = parts.data,
                                                      .event = parts.event,
                                                      .id = parts.id,
                                                      .from = parts.from,
                                                      .ephemeral = parts.ephemeral,
                                                      .origin = 0,
                                                      .origin_reactor = 0},
                                                     1);
    if (!parts.ephemeral) draft->number(position, clock.wall(), clock.mono_micros());
    return draft;
}

room::Encoder& encoder(room::Encoders& encoders, Form form) {
    return *encoders[static_cast<std::size_t>(form)];
}

/// The payload of the one frame in `bytes`.
std::string_view payload_of(std::string_view bytes, unsigned char first) {
    REQUIRE(bytes.size() >= 2);
    CHECK(static_cast<unsigned char>(bytes[0]) == first);
    const auto short_length = static_cast<unsigned char>(bytes[1]);
    REQUIRE(short_length <= 126);
    if (short_length < 126) {
        CHECK(bytes.size() == 2U + short_length);
        return bytes.substr(2);
    }
    const std::size_t length =
        static_cast<unsigned char>(bytes[2]) * 256U + static_cast<unsigned char>(bytes[3]);
    CHECK(bytes.size() == 4 + length);
    return bytes.substr(4);
}

/// What is in the one chunk that `bytes` are (RFC 9112 §7.1).
std::string_view chunk_of(std::string_view bytes) {
    const std::size_t line = bytes.find("\r\n");
    REQUIRE(line != std::string_view::npos);
    const std::size_t size = std::stoul(std::string{bytes.substr(0, line)}, nullptr, 16);
    REQUIRE(bytes.size() == line + 2 + size + 2);
    CHECK(bytes.substr(bytes.size() - 2) == "\r\n");
    return bytes.substr(line + 2, size);
}

struct Event {
    std::string id = "unset";
    std::string type = "message";
    std::string data;
};
/// As the WHATWG text says: lines end with LF, CR or CRLF; one leading space is removed.
std::vector<Event> read_events(std::string_view stream) {
    std::vector<Event> events;
    Event event;
    while (!stream.empty()) {
        const std::size_t end = stream.find_first_of("\r\n");
        REQUIRE(end != std::string_view::npos);
        const std::string_view line = stream.substr(0, end);
        stream.remove_prefix(stream.substr(end, 2) == "\r\n" ? end + 2 : end + 1);
        if (line.empty()) {
            if (!event.data.empty()) event.data.pop_back();
            events.push_back(std::exchange(event, {}));
            continue;
        }
        const std::size_t colon = line.find(':');
        const std::string_view name = line.substr(0, colon);
        std::string_view value = line.substr(colon + 1);
        if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
        if (name == "id")
            event.id = value;
        else if (name == "event")
            event.type = value;
        else if (name == "data")
            event.data.append(value).append("\n");
        else
            FAIL("unknown field " << name);
    }
    return events;
}

} // namespace

TEST_CASE("encoders: ws_json is one text frame", "[protocols]") {
    auto encoders = make_encoders(256);
    room::Encoder& ws = encoder(encoders, Form::ws_json);
    CHECK(ws.fallback() == Form::ws_json);
    const auto small = message({.room = "news", .data = "[1]", .event = "e"});
    CHECK(payload_of(ws.encode(*small)->view(), 0x81) ==
          R"({"op":"message","room":"news","offset":18,"data":[1],"event":"e"})");
    const std::string data = '"' + std::string(1'000, 'x') + '"';
    const auto large = message({.room = "news", .data = data, .from = "u1"});
    CHECK(payload_of(ws.encode(*large)->view(), 0x81) ==
          R"({"op":"message","room":"news","offset":18,"data":)" + data + R"(,"from":"u1"})");
    CHECK(payload_of(ws.encode(room::PresenceChange{"chat:1", "u2", true})->view(), 0x81) ==
          R"({"op":"join","room":"chat:1","user":"u2"})");
}

TEST_CASE("encoders: ws_json_deflate inflates to the same text", "[protocols][rfc7692]") {
    auto encoders = make_encoders(100);
    room::Encoder& packed = encoder(encoders, Form::ws_json_deflate);
    CHECK(packed.fallback() == Form::ws_json);
    const std::string data = '"' + std::string(1'000, 'x') + '"';
    const auto large = message({.room = "news", .data = data});
    const SharedBytesRef bytes = packed.encode(*large);
    REQUIRE(bytes);
    ws::Inflater inflater;
    const auto text =
        inflater.inflate(as_byte_view(payload_of(bytes->view(), 0xc1)), 1 << 20); // FIN, RSV1, text
    REQUIRE(text.has_value());
    CHECK(as_text(*text) ==
          payload_of(encoder(encoders, Form::ws_json).encode(*large)->view(), 0x81));

    SECTION("short texts go uncompressed") {
        CHECK_FALSE(packed.encode(*message({.room = "news", .data = "1"})));
        CHECK_FALSE(packed.encode(room::PresenceChange{"chat:1", "u2", true}));
        const std::string room(200, 'r');
        CHECK(packed.encode(room::PresenceChange{room, "u2", true}));
    }
    SECTION("so do texts that do not get smaller") {
        auto all = make_encoders(0);
        CHECK_FALSE(encoder(all, Form::ws_json_deflate)
                        .encode(*message({.room = "q", .data = "7", .ephemeral = true})));
    }
    SECTION("the limit counts the whole text") {
        const std::string_view text_18 = R"({"op":"message","room":"r","offset":18,"data":""})";
        const std::string fill(200, 'a');
        const std::string json = '"' + fill + '"';
        const std::size_t size = text_18.size() + fill.size();
        auto at = make_encoders(size);
        auto above = make_encoders(size + 1);
        const auto exact = message({.room = "r", .data = json});
        CHECK(encoder(at, Form::ws_json_deflate).encode(*exact));
        CHECK_FALSE(encoder(above, Form::ws_json_deflate).encode(*exact));
    }
}

TEST_CASE("encoders: sse is one chunk with one event", "[protocols][protocol-3]") {
    auto encoders = make_encoders(256);
    room::Encoder& sse = encoder(encoders, Form::sse);
    CHECK(sse.fallback() == Form::sse);
    const auto m = message({.room = "a", .data = "[1]", .event = "said", .from = "u1"});
    const SharedBytesRef bytes = sse.encode(*m);
    std::string cursor;
    append_cursor(cursor, rooms_tag("a"), {&position, 1});
    CHECK(chunk_of(bytes->view()) ==
          "id: " + cursor +
              "\nevent: said\n"
              R"(data: {"room":"a","offset":18,"data":[1],"event":"said","from":"u1"})"
              "\n\n");

    SECTION("without event, without id line") {
        room::Encoder& part = encoder(encoders, Form::sse_part);
        CHECK(part.fallback() == Form::sse_part);
        CHECK(chunk_of(part.encode(*message({.room = "a", .data = "1"}))->view()) ==
              "data: {\"room\":\"a\",\"offset\":18,\"data\":1}\n\n");
    }
    SECTION("an ephemeral message leaves the client's cursor alone") {
        CHECK(
            chunk_of(sse.encode(*message({.room = "a", .data = "1", .ephemeral = true}))->view()) ==
            "data: {\"room\":\"a\",\"data\":1}\n\n");
    }
    SECTION("presence") {
        CHECK(chunk_of(sse.encode(room::PresenceChange{"a", "u2", false})->view()) ==
              "event: leave\ndata: {\"room\":\"a\",\"user\":\"u2\"}\n\n");
    }
}

TEST_CASE("encoders: raw line ends in a payload stay inside one event", "[protocols][sse]") {
    auto encoders = make_encoders(256);
    struct Case {
        const char* data;
        const char* arrives;
    };
    const auto c = GENERATE(values<Case>({
        {"{\n}", "{\n}"},
        {"{\r\n\"a\":\r1}", "{\n\"a\":\n1}"},
        {"[1,\n\n2]", "[1,\n\n2]"},
        {"[1,\r\r\n 2]", "[1,\n\n 2]"},
        {R"("a\nb")", R"("a\nb")"},
    }));
    for (const Form form : {Form::sse, Form::sse_part}) {
        const SharedBytesRef bytes =
            encoder(encoders, form).encode(*message({.room = "a", .data = c.data}));
        const auto events = read_events(chunk_of(bytes->view()));
        REQUIRE(events.size() == 1);
        CHECK(events[0].type == "message");
        CHECK(events[0].data ==
              R"({"room":"a","offset":18,"data":)" + std::string{c.arrives} + "}");
    }
}

TEST_CASE("sse text: chunks have the shortest size line", "[protocols][rfc9112-7.1]") {
    struct Case {
        std::size_t size;
        const char* head;
    };
    const auto c = GENERATE(values<Case>({{1, "1\r\n"},
                                          {15, "f\r\n"},
                                          {16, "10\r\n"},
                                          {255, "ff\r\n"},
                                          {4096, "1000\r\n"},
                                          {65'535, "ffff\r\n"},
                                          {65'536, "10000\r\n"}}));
    std::string out = "x";
    append_chunk(out, std::string(c.size, 'y'));
    CHECK(out == "x" + std::string{c.head} + std::string(c.size, 'y') + "\r\n");
}

TEST_CASE("sse text: an event of the gateway's own", "[protocols][sse]") {
    std::string out;
    append_sse_event(out, "c1", "ready", "{\"a\":\n1}");
    append_sse_event(out, {}, {}, "2");
    const auto events = read_events(out);
    REQUIRE(events.size() == 2);
    CHECK(events[0].id == "c1");
    CHECK(events[0].type == "ready");
    CHECK(events[0].data == "{\"a\":\n1}");
    CHECK(events[1].id == "unset");
    CHECK(events[1].data == "2");
}
