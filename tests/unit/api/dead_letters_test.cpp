// /api/v1/dead-letters…: what push gave up, for operators.

#include "api_fixture.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <string_view>

using namespace fanfare;
using namespace fanfare::api;
using namespace fanfare::api::test;
using delivery::DeadLetter;
using delivery::LetterFilter;
using delivery::LetterOrder;
using delivery::LetterSkip;
using delivery::NotificationId;
using delivery::Platform;
using fanfare::test::json_string;
using Act = delivery::LetterOrder::Act;

namespace {

const std::string path = "/api/v1/dead-letters";
constexpr WallMillis new_year = 1'767'225'600'000; // 2026

struct Desk {
    explicit Desk(bool store = true) : node({}, store) {}
    Node node;
    Backend backend{node};
    fanfare::test::MemoryDeadLetters& letters = node.letters;

    Answer get(const std::string& more = {}) { return backend.get(path + more); }
    Answer post(const std::string& more, std::string_view body) {
        return backend.post(path + more, body);
    }
    Answer patch(std::string_view body, const std::string& id = "7") {
        return backend.call("PATCH", path + "/" + id, body);
    }
};

const NotificationId notification = NotificationId::from_raw("0123456789abcdef");

DeadLetter letter(std::int64_t id) {
    DeadLetter letter;
    letter.id = id;
    letter.notification = notification;
    letter.user = "u\"";
    letter.device = "phone";
    letter.platform = Platform::ios;
    letter.provider = "apns";
    letter.status = 413;
    letter.reason = "PayloadTooLarge";
    letter.attempts = 2;
    letter.time = new_year;
    letter.expires = new_year + 1;
    letter.category = "c";
    letter.content = R"({"title":"t"})";
    return letter;
}

const std::string members = R"("id":7,"notification_id":")" + notification.text() +
                            R"(","user_id":"u\"","device_id":"phone","platform":"ios",)"
                            R"("provider":"apns","status":413,"reason":"PayloadTooLarge",)"
                            R"("attempts":2,"time":"2026-01-01T00:00:00.000Z",)"
                            R"("notification_status":"failed",)"
                            R"("expires":"2026-01-01T00:00:00.001Z","priority":"normal",)"
                            R"("category":"c","edited":false)";

} // namespace

TEST_CASE("dead letters: a list and its cursor", "[api][letters]") {
    Desk desk;
    CHECK(desk.get().body == R"({"dead_letters":[]})");
    CHECK(desk.letters.asked->limit == 100);
    CHECK_FALSE(desk.letters.asked->oldest_first);
    CHECK_FALSE(desk.letters.asked->after);
    desk.letters.page.letters = {letter(7)};
    desk.letters.page.more = true;
    const Answer answer = desk.get("?limit=1");
    CHECK(answer.status == 200);
    const std::string cursor{json_string(answer.body, "cursor")};
    CHECK(answer.body == R"({"dead_letters":[{)" + members + R"(}],"cursor":")" + cursor + R"("})");
    CHECK(desk.letters.asked->limit == 1);
    CHECK(desk.get("?order=oldest&limit=5000&cursor=" + cursor).status == 200);
    CHECK(desk.letters.asked->limit == 1'000);
    CHECK(desk.letters.asked->after == 7);
    CHECK(desk.letters.asked->oldest_first);
}

TEST_CASE("dead letters: what is not known of one is not there", "[api][letters]") {
    Desk desk;
    DeadLetter bare = letter(7);
    bare.platform.reset();
    bare.provider = bare.category = "";
    bare.status = 0;
    bare.ttl = std::chrono::seconds{60};
    bare.edited = true;
    desk.letters.found.letter = bare;
    CHECK(desk.get("/7").body ==
          R"({"id":7,"notification_id":")" + notification.text() +
              R"(","user_id":"u\"","device_id":"phone","reason":"PayloadTooLarge","attempts":2,)"
              R"("time":"2026-01-01T00:00:00.000Z","notification_status":"failed",)"
              R"("expires":"2026-01-01T00:00:00.001Z","priority":"normal","edited":true,)"
              R"("ttl":60,"content":{"title":"t"}})");
}

