#include "message_reader.hpp"
#include "ws_bytes.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <string>

using namespace fanfare;
using namespace fanfare::ws;
using namespace fanfare::ws::test;

namespace {

const std::string surrogate = "\xed\xa0\x80";

Events once(std::string_view bytes, bool deflate = true) {
    return Feed{deflate}(bytes);
}

} // namespace

TEST_CASE("ws reader: data, control and close frames become events", "[ws][rfc6455-5]") {
    CHECK(once(text("Hello")) == Events{"text:Hello"});
    CHECK(once(text("")) == Events{"text:"});
    CHECK(once(client_frame("\xff\xfe", {.opcode = 2})) == Events{"binary:\xff\xfe"});
    CHECK(once(ping("")) == Events{"ping:"});
    CHECK(once(ping(std::string(125, 'p'))) == Events{"ping:" + std::string(125, 'p')});
    CHECK(once(client_frame("x", {.opcode = 10})) == Events{"pong:x"});
    CHECK(once(close_frame("")) == Events{"close:1005:"});
    CHECK(once(close_frame("\x03\xe8"
                           "bye")) == Events{"close:1000:bye"});
    CHECK(once(text("a") + ping("b") + text("c")) == Events{"text:a", "ping:b", "text:c"});
}

TEST_CASE("ws reader: fragments", "[ws][rfc6455-5.4]") {
    CHECK(once(text_begin("Hel") + last("lo")) == Events{"text:Hello"});
    // RFC 6455 §5.4: control frames are handled at once, before the message is complete.
    CHECK(once(text_begin("Hel") + ping("now") + more("l") + ping("2") + last("o")) ==
          Events{"ping:now", "ping:2", "text:Hello"});
    CHECK(once(text_begin("") + more("") + last("")) == Events{"text:"});
    CHECK(once(text_begin("") + more("x") + last("")) == Events{"text:x"});
    CHECK(once(client_frame("\xff", {.fin = false, .opcode = 2}) + last("\xfe")) ==
          Events{"binary:\xff\xfe"});
    CHECK(once(text_begin("a") + last("b") + text_begin("c") + last("d")) ==
          Events{"text:ab", "text:cd"});
    // A code point may be cut by fragments.
    CHECK(once(text_begin("\xe2\x82") + last("\xac")) == Events{"text:\xe2\x82\xac"});
}

TEST_CASE("ws reader: broken rules, alone and inside a fragmented message", "[ws][rfc6455-5]") {
    struct Case {
        const char* name;
        std::string bytes;
        const char* event;
    };
    const std::string utf16 = "\x03\xe8" + surrogate;
    const auto c = GENERATE_COPY(values<Case>({
        {"not masked", client_frame("x", {.masked = false}), "fault:1002:frame not masked"},
        {"RSV2", client_frame("x", {.rsv = 2}), "fault:1002:reserved bits set"},
        {"RSV3", client_frame("x", {.rsv = 1}), "fault:1002:reserved bits set"},
        {"RSV1 on ping", client_frame("x", {.rsv = 4, .opcode = 9}),
         "fault:1002:reserved bits set"},
        {"RSV1 on continuation", client_frame("x", {.rsv = 4, .opcode = 0}),
         "fault:1002:reserved bits set"},
        {"opcode 3", client_frame("", {.opcode = 3}), "fault:1002:reserved opcode"},
        {"opcode 11", client_frame("", {.opcode = 11}), "fault:1002:reserved opcode"},
        {"fragmented ping", client_frame("", {.fin = false, .opcode = 9}),
         "fault:1002:fragmented control frame"},
        {"ping of 126", ping(std::string(126, 'x')),
         "fault:1002:control frame longer than 125 bytes"},
        {"long form", hex("81 fe 0001 00000000 41"),
         "fault:1002:frame length not in its shortest form"},
        {"close of one byte", close_frame("x"), "fault:1002:close payload of one byte"},
        {"close with 1005", close_frame("\x03\xed"), "fault:1002:invalid close code"},
        {"close with bad reason", close_frame(utf16), "fault:1007:close reason is not UTF-8"},
        {"two to the 62", client_header(std::uint64_t{1} << 62U, {.opcode = 0}),
         "fault:1009:message too big"},
    }));
    CAPTURE(c.name);
    const bool needs_message = std::string_view{c.name} == "two to the 62";
    if (!needs_message) CHECK(once(c.bytes) == Events{c.event});
    CHECK(once(text_begin("Hel") + c.bytes) == Events{c.event});
    // What came before is still told, what comes after is not.
    CHECK(once(text("a") + text_begin("b") + c.bytes + text("never")) == Events{"text:a", c.event});
}

