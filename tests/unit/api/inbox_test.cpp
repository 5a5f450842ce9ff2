// /api/v1/users/{user}/inbox…, …/export and DELETE: what is kept of a user.

#include "api_fixture.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::api;
using namespace fanfare::api::test;
using namespace std::chrono_literals;
using fanfare::test::json_number;
using fanfare::test::json_string;

namespace {

constexpr WallMillis start = 1'767'225'600'000; // 2026-01-01, where the clock begins

struct Inboxes {
    Node node;
    Backend backend{node};

    std::string accept(const std::string& user, const std::string& more = "") {
        const Answer answer = backend.post(
            "/api/v1/notifications", R"({"user_id":")" + user + R"(","title":"t")" + more + "}");
        REQUIRE(answer.status == 202);
        return std::string{json_string(answer.body, "id")};
    }
    void register_device(const std::string& user, const std::string& token) {
        const std::string body = R"({"user_id":")" + user + R"(","device_id":"d","platform":)" +
                                 R"("ios","device_token":")" + token +
                                 R"(","locale":"en","topics":["t"]})";
        REQUIRE(backend.post("/api/v1/sessions", body).status == 201);
    }
    Answer get(const std::string& user, const char* rest) {
        return backend.get("/api/v1/users/" + user + rest);
    }
    Answer read(std::string_view body, const std::string& user = "u") {
        return backend.post("/api/v1/users/" + user + "/inbox/read", body);
    }
};

/// The values of all members of that name, in order, as texts.
Lines all_of(std::string_view text, std::string_view name) {
    Lines found;
    const std::string key = "\"" + std::string{name} + "\":";
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string_view::npos;) {
        at += key.size();
        found.emplace_back(text.substr(at, text.find_first_of(",}]", at) - at));
    }
    return found;
}

/// The offsets of what a page shows; those of the inbox and its devices come before it.
Lines shown(const Answer& page, std::string_view list = "\"messages\":") {
    REQUIRE(page.status == 200);
    return all_of(std::string_view{page.body}.substr(page.body.find(list)), "offset");
}

} // namespace

TEST_CASE("inbox: a user that nobody notified has an empty one", "[api][inbox]") {
    Inboxes world;
    const Answer inbox = world.get("a%2Fb%20%C3%A4", "/inbox");
    CHECK(inbox.status == 200);
    CHECK(inbox.body ==
          R"({"user":"a/b ä","offset":0,"acked":0,"unread":0,"devices":[],"messages":[]})");
    CHECK(world.read(R"({"all":true})").body == R"({"user":"u","acked":0,"unread":0})");
    CHECK(world.get("u", "/export").body ==
          R"({"user":"u","offset":0,"acked":0,"devices":[],"push_devices":[],"notifications":[]})");
    CHECK(world.backend.call("DELETE", "/api/v1/users/u").body ==
          R"({"user":"u","erased":{"notifications":0,"devices":0,"push_devices":0}})");
    CHECK(world.node.log.inboxes.empty());
}

TEST_CASE("inbox: messages, newest first", "[api][inbox]") {
    Inboxes world;
    const std::string first = world.accept("u");
    world.node.world.pass(1s);
    const std::string second = world.accept("u", R"(,"ttl":60)");
    auto& kept = world.node.log.inboxes.at("u");
    kept.devices["phone"] = {"phone", 1, start + 5};
    CHECK(world.read(R"({"offset":1})").status == 200);
    kept.kept.at(2).notification.attempts = 3;
    const std::string data = R"("data":{"title":"t","priority":"normal","created":)";
    CHECK(without_epoch(world.get("u", "/inbox").body) ==
          R"({"user":"u","epoch":"E","offset":2,"acked":1,"unread":1,"devices":[)"
          R"({"device":null,"offset":1,"seen":"2026-01-01T00:00:01.000Z"},)"
          R"({"device":"phone","offset":1,"seen":"2026-01-01T00:00:00.005Z"}],"messages":[)"
          R"({"offset":2,"id":")" +
              second + R"(",)" + data +
              R"("2026-01-01T00:00:01.000Z"},"status":"pending","attempts":3,"read":false,)"
              R"("time":"2026-01-01T00:00:01.000Z","expires":"2026-01-01T00:01:01.000Z"},)"
              R"({"offset":1,"id":")" +
              first + R"(",)" + data +
              R"("2026-01-01T00:00:00.000Z"},"status":"delivered","attempts":0,"read":true,)"
              R"("time":"2026-01-01T00:00:00.000Z","expires":"2026-01-08T00:00:00.000Z"}]})");
    for (const char* const unread : {"/inbox?unread=true", "/inbox?unread=1"})
        CHECK(shown(world.get("u", unread)) == Lines{"2"});
    for (const char* const any : {"/inbox?unread=false", "/inbox?unread=0"})
        CHECK(shown(world.get("u", any)) == Lines{"2", "1"});
}

