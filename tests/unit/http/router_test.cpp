#include <fanfare/http/router.hpp>

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::http;

namespace {

struct Table {
    Metrics metrics;
    Router router{metrics};

    Table() {
        add(Method::get, "/");
        add(Method::get, "/health");
        add(Method::post, "/api/v1/publish");
        add(Method::get, "/api/v1/rooms");
        add(Method::get, "/api/v1/rooms/{room}");
        add(Method::get, "/api/v1/rooms/{room}/history");
        add(Method::get, "/api/v1/rooms/special");
        add(Method::post, "/api/v1/users/{user}/disconnect");
        add(Method::delete_, "/api/v1/sessions/{user}");
        add(Method::get, "/sse");
        add(Method::options, "/sse");
        add(Method::get, "/{a}/x/{b}");
    }
    void add(Method method, std::string pattern) {
        Route route;
        route.method = method;
        route.pattern = std::move(pattern);
        route.handler = [](Exchange&) {};
        router.add(std::move(route));
    }
    Router::Match match(Method method, std::string_view path) {
        RequestHead head;
        head.method = method;
        head.path = head.target = path;
        return router.match(head);
    }
    std::string pattern(Method method, std::string_view path) {
        const auto found = match(method, path);
        return found.route != nullptr ? found.route->pattern : std::to_string(found.refusal.status);
    }
};

} // namespace

TEST_CASE("router: paths find their routes", "[http][router]") {
    Table table;
    CHECK(table.pattern(Method::get, "/") == "/");
    CHECK(table.pattern(Method::head, "/health") == "/health");
    CHECK(table.pattern(Method::post, "/api/v1/publish") == "/api/v1/publish");
    CHECK(table.pattern(Method::get, "/api/v1/rooms") == "/api/v1/rooms");
    CHECK(table.pattern(Method::get, "/api/v1/rooms/news") == "/api/v1/rooms/{room}");
    CHECK(table.pattern(Method::get, "/api/v1/rooms/special") == "/api/v1/rooms/special");
    CHECK(table.pattern(Method::get, "/api/v1/rooms/special/history") ==
          "/api/v1/rooms/{room}/history");
    CHECK(table.pattern(Method::options, "/sse") == "/sse");
}

TEST_CASE("router: paths that nothing serves are 404", "[http][router]") {
    Table table;
    const auto path =
        GENERATE(as<std::string>{}, "/nothing", "/health/", "//health", "/HEALTH", "/api/v1/rooms/",
                 "/api/v1/rooms//history", "/api/v1/rooms/a/b/c", "/api/v1/%70ublish", "/%2F",
                 "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r", "/./health", "/x/../health", "/\xff");
    CAPTURE(path);
    CHECK(table.pattern(Method::get, path) == "404");
}

TEST_CASE("router: parameters are decoded after matching", "[http][router]") {
    Table table;
    CHECK(table.match(Method::get, "/api/v1/rooms/chat%3A1").parameters[0] == "chat:1");
    CHECK(table.match(Method::get, "/api/v1/rooms/a%2Fb/history").parameters[0] == "a/b");
    CHECK(table.match(Method::get, "/api/v1/rooms/a+b").parameters[0] == "a+b");
    const auto two = table.match(Method::get, "/1/x/2");
    REQUIRE(two.parameters.size() == 2);
    CHECK(two.parameters[1] == "2");

    CHECK(table.pattern(Method::get, "/api/v1/rooms/%") == "400");
    CHECK(table.pattern(Method::get, "/api/v1/rooms/%ff") == "400");
    CHECK(table.pattern(Method::get, "/api/v1/rooms/a%2") == "400");
}

TEST_CASE("router: a known path with another method is 405 with Allow", "[http][router]") {
    Table table;
    const auto match = table.match(Method::get, "/api/v1/publish");
    CHECK(match.refusal.status == 405);
    CHECK(match.refusal.headers == "Allow: POST, OPTIONS\r\n");
    CHECK(table.match(Method::post, "/health").refusal.headers == "Allow: GET, HEAD, OPTIONS\r\n");
    CHECK(table.match(Method::other, "/sse").refusal.headers == "Allow: GET, HEAD, OPTIONS\r\n");
    CHECK(table.pattern(Method::delete_, "/api/v1/rooms/x") == "405");
}

TEST_CASE("router: OPTIONS is answered where no route does", "[http][router]") {
    Table table;
    const auto match = table.match(Method::options, "/api/v1/sessions/u1");
    CHECK(match.route == nullptr);
    CHECK(match.refusal.status == 204);
    CHECK(match.refusal.headers == "Allow: DELETE, OPTIONS\r\n");
    CHECK(table.pattern(Method::options, "*") == "204");
    CHECK(table.pattern(Method::options, "/nothing") == "404");
}

TEST_CASE("router: an unknown API version says which there are", "[http][router]") {
    Table table;
    const auto match = table.match(Method::post, "/api/v2/publish");
    CHECK(match.refusal.status == 404);
    CHECK(match.refusal.body.find("/api/v1") != std::string::npos);
    CHECK(table.match(Method::get, "/api/v1/nothing").refusal.body.find("no API version") ==
          std::string::npos);
}

TEST_CASE("router: answers are counted by route, method and status", "[http][router]") {
    Table table;
    const auto match = table.match(Method::post, "/api/v1/publish");
    table.router.count(match.route_index, 200);
    table.router.count(match.route_index, 200);
    table.router.count(match.route_index, 429);
    table.router.count(Router::no_route, 404);
    const std::string text = table.metrics.text();
    CHECK(text.find(R"(route="/api/v1/publish")") != std::string::npos);
    CHECK(text.find(R"(status="429")") != std::string::npos);
    CHECK(table.metrics.sum("http_requests_total") == 4);
}

TEST_CASE("router: answers are timed by route", "[http][router]") {
    Table table;
    const auto publish = table.match(Method::post, "/api/v1/publish");
    table.router.time(publish.route_index, 0.003);
    table.router.time(publish.route_index, 0.003);
    table.router.time(table.match(Method::get, "/health").route_index, 1);
    table.router.time(Router::no_route, 1);
    const std::string text = table.metrics.text();
    CHECK(text.find("fanfare_http_request_seconds_bucket{method=\"POST\",route=\"/api/v1/publish\","
                    "le=\"0.0025\"} 0\n") != std::string::npos);
    CHECK(text.find("fanfare_http_request_seconds_bucket{method=\"POST\",route=\"/api/v1/publish\","
                    "le=\"0.005\"} 2\n") != std::string::npos);
    CHECK(table.metrics.sum("http_request_seconds") == 3);
}
