#include "notification_body.hpp"

#include <fanfare/base/json_check.hpp>

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::api;
using namespace std::chrono_literals;

namespace {

constexpr WallMillis created = 1'767'225'600'123; // 2026-01-01T00:00:00.123Z

struct Parse {
    explicit Parse(std::string body, std::size_t users_max = 3)
        : text(std::move(body)), error(parse_notification(text, users_max, parsed)) {}

    /// "code field: message".
    [[nodiscard]] std::string fault() const {
        if (!error) return "none";
        return std::string{code_name(error.code)} + " " + error.field + ": " + error.message;
    }

    std::string text;
    NotificationBody parsed;
    Error error;
};

/// A body for user `u` with a title and these members.
std::string with(const std::string& members) {
    return R"({"user_id":"u","title":"t",)" + members + "}";
}

using Users = std::vector<std::string>;

} // namespace

TEST_CASE("notification body: all members, in any order", "[api][protocol-4]") {
    const Parse parse{
        R"( {"idempotency_key":"k\u0031","ttl":60,"category":"c","collapse_key":"o\u0072der",)"
        R"("priority":"high","channels":["push", "real\u0074ime"],"data": {"x": [ 1 ]} ,)"
        R"("body":"b\u00e9","title":"t","user_id":"a\u0062","other":{"title":1}} )"};
    REQUIRE(parse.fault() == "none");
    const NotificationBody& body = parse.parsed;
    CHECK(body.users == Users{"ab"});
    CHECK_FALSE(body.many);
    CHECK(body.title == R"("t")");
    CHECK(body.body == R"("b\u00e9")"); // as it came
    CHECK(body.data == R"({"x": [ 1 ]})");
    CHECK(body.channels == (delivery::push | delivery::realtime));
    CHECK(body.priority == delivery::Priority::high);
    CHECK(body.ttl == 60s);
    CHECK(body.collapse_key == "order");
    CHECK(body.category == "c");
    CHECK(body.key == "k1");
    CHECK(push_options(body).empty());
}

TEST_CASE("notification body: what is for push alone", "[api]") {
    struct Case {
        std::string members;
        const char* options;
    };
    const auto c = GENERATE(values<Case>({
        {R"("title":"t","badge":0)", R"({"badge":0})"},
        {R"("title":"t","badge":2147483647,"sound":"ping \u00e9")",
         "{\"badge\":2147483647,\"sound\":\"ping \xc3\xa9\"}"},
        {R"("data":1,"silent":true)", R"({"silent":true})"},
        {R"("title":"t","silent":false)", ""},
    }));
    const Parse parse{R"({"user_id":"u",)" + c.members + "}"};
    REQUIRE(parse.fault() == "none");
    CHECK(push_options(parse.parsed) == c.options);
    // Clients are not sent it.
    const std::string sent = client_data(parse.parsed, 0);
    for (const char* const member : {"badge", "sound", "silent"})
        CHECK(sent.find(member) == std::string::npos);
}

TEST_CASE("notification body: what is left out", "[api]") {
    const Parse parse{R"({"user_id":"u","body":""})"};
    REQUIRE(parse.fault() == "none");
    const NotificationBody& body = parse.parsed;
    CHECK(body.title.empty());
    CHECK(body.body == R"("")");
    CHECK(body.data.empty());
    CHECK(body.channels == 0);
    CHECK(body.priority == delivery::Priority::normal);
    CHECK_FALSE(body.ttl);
    CHECK(body.collapse_key.empty());
    CHECK(body.category.empty());
    CHECK(body.key.empty());
}

