#include "client_json.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::protocols;

namespace {

/// Keeps text and parser as long as the views in `parsed`; the text ends where its padding begins,
/// so that the address sanitizer sees a read beyond it.
struct Parse {
    explicit Parse(std::string_view text) : padded(text.size() + 64) {
        std::memcpy(padded.data(), text.data(), text.size());
        parsed = parser.parse({padded.data(), text.size()});
    }
    template <class T>
    const T& get() const {
        const Error* const error = std::get_if<Error>(&parsed.request);
        CAPTURE(error != nullptr ? error->message : "no error");
        REQUIRE(std::holds_alternative<T>(parsed.request));
        return std::get<T>(parsed.request);
    }
    std::vector<char> padded;
    RequestParser parser;
    ParsedRequest parsed;
};

Error error_of(std::string_view text) {
    return Parse{text}.get<Error>();
}

} // namespace

TEST_CASE("client json: every request of the protocol page", "[protocols][protocol-2]") {
    SECTION("auth") {
        const Parse p{R"({"id":1,"op":"auth","token":"a.b.c"})"};
        CHECK(p.parsed.id == 1);
        CHECK(p.get<AuthRequest>().token == "a.b.c");
    }
    SECTION("subscribe") {
        const Parse p{R"({"id":2,"op":"subscribe","room":"news"})"};
        const auto& r = p.get<SubscribeRequest>();
        CHECK(r.room == "news");
        CHECK_FALSE(r.since);
        CHECK(r.last == 0);
        CHECK(r.device.empty());
    }
    SECTION("subscribe since") {
        const Parse p{
            R"({"op":"subscribe","room":"@me","since":{"epoch":"AbCd-_12","offset":17},"device":"d1"})"};
        const auto& r = p.get<SubscribeRequest>();
        CHECK_FALSE(p.parsed.id);
        REQUIRE(r.since);
        CHECK(r.since->epoch.text() == "AbCd-_12");
        CHECK(r.since->offset == 17);
        CHECK(r.device == "d1");
    }
    SECTION("subscribe last") {
        const Parse p{R"({"op":"subscribe","room":"news","last":10})"};
        CHECK(p.get<SubscribeRequest>().last == 10U);
        const Parse all{R"({"op":"subscribe","room":"news","last":18446744073709551615})"};
        CHECK(all.get<SubscribeRequest>().last == std::numeric_limits<std::uint32_t>::max());
    }
    SECTION("subscribe pattern") {
        const Parse p{R"({"id":2,"op":"subscribe","pattern":"post_*_comments"})"};
        CHECK(p.get<SubscribePatternRequest>().pattern == "post_*_comments");
    }
    SECTION("unsubscribe") {
        const Parse p{R"({"id":3,"op":"unsubscribe","room":"news"})"};
        CHECK(p.get<UnsubscribeRequest>().room == "news");
        CHECK_FALSE(p.get<UnsubscribeRequest>().is_pattern);
        const Parse q{R"({"id":3,"op":"unsubscribe","pattern":"n*"})"};
        CHECK(q.get<UnsubscribeRequest>().room == "n*");
        CHECK(q.get<UnsubscribeRequest>().is_pattern);
    }
    SECTION("publish") {
        const Parse p{
            R"({"id":4,"op":"publish","room":"chat:1","data":{"a":1},"event":"said","ephemeral":true,"key":"k-1"})"};
        const auto& r = p.get<PublishRequest>();
        CHECK(r.room == "chat:1");
        CHECK(r.data == R"({"a":1})");
        CHECK(r.event == "said");
        CHECK(r.ephemeral);
        CHECK(r.key == "k-1");
    }
    SECTION("ack") {
        const Parse p{R"({"id":5,"op":"ack","room":"@me","offset":42})"};
        CHECK(p.get<AckRequest>().room == "@me");
        CHECK(p.get<AckRequest>().offset == 42);
    }
    SECTION("history") {
        const Parse p{
            R"({"id":6,"op":"history","room":"news","limit":50,"since":{"offset":3,"epoch":"x"},"reverse":true})"};
        const auto& r = p.get<HistoryRequest>();
        CHECK(r.room == "news");
        CHECK(r.limit == 50U);
        CHECK(r.reverse);
        REQUIRE(r.since);
        CHECK(r.since->epoch.none()); // not an epoch of ours: no fault, but equal to none
        CHECK(r.since->offset == 3);
    }
    SECTION("presence") {
        CHECK(Parse{R"({"op":"presence","room":"chat:1"})"}.get<PresenceRequest>().room ==
              "chat:1");
    }
    SECTION("ping") {
        const Parse p{R"( {"id":8,"op":"ping"} )"};
        CHECK(p.parsed.id == 8);
        p.get<PingRequest>();
    }
}

