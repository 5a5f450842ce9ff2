// /api/v1/notifications…: accepting, repeating, looking up.

#include "api_fixture.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::api;
using namespace fanfare::api::test;
using namespace std::chrono_literals;
using delivery::Event;
using fanfare::test::json_string;

namespace {

constexpr const char* path = "/api/v1/notifications";
constexpr WallMillis start = 1'767'225'600'000; // 2026-01-01, where the clock begins

struct Desk {
    explicit Desk(const Options& options = {}, bool store = true)
        : node(options, store), backend(node) {}

    Answer post(std::string_view body, std::string_view headers = {}) {
        return backend.post(path, body, headers);
    }
    /// The id of a notification that is accepted.
    std::string accept(std::string_view body) {
        const Answer answer = post(body);
        REQUIRE(answer.status == 202);
        return std::string{json_string(answer.body, "id")};
    }
    Answer get(const std::string& id, const char* tail = "") {
        return backend.get(path + ("/" + id) + tail);
    }
    /// The newest of a user, as it is kept.
    fanfare::test::MemoryInboxLog::Kept& newest(const std::string& user) {
        return node.log.inboxes.at(user).kept.rbegin()->second;
    }

    Node node;
    Backend backend;
};

} // namespace

TEST_CASE("notifications: one user", "[api][protocol-4]") {
    Desk desk;
    const Answer answer = desk.post(R"({"user_id":"u","title":"t"})");
    CHECK(answer.status == 202);
    const auto& kept = desk.newest("u").notification;
    CHECK(answer.body == R"({"id":")" + kept.id.text() + R"(","status":"pending"})");
    CHECK(kept.data == R"({"title":"t","priority":"normal","created":"2026-01-01T00:00:00.000Z"})");
    CHECK(kept.created == start);
    CHECK(kept.expires == start + std::chrono::milliseconds{168h}.count());
    CHECK(kept.channels == delivery::realtime);
    CHECK(kept.priority == delivery::Priority::normal);
    CHECK(kept.category.empty());
    CHECK(kept.collapse_key.empty());
}

TEST_CASE("notifications: everything that may be asked for", "[api][protocol-4]") {
    Desk desk;
    desk.accept(R"({"user_id":7,"data":[1],"channels":["push","realtime"],"priority":"critical",)"
                R"("ttl":60,"collapse_key":"k","category":"c"})");
    const auto& kept = desk.newest("7").notification;
    CHECK(kept.channels == (delivery::push | delivery::realtime));
    CHECK(kept.priority == delivery::Priority::critical);
    CHECK(kept.expires == start + 60'000);
    CHECK(kept.collapse_key == "k");
    CHECK(kept.category == "c");
    CHECK(kept.data == R"({"data":[1],"category":"c","priority":"critical",)"
                       R"("created":"2026-01-01T00:00:00.000Z"})");
}

TEST_CASE("notifications: several users get one each", "[api][protocol-4]") {
    Desk desk;
    const Answer answer = desk.post(R"({"user_ids":["b",7],"title":"t"})");
    CHECK(answer.status == 202);
    const std::string begin = R"({"id":")" + std::string{json_string(answer.body, "id")} +
                              R"(","status":"pending","accepted":2,"results":[)";
    CHECK(answer.body ==
          begin + R"({"user_id":"b","id":")" + desk.newest("b").notification.id.text() +
              R"(","status":"pending"},{"user_id":"7","id":")" +
              desk.newest("7").notification.id.text() + R"(","status":"pending"}]})");
    // One alone is answered in the same shape.
    const std::string alone = desk.post(R"({"user_ids":["b"],"title":"t"})").body;
    CHECK(alone.find(R"("accepted":1,"results":[)") != std::string::npos);
    CHECK_FALSE(desk.node.log.accepted_sends.back().later);
}