TEST_CASE("notification body: a user is a text or an integer", "[api][protocol-4]") {
    struct Case {
        const char* member;
        Users users;
    };
    const auto c = GENERATE(values<Case>({
        {R"("user_id":"7")", {"7"}},
        {R"("user_id":7)", {"7"}},
        {R"("user_id":-7)", {"-7"}},
        {R"("user_id":-0)", {"0"}},
        {R"("user_id":123456789012345678901234567890)", {"123456789012345678901234567890"}},
        {R"("user_ids":["a"])", {"a"}},
        {R"("user_ids":[ "b" , 2,"a\"]",-3 ])", {"b", "2", "a\"]", "-3"}},
    }));
    CAPTURE(c.member);
    const Parse parse{"{" + std::string{c.member} + R"(,"title":"t"})", 4};
    REQUIRE(parse.fault() == "none");
    CHECK(parse.parsed.users == c.users);
    CHECK(parse.parsed.many == (std::string_view{c.member}.find("user_ids") == 1));
}

TEST_CASE("notification body: how long it is kept", "[api]") {
    CHECK(Parse{with(R"("ttl":0)")}.parsed.ttl == 0s);
    CHECK(Parse{with(R"("ttl":604800)")}.parsed.ttl == 168h);
    for (const char* const long_one :
         {"99999999999", "18446744073709551616", "123456789012345678901234567890"})
        CHECK(Parse{with(R"("ttl":)" + std::string{long_one})}.parsed.ttl ==
              NotificationBody::ttl_max);
}

