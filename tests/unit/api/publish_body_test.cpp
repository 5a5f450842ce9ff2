#include "publish_body.hpp"

#include <fanfare/base/json_check.hpp>

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::api;

namespace {

/// A text with slack behind it, the parser, and what came out.
struct Parse {
    explicit Parse(std::string text, std::size_t rooms_max = 3)
        : size(text.size()), padded(text + std::string(64, ']')),
          error(parser.parse(std::string_view{padded}.substr(0, size), rooms_max, parsed)) {}

    [[nodiscard]] bool good() const { return !error; }
    [[nodiscard]] const PublishBody& body() const { return parsed; }
    /// "code field: message".
    [[nodiscard]] std::string fault() const {
        if (good()) return "none";
        return std::string{code_name(error.code)} + " " + error.field + ": " + error.message;
    }

    std::size_t size;
    std::string padded;
    PublishParser parser;
    PublishBody parsed;
    Error error;
};

std::string with_data(const std::string& data) {
    return R"({"room":"a","data":)" + data + "}";
}

using Rooms = std::vector<std::string_view>;

} // namespace

TEST_CASE("publish body: all members, in any order", "[api][protocol-4]") {
    const Parse parse{R"( { "ephemeral" : true, "id":"k\u0031", "data" : {"x": [ 1 ]} ,)"
                      R"("other":{"room":1}, "event":"e", "room":"a\u0062" } )"};
    REQUIRE(parse.fault() == "none");
    CHECK(parse.body().rooms == Rooms{"ab"});
    CHECK_FALSE(parse.body().many);
    CHECK(parse.body().data == R"({"x": [ 1 ]})");
    CHECK(parse.body().event == "e");
    CHECK(parse.body().id == "k1");
    CHECK(parse.body().ephemeral);
}

TEST_CASE("publish body: what is left out", "[api]") {
    const Parse parse{with_data("1")};
    REQUIRE(parse.fault() == "none");
    CHECK(parse.body().event.empty());
    CHECK(parse.body().id.empty());
    CHECK_FALSE(parse.body().ephemeral);
}

TEST_CASE("publish body: several rooms keep their order", "[api]") {
    const Parse parse{R"({"rooms":["b","a","\u00e9"],"data":1})"};
    REQUIRE(parse.fault() == "none");
    CHECK(parse.body().many);
    CHECK(parse.body().rooms == Rooms{"b", "a", "é"});
}

TEST_CASE("publish body: data passes byte for byte", "[api][protocol-2]") {
    const auto data = GENERATE(values<std::string>({
        "1",
        "-0",
        "-0.0e-00",
        "1e400",
        "123456789012345678901234567890123456789012345678901234567890",
        "0.1000000000000000000000000000000000000000000000000000000001",
        "true",
        "false",
        "null",
        R"("")",
        R"("  ")",
        R"("\u00e9\/\ud83d\ude00 ]}")",
        "\"é\x7f\"",
        "{}",
        "[]",
        "[ 1 ,\t2 ,\r\n\n3 ]",
        "{ \"a\" : { } , \"a\" : [ ] }",
        "[1e1,[[[\"]\"]]]]",
    }));
    const auto before = GENERATE(values<std::string>({"", " ", "\t\r\n "}));
    const auto after =
        GENERATE(values<std::string>({"", " ", "\n\n", ",\"event\":\"e\"", " , \"x\":1"}));
    CAPTURE(data, before, after);
    const Parse parse{with_data(before + data + after)};
    REQUIRE(parse.fault() == "none");
    CHECK(parse.body().data == data);
    // And it is the request's own bytes, not a copy of them.
    CHECK(parse.body().data.data() >= parse.padded.data());
    CHECK(parse.body().data.data() < parse.padded.data() + parse.size);
}