TEST_CASE("notifications: more users than are placed at once wait, up to a bound", "[api][sends]") {
    Options options;
    options.batch_max = 2; // it is not this one
    Desk desk{options};
    const auto to = [](std::size_t users) {
        std::string ids;
        for (std::size_t i = 0; i < users; ++i) ids += (i == 0 ? "" : ",") + std::to_string(i);
        return R"({"user_ids":[)" + ids + R"(],"title":"t"})";
    };
    const Answer some = desk.post(to(100));
    CHECK(some.status == 202);
    CHECK(some.body.find(R"("results":[{"user_id":"0")") != std::string::npos);
    const std::size_t before = desk.node.log.inboxes.size();
    const Answer many = desk.post(to(10'000));
    CHECK(many.status == 202);
    REQUIRE(desk.node.log.accepted_sends.size() == 2);
    CHECK(desk.node.log.accepted_sends[1].later);
    CHECK(desk.node.log.accepted_sends[1].users.size() == 10'000);
    CHECK(many.body.find(R"("status":"pending","accepted":10000})") != std::string::npos);
    CHECK(desk.node.log.inboxes.size() == before);
    const Answer over = desk.post(to(10'001));
    CHECK(over.status == 413);
    CHECK(json_string(over.body, "field") == "user_ids");
    CHECK(desk.node.log.accepted_sends.size() == 2);
}

TEST_CASE("notifications: topics and broadcasts are answered at once", "[api][sends]") {
    Desk desk;
    const Answer topic = desk.post(R"({"topic":"news","title":"t","priority":"low"})");
    CHECK(topic.status == 202);
    REQUIRE(desk.node.log.accepted_sends.size() == 1);
    const delivery::Order& order = desk.node.log.accepted_sends[0];
    CHECK(order.audience->kind == delivery::Audience::Kind::topic);
    CHECK(order.audience->topic == "news");
    CHECK(order.later);
    CHECK(order.priority == delivery::Priority::low);
    CHECK(topic.body ==
          R"({"id":")" + std::string{json_string(topic.body, "id")} + R"(","status":"pending"})");
    const std::string keyed = R"({"broadcast":true,"title":"t","idempotency_key":"k"})";
    const Answer first = desk.post(keyed);
    CHECK(desk.node.log.accepted_sends[1].audience->kind == delivery::Audience::Kind::broadcast);
    CHECK(desk.post(keyed).body ==
          first.body.substr(0, first.body.size() - 1) + R"(,"duplicate":true})");
    CHECK(desk.post(R"({"topic":"x","title":"t","idempotency_key":"k"})").status == 409);
    // Nobody is reached in no time.
    const Answer over = desk.post(R"({"topic":"news","title":"t","ttl":0})");
    CHECK(over.status == 400);
    CHECK(json_string(over.body, "field") == "ttl");
    CHECK(desk.post(R"({"user_ids":["a"],"title":"t","ttl":0})").status == 202);
    CHECK(desk.node.log.accepted_sends.size() == 3);
}

TEST_CASE("notifications: none is kept longer than an inbox keeps any", "[api][inbox]") {
    Desk desk;
    const auto kept_for = [&](const std::string& ttl) {
        desk.accept(R"({"user_id":"u","title":"t","ttl":)" + ttl + "}");
        return desk.newest("u").notification.expires - start;
    };
    CHECK(kept_for("0") == 0);
    CHECK(kept_for("3600") == 3'600'000);
    CHECK(kept_for("604800") == 604'800'000);
    CHECK(kept_for("604801") == 604'800'000);
    CHECK(kept_for("99999999999999999999") == 604'800'000);
    delivery::InboxOptions options;
    options.ttl = 10s;
    desk.node.world.run([&] { desk.node.inboxes.reload(options); });
    CHECK(kept_for("3600") == 10'000);
    desk.accept(R"({"user_id":"u","title":"t"})");
    CHECK(desk.newest("u").notification.expires == start + 10'000);
}

TEST_CASE("notifications: a repeat does nothing and gets the first answer", "[api][idempotency]") {
    Desk desk;
    const std::string body = R"({"user_id":"u","title":"t","idempotency_key":"k"})";
    const Answer first = desk.post(body);
    CHECK(first.status == 202);
    CHECK(first.body.find("duplicate") == std::string::npos);
    desk.node.world.pass(1s);
    const std::string again = first.body.substr(0, first.body.size() - 1) + R"(,"duplicate":true})";
    for (const char* const headers : {"", "Idempotency-Key: k\r\n", "Idempotency-Key: \"k\"\r\n"}) {
        const Answer repeat = desk.post(body, headers);
        CHECK(repeat.status == 202);
        CHECK(repeat.body == again);
    }
    CHECK(desk.post(R"({"user_id":"u","title":"t"})", "Idempotency-Key: k\r\n").body == again);
    CHECK(desk.node.log.inboxes.at("u").newest == 1);

    const Answer other = desk.post(R"({"user_id":"u","title":"x","idempotency_key":"k"})");
    CHECK(other.status == 409);
    CHECK(json_string(other.body, "code") == "conflict");
    CHECK(json_string(other.body, "field") == "idempotency_key");
    const Answer both = desk.post(body, "Idempotency-Key: l\r\n");
    CHECK(both.status == 400);
    CHECK(json_string(both.body, "field") == "idempotency_key");
    const Answer bad = desk.post(R"({"user_id":"u","title":"t"})", "Idempotency-Key: \r\n");
    CHECK(bad.status == 400);
    CHECK(json_string(bad.body, "field") == "Idempotency-Key");
    CHECK(desk.node.log.inboxes.at("u").newest == 1);

    desk.node.world.pass(10min); // idempotency.window; the connection is idle for too long
    const Answer fresh = Backend{desk.node}.post(path, body);
    CHECK(fresh.status == 202);
    CHECK(fresh.body.find("duplicate") == std::string::npos);
    CHECK(desk.node.log.inboxes.at("u").newest == 2);
}

TEST_CASE("notifications: a repeat for several users is marked once", "[api][idempotency]") {
    Desk desk;
    const char* const body = R"({"user_ids":["a","b"],"title":"t","idempotency_key":"k"})";
    const Answer first = desk.post(body);
    CHECK(desk.post(body).body ==
          first.body.substr(0, first.body.size() - 1) + R"(,"duplicate":true})");
    CHECK(desk.node.log.inboxes.at("b").newest == 1);
}

TEST_CASE("notifications: what clients could not be sent is too large", "[api]") {
    Options options;
    options.item_bytes_max = 200;
    Desk desk{options};
    const auto status = [&](std::size_t bytes) {
        return desk.post(R"({"user_id":"u","title":")" + std::string(bytes, 'x') + "\"}").status;
    };
    // {"title":"…","priority":"normal","created":"2026-01-01T00:00:00.000Z"} without the title
    const std::size_t around = 69;
    CHECK(status(200 - around) == 202);
    CHECK(desk.newest("u").notification.data.size() == 200);
    const Answer over =
        desk.post(R"({"user_id":"v","title":")" + std::string(201 - around, 'x') + "\"}");
    CHECK(over.status == 413);
    CHECK(json_string(over.body, "code") == "too_large");
    CHECK(over.body.find("201 bytes") != std::string::npos);
    CHECK_FALSE(desk.node.log.inboxes.contains("v"));
}

TEST_CASE("notifications: refusals", "[api][protocol-4]") {
    Desk desk;
    const Answer bad = desk.post(R"({"user_id":"","title":"t"})");
    CHECK(bad.status == 400);
    CHECK(json_string(bad.body, "field") == "user_id");
    CHECK(desk.post("{").status == 400);
    CHECK(desk.post("{}", "Content-Type: text/plain\r\n").status == 415);
    CHECK(desk.post("{}", "Content-Type: application/x-ndjson\r\n").status == 415);
    CHECK(desk.backend.call("POST", path, "{}", "").status == 401);
    CHECK(desk.backend.call("POST", path, "{}", "X-API-Key: key-read\r\n").status == 403);
    const Answer method = desk.backend.call("DELETE", path);
    CHECK(method.status == 405);
    CHECK(method.head.find("Allow: POST, OPTIONS\r\n") != std::string::npos);
    CHECK(desk.node.log.inboxes.empty());

    const std::string id = desk.accept(R"({"user_id":"u","title":"t"})");
    for (const char* const tail : {"", "/status", "/timeline"}) {
        const std::string target = path + ("/" + id) + tail;
        CHECK(desk.backend.call("GET", target, "", "").status == 401);
        CHECK(desk.backend.call("GET", target, "", "X-API-Key: key-read\r\n").status == 403);
        CHECK(desk.backend.call("POST", target, "{}").status == 405);
        CHECK(desk.backend.call("HEAD", target).status == 200);
        for (const std::string& unknown :
             {delivery::NotificationId::make(start).text(), std::string{"x"}, id + "A",
              std::string{"%C3%A4"}, id.substr(1), std::string(22, '=')}) {
            CAPTURE(unknown, tail);
            const Answer none = desk.get(unknown, tail);
            CHECK(none.status == 404);
            CHECK(json_string(none.body, "code") == "not_found");
        }
    }
}

TEST_CASE("notifications: without a store there are none", "[api]") {
    Desk desk{{}, false};
    const auto c = GENERATE(table<const char*, const char*, const char*>({
        {"POST", "/api/v1/notifications", R"({"user_id":"u","title":"t"})"},
        {"GET", "/api/v1/notifications/AAAAAAAAAAAAAAAAAAAAAA", ""},
        {"GET", "/api/v1/notifications/x/status", ""},
        {"GET", "/api/v1/notifications/x/timeline", ""},
        {"GET", "/api/v1/users/u/inbox", ""},
        {"POST", "/api/v1/users/u/inbox/read", R"({"all":true})"},
        {"GET", "/api/v1/users/u/export", ""},
        {"DELETE", "/api/v1/users/u", ""},
    }));
    const auto& [method, target, body] = c;
    CAPTURE(method, target);
    const Answer answer = desk.backend.call(method, target, body);
    CHECK(answer.status == 503);
    CHECK(answer.head.find("Retry-After: ") != std::string::npos);
    CHECK(json_string(answer.body, "code") == "unavailable");
    CHECK(json_string(answer.body, "detail") == "this gateway has no store for notifications");
    CHECK(desk.backend.call(method, target, body, "").status == 401);
    CHECK(desk.backend.call(method, target, body, "X-API-Key: key-read\r\n").status == 403);
}

TEST_CASE("notifications: a store that cannot answer is told about", "[api]") {
    Desk desk;
    const std::string id = desk.accept(R"({"user_id":"u","title":"t"})");
    desk.node.log.failing = "the disk is full";
    const auto c = GENERATE_COPY(table<std::string, std::string, std::string>({
        {"POST", path, R"({"user_id":"u","title":"t"})"},
        {"GET", path + ("/" + id), ""},
        {"GET", path + ("/" + id) + "/status", ""},
        {"GET", path + ("/" + id) + "/timeline", ""},
        {"GET", "/api/v1/users/u/inbox", ""},
        {"POST", "/api/v1/users/u/inbox/read", R"({"offset":1})"},
        {"GET", "/api/v1/users/u/export", ""},
        {"DELETE", "/api/v1/users/u", ""},
    }));
    const auto& [method, target, body] = c;
    CAPTURE(method, target);
    const Answer answer = desk.backend.call(method, target, body);
    CHECK(answer.status == 503);
    CHECK(answer.head.find("Retry-After: ") != std::string::npos);
    CHECK(json_string(answer.body, "detail") == "the disk is full");
    CHECK(desk.node.log.inboxes.at("u").newest == 1);
}

TEST_CASE("notifications: writes that too much waits for are refused", "[api]") {
    Desk desk;
    desk.node.log.full = true;
    CHECK(desk.post(R"({"user_id":"u","title":"t"})").status == 503);
    CHECK(desk.backend.post("/api/v1/users/u/inbox/read", R"({"all":true})").status == 503);
    CHECK(desk.backend.call("DELETE", "/api/v1/users/u").status == 503);
}

TEST_CASE("notifications: one is shown with its outcomes", "[api][protocol-4]") {
    Desk desk;
    const std::string id = desk.accept(R"({"user_id":"u","title":"t"})");
    const std::string first = R"({"id":")" + id +
                              R"(","user_id":"u","status":"pending","priority":"normal",)"
                              R"("channels":["realtime"],"created":"2026-01-01T00:00:00.000Z",)"
                              R"("updated":"2026-01-01T00:00:00.000Z",)"
                              R"("expires":"2026-01-08T00:00:00.000Z","data":{"title":"t",)"
                              R"("priority":"normal","created":"2026-01-01T00:00:00.000Z"},)"
                              R"("attempts":0,"outcomes":[{"channel":"realtime",)"
                              R"("status":"pending","attempts":0}]})";
    CHECK(desk.get(id).body == first);

    const std::string full = desk.accept(
        R"({"user_id":"u","data":1,"channels":["sms","push","realtime","email"],"ttl":1,)"
        R"("priority":"low","category":"c","collapse_key":"k"})");
    auto& kept = desk.newest("u").notification;
    kept.attempts = 2;
    kept.tried = start + 500;
    kept.updated = start + 700;
    kept.status = delivery::Status::delivered;
    const std::string refused = R"("status":"failed","attempts":0,)"
                                R"("reason":"no provider is configured"})";
    CHECK(desk.get(full).body ==
          R"({"id":")" + full +
              R"(","user_id":"u","status":"delivered","priority":"low","category":"c",)"
              R"("collapse_key":"k","channels":["realtime","push","email","sms"],)"
              R"("created":"2026-01-01T00:00:00.000Z","updated":"2026-01-01T00:00:00.700Z",)"
              R"("expires":"2026-01-01T00:00:01.000Z","data":{"data":1,"category":"c",)"
              R"("priority":"low","created":"2026-01-01T00:00:00.000Z"},"attempts":2,"outcomes":[)"
              R"({"channel":"realtime","status":"delivered","attempts":2,)"
              R"("last_attempt":"2026-01-01T00:00:00.500Z"},)"
              R"({"channel":"push",)" +
              refused + R"(,{"channel":"email",)" + refused + R"(,{"channel":"sms",)" + refused +
              "]}");
    CHECK(desk.get(full, "/status").body ==
          R"({"id":")" + full + R"(","status":"delivered","updated":"2026-01-01T00:00:00.700Z"})");
}

TEST_CASE("notifications: a timeline tells every decision", "[api][protocol-4]") {
    Desk desk;
    const std::string id = desk.accept(R"({"user_id":"u","title":"t"})");
    CHECK(desk.get(id, "/timeline").body ==
          R"({"id":")" + id +
              R"(","status":"pending","events":[{"time":"2026-01-01T00:00:00.000Z",)"
              R"("event":"accepted","status":"pending"}]})");

    struct Case {
        delivery::TimelineEntry entry;
        const char* shown;
    };
    const auto c = GENERATE(values<Case>({
        {{start, Event::sent, {}, 1, "s1"},
         R"("event":"sent","channel":"realtime","attempt":1,"sessions":["s1"])"},
        {{start, Event::sent, {}, 2, "s1,s2,s3"},
         R"("event":"sent","channel":"realtime","attempt":2,"sessions":["s1","s2","s3"])"},
        {{start, Event::sent, {}, 1, ""}, R"("event":"sent","channel":"realtime","attempt":1)"},
        {{start, Event::not_acknowledged, {}, 3, ""},
         R"("event":"not_acknowledged","channel":"realtime","attempt":3)"},
        {{start, Event::returned, {}, 1, "nobody is there"},
         R"("event":"returned","channel":"realtime","attempt":1,"reason":"nobody is there")"},
        {{start, Event::waiting, {}, 0, "no channel is left"},
         R"("event":"waiting","channel":"realtime","reason":"no channel is left")"},
        {{start, Event::acknowledged, delivery::Status::delivered, 0, "s1"},
         R"("event":"acknowledged","status":"delivered","session":"s1")"},
        {{start, Event::acknowledged, delivery::Status::delivered, 0, "api"},
         R"("event":"acknowledged","status":"delivered","session":"api")"},
        {{start, Event::collapsed, delivery::Status::suppressed, 0, "AAAA"},
         R"("event":"collapsed","status":"suppressed","by":"AAAA")"},
        {{start, Event::expired, delivery::Status::expired, 0, ""},
         R"("event":"expired","status":"expired")"},
        {{start, Event::processing, delivery::Status::processing, 0, ""},
         R"("event":"processing","status":"processing")"},
        {{start, Event::failed, delivery::Status::failed, 0, "no device"},
         R"("event":"failed","status":"failed","reason":"no device")"},
    }));
    CAPTURE(c.shown);
    desk.newest("u").timeline = {c.entry};
    CHECK(desk.get(id, "/timeline").body == R"({"id":")" + id +
                                                R"(","status":"pending","events":[{"time":)" +
                                                R"("2026-01-01T00:00:00.000Z",)" + c.shown + "}]}");
}

TEST_CASE("notifications: a client that left is answered no more", "[api]") {
    Desk desk;
    const std::string body = R"({"user_id":"u","title":"t"})";
    desk.backend.pipe->input +=
        Backend::head(path, "Content-Length: " + std::to_string(body.size()) + "\r\n") + body;
    desk.node.world.reactors[0].post([&] {
        desk.backend.pipe->deliver(); // the request
        desk.backend.pipe->reset = true;
        desk.backend.pipe->deliver(); // and that nobody waits for the answer
    });
    desk.node.world.settle();
    CHECK(desk.node.log.inboxes.at("u").newest == 1);
    Backend next{desk.node};
    CHECK(next.get(std::string{path} + "/" + desk.newest("u").notification.id.text()).status ==
          200);
}