TEST_CASE("notification body: what is wrong, and where", "[api][protocol-4]") {
    struct Case {
        std::string body;
        const char* fault;
    };
    const std::string word(65, 'w');
    const auto c = GENERATE_COPY(values<Case>({
        {"", "bad_request : byte 0: "},
        {R"({"user_id":"u","title":"t"}})", "bad_request : byte 27: "},
        {R"({"user_id":"u","data":01})", "bad_request : byte 22: "},
        {"[]", "bad_request : the body must be a JSON object"},
        {"7", "bad_request : the body must be a JSON object"},
        {"{}", "bad_request user_id: `user_id` is missing"},
        {R"({"title":"t"})", "bad_request user_id: `user_id` is missing"},
        {R"({"user_id":"u"})", "bad_request title: one of `title`, `body` and `data` must be"},
        {R"({"user_id":"u","category":"c"})", "bad_request title: one of "},
        {R"({"user_id":null,"title":"t"})",
         "bad_request user_id: `user_id` must be a string or an integer"},
        {R"({"user_id":true,"title":"t"})",
         "bad_request user_id: `user_id` must be a string or an integer"},
        {R"({"user_id":1.0,"title":"t"})",
         "bad_request user_id: `user_id` must be a string or an integer"},
        {R"({"user_id":1e3,"title":"t"})",
         "bad_request user_id: `user_id` must be a string or an integer"},
        {R"({"user_id":["u"],"title":"t"})",
         "bad_request user_id: `user_id` must be a string or an integer"},
        {R"({"user_id":"","title":"t"})", "bad_request user_id: `user_id` must not be empty"},
        {R"({"user_id":"a\n","title":"t"})", "bad_request user_id: `user_id` must not contain "},
        {R"({"user_id":")" + std::string(256, 'u') + R"(","title":"t"})",
         "bad_request user_id: `user_id` must have at most 255 bytes"},
        {R"({"user_id":)" + std::string(256, '7') + R"(,"title":"t"})",
         "bad_request user_id: `user_id` must have at most 255 bytes"},
        {R"({"user_ids":"u","title":"t"})", "bad_request user_ids: `user_ids` must be an array"},
        {R"({"user_ids":[],"title":"t"})", "bad_request user_ids: `user_ids` must not be empty"},
        {R"({"user_ids":["a",["b"]],"title":"t"})", "bad_request user_ids: `user_ids` must be "},
        {R"({"user_ids":[{"a":1}],"title":"t"})", "bad_request user_ids: `user_ids` must be "},
        {R"({"user_ids":["a",""],"title":"t"})", "bad_request user_ids: `user_ids` must not be "},
        {R"({"user_ids":["a","b","\u0061"],"title":"t"})",
         "bad_request user_ids: `user_ids` must not name a user twice"},
        {R"({"user_ids":["7",7],"title":"t"})",
         "bad_request user_ids: `user_ids` must not name a user twice"},
        {R"({"user_ids":["a","b","c","d"],"title":"t"})",
         "too_large user_ids: `user_ids` has more than 3 users"},
        {R"({"user_id":"a","user_ids":["b"],"title":"t"})",
         "bad_request user_ids: `user_ids` and `user_id` exclude each other"},
        {R"({"user_ids":["b"],"title":"t","user_id":"a"})",
         "bad_request user_ids: `user_ids` and `user_id` exclude each other"},
        {R"({"topic":"x","title":"t","user_id":"a"})",
         "bad_request topic: `topic` and `user_id` exclude each other"},
        {R"({"broadcast":true,"user_ids":["a"],"title":"t"})",
         "bad_request broadcast: `broadcast` and `user_ids` exclude each other"},
        {R"({"broadcast":true,"topic":"x","title":"t"})",
         "bad_request broadcast: `broadcast` and `topic` exclude each other"},
        {R"({"broadcast":false,"title":"t"})", "bad_request broadcast: `broadcast` must be true"},
        {R"({"broadcast":1,"title":"t"})", "bad_request broadcast: `broadcast` must be true"},
        {R"({"topic":"","title":"t"})", "bad_request topic: `topic` must not be empty"},
        {R"({"topic":["x"],"title":"t"})", "bad_request topic: `topic` must be a string"},
        {R"({"user_id":"u","title":1})", "bad_request title: `title` must be a string"},
        {R"({"user_id":"u","title":null})", "bad_request title: `title` must be a string"},
        {R"({"user_id":"u","body":{}})", "bad_request body: `body` must be a string"},
        {with(R"("channels":"push")"), "bad_request channels: `channels` must be an array of "},
        {with(R"("channels":[])"), "bad_request channels: `channels` must not be empty"},
        {with(R"("channels":["fax"])"), "bad_request channels: `channels` must be an array of "},
        {with(R"("channels":[1])"), "bad_request channels: `channels` must be an array of "},
        {with(R"("channels":["push","push"])"),
         "bad_request channels: `channels` must not name a channel twice"},
        {with(R"("priority":"urgent")"),
         "bad_request priority: `priority` must be critical, high, normal or low"},
        {with(R"("priority":"")"), "bad_request priority: `priority` must be "},
        {with(R"("priority":0)"), "bad_request priority: `priority` must be "},
        {with(R"("ttl":-1)"), "bad_request ttl: `ttl` must be an integer ≥ 0, in seconds"},
        {with(R"("ttl":-0)"), "bad_request ttl: `ttl` must be "},
        {with(R"("ttl":1.5)"), "bad_request ttl: `ttl` must be "},
        {with(R"("ttl":1e2)"), "bad_request ttl: `ttl` must be "},
        {with(R"("ttl":"60")"), "bad_request ttl: `ttl` must be "},
        {with(R"("ttl":null)"), "bad_request ttl: `ttl` must be "},
        {with(R"("collapse_key":"")"), "bad_request collapse_key: `collapse_key` must not be "},
        {with(R"("collapse_key":1)"), "bad_request collapse_key: `collapse_key` must be a string"},
        {with(R"("collapse_key":")" + word + "\""),
         "bad_request collapse_key: `collapse_key` must have at most 64 bytes"},
        {with(R"("collapse_key":"\u0000")"), "bad_request collapse_key: `collapse_key` must not "},
        {with(R"("category":"")"), "bad_request category: `category` must not be empty"},
        {with(R"("category":[])"), "bad_request category: `category` must be a string"},
        {with(R"("category":")" + word + "\""),
         "bad_request category: `category` must have at most 64 bytes"},
        {with(R"("badge":-1)"),
         "bad_request badge: `badge` must be an integer from 0 to 2147483647"},
        {with(R"("badge":2147483648)"), "bad_request badge: `badge` must be "},
        {with(R"("badge":99999999999999999999)"), "bad_request badge: `badge` must be "},
        {with(R"("badge":1.0)"), "bad_request badge: `badge` must be "},
        {with(R"("badge":"1")"), "bad_request badge: `badge` must be "},
        {with(R"("badge":null)"), "bad_request badge: `badge` must be "},
        {with(R"("sound":"")"), "bad_request sound: `sound` must not be empty"},
        {with(R"("sound":{})"), "bad_request sound: `sound` must be a string"},
        {with(R"("sound":")" + word + "\""),
         "bad_request sound: `sound` must have at most 64 bytes"},
        {with(R"("silent":1)"), "bad_request silent: `silent` must be true or false"},
        {with(R"("silent":"true")"), "bad_request silent: `silent` must be "},
        {with(R"("silent":true)"), "bad_request silent: `silent` and `title` exclude each other"},
        {R"({"user_id":"u","silent":true,"body":""})",
         "bad_request silent: `silent` and `body` exclude each other"},
        {R"({"user_id":"u","silent":true,"data":1,"badge":0})",
         "bad_request silent: `silent` and `badge` exclude each other"},
        {R"({"user_id":"u","silent":true,"data":1,"sound":"s"})",
         "bad_request silent: `silent` and `sound` exclude each other"},
        {R"({"user_id":"u","silent":true})", "bad_request title: one of "},
        {with(R"("badge":1,"badge":1)"), "bad_request badge: `badge` is there twice"},
        {with(R"("idempotency_key":"")"),
         "bad_request idempotency_key: `idempotency_key` must not be empty"},
        {with(R"("idempotency_key":1)"),
         "bad_request idempotency_key: `idempotency_key` must be a string"},
        {with(R"("idempotency_key":")" + std::string(256, 'k') + "\""),
         "bad_request idempotency_key: `idempotency_key` must have at most 255 bytes"},
        {with(R"("title":"t")"), "bad_request title: `title` is there twice"},
        {with(R"("\u0074itle":"t")"), "bad_request title: `title` is there twice"},
        {with(R"("user_id":"u")"), "bad_request user_id: `user_id` is there twice"},
        {with(R"("ttl":1,"ttl":1)"), "bad_request ttl: `ttl` is there twice"},
        {with(R"("idempotency_key":"k","\u0069dempotency_key":"k")"),
         "bad_request idempotency_key: `idempotency_key` is there twice"},
    }));
    CAPTURE(c.body);
    const Parse parse{c.body};
    CAPTURE(parse.fault());
    CHECK(parse.fault().starts_with(c.fault));
    CHECK(parse.fault().back() != ' '); // there is a reason
}

