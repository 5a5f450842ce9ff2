// /api/v1/sessions…: the devices on which users are reached by push.

#include "api_fixture.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <string_view>

using namespace fanfare;
using namespace fanfare::api;
using namespace fanfare::api::test;
using namespace std::chrono_literals;
using delivery::Platform;
using delivery::PushDevice;
using fanfare::test::json_string;

namespace {

constexpr const char* path = "/api/v1/sessions";

struct Desk {
    explicit Desk(const Options& options = {}, bool store = true) : node(options, store) {}
    Node node;
    Backend backend{node};

    Answer post(std::string_view body) { return backend.post(path, body); }
    const PushDevice& kept(const std::string& user = "u", const std::string& name = "d") {
        return node.devices.users.at(user).at(name);
    }
};

std::string ios(const std::string& more = {}) {
    return R"({"user_id":"u","device_id":"d","platform":"ios","device_token":"00FF")" + more + "}";
}

constexpr const char* p256dh =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
constexpr const char* auth_secret = "BTBZMqHH6r4Tts7J_aSIgg";

std::string keys(const std::string& key = p256dh, const std::string& secret = auth_secret) {
    return R"({"p256dh":")" + key + R"(","auth":")" + secret + R"("})";
}
std::string web(const std::string& subscription, const std::string& more = {}) {
    return R"({"user_id":"u","device_id":"d","platform":"web","subscription":)" + subscription +
           more + "}";
}
std::string subscription(const std::string& more = {}, const std::string& with_keys = keys()) {
    return R"({"endpoint":"https://p.example/A%2f?x")" + more + R"(,"keys":)" + with_keys + "}";
}

} // namespace

TEST_CASE("devices: registered, and registered again", "[api][devices]") {
    Desk desk;
    const Answer first = desk.post(ios());
    CHECK(first.status == 201);
    CHECK(first.body == R"({"user_id":"u","device_id":"d","platform":"ios",)"
                        R"("registered":"2026-01-01T00:00:00.000Z"})");
    CHECK(desk.kept().token == "00ff");
    desk.node.world.pass(1s);
    const Answer again = desk.post(ios(R"(,"ttl":60)"));
    CHECK(again.status == 200);
    CHECK(again.body == R"({"user_id":"u","device_id":"d","platform":"ios",)"
                        R"("registered":"2026-01-01T00:00:01.000Z",)"
                        R"("expires":"2026-01-01T00:01:01.000Z"})");
}

Options with_shop() {
    Options options;
    options.push_apps = {"other", "shop"};
    return options;
}

TEST_CASE("devices: an app that is not configured is refused", "[api][devices]") {
    Desk desk{with_shop()};
    for (const char* const app : {"sho", "Shop", "shop2"}) {
        const Answer answer = desk.post(ios(R"(,"app":")" + std::string{app} + "\""));
        CHECK(answer.status == 400);
        CHECK(json_string(answer.body, "field") == "app");
    }
    CHECK(desk.node.devices.users.empty());
    CHECK(desk.post(ios(R"(,"app":"shop")")).status == 201);
    CHECK(desk.post(ios()).status == 200);
}