TEST_CASE("inbox: what is collapsed, expired or not for clients is not shown", "[api][inbox]") {
    Inboxes world;
    world.accept("u", R"(,"collapse_key":"k")");
    world.accept("u", R"(,"collapse_key":"k")");
    world.accept("u", R"(,"ttl":5)");
    world.accept("u", R"(,"channels":["push"])");
    world.node.world.pass(6s);
    const Answer inbox = world.get("u", "/inbox");
    CHECK(shown(inbox) == Lines{"2"});
    CHECK(json_number(inbox.body, "offset") == 4U);
    CHECK(json_number(inbox.body, "unread") == 1U);
    const Answer all = world.get("u", "/export");
    CHECK(shown(all, "\"notifications\":") == Lines{"1", "2", "3", "4"});
}

TEST_CASE("inbox: pages", "[api][inbox]") {
    Inboxes world;
    for (int i = 0; i < 7; ++i) world.accept("u");
    const auto pages = [&](const std::string& path, const char* list) {
        Lines found;
        std::string cursor;
        do {
            const Answer page =
                world.get("u", (path + (cursor.empty() ? "" : "&cursor=" + cursor)).c_str());
            const Lines offsets = shown(page, list);
            CHECK(offsets.size() <= 3);
            found.insert(found.end(), offsets.begin(), offsets.end());
            cursor = json_string(page.body, "cursor");
        } while (!cursor.empty());
        return found;
    };
    CHECK(pages("/inbox?limit=3", "\"messages\":") == Lines{"7", "6", "5", "4", "3", "2", "1"});
    CHECK(pages("/export?limit=3", "\"notifications\":") ==
          Lines{"1", "2", "3", "4", "5", "6", "7"});
    CHECK(world.read(R"({"offset":3})").status == 200);
    CHECK(pages("/inbox?limit=3&unread=1", "\"messages\":") == Lines{"7", "6", "5", "4"});
    // A page that ends with the last one says so; a limit may be larger than all that there is.
    CHECK(world.get("u", "/inbox?limit=7").body.find("cursor") == std::string::npos);
    CHECK(shown(world.get("u", "/inbox?limit=1000000")).size() == 7);
    CHECK(shown(world.get("u", "/inbox?limit=1")) == Lines{"7"});
}