TEST_CASE("dead letters: filters of a query", "[api][letters]") {
    Desk desk;
    REQUIRE(desk.get("?user_id=a%20b&device_id=d&provider=fcm&reason=x+y&notification_id=" +
                     notification.text() +
                     "&since=2026-01-01T00:00:00Z&until=2026-01-01T01:00:00.5%2B01:00")
                .status == 200);
    const LetterFilter& filter = desk.letters.asked->filter;
    CHECK(filter.user == "a b");
    CHECK(filter.device == "d");
    CHECK(filter.provider == "fcm");
    CHECK(filter.reason == "x y");
    CHECK(filter.notification == notification);
    CHECK(filter.since == new_year);
    CHECK(filter.until == new_year + 500);
    struct Case {
        const char* query;
        const char* field;
    };
    const auto c = GENERATE(values<Case>({{"user_id=", "user_id"},
                                          {"device_id=%00", "device_id"},
                                          {"provider=", "provider"},
                                          {"reason=", "reason"},
                                          {"notification_id=x", "notification_id"},
                                          {"since=yesterday", "since"},
                                          {"until=2026-01-01", "until"},
                                          {"order=up", "order"},
                                          {"limit=0", "limit"},
                                          {"limit=x", "limit"},
                                          {"cursor=", "cursor"},
                                          {"cursor=MA", "cursor"},
                                          {"cursor=*", "cursor"}}));
    CAPTURE(c.query);
    const Answer answer = desk.get(std::string{"?"} + c.query);
    CHECK(answer.status == 400);
    CHECK(json_string(answer.body, "field") == c.field);
}

TEST_CASE("dead letters: one of no such id", "[api][letters]") {
    Desk desk;
    desk.letters.found.code = Code::not_found;
    desk.letters.found.detail = "there is no dead letter of this id";
    CHECK(desk.get("/7").status == 404);
    for (const char* const id : {"x", "0", "-1", "99999999999999999999", "1.5"})
        CHECK(desk.get(std::string{"/"} + id).status == 404);
    CHECK(desk.letters.named == 7);
}

TEST_CASE("dead letters: an edit answers with the letter", "[api][letters]") {
    Desk desk;
    desk.letters.found.letter = letter(7);
    const Answer answer = desk.patch(R"({"title":"\u00e4","body":null,"data":[ 1 ],"ttl":60})");
    CHECK(answer.status == 200);
    CHECK(answer.body == "{" + members + R"(,"content":{"title":"t"}})");
    CHECK(desk.letters.edited->title == R"("\u00e4")");
    CHECK(desk.letters.edited->body == "");
    CHECK(desk.letters.edited->data == "[ 1 ]");
    CHECK(desk.letters.edited->ttl == std::chrono::seconds{60});
    CHECK(desk.letters.bytes_max == 64 * 1024);
    // What is not named stays; a time is at most that of any notification.
    CHECK(desk.patch(R"({"ttl":99999999999999999999,"other":1})").status == 200);
    CHECK_FALSE(desk.letters.edited->title);
    CHECK_FALSE(desk.letters.edited->body);
    CHECK_FALSE(desk.letters.edited->data);
    CHECK(desk.letters.edited->ttl == desk.node.inboxes.options().ttl);
    CHECK(desk.patch(R"({"ttl":null,"data":null})").status == 200);
    CHECK(desk.letters.edited->ttl == std::chrono::seconds{0});
    CHECK(desk.letters.edited->data == "");
}

TEST_CASE("dead letters: an edit that cannot be", "[api][letters]") {
    Desk desk;
    struct Case {
        const char* body;
        const char* field;
    };
    const auto c = GENERATE(values<Case>({{"{}", "title"},
                                          {R"({"titel":"x"})", "title"},
                                          {R"({"title":1})", "title"},
                                          {R"({"title":"a","title":"b"})", "title"},
                                          {R"({"body":{}})", "body"},
                                          {R"({"ttl":0})", "ttl"},
                                          {R"({"ttl":-1})", "ttl"},
                                          {R"({"ttl":1.5})", "ttl"},
                                          {R"({"ttl":"1"})", "ttl"}}));
    CAPTURE(c.body);
    const Answer answer = desk.patch(c.body);
    CHECK(answer.status == 400);
    CHECK(json_string(answer.body, "field") == c.field);
    CHECK_FALSE(desk.letters.edited);
    CHECK(desk.patch("[]").status == 400);
    CHECK(desk.patch("{").status == 400);
    // What the store says of it.
    desk.letters.error = {Code::too_large, "too long", {}};
    CHECK(desk.patch(R"({"title":"x"})").status == 413);
    desk.letters.error = {Code::not_found, "none", {}};
    CHECK(desk.patch(R"({"title":"x"})").status == 404);
    desk.letters.full = true;
    CHECK(desk.patch(R"({"title":"x"})").status == 503);
}