TEST_CASE("client json: data is the exact bytes of the value", "[protocols]") {
    for (const std::string value : {"1", "-0.5e+10", "null", "true", R"("")", R"("a\u0041\n\"")",
                                    "[]", "{}", "[1 , 2]", R"({ "a" : [ { } , "]" ] })", "{\r\n\t}",
                                    "123456789012345678901234567890123456789012345678901234567890",
                                    "1e400", R"({"room":"inner","op":"x","id":1,"id":2})"}) {
        for (const std::string space : {"", " ", "\n\t "}) {
            CAPTURE(value, space);
            const Parse middle{R"({"op":"publish","data":)" + space + value + space +
                               R"(,"room":"r"})"};
            CHECK(middle.get<PublishRequest>().data == value);
            const Parse last{R"({"room":"r","op":"publish","data":)" + space + value + space + "}" +
                             space};
            CHECK(last.get<PublishRequest>().data == value);
        }
    }
}

TEST_CASE("client json: names and texts may be escaped", "[protocols]") {
    const Parse p{R"({"\u006fp":"p\u0069ng","id":1})"};
    p.get<PingRequest>();
    const Parse q{R"({"op":"publish","room":"caf\u00e9 \ud83d\ude00","data":"\ud83d\ude00"})"};
    CHECK(q.get<PublishRequest>().room == "café 😀");
    CHECK(q.get<PublishRequest>().data == R"("\ud83d\ude00")");
}

TEST_CASE("client json: what is unknown, or another request's, is not looked at", "[protocols]") {
    Parse{R"({"op":"ping","room":5,"since":{"offset":-1},"x":{"op":[]},"x":2,"":null})"}
        .get<PingRequest>();
    Parse{R"({"op":"subscribe","room":"r","since":{"epoch":"e","offset":1,"more":1,"more":2}})"}
        .get<SubscribeRequest>();
}

TEST_CASE("client json: a wrong member is named", "[protocols]") {
    struct Case {
        const char* text;
        const char* message;
        const char* field;
    };
    const auto c = GENERATE(values<Case>({
        {R"({})", "`op` is missing", "op"},
        {R"({"op":1})", "`op` must be a string", "op"},
        {R"({"op":"auth"})", "`token` is missing", "token"},
        {R"({"op":"auth","token":null})", "`token` must be a string", "token"},
        {R"({"op":"subscribe"})", "`room` is missing", "room"},
        {R"({"op":"subscribe","room":["a"]})", "`room` must be a string", "room"},
        {R"({"op":"subscribe","room":""})", "`room` must not be empty", "room"},
        {R"({"op":"subscribe","room":"a*"})", "`room` must not contain `*`", "room"},
        {R"({"op":"subscribe","room":"a\u0000b"})", "`room` must not contain control characters",
         "room"},
        {R"({"op":"subscribe","room":"a","since":7})",
         "`since` must be an object with `epoch` and `offset`", "since"},
        {R"({"op":"subscribe","room":"a","since":{"offset":1}})", "`since.epoch` is missing",
         "since.epoch"},
        {R"({"op":"subscribe","room":"a","since":{"epoch":1,"offset":1}})",
         "`since.epoch` must be a string", "since.epoch"},
        {R"({"op":"subscribe","room":"a","since":{"epoch":"e"}})", "`since.offset` is missing",
         "since.offset"},
        {R"({"op":"subscribe","room":"a","since":{"epoch":"e","offset":-1}})",
         "`since.offset` must be an integer ≥ 0", "since.offset"},
        {R"({"op":"subscribe","room":"a","since":{"epoch":"e","offset":"1"}})",
         "`since.offset` must be an integer ≥ 0", "since.offset"},
        {R"({"op":"subscribe","room":"a","since":{"epoch":"e","offset":1,"offset":1}})",
         "`since.offset` is there twice", "since.offset"},
        {R"({"op":"subscribe","room":"a","last":1.0})", "`last` must be an integer ≥ 0", "last"},
        {R"({"op":"subscribe","room":"a","last":18446744073709551616})",
         "`last` must be an integer ≥ 0", "last"},
        {R"({"op":"subscribe","room":"a","last":1,"since":{"epoch":"e","offset":1}})",
         "`last` and `since` exclude each other", "last"},
        {R"({"op":"subscribe","room":"@me","device":""})", "`device` must not be empty", "device"},
        {R"({"op":"subscribe","pattern":"a"})", "`pattern` must contain `*`", "pattern"},
        {R"({"op":"subscribe","pattern":"@*"})", "`pattern` must not begin with `@`", "pattern"},
        {R"({"op":"subscribe","pattern":"a*","room":"a"})",
         "`pattern` and `room` exclude each other", "pattern"},
        {R"({"op":"subscribe","pattern":"a*","last":1})",
         "`last` needs a `room`: a pattern has no history", "last"},
        {R"({"op":"unsubscribe","pattern":"a*","room":"a"})",
         "`pattern` and `room` exclude each other", "pattern"},
        {R"({"op":"unsubscribe"})", "`room` is missing", "room"},
        {R"({"op":"publish","room":"a"})", "`data` is missing", "data"},
        {R"({"op":"publish","room":"a","data":1,"event":"bye"})",
         "`event` is reserved for the gateway's own events", "event"},
        {R"({"op":"publish","room":"a","data":1,"event":"a\nb"})",
         "`event` must not contain control characters", "event"},
        {R"({"op":"publish","room":"a","data":1,"ephemeral":1})",
         "`ephemeral` must be true or false", "ephemeral"},
        {R"({"op":"publish","room":"a","data":1,"key":7})", "`key` must be a string", "key"},
        {R"({"op":"publish","room":"a","data":1,"data":1})", "`data` is there twice", "data"},
        {R"({"op":"publish","room":"a","data":1,"\u0064ata":1})", "`data` is there twice", "data"},
        {R"({"op":"ping","token":1,"token":1})", "`token` is there twice", "token"},
        {R"({"op":"ack","room":"@me"})", "`offset` is missing", "offset"},
        {R"({"op":"ack","room":"@me","offset":true})", "`offset` must be an integer ≥ 0", "offset"},
        {R"({"op":"history","room":"a","limit":-1})", "`limit` must be an integer ≥ 0", "limit"},
        {R"({"op":"history","room":"a","reverse":"yes"})", "`reverse` must be true or false",
         "reverse"},
        {R"({"op":"presence"})", "`room` is missing", "room"},
    }));
    CAPTURE(c.text);
    const Error error = error_of(c.text);
    CHECK(error.code == Code::bad_request);
    CHECK(error.message == c.message);
    CHECK(error.field == c.field);
}

