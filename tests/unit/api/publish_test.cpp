// POST /api/v1/publish, and the small helpers of all handlers.

#include "api_fixture.hpp"
#include "context.hpp"
#include "support/scripted_exchange.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::api;
using namespace fanfare::api::test;

TEST_CASE("publish: answers and refusals", "[api][protocol-4]") {
    Node node;
    Backend backend{node};
    const auto post = [&](std::string_view body, std::string_view headers = {}) {
        return backend.post("/api/v1/publish", body, headers);
    };
    CHECK(without_epoch(post(R"({"room":"open:1","data":1})").body) ==
          R"({"room":"open:1","epoch":"E","offset":1})");
    CHECK(without_epoch(post(R"({"rooms":["open:1"],"data":1})").body) ==
          R"({"results":[{"room":"open:1","epoch":"E","offset":2}]})");
    const Answer none = post(R"({"room":"nowhere","data":1})");
    CHECK(none.status == 404);
    CHECK(none.body.find(R"("field":"room")") != std::string::npos);
    const Answer bad = post(R"({"room":"open:1","data":tru})");
    CHECK(bad.status == 400);
    CHECK(bad.body.find("byte 2") != std::string::npos);
    CHECK(post("{}", "Content-Type: text/plain\r\n").status == 415);
    CHECK(
        post(R"({"room":"open:1","data":1})", "Content-Type: APPLICATION/JSON ; charset=utf-8\r\n")
            .status == 200);
}

TEST_CASE("publish: the key comes in the body, in the header, or as the same in both",
          "[api][idempotency]") {
    Node node;
    Backend backend{node};
    const auto post = [&](std::string_view body, std::string_view headers) {
        node.world.keys.log.clear();
        return backend.post("/api/v1/publish", body, headers);
    };
    const Lines with_k{"finish key/all/publish/k 1"};
    CHECK(post(R"({"room":"open:1","data":1,"id":"k"})", {}).status == 200);
    CHECK(node.world.keys.log == with_k);
    CHECK(post(R"({"room":"open:1","data":1})", "Idempotency-Key: k\r\n").status == 200);
    CHECK(node.world.keys.log == with_k);
    CHECK(post(R"({"room":"open:1","data":1,"id":"k"})", "Idempotency-Key: \"k\"\r\n").status ==
          200);
    CHECK(node.world.keys.log == with_k);
    const Answer both = post(R"({"room":"open:1","data":1,"id":"k"})", "Idempotency-Key: l\r\n");
    CHECK(both.status == 400);
    CHECK(both.body.find(R"("field":"id")") != std::string::npos);
    CHECK(node.world.keys.log.empty());
}

TEST_CASE("publish: the key of the API and its scope", "[api][protocol-4]") {
    Node node;
    Backend backend{node};
    const auto status = [&](std::string_view key_line) {
        const std::string body = R"({"room":"open:1","data":1})";
        backend.send("POST /api/v1/publish HTTP/1.1\r\nHost: h\r\n" + std::string{key_line} +
                     "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
        const int answer = backend.take().status;
        return answer;
    };
    CHECK(status("X-API-Key: key-all\r\n") == 200);
    CHECK(status("Authorization: Bearer key-all\r\n") == 200);
    CHECK(status("X-API-Key: key-read\r\n") == 403);
    CHECK(status("X-API-Key: key-al\r\n") == 401);
    CHECK(status("X-API-Key: \r\n") == 401);
    CHECK(status("") == 401);
    CHECK(status("X-API-Key: key-all\r\n") == 200);
    // What was known is not known any more.
    node.world.run([&] {
        node.api.reload(std::make_shared<const auth::ApiKeys>(std::vector<auth::ApiKeyOptions>{}),
                        {});
    });
    CHECK(status("X-API-Key: key-all\r\n") == 401);
}

TEST_CASE("api: a number of a query", "[api]") {
    const auto number = [](std::string_view query) { return query_number(query, "limit", 7); };
    CHECK(number("") == 7U);
    CHECK(number("x=1") == 7U);
    CHECK(number("limit=0") == 0U);
    CHECK(number("x=1&limit=42&limit=43") == 42U);
    CHECK(number("limit=18446744073709551615") == 18'446'744'073'709'551'615U);
    CHECK(number("limit=%31%30") == 10U);
    for (const char* const query :
         {"limit=", "limit", "limit=-1", "limit=+1", "limit=1.0", "limit=1e3", "limit= 1",
          "limit=1%20", "limit=0x10", "limit=18446744073709551616", "limit=abc"}) {
        CAPTURE(query);
        CHECK_FALSE(number(query));
    }
}

TEST_CASE("api: the idempotency key of a header", "[api][idempotency]") {
    World world;
    const auto key = [&](const char* value) {
        fanfare::test::ScriptedExchange exchange{world.reactors[0]};
        exchange.set(http::Header::idempotency_key, value);
        const auto result = header_key(exchange.head());
        if (const auto* const error = std::get_if<Error>(&result))
            return std::string{code_name(error->code)} + " " + error->field;
        return std::get<std::string>(result);
    };
    const std::string bad = "bad_request Idempotency-Key";
    CHECK(key("abc") == "abc");
    CHECK(key("\"abc\"") == "abc"); // as the draft standard writes it
    CHECK(key("\"") == "\"");
    CHECK(key("a\"b") == "a\"b");
    CHECK(key("\"\"") == bad);
    CHECK(key("") == bad);
    CHECK(key("a\tb") == bad);
    CHECK(key("\xff") == bad);
    CHECK(key(std::string(255, 'k').c_str()) == std::string(255, 'k'));
    CHECK(key(std::string(256, 'k').c_str()) == bad);
    fanfare::test::ScriptedExchange none{world.reactors[0]};
    CHECK(std::get<std::string>(header_key(none.head())).empty());
}