TEST_CASE("ws reader: order of fragments", "[ws][rfc6455-5.4]") {
    const Events unexpected{"fault:1002:continuation without a message"};
    CHECK(once(more("x")) == unexpected);
    CHECK(once(last("x")) == unexpected);
    CHECK(once(text("a") + last("x")) == Events{"text:a", unexpected[0]});
    CHECK(once(text_begin("a") + last("b") + last("x")) == Events{"text:ab", unexpected[0]});
    const Events expected{"fault:1002:new message inside a fragmented one"};
    CHECK(once(text_begin("a") + text("b")) == expected);
    CHECK(once(text_begin("a") + client_frame("b", {.opcode = 2})) == expected);
    CHECK(once(text_begin("") + text_begin("")) == expected);
    CHECK(once(text_begin("a") + compressed("b")) == expected);
}

TEST_CASE("ws reader: RSV1 needs the extension", "[ws][rfc7692-6]") {
    const std::string frame = compressed(hex("f248cdc9c90700"));
    CHECK(once(frame, true) == Events{"text:Hello"});
    CHECK(once(frame, false) == Events{"fault:1002:reserved bits set"});
}

TEST_CASE("ws reader: RFC 7692 vectors", "[ws][rfc7692-7.2.3]") {
    struct Case {
        const char* name;
        const char* payload;
        const char* event;
    };
    const auto c = GENERATE(values<Case>({
        {"one block", "f248cdc9c90700", "text:Hello"},
        {"stored block", "000500faff48656c6c6f00", "text:Hello"},
        {"BFINAL", "f348cdc9c9070000", "text:Hello"},
        {"two blocks", "f24805000000ffffcac9c90700", "text:Hello"},
        {"empty, one byte", "00", "text:"},
        {"empty, two bytes", "0200", "text:"},
        {"empty payload", "", "text:"},
        {"no context is kept", "f200110000", "fault:1007:compressed data is corrupt"},
        {"garbage", "ffffff", "fault:1007:compressed data is corrupt"},
        {"cut", "f248cd", "fault:1007:compressed data is corrupt"},
    }));
    CAPTURE(c.name);
    CHECK(once(compressed(hex(c.payload))) == Events{c.event});
}

TEST_CASE("ws reader: a compressed message in fragments", "[ws][rfc7692-7.2.3.1]") {
    const std::string begin = client_frame(hex("f248cd"), {.fin = false, .rsv = 4});
    CHECK(once(begin + last(hex("c9c90700"))) == Events{"text:Hello"});
    CHECK(once(begin + ping("p") + more("") + last(hex("c9c90700"))) ==
          Events{"ping:p", "text:Hello"});
    CHECK(once(begin + client_frame("x", {.rsv = 4, .opcode = 0})) ==
          Events{"fault:1002:reserved bits set"});
    // Plain messages may follow compressed ones (RFC 7692 §6).
    CHECK(once(begin + last(hex("c9c90700")) + text("plain")) ==
          Events{"text:Hello", "text:plain"});
}