TEST_CASE("publish body: what is wrong, and where", "[api][protocol-4]") {
    struct Case {
        const char* body;
        const char* fault;
    };
    const auto c = GENERATE(values<Case>({
        {"", "bad_request : byte 0: "},
        {"{", "bad_request : byte 1: "},
        {R"({"room":"a","data":01})", "bad_request : byte 19: "},
        {R"({"room":"a","data":1}})", "bad_request : byte 21: "},
        {R"({"room":"a","data":1,"x":[1,})", "bad_request : byte 28: "},
        {"{\"room\":\"a\",\"data\":\"\xff\"}", "bad_request : byte 20: "},
        {"[]", "bad_request : the body must be a JSON object"},
        {"1", "bad_request : the body must be a JSON object"},
        {"null", "bad_request : the body must be a JSON object"},
        {"\"x\"", "bad_request : the body must be a JSON object"},
        {"{}", "bad_request room: `room` is missing"},
        {R"({"data":1})", "bad_request room: `room` is missing"},
        {R"({"room":"a"})", "bad_request data: `data` is missing"},
        {R"({"room":1,"data":1})", "bad_request room: `room` must be a string"},
        {R"({"room":null,"data":1})", "bad_request room: `room` must be a string"},
        {R"({"room":"","data":1})", "bad_request room: `room` "},
        {R"({"room":"a*","data":1})", "bad_request room: `room` "},
        {R"({"room":"a\u0000","data":1})", "bad_request room: `room` "},
        {R"({"rooms":"a","data":1})", "bad_request rooms: `rooms` must be an array of strings"},
        {R"({"rooms":[],"data":1})", "bad_request rooms: `rooms` must not be empty"},
        {R"({"rooms":["a",1],"data":1})", "bad_request rooms: `rooms` must be a string"},
        {R"({"rooms":["a","*"],"data":1})", "bad_request rooms: `rooms` "},
        {R"({"rooms":["a","b","c","d"],"data":1})",
         "too_large rooms: `rooms` has more than 3 rooms"},
        {R"({"room":"a","rooms":["a"],"data":1})",
         "bad_request rooms: `rooms` and `room` exclude each other"},
        {R"({"rooms":["a"],"data":1,"room":"a"})",
         "bad_request rooms: `rooms` and `room` exclude each other"},
        {R"({"room":"a","data":1,"event":""})", "bad_request event: `event` "},
        {R"({"room":"a","data":1,"event":1})", "bad_request event: `event` must be a string"},
        {R"({"room":"a","data":1,"event":"ready"})", "bad_request event: `event` "},
        {R"({"room":"a","data":1,"event":"a\n"})", "bad_request event: `event` "},
        {R"({"room":"a","data":1,"id":""})", "bad_request id: `id` "},
        {R"({"room":"a","data":1,"id":7})", "bad_request id: `id` must be a string"},
        {R"({"room":"a","data":1,"id":"\t"})", "bad_request id: `id` "},
        {R"({"room":"a","data":1,"ephemeral":1})",
         "bad_request ephemeral: `ephemeral` must be true or false"},
        {R"({"room":"a","data":1,"ephemeral":"true"})",
         "bad_request ephemeral: `ephemeral` must be true or false"},
        {R"({"room":"a","data":1,"ephemeral":null})",
         "bad_request ephemeral: `ephemeral` must be true or false"},
        {R"({"room":"a","room":"b","data":1})", "bad_request room: `room` is there twice"},
        {R"({"rooms":["a"],"rooms":["a"],"data":1})", "bad_request rooms: `rooms` is there twice"},
        {R"({"room":"a","data":1,"data":2})", "bad_request data: `data` is there twice"},
        {R"({"room":"a","data":1,"d\u0061ta":2})", "bad_request data: `data` is there twice"},
        {R"({"room":"a","data":1,"event":"e","event":"e"})",
         "bad_request event: `event` is there twice"},
        {R"({"room":"a","data":1,"id":"1","id":"1"})", "bad_request id: `id` is there twice"},
        {R"({"room":"a","data":1,"ephemeral":true,"ephemeral":true})",
         "bad_request ephemeral: `ephemeral` is there twice"},
    }));
    CAPTURE(c.body);
    const Parse parse{c.body};
    CAPTURE(parse.fault());
    CHECK(parse.fault().starts_with(c.fault));
    CHECK(parse.fault().back() != ' '); // there is a reason
}

TEST_CASE("publish body: members that are not known may come twice", "[api]") {
    CHECK(Parse{R"({"x":1,"room":"a","x":[2],"data":1,"x":"3"})"}.fault() == "none");
}

TEST_CASE("publish body: escapes are read, in names too", "[api][rfc8259-7]") {
    const Parse parse{
        R"({"\u0072oom":"\u0061\"\\\/\ud83d\ude00","d\u0061ta":"\u0061",)"
        R"("id":"\u00e9\u20AC","\u0065\u0070\u0068\u0065\u006d\u0065\u0072\u0061\u006c":true,)"
        R"("event":"e\/", "r\u006f\u006f\u006f\u006fm":1})"};
    REQUIRE(parse.fault() == "none");
    CHECK(parse.body().rooms == Rooms{"a\"\\/\U0001F600"});
    CHECK(parse.body().data == R"("\u0061")");
    CHECK(parse.body().id == "é€");
    CHECK(parse.body().event == "e/");
    CHECK(parse.body().ephemeral);
    const Parse rooms{R"({"rooms":[ "a\"]" ,"\\","\u0062" ],"data":[]})"};
    REQUIRE(rooms.fault() == "none");
    CHECK(rooms.body().rooms == Rooms{"a\"]", "\\", "b"});
}