TEST_CASE("client json: an unknown op has a code of its own", "[protocols]") {
    for (const char* text :
         {R"({"op":"x"})", R"({"op":""})", R"({"op":"Ping"})", R"({"op":"ping "})"})
        CHECK(error_of(text).code == Code::unknown_op);
}

TEST_CASE("client json: errors carry the id if there is one to carry", "[protocols]") {
    CHECK(Parse{R"({"op":"x","id":7})"}.parsed.id == 7);
    CHECK(Parse{R"({"room":1,"room":1,"op":"publish","id":-9})"}.parsed.id == -9);
    CHECK(Parse{R"({"id":9223372036854775807,"op":"ping"})"}.parsed.id ==
          std::numeric_limits<std::int64_t>::max());
    CHECK(Parse{R"({"id":-9223372036854775808,"op":"ping"})"}.parsed.id ==
          std::numeric_limits<std::int64_t>::min());
    for (const char* id :
         {"9223372036854775808", "1.0", "1e3", "\"1\"", "null", "true", "[1]", "{}"}) {
        CAPTURE(id);
        const Parse p{R"({"op":"ping","id":)" + std::string{id} + "}"};
        CHECK_FALSE(p.parsed.id);
        CHECK(p.get<Error>().message == "`id` must be an integer of 64 bits");
    }
    // Two ids: which one would the client wait for?
    const Parse twice{R"({"id":1,"op":"ping","id":1})"};
    CHECK_FALSE(twice.parsed.id);
    CHECK(twice.get<Error>().message == "`id` is there twice");
}

TEST_CASE("client json: not an object is told apart from a broken one", "[protocols][close-4400]") {
    for (const char* text :
         {"", "  ", "1", "[]", "[{}]", "\"{}\"", "null", "hello", "}", "\xef\xbb\xbf{}"}) {
        CAPTURE(text);
        const Parse p{text};
        CHECK(p.parsed.not_an_object);
        CHECK(p.get<Error>().code == Code::bad_request);
    }
    struct Case {
        const char* text;
        const char* message;
    };
    const auto c = GENERATE(values<Case>({
        {R"({"op":"ping" "id":1})", "byte 13: a comma or '}' is missing"},
        {R"(  {"op":)", "byte 8: the text ends where a value is expected"},
        {R"({"op":"ping"} x)", "byte 14: something follows the end of the value"},
        {R"({"op":"publish","room":"r","data":{"deep":[1,2,]}})",
         "byte 47: a value is expected after the comma"},
        {R"({"op":"publish","room":"r","data":"\ud800"})",
         "byte 35: a \\u escape is half of a surrogate pair"},
    }));
    const Parse p{c.text};
    CHECK_FALSE(p.parsed.not_an_object);
    CHECK(p.get<Error>().code == Code::bad_request);
    CHECK(p.get<Error>().message == c.message);
}

TEST_CASE("client json: nesting is bounded", "[protocols]") {
    const std::string open(2'000, '[');
    const Parse p{R"({"op":"publish","room":"r","data":)" + open};
    CHECK(p.get<Error>().message == "byte 161: nested too deeply");
}

TEST_CASE("client json: a parser serves one text after the other", "[protocols]") {
    RequestParser parser;
    const auto parse = [&parser](const std::string& text) {
        std::string padded = text + std::string(64, ' ');
        return parser.parse({padded.data(), text.size()}).request.index();
    };
    const std::size_t ping = Request{PingRequest{}}.index();
    CHECK(parse(R"({"op":"ping"})") == ping);
    CHECK(parse(R"({"op":"publish","room":"r","data":")" + std::string(100'000, 'x') + "\"}") ==
          Request{PublishRequest{}}.index());
    CHECK(parse(R"({"op":)") == Request{Error{}}.index());
    CHECK(parse(R"({"op":"ping"})") == ping);
}