TEST_CASE("dead letters: an order for many", "[api][letters]") {
    Desk desk;
    desk.letters.outcome.done = 3;
    desk.letters.outcome.skipped[static_cast<std::size_t>(LetterSkip::device_gone)] = 2;
    desk.letters.outcome.remaining = 4;
    Answer answer = desk.post("/redrive", R"({"all":true})");
    CHECK(answer.status == 200);
    CHECK(answer.body == R"({"redriven":3,"skipped":{"device_gone":2},"remaining":4})");
    CHECK(desk.letters.order->act == Act::redrive);
    CHECK(desk.letters.order->ids.empty());
    CHECK(desk.letters.order->limit == 1'000);
    answer = desk.post("/discard", R"({"ids":[3,9223372036854775807],"limit":99999})");
    CHECK(answer.body == R"({"discarded":3,"skipped":{"device_gone":2},"remaining":4})");
    CHECK(desk.letters.order->act == Act::discard);
    CHECK(desk.letters.order->ids == std::vector<std::int64_t>{3, 9'223'372'036'854'775'807});
    CHECK(desk.letters.order->limit == 10'000);
    REQUIRE(desk.post("/redrive", R"({"limit":5,"filter":{"user_id":7,"device_id":"d",)"
                                  R"("provider":"fcm","reason":"\u0078","notification_id":")" +
                                      notification.text() +
                                      R"(","since":"2026-01-01T00:00:00Z",)"
                                      R"("until":"2026-01-02T00:00:00Z"}})")
                .status == 200);
    const LetterFilter& filter = desk.letters.order->filter;
    CHECK(desk.letters.order->limit == 5);
    CHECK(filter.user == "7");
    CHECK(filter.device == "d");
    CHECK(filter.provider == "fcm");
    CHECK(filter.reason == "x");
    CHECK(filter.notification == notification);
    CHECK(filter.since == new_year);
    CHECK(filter.until == new_year + 86'400'000);
    // Who names them wants them all.
    std::string ids;
    for (int i = 1; i <= 1'500; ++i) ids += (i == 1 ? "" : ",") + std::to_string(i);
    REQUIRE(desk.post("/redrive", R"({"ids":[)" + ids + "]}").status == 200);
    CHECK(desk.letters.order->limit == 1'500);
    // A failure in the middle says how far it came.
    desk.letters.outcome.code = Code::unavailable;
    desk.letters.outcome.detail = "the store's disk is full";
    answer = desk.post("/redrive", R"({"all":true})");
    CHECK(answer.status == 503);
    CHECK(json_string(answer.body, "detail") == "the store's disk is full; 3 were redriven before");
}

TEST_CASE("dead letters: an order that might mean more than was meant", "[api][letters]") {
    Desk desk;
    struct Case {
        const char* body;
        const char* field;
    };
    const auto c = GENERATE(values<Case>({
        {"{}", "ids"},
        {R"({"limit":1})", "ids"},
        {R"({"all":true,"ids":[1]})", "ids"},
        {R"({"all":true,"filter":{"reason":"x"}})", "ids"},
        {R"({"all":false})", "all"},
        {R"({"all":1})", "all"},
        {R"({"all":true,"limt":1})", "limt"},
        {R"({"all":true,"\u006cimt":1})", "limt"},
        {R"({"all":true,"limit":0})", "limit"},
        {R"({"all":true,"limit":"1"})", "limit"},
        {R"({"all":true,"all":true})", "all"},
        {R"({"ids":1})", "ids"},
        {R"({"ids":[]})", "ids"},
        {R"({"ids":[0]})", "ids"},
        {R"({"ids":[1.0]})", "ids"},
        {R"({"ids":["1"]})", "ids"},
        {R"({"ids":[[1]]})", "ids"},
        {R"({"ids":[1,2,1]})", "ids"},
        {R"({"ids":[9223372036854775808]})", "ids"},
        {R"({"filter":{}})", "filter"},
        {R"({"filter":[]})", "filter"},
        {R"({"filter":null})", "filter"},
        {R"({"filter":{"user":"u"}})", "filter.user"},
        {R"({"filter":{"provider":"apns","resaon":"x"}})", "filter.resaon"},
        {R"({"filter":{"provider":"apns","provider":"x"}})", "filter.provider"},
        {R"({"filter":{"provider":""}})", "filter.provider"},
        {R"({"filter":{"provider":null}})", "filter.provider"},
        {R"({"filter":{"reason":7}})", "filter.reason"},
        {R"({"filter":{"user_id":""}})", "filter.user_id"},
        {R"({"filter":{"device_id":""}})", "filter.device_id"},
        {R"({"filter":{"notification_id":"x"}})", "filter.notification_id"},
        {R"({"filter":{"since":1767225600000}})", "filter.since"},
        {R"({"filter":{"until":"tomorrow"}})", "filter.until"},
    }));
    CAPTURE(c.body);
    for (const char* const call : {"/redrive", "/discard"}) {
        const Answer answer = desk.post(call, c.body);
        CHECK(answer.status == 400);
        CHECK(json_string(answer.body, "field") == c.field);
    }
    CHECK_FALSE(desk.letters.order);
    std::string ids = "1";
    for (int i = 2; i <= 10'001; ++i) ids += "," + std::to_string(i);
    const Answer answer = desk.post("/redrive", R"({"ids":[)" + ids + "]}");
    CHECK(answer.status == 413);
    CHECK(json_string(answer.body, "field") == "ids");
}

TEST_CASE("dead letters: an order for one", "[api][letters]") {
    Desk desk;
    desk.letters.outcome.done = 1;
    const Answer redriven = desk.post("/7/redrive", "");
    CHECK(redriven.status == 200);
    CHECK(redriven.body == R"({"id":7,"redriven":true})");
    CHECK(desk.letters.order->act == Act::redrive);
    CHECK(desk.letters.order->ids == std::vector<std::int64_t>{7});
    const Answer discarded = desk.backend.call("DELETE", path + "/7");
    CHECK(discarded.status == 204);
    CHECK(discarded.body.empty());
    CHECK(desk.letters.order->act == Act::discard);
    desk.letters.outcome.done = 0;
    desk.letters.order.reset();
    CHECK(desk.post("/x/redrive", "").status == 404);
    CHECK(desk.backend.call("DELETE", path + "/x").status == 404);
    CHECK_FALSE(desk.letters.order);
    struct Case {
        LetterSkip why;
        int status;
    };
    const auto c = GENERATE(values<Case>({{LetterSkip::device_gone, 409},
                                          {LetterSkip::no_provider, 409},
                                          {LetterSkip::acknowledged, 409},
                                          {LetterSkip::over, 409},
                                          {LetterSkip::expired, 409},
                                          {LetterSkip::notification_gone, 409},
                                          {LetterSkip::not_found, 404}}));
    desk.letters.outcome.skipped[static_cast<std::size_t>(c.why)] = 1;
    const Answer refused = desk.post("/7/redrive", "{}");
    CHECK(refused.status == c.status);
    CHECK_FALSE(json_string(refused.body, "detail").empty());
}

TEST_CASE("dead letters: who may not, and where there is no store", "[api][letters]") {
    struct Call {
        const char* method;
        const char* more;
        const char* body;
    };
    const auto c = GENERATE(values<Call>({{"GET", "", ""},
                                          {"GET", "/7", ""},
                                          {"PATCH", "/7", R"({"title":"x"})"},
                                          {"DELETE", "/7", ""},
                                          {"POST", "/7/redrive", "{}"},
                                          {"POST", "/redrive", R"({"all":true})"},
                                          {"POST", "/discard", R"({"all":true})"}}));
    CAPTURE(c.method, c.more);
    Desk desk;
    desk.letters.outcome.done = 1;
    const std::string target = path + c.more;
    CHECK(desk.backend.call(c.method, target, c.body, "").status == 401);
    Backend reader{desk.node};
    CHECK(reader.call(c.method, target, c.body, "X-API-Key: key-read\r\n").status == 403);
    CHECK_FALSE(desk.letters.order);
    if (*c.body != '\0') {
        Backend form{desk.node};
        CHECK(form.call(c.method, target, c.body,
                        "X-API-Key: key-all\r\nContent-Type: text/plain\r\n")
                  .status == 415);
    }
    Desk none{false};
    CHECK(none.backend.call(c.method, target, c.body).status == 503);
    Backend all{desk.node};
    CHECK(all.call(c.method, target, c.body).status < 300);
}

TEST_CASE("dead letters: a store that fails", "[api][letters]") {
    Desk desk;
    desk.letters.page.code = Code::unavailable;
    desk.letters.found.code = Code::unavailable;
    desk.letters.outcome.code = Code::unavailable;
    desk.letters.outcome.detail = "why";
    CHECK(desk.get().status == 503);
    CHECK(desk.get("/7").status == 503);
    CHECK(desk.post("/7/redrive", "").status == 503);
}