TEST_CASE("publish body: members of what is inside are not its own", "[api]") {
    CHECK(Parse{R"({"x":{"room":"a"},"y":[{"data":1}]})"}.fault() ==
          "bad_request room: `room` is missing");
    const Parse parse{R"({"x":[[{"room":1}],{}],"room":"a","y":{"data":{}},"data":{"data":[1]}})"};
    REQUIRE(parse.fault() == "none");
    CHECK(parse.body().data == R"({"data":[1]})");
}

TEST_CASE("publish body: a parser is used again and again", "[api]") {
    PublishParser parser;
    PublishBody body;
    for (int i = 0; i < 100; ++i) {
        std::string text = R"({"rooms":["r)" + std::to_string(i) + R"(","x"],"data":)" +
                           std::string(static_cast<std::size_t>(i) * 10 + 1, '7') + "}";
        const std::size_t size = text.size();
        text.append(64, ' ');
        REQUIRE_FALSE(parser.parse(std::string_view{text}.substr(0, size), 2, body));
        CHECK(body.rooms[0] == "r" + std::to_string(i));
        CHECK(body.data.size() == static_cast<std::size_t>(i) * 10 + 1);
        CHECK(body.many);
        CHECK(body.event.empty());
        CHECK_FALSE(body.ephemeral);
        CHECK(parser.parse(std::string_view{text}.substr(0, 5), 2, body));
        // Nothing of it is left in the next one.
        REQUIRE_FALSE(parser.parse(R"({"room":"a","data":1,"event":"e","id":"i","ephemeral":true})",
                                   2, body));
        CHECK_FALSE(body.many);
        CHECK(body.rooms == Rooms{"a"});
    }
}

// --- batches ---

namespace {

struct Split {
    explicit Split(std::string text, std::size_t items_max = 3)
        : size(text.size()), padded(text + std::string(64, ']')),
          result(parser.split(std::string_view{padded}.substr(0, size), items_max)) {}
    [[nodiscard]] std::string fault() const {
        if (const auto* const error = std::get_if<Error>(&result))
            return std::string{code_name(error->code)} + ": " + error->message;
        return "none";
    }

    std::size_t size;
    std::string padded;
    PublishParser parser;
    std::variant<Error, std::vector<std::string_view>> result;
};

} // namespace

TEST_CASE("publish batch: the items as they came", "[api][protocol-4]") {
    const Split split{" [ {\"a\" : 1} , [ ],1e400 ] "};
    REQUIRE(split.fault() == "none");
    const auto& items = std::get<std::vector<std::string_view>>(split.result);
    REQUIRE(items.size() == 3);
    CHECK(items[0] == "{\"a\" : 1}");
    CHECK(items[1] == "[ ]");
    CHECK(items[2].substr(0, 5) == "1e400");
    CHECK_FALSE(check_json(items[2]));
    CHECK(std::get<std::vector<std::string_view>>(Split{"[]"}.result).empty());
}

TEST_CASE("publish batch: what is no batch", "[api][protocol-4]") {
    struct Case {
        const char* body;
        const char* fault;
    };
    const auto c =
        GENERATE(values<Case>({{"", "bad_request: byte 0: "},
                               {"[1,]", "bad_request: byte 3: "},
                               {"[1 2]", "bad_request: byte 3: "},
                               {"{}", "bad_request: the body must be a JSON array"},
                               {"1", "bad_request: the body must be a JSON array"},
                               {"[1,2,3]", "none"},
                               {"[1,2,3,4]", "too_large: the batch has more than 3 items"}}));
    CAPTURE(c.body);
    CHECK(Split{c.body}.fault().starts_with(c.fault));
}

TEST_CASE("publish batch: an item is parsed where it stands", "[api]") {
    // Behind an item is the rest of the batch, not padding.
    PublishParser parser;
    std::string text = R"([{"room":"a","data":1},{"room":"b","data":"x"} , {"room":"c"},7])";
    const std::size_t size = text.size();
    text.append(64, '\0');
    const auto split = parser.split(std::string_view{text}.substr(0, size), 10);
    const auto& items = std::get<std::vector<std::string_view>>(split);
    REQUIRE(items.size() == 4);
    PublishBody body;
    REQUIRE_FALSE(parser.parse(items[0], 1, body));
    CHECK(body.data == "1");
    REQUIRE_FALSE(parser.parse(items[1], 1, body));
    CHECK(body.data == R"("x")");
    CHECK(parser.parse(items[2], 1, body).field == "data");
    CHECK(parser.parse(items[3], 1, body).message == "the body must be a JSON object");
}