TEST_CASE("notification body: the longest words are taken", "[api]") {
    const std::string word(64, 'w');
    const Parse parse{R"({"user_id":")" + std::string(255, 'u') + R"(","data":null,"category":")" +
                      word + R"(","collapse_key":")" + word + R"(","idempotency_key":")" +
                      std::string(255, 'k') + R"(","x":1,"x":2})"};
    CHECK(parse.fault() == "none");
}

TEST_CASE("notification body: what clients are sent", "[api][inbox]") {
    struct Case {
        std::string body;
        const char* data;
    };
    const auto c = GENERATE(values<Case>({
        {R"({"user_id":"u","title":"t"})",
         R"({"title":"t","priority":"normal","created":"2026-01-01T00:00:00.123Z"})"},
        {R"({"user_id":"u","data": { "a" : 1e400 } })",
         R"({"data":{ "a" : 1e400 },"priority":"normal","created":"2026-01-01T00:00:00.123Z"})"},
        {R"({"user_id":"u","priority":"low","category":"\"","body":"\u00e9","title":"","data":0})",
         R"({"title":"","body":"\u00e9","data":0,"category":"\"","priority":"low",)"
         R"("created":"2026-01-01T00:00:00.123Z"})"},
    }));
    CAPTURE(c.body);
    const Parse parse{c.body};
    REQUIRE(parse.fault() == "none");
    const std::string data = client_data(parse.parsed, created);
    CHECK(data == c.data);
    CHECK_FALSE(check_json(data));
}