TEST_CASE("inbox: a hundred are shown unless more are asked for", "[api][inbox]") {
    Inboxes world;
    for (int i = 0; i < 1'001; ++i) world.accept("u");
    CHECK(shown(world.get("u", "/inbox")).size() == 100);
    CHECK(shown(world.get("u", "/inbox?limit=1001")).size() == 1'000);
}

TEST_CASE("inbox: a query that is wrong", "[api][inbox]") {
    Inboxes world;
    world.accept("u");
    const auto c = GENERATE(table<const char*, const char*>({
        {"limit=0", "limit"},
        {"limit=-1", "limit"},
        {"limit=x", "limit"},
        {"limit=", "limit"},
        {"cursor=", "cursor"},
        {"cursor=*", "cursor"},
        {"cursor=MQ%3D%3D", "cursor"},                    // padded
        {"cursor=MA", "cursor"},                          // 0
        {"cursor=LTE", "cursor"},                         // -1
        {"cursor=eA", "cursor"},                          // x
        {"cursor=OTIyMzM3MjAzNjg1NDc3NTgwOA", "cursor"},  // 2^63
        {"cursor=MTg0NDY3NDQwNzM3MDk1NTE2MTY", "cursor"}, // 2^64
        {"unread=yes", "unread"},
        {"unread=", "unread"},
    }));
    const auto& [query, field] = c;
    for (const char* const path : {"/inbox?", "/export?"}) {
        if (path[1] == 'e' && std::string_view{field} == "unread") continue; // not one of its own
        CAPTURE(query, path);
        const Answer answer = world.get("u", (std::string{path} + query).c_str());
        CHECK(answer.status == 400);
        CHECK(json_string(answer.body, "field") == field);
    }
}

TEST_CASE("inbox: marking as read", "[api][inbox]") {
    Inboxes world;
    std::string third;
    for (int i = 0; i < 5; ++i) {
        const std::string id = world.accept("u");
        if (i == 2) third = id;
    }
    CHECK(world.read(R"({"offset":2})").body == R"({"user":"u","acked":2,"unread":3})");
    CHECK(world.read(R"({"offset":1})").body == R"({"user":"u","acked":2,"unread":3})");
    CHECK(world.read(R"({"offset":0})").body == R"({"user":"u","acked":2,"unread":3})");
    CHECK(world.read(R"({"offset":3})").body == R"({"user":"u","acked":3,"unread":2})");
    const Answer status = world.backend.get("/api/v1/notifications/" + third + "/timeline");
    CHECK(json_string(status.body, "status") == "delivered");
    CHECK(json_string(status.body, "session") == "api");
    CHECK(world.read(R"({"offset":18446744073709551615})").body ==
          R"({"user":"u","acked":5,"unread":0})");
    world.accept("u");
    CHECK(world.read(R"({"all":true})").body == R"({"user":"u","acked":6,"unread":0})");
    CHECK(shown(world.get("u", "/inbox?unread=1")).empty());
}

TEST_CASE("inbox: marking as read, refused", "[api][inbox]") {
    Inboxes world;
    world.accept("u");
    const auto c = GENERATE(table<const char*, const char*>({
        {"{}", "offset"},
        {R"({"offset":-1})", "offset"},
        {R"({"offset":"1"})", "offset"},
        {R"({"all":false})", "all"},
        {R"({"offset":1,"all":true})", "all"},
    }));
    const auto& [body, field] = c;
    CAPTURE(body);
    const Answer answer = world.read(body);
    CHECK(answer.status == 400);
    CHECK(json_string(answer.body, "field") == field);
    CHECK(world.read("{").status == 400);
    CHECK(world.backend
              .post("/api/v1/users/u/inbox/read", R"({"all":true})", "Content-Type: text/css\r\n")
              .status == 415);
    CHECK(world.node.log.inboxes.at("u").acked == 0);
}

TEST_CASE("inbox: a user of which all is exported, and then erased", "[api][inbox]") {
    Inboxes world;
    const std::string first = world.accept("u", R"(,"collapse_key":"k")");
    const std::string second = world.accept("u", R"(,"collapse_key":"k")");
    world.accept("v");
    world.register_device("u", "00");
    world.register_device("v", "01");
    CHECK(world.read(R"({"all":true})").status == 200);
    const std::string begin = R"("created":"2026-01-01T00:00:00.000Z",)"
                              R"("updated":"2026-01-01T00:00:00.000Z",)"
                              R"("expires":"2026-01-08T00:00:00.000Z","data":{"title":"t",)"
                              R"("priority":"normal","created":"2026-01-01T00:00:00.000Z"},)"
                              R"("attempts":0,"outcomes":[{"channel":"realtime","status":)";
    const std::string who = R"("user_id":"u",)";
    const std::string middle = R"("priority":"normal","collapse_key":"k","channels":["realtime"],)";
    const std::string accepted = R"("attempts":0}],"timeline":[{"time":"2026-01-01T00:00:00.000Z",)"
                                 R"("event":"accepted","status":"pending"},)"
                                 R"({"time":"2026-01-01T00:00:00.000Z",)";
    CHECK(
        without_epoch(world.get("u", "/export").body) ==
        R"({"user":"u","epoch":"E","offset":2,"acked":2,"devices":[{"device":null,"offset":2,)"
        R"("seen":"2026-01-01T00:00:00.000Z"}],"push_devices":[{"device_id":"d","platform":"ios",)"
        R"("locale":"en","topics":["t"],"registered":"2026-01-01T00:00:00.000Z"}],)"
        R"("notifications":[{"offset":1,"id":")" +
            first + "\"," + who + R"("status":"suppressed",)" + middle + begin +
            R"("suppressed",)" + accepted + R"("event":"collapsed","status":"suppressed","by":")" +
            second + R"("}]},{"offset":2,"id":")" + second + "\"," + who +
            R"("status":"delivered",)" + middle + begin + R"("delivered",)" + accepted +
            R"("event":"acknowledged","status":"delivered","session":"api"}]}]})");

    const Answer erased = world.backend.call("DELETE", "/api/v1/users/u");
    CHECK(erased.status == 200);
    CHECK(erased.body ==
          R"({"user":"u","erased":{"notifications":2,"devices":1,"push_devices":1}})");
    CHECK(world.node.devices.users["u"].empty());
    CHECK(world.node.devices.users["v"].size() == 1);
    CHECK(json_number(world.get("u", "/inbox").body, "offset") == 0U);
    for (const std::string& id : {first, second})
        CHECK(world.backend.get("/api/v1/notifications/" + id).status == 404);
    CHECK(json_number(world.get("v", "/inbox").body, "offset") == 1U);
}