TEST_CASE("ws reader: inflated text must be UTF-8, inflated size is bounded", "[ws][rfc7692]") {
    // A stored block with a surrogate.
    CHECK(once(compressed(hex("000300fcff eda080 00"))) == Events{"fault:1007:text is not UTF-8"});
    CHECK(once(client_frame(hex("000300fcff eda080 00"), {.rsv = 4, .opcode = 2})) ==
          Events{"binary:" + surrogate});

    Deflater deflater;
    Feed feed;
    feed.limits.message_bytes_max = 1000;
    const auto packed = [&](std::size_t size) {
        return compressed(
            to_string(deflater.compress(as_byte_view(std::string(size, 'a'))).value()));
    };
    CHECK(feed(packed(1000)) == Events{"text:" + std::string(1000, 'a')});
    CHECK(feed(packed(1001)) == Events{"fault:1009:message too big"});
}

TEST_CASE("ws reader: the announced length is judged before a byte is kept", "[ws][limits]") {
    Feed feed;
    feed.limits.message_bytes_max = 1000;
    SECTION("exactly the limit") {
        CHECK(feed(text(std::string(1000, 'x'))) == Events{"text:" + std::string(1000, 'x')});
    }
    SECTION("one more") {
        CHECK(feed(client_header(1001)) == Events{"fault:1009:message too big"});
        CHECK_FALSE(feed.reader.holds_partial());
    }
    SECTION("two to the 62") {
        CHECK(feed(client_header(std::uint64_t{1} << 62U)) == Events{"fault:1009:message too big"});
    }
    SECTION("sum over fragments") {
        CHECK(feed(text_begin(std::string(600, 'x'))).empty());
        CHECK(feed(more(std::string(400, 'x'))).empty());
        CHECK(feed(ping("p")) == Events{"ping:p"});
        CHECK(feed(client_header(1, {.opcode = 0})) == Events{"fault:1009:message too big"});
    }
    SECTION("sum over fragments that would overflow") {
        CHECK(feed(text_begin("x")).empty());
        CHECK(feed(client_header(~std::uint64_t{0} >> 1U, {.opcode = 0})) ==
              Events{"fault:1009:message too big"});
    }
    SECTION("a message that does not compress is a little longer on the wire") {
        // 1000 bytes in two stored blocks.
        std::string payload = hex("00f4010bfe") + std::string(500, 'x');
        payload += payload + hex("00");
        CHECK(feed(compressed(payload)) == Events{"text:" + std::string(1000, 'x')});
        CHECK(feed(client_header(1100, {.rsv = 4})) == Events{"fault:1009:message too big"});
    }
}

TEST_CASE("ws reader: fragments of a message are counted", "[ws][limits]") {
    Feed feed;
    feed.limits.fragments_max = 3;
    CHECK(feed(text_begin("") + more("") + last("")) == Events{"text:"});
    CHECK(feed(text_begin("") + more("") + more("")).empty());
    CHECK(feed(more("")) == Events{"fault:1009:too many fragments"});
}

TEST_CASE("ws reader: text fails at the impossible byte", "[ws][rfc6455-8.1]") {
    const Events bad{"fault:1007:text is not UTF-8"};
    SECTION("inside a frame that is not complete") {
        const std::string frame = text("Hello " + surrogate + " and much more to come");
        Feed feed;
        CHECK(feed(frame.substr(0, 6 + 7)).empty()); // ED may still begin U+D000
        CHECK(feed(frame.substr(6 + 7, 1)) == bad);  // A0 cannot follow
    }
    SECTION("in the first of several fragments") {
        Feed feed;
        CHECK(feed(text_begin("\xff")) == bad);
    }
    SECTION("across fragments") {
        Feed feed;
        CHECK(feed(text_begin("\xed")).empty());
        CHECK(feed(more("\xa0")) == bad);
    }
    SECTION("a code point cut by the message's end") {
        CHECK(once(text("\xe2\x82")) == bad);
        CHECK(once(text_begin("\xe2") + last("\x82")) == bad);
        CHECK(once(text_begin("\xe2") + last("")) == bad);
    }
    SECTION("binary is not judged") {
        CHECK(once(client_frame("\xff", {.fin = false, .opcode = 2}) + last("\xff")) ==
              Events{"binary:\xff\xff"});
    }
}