TEST_CASE("notification body: another wish has another fingerprint", "[api][idempotency]") {
    const auto print = [](const std::string& body) {
        const Parse parse{body};
        REQUIRE(parse.fault() == "none");
        return fingerprint(parse.parsed);
    };
    const std::uint64_t plain = print(R"({"user_id":"u","title":"t"})");
    // What does not change the wish.
    CHECK(print(R"({"title":"t", "user_id":"\u0075", "other":1})") == plain);
    CHECK(print(with(R"("idempotency_key":"k")")) == plain);
    CHECK(print(with(R"("silent":false)")) == plain);
    CHECK(print(with(R"("priority":"normal")")) == plain);
    CHECK(print(with(R"("channels":["sms","push"])")) ==
          print(with(R"("channels":["push","sms"])")));
    // Every one of these differs from all others.
    std::vector<std::uint64_t> prints{plain};
    for (const std::string& body : {std::string{R"({"user_id":"v","title":"t"})"},
                                    std::string{R"({"user_ids":["u"],"title":"t"})"},
                                    std::string{R"({"topic":"u","title":"t"})"},
                                    std::string{R"({"topic":"v","title":"t"})"},
                                    std::string{R"({"broadcast":true,"title":"t"})"},
                                    with(R"("channels":["realtime"])"),
                                    std::string{R"({"user_ids":["u","v"],"title":"t"})"},
                                    std::string{R"({"user_ids":["v","u"],"title":"t"})"},
                                    std::string{R"({"user_id":"u","body":"t"})"},
                                    std::string{R"({"user_id":"u","data":"t"})"},
                                    std::string{R"({"user_id":"u","data":"t" , "title":""})"},
                                    std::string{R"({"user_id":"u","title":"\u0074"})"},
                                    with(R"("body":"")"),
                                    with(R"("data":null)"),
                                    with(R"("data":[1])"),
                                    with(R"("data":[ 1])"),
                                    with(R"("channels":["push"])"),
                                    with(R"("priority":"high")"),
                                    with(R"("ttl":0)"),
                                    with(R"("ttl":1)"),
                                    with(R"("collapse_key":"a")"),
                                    with(R"("category":"a")")}) {
        CAPTURE(body);
        const std::uint64_t one = print(body);
        CHECK(std::find(prints.begin(), prints.end(), one) == prints.end());
        prints.push_back(one);
    }
}

TEST_CASE("inbox read body: an offset, or all", "[api][inbox]") {
    struct Case {
        const char* body;
        const char* said;
    };
    const auto c = GENERATE(values<Case>({
        {R"({"offset":0})", "0"},
        {R"({"offset":42,"x":1})", "42"},
        {R"({"offset":99999999999999999999})", "9223372036854775807"},
        {R"({"offset":18446744073709551615})", "9223372036854775807"},
        {R"({"all":true})", "9223372036854775807"},
        {"{}", "offset: `offset` is missing"},
        {"[]", ": the body must be a JSON object"},
        {"{", ": byte 1: a name or '}' is missing"},
        {R"({"offset":-1})", "offset: `offset` must be an integer ≥ 0"},
        {R"({"offset":1.0})", "offset: `offset` must be an integer ≥ 0"},
        {R"({"offset":"1"})", "offset: `offset` must be an integer ≥ 0"},
        {R"({"all":false})", "all: `all` must be true"},
        {R"({"all":1})", "all: `all` must be true"},
        {R"({"offset":1,"all":true})", "all: `all` and `offset` exclude each other"},
        {R"({"offset":1,"offset":1})", "offset: `offset` is there twice"},
    }));
    CAPTURE(c.body);
    const auto read = parse_read(c.body);
    std::string said;
    if (const auto* const error = std::get_if<Error>(&read))
        said = error->field + ": " + error->message;
    else
        said = std::to_string(std::get<std::uint64_t>(read));
    if (std::string_view{c.body} == "{")
        CHECK(said.starts_with(": byte 1: "));
    else
        CHECK(said == c.said);
}