TEST_CASE("inbox: an export without its timelines is none", "[api][inbox]") {
    Inboxes world;
    world.accept("u");
    world.accept("u");
    world.node.log.inboxes.at("u").kept.at(2).timeline.clear(); // as if it could not be read
    const Answer answer = world.get("u", "/export");
    CHECK(answer.status == 503);
    CHECK(json_string(answer.body, "detail") == "the timelines could not be read");
    CHECK(shown(world.get("u", "/export?limit=1"), "\"notifications\":") == Lines{"1"});
}

TEST_CASE("inbox: keys, scopes and methods", "[api][protocol-4]") {
    Inboxes world;
    const auto c = GENERATE(table<const char*, const char*, const char*>({
        {"GET", "/api/v1/users/u/inbox", "Allow: GET, HEAD, OPTIONS\r\n"},
        {"POST", "/api/v1/users/u/inbox/read", "Allow: POST, OPTIONS\r\n"},
        {"GET", "/api/v1/users/u/export", "Allow: GET, HEAD, OPTIONS\r\n"},
        {"DELETE", "/api/v1/users/u", "Allow: GET, HEAD, DELETE, OPTIONS\r\n"},
    }));
    const auto& [method, target, allow] = c;
    CAPTURE(method, target);
    CHECK(world.backend.call(method, target, "", "").status == 401);
    CHECK(world.backend.call(method, target, "", "X-API-Key: key-read\r\n").status == 403);
    const Answer wrong = world.backend.call("PUT", target);
    CHECK(wrong.status == 405);
    CHECK(wrong.head.find(allow) != std::string::npos);
}

TEST_CASE("inbox: a user that can be none", "[api][inbox]") {
    Inboxes world;
    for (const std::string& user : {std::string{"a%0Ab"}, std::string(256, 'u')}) {
        CAPTURE(user);
        for (const char* const rest : {"/inbox", "/export"}) {
            const Answer answer = world.get(user, rest);
            CHECK(answer.status == 400);
            CHECK(json_string(answer.body, "field") == "user");
        }
        CHECK(world.read(R"({"all":true})", user).status == 400);
        CHECK(world.backend.call("DELETE", "/api/v1/users/" + user).status == 400);
    }
    CHECK(world.get("a%FF", "/inbox").status == 400);
}