TEST_CASE("devices: all members arrive", "[api][devices]") {
    Desk desk{with_shop()};
    REQUIRE(desk.post(R"({"user_id":7,"device_id":"\u0064","platform":"android",)"
                      R"("device_token":"fcm:1","locale":"pt-BR","timezone":"America/Sao_Paulo",)"
                      R"("topics":["news","\u00e4"],"app":"shop","ttl":1,"other":{"app":1}})")
                .status == 201);
    const PushDevice& device = desk.kept("7");
    CHECK(device.platform == Platform::android);
    CHECK(device.token == "fcm:1");
    CHECK(device.locale == "pt-BR");
    CHECK(device.timezone == "America/Sao_Paulo");
    CHECK(device.topics == std::vector<std::string>{"news", "\u00e4"});
    CHECK(device.app == "shop");
    CHECK(device.expires == device.registered + 1'000);
    CHECK(desk.post(R"({"user_id":-0,"device_id":"d","platform":"ios","device_token":"00",)"
                    R"("topics":[],"app":""})")
              .status == 201);
    CHECK(desk.kept("0").app.empty());
}

TEST_CASE("devices: a browser's subscription as it writes it", "[api][devices]") {
    Desk desk;
    const Answer answer = desk.post(web(subscription(R"(,"expirationTime":null,"more":[{}])")));
    CHECK(answer.status == 201);
    const PushDevice device = desk.kept();
    CHECK(device.platform == Platform::web);
    CHECK(device.token == "https://p.example/A%2f?x");
    CHECK(device.p256dh == from_base64url(p256dh));
    CHECK(device.auth == from_base64url(auth_secret));
    CHECK(device.expires == 0);
    // Old helpers pad, and have another alphabet.
    const std::string padded = keys("BCVxsr7N/eNgVRqvHtD0zTZsEc6+VV+JvLexhqUzORcxaOzi6+AYWXvTBHm4b"
                                    "jyPjs7Vd8pZGH6SRpkNtoIAiw4=",
                                    "BTBZMqHH6r4Tts7J\\/aSIgg==");
    CHECK(desk.post(web(subscription({}, padded))).status == 200);
    CHECK(desk.kept().p256dh == device.p256dh);
    CHECK(desk.kept().auth == device.auth);
}

TEST_CASE("devices: the earlier end counts", "[api][devices]") {
    struct Case {
        const char* expiration;
        const char* ttl;
        WallMillis left; // 0: no end
    };
    const auto c =
        GENERATE(values<Case>({{"1767225600001", "", 1},
                               {"1767225601500", "", 1'500},
                               {"1767225601500.75", "", 1'500},
                               {"1.7672256015e12", "", 1'500},
                               {"1767225601500", R"(,"ttl":1)", 1'000},
                               {"1767225601500", R"(,"ttl":2)", 1'500},
                               {"null", R"(,"ttl":2)", 2'000},
                               {"1767225601500", R"(,"ttl":99999999999999999999)", 1'500},
                               {"99999999999999999999", "", 0},
                               {"1e999", "", 0},
                               {"null", "", 0},
                               {"null", R"(,"ttl":99999999999)", 0}}));
    CAPTURE(c.expiration, c.ttl);
    Desk desk;
    REQUIRE(desk.post(web(subscription(R"(,"expirationTime":)" + std::string{c.expiration}), c.ttl))
                .status == 201);
    CHECK(desk.kept().expires == (c.left == 0 ? 0 : desk.kept().registered + c.left));
}

TEST_CASE("devices: a body that is wrong names its field", "[api][devices]") {
    struct Case {
        std::string body;
        const char* field;
    };
    const std::string end = R"("device_id":"d","platform":"ios","device_token":"00"})";
    const std::vector<Case> cases{
        {"{" + end, "user_id"},
        {R"({"user_id":null,)" + end, "user_id"},
        {R"({"user_id":1.5,)" + end, "user_id"},
        {R"({"user_id":"",)" + end, "user_id"},
        {R"({"user_id":"u","platform":"ios","device_token":"00"})", "device_id"},
        {R"({"user_id":"u","device_id":"","platform":"ios","device_token":"00"})", "device_id"},
        {R"({"user_id":"u","device_id":1,"platform":"ios","device_token":"00"})", "device_id"},
        {R"({"user_id":"u","device_id":"d","device_token":"00"})", "platform"},
        {R"({"user_id":"u","device_id":"d","platform":"iOS","device_token":"00"})", "platform"},
        {R"({"user_id":"u","device_id":"d","platform":0,"device_token":"00"})", "platform"},
        {R"({"user_id":"u","device_id":"d","platform":"ios"})", "device_token"},
        {R"({"user_id":"u","device_id":"d","platform":"android"})", "device_token"},
        {R"({"user_id":"u","device_id":"d","platform":"ios","device_token":"0"})", "device_token"},
        {R"({"user_id":"u","device_id":"d","platform":"ios","device_token":null})", "device_token"},
        {R"({"user_id":"u","device_id":"d","platform":"android","device_token":""})",
         "device_token"},
        {R"({"user_id":"u","device_id":"d","platform":"web","device_token":"00"})", "device_token"},
        {R"({"user_id":"u","device_id":"d","platform":"web"})", "subscription"},
        {web(subscription(), R"(,"device_token":"00")"), "device_token"},
        {ios(",\"subscription\":" + subscription()), "subscription"},
        {web("null"), "subscription"},
        {web("[]"), "subscription"},
        {web(R"({"keys":)" + keys() + "}"), "subscription.endpoint"},
        {web(R"({"endpoint":7,"keys":)" + keys() + "}"), "subscription.endpoint"},
        {web(R"({"endpoint":"http://p.example/","keys":)" + keys() + "}"), "subscription.endpoint"},
        {web(subscription(R"(,"endpoint":"https://q.example")")), "subscription.endpoint"},
        {web(R"({"endpoint":"https://p.example/"})"), "subscription.keys"},
        {web(subscription({}, "null")), "subscription.keys"},
        {web(subscription({}, "{}")), "subscription.keys.p256dh"},
        {web(subscription({}, std::string{R"({"p256dh":")"} + p256dh + R"("})")),
         "subscription.keys.auth"},
        {web(subscription({}, R"({"p256dh":1,"auth":"x"})")), "subscription.keys.p256dh"},
        {web(subscription({}, R"({"p256dh":"a","p256dh":"a"})")), "subscription.keys.p256dh"},
        {web(subscription({}, keys("*"))), "subscription.keys.p256dh"},
        {web(subscription({}, keys(std::string{p256dh} + "==="))), "subscription.keys.p256dh"},
        {web(subscription({}, keys("BCVxsr7N"))), "subscription.keys.p256dh"},
        {web(subscription({}, keys(p256dh, "AAAA"))), "subscription.keys.auth"},
        {web(subscription({}, keys(p256dh, ""))), "subscription.keys.auth"},
        {web(subscription(R"(,"expirationTime":"x")")), "subscription.expirationTime"},
        {web(subscription(R"(,"expirationTime":true)")), "subscription.expirationTime"},
        {web(subscription(R"(,"expirationTime":0)")), "subscription.expirationTime"},
        {web(subscription(R"(,"expirationTime":-1e999)")), "subscription.expirationTime"},
        {web(subscription(R"(,"expirationTime":1e-999)")), "subscription.expirationTime"},
        {web(subscription(R"(,"expirationTime":1767225600000)")), "subscription.expirationTime"},
        {ios(R"(,"locale":"")"), "locale"},
        {ios(R"(,"locale":"en_US")"), "locale"},
        {ios(R"(,"timezone":"")"), "timezone"},
        {ios(R"(,"timezone":1)"), "timezone"},
        {ios(R"(,"topics":"news")"), "topics"},
        {ios(R"(,"topics":[1])"), "topics"},
        {ios(R"(,"topics":[["a"]])"), "topics"},
        {ios(R"(,"topics":["a","\u0061"])"), "topics"},
        {ios(R"(,"app":1)"), "app"},
        {ios(R"(,"ttl":0)"), "ttl"},
        {ios(R"(,"ttl":-1)"), "ttl"},
        {ios(R"(,"ttl":1.5)"), "ttl"},
        {ios(R"(,"ttl":"1")"), "ttl"},
        {ios(R"(,"app":"a","app":"a")"), "app"},
        {"[]", ""},
        {"7", ""},
        {"{", ""},
        {"", ""},
    };
    Desk desk;
    for (const Case& c : cases) {
        CAPTURE(c.body);
        const Answer answer = desk.post(c.body);
        CHECK(answer.status == 400);
        CHECK(json_string(answer.body, "code") == "bad_request");
        CHECK(json_string(answer.body, "field") == c.field);
    }
    CHECK(desk.node.devices.users.empty());
}

TEST_CASE("devices: shown without what they are reached by", "[api][devices]") {
    Desk desk{with_shop()};
    CHECK(desk.backend.get("/api/v1/sessions/a%2Fb").body == R"({"user_id":"a/b","devices":[]})");
    REQUIRE(desk.post(web(subscription(), R"(,"locale":"en","timezone":"UTC","topics":["t"],)"
                                          R"("app":"shop","ttl":60)"))
                .status == 201);
    REQUIRE(desk.post(R"({"user_id":"u","device_id":"e","platform":"ios","device_token":"00"})")
                .status == 201);
    const Answer shown = desk.backend.get("/api/v1/sessions/u");
    CHECK(shown.status == 200);
    CHECK(shown.body == R"({"user_id":"u","devices":[{"device_id":"d","platform":"web",)"
                        R"("app":"shop","locale":"en","timezone":"UTC","topics":["t"],)"
                        R"("registered":"2026-01-01T00:00:00.000Z",)"
                        R"("expires":"2026-01-01T00:01:00.000Z"},)"
                        R"({"device_id":"e","platform":"ios","topics":[],)"
                        R"("registered":"2026-01-01T00:00:00.000Z"}]})");
}

TEST_CASE("devices: unregistering is 204, whatever there was", "[api][devices]") {
    Desk desk;
    const auto remove = [&](const char* rest) {
        return desk.backend.call("DELETE", std::string{"/api/v1/sessions/"} + rest).status;
    };
    for (const char* const name : {"a", "b", "c d"})
        REQUIRE(desk.post(R"({"user_id":"u","device_id":")" + std::string{name} +
                          R"(","platform":"android","device_token":")" + name[0] + R"("})")
                    .status == 201);
    CHECK(remove("u?device_id=c%20d") == 204);
    CHECK(desk.node.devices.users["u"].size() == 2);
    CHECK(remove("u?device_id=c%20d") == 204);
    CHECK(remove("nobody") == 204);
    // An empty variable must not unregister everything.
    const Answer empty = desk.backend.call("DELETE", "/api/v1/sessions/u?device_id=");
    CHECK(empty.status == 400);
    CHECK(json_string(empty.body, "field") == "device_id");
    CHECK(desk.node.devices.users["u"].size() == 2);
    CHECK(remove("u") == 204);
    CHECK(desk.node.devices.users["u"].empty());
}

TEST_CASE("devices: a user has at most so many", "[api][devices]") {
    Options options;
    options.devices_max = 1;
    Desk desk{options};
    REQUIRE(desk.post(ios()).status == 201);
    const Answer over =
        desk.post(R"({"user_id":"u","device_id":"e","platform":"ios","device_token":"01"})");
    CHECK(over.status == 409);
    CHECK(json_string(over.body, "code") == "limit_reached");
    CHECK(desk.post(ios()).status == 200);
}

TEST_CASE("devices: a store that is not there, fails, or is full", "[api][devices]") {
    const auto c = GENERATE(table<const char*, const char*, std::string>({
        {"POST", path, ios()},
        {"GET", "/api/v1/sessions/u", ""},
        {"DELETE", "/api/v1/sessions/u", ""},
    }));
    const auto& [method, target, body] = c;
    CAPTURE(method);
    Desk without{{}, false};
    const Answer none = without.backend.call(method, target, body);
    CHECK(none.status == 503);
    CHECK(none.head.find("Retry-After: ") != std::string::npos);
    Desk desk;
    desk.node.devices.failing = "the disk is full";
    const Answer failed = desk.backend.call(method, target, body);
    CHECK(failed.status == 503);
    CHECK(json_string(failed.body, "detail") == "the disk is full");
    CHECK(desk.backend.get("/api/v1/users/u/export").status == 503);
    desk.node.devices.failing = nullptr;
    desk.node.devices.full = true;
    if (std::string_view{method} == "GET") return; // reading does not wait for writes
    CHECK(desk.backend.call(method, target, body).status == 503);
}

TEST_CASE("devices: keys, scopes, methods and media types", "[api][devices][protocol-4]") {
    Desk desk;
    const auto c = GENERATE(table<const char*, const char*, const char*>({
        {"POST", path, "Allow: POST, OPTIONS\r\n"},
        {"GET", "/api/v1/sessions/u", "Allow: GET, HEAD, DELETE, OPTIONS\r\n"},
        {"DELETE", "/api/v1/sessions/u", "Allow: GET, HEAD, DELETE, OPTIONS\r\n"},
    }));
    const auto& [method, target, allow] = c;
    CAPTURE(method, target);
    CHECK(desk.backend.call(method, target, "", "").status == 401);
    CHECK(desk.backend.call(method, target, "", "X-API-Key: key-read\r\n").status == 403);
    const Answer wrong = desk.backend.call("PUT", target);
    CHECK(wrong.status == 405);
    CHECK(wrong.head.find(allow) != std::string::npos);
    CHECK(desk.backend.post(path, ios(), "Content-Type: text/plain\r\n").status == 415);
    for (const char* const bad : {"GET", "DELETE"}) {
        const Answer answer = desk.backend.call(bad, "/api/v1/sessions/a%0Ab");
        CHECK(answer.status == 400);
        CHECK(json_string(answer.body, "field") == "user_id");
    }
}