TEST_CASE("ws reader: after close or fault everything is ignored", "[ws][rfc6455-5.5.1]") {
    Feed feed;
    CHECK(feed(close_frame("\x03\xe9") + text("late") + ping("late")) == Events{"close:1001:"});
    CHECK(feed(text("later")).empty());
    CHECK(feed(close_frame("")).empty());
    CHECK_FALSE(feed.reader.holds_partial());

    Feed broken;
    CHECK(broken(text_begin("a") + text("b")).size() == 1);
    CHECK(broken(text("c") + close_frame("")).empty());
    CHECK_FALSE(broken.reader.holds_partial());
}

TEST_CASE("ws reader: nothing is kept between messages", "[ws][memory]") {
    STATIC_REQUIRE(sizeof(MessageReader) <= 16);
    Feed feed;
    const auto idle_after = [&](const std::string& bytes) {
        (void)feed(bytes);
        return !feed.reader.holds_partial();
    };
    CHECK(idle_after(""));
    CHECK(idle_after(text("whole") + ping("x")));
    const std::string frame = text("cut");
    CHECK_FALSE(idle_after(frame.substr(0, 1)));
    CHECK(idle_after(frame.substr(1)));
    CHECK_FALSE(idle_after(frame.substr(0, 7)));
    CHECK(idle_after(frame.substr(7)));
    CHECK_FALSE(idle_after(text_begin("a")));
    CHECK_FALSE(idle_after(ping("p")));
    CHECK(idle_after(last("b")));
    CHECK_FALSE(idle_after(ping("cut").substr(0, 8)));
    CHECK(idle_after(ping("cut").substr(8)));
}

TEST_CASE("ws reader: a whole message is shown where it lies", "[ws][memory]") {
    Inflater inflater;
    MessageReader reader{false};
    std::string bytes = text("in place") + text("too");
    std::span<std::byte> input = std::as_writable_bytes(std::span{bytes});
    const auto first = reader.next(input, {}, inflater);
    CHECK(as_text(first.payload).data() == bytes.data() + 6);
    const auto second = reader.next(input, {}, inflater);
    CHECK(as_text(second.payload).data() == bytes.data() + 6 + 8 + 6);
    CHECK(input.empty());
}

TEST_CASE("ws reader: any split of the bytes gives the same events", "[ws][property]") {
    const std::string hello = hex("f248cdc9c90700");
    const std::string common = text("Grüße") + text_begin("a\xe2") + ping("p") + more("\x82") +
                               more("") + last("\xac") + compressed(hello) +
                               client_frame(hello.substr(0, 2), {.fin = false, .rsv = 4}) +
                               client_frame("q", {.opcode = 10}) + last(hello.substr(2)) +
                               client_frame(std::string(300, 'b'), {.opcode = 2});
    const auto end = GENERATE_COPY(values<std::string>(
        {"", close_frame("\x0f\xa0why") + text("no"), text("x" + surrogate),
         text_begin("y") + text("z"), compressed("\xff\xff"), more("w"), client_header(70'000),
         client_frame("u", {.masked = false}), close_frame("\x03"), ping(std::string(126, 'x'))}));
    const std::string bytes = common + end;
    const Events whole = once(bytes);
    REQUIRE(whole.size() >= 7);

    SECTION("byte by byte") {
        Feed feed;
        Events events;
        for (const char b : bytes)
            for (auto& e : feed({&b, 1})) events.push_back(std::move(e));
        CHECK(events == whole);
    }
    SECTION("two pieces, at every place") {
        for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
            Feed feed;
            Events events = feed(bytes.substr(0, cut));
            for (auto& e : feed(bytes.substr(cut))) events.push_back(std::move(e));
            REQUIRE(events == whole);
        }
    }
    SECTION("random pieces") {
        std::mt19937 random{7}; // NOLINT: the same every time, on purpose
        for (int round = 0; round < 300; ++round) {
            Feed feed;
            Events events;
            for (std::size_t at = 0; at < bytes.size();) {
                const std::size_t size = 1 + random() % 40;
                for (auto& e : feed(std::string_view{bytes}.substr(at, size)))
                    events.push_back(std::move(e));
                at += size;
            }
            REQUIRE(events == whole);
        }
    }
}
