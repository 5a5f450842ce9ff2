#include "api_fixture.hpp"
#include "metrics_stream.hpp"

#include <catch2/catch.hpp>

namespace fanfare::api {
namespace {

using test::Backend;
using test::Node;

struct Dashboard : Backend {
    using Backend::Backend;
    std::string get(std::string_view target) {
        send("GET " + std::string{target} + " HTTP/1.1\r\nHost: h\r\n\r\n");
        return pipe->take_output();
    }
    std::string after(std::chrono::milliseconds time) {
        node.world.clock.advance(time);
        node.world.run([] {});
        return pipe->take_output();
    }
};

struct Watched : Node {
    Watched() { api.add_operations(router, true); }
};

int times(std::string_view text, std::string_view part) {
    int n = 0;
    for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

using std::chrono::milliseconds;

} // namespace

TEST_CASE("metrics stream: series become the members of one object", "[api][metrics_stream]") {
    CHECK(series_json("", "") == "{}");
    const std::string text = "# HELP fanfare_a Words with fanfare_ in them.\n"
                             "# TYPE fanfare_a counter\n"
                             "fanfare_a 1\n"
                             "fanfare_b{x=\"with space\",y=\"q\\\"\"} -1.5e-05\n"
                             "fanfare_c NaN\nfanfare_d +Inf\nfanfare_e -Inf\n"
                             "fanfare_cut";
    CHECK(series_json(text, "") ==
          R"({"fanfare_a":1,"fanfare_b{x=\"with space\",y=\"q\\\"\"}":)"
          R"(-1.5e-05,"fanfare_c":null,"fanfare_d":null,"fanfare_e":null})");
    CHECK(series_json(text, "fanfare_c") == R"({"fanfare_c":null})");
}

TEST_CASE("metrics stream: a snapshot at once, then one each interval", "[api][metrics_stream]") {
    Watched node;
    Dashboard page{node};
    const std::string first = page.get("/metrics/stream?interval=2&prefix=fanfare_connections{");
    CHECK(first.find("Content-Type: text/event-stream\r\n") != std::string::npos);
    CHECK(first.find("retry: 3000\n\n") != std::string::npos);
    CHECK(times(first, "event: metrics\ndata: {\"time\":\"2026-") == 1);
    CHECK(first.find(R"("series":{"fanfare_connections{transport=\"http\"}":1})") !=
          std::string::npos);
    CHECK(page.after(milliseconds{1'900}).empty());
    CHECK(times(page.after(milliseconds{600}), "event: metrics") == 1);
    int more = 0;
    for (int i = 0; i < 20; ++i) more += times(page.after(milliseconds{500}), "event: metrics");
    CHECK(more == 5);
}

TEST_CASE("metrics stream: a long interval is not silent", "[api][metrics_stream]") {
    Watched node;
    Dashboard page{node};
    page.get("/metrics/stream?interval=60&prefix=none");
    std::string seen;
    for (int i = 0; i < 110; ++i) seen += page.after(milliseconds{500});
    CHECK(times(seen, ":\n\n") == 5);
    CHECK(times(seen, "event: metrics") == 0);
    for (int i = 0; i < 20; ++i) seen += page.after(milliseconds{500});
    CHECK(times(seen, "event: metrics") == 1);
}

TEST_CASE("metrics stream: what is asked wrongly is named", "[api][metrics_stream]") {
    Watched node;
    Dashboard page{node};
    for (const char* query : {"interval=0", "interval=61", "interval=x", "interval="}) {
        const std::string answer = page.get("/metrics/stream?" + std::string{query});
        CHECK(answer.starts_with("HTTP/1.1 400 "));
        CHECK(answer.find(R"("field":"interval")") != std::string::npos);
    }
}

TEST_CASE("metrics stream: a reader that is slow misses snapshots and holds no more",
          "[api][metrics_stream]") {
    Watched node;
    Dashboard page{node};
    page.get("/metrics/stream");
    page.pipe->room = 0;
    for (int i = 0; i < 500; ++i) page.after(milliseconds{1'000 / 25});
    for (int i = 0; i < 200; ++i) page.after(milliseconds{100});
    CHECK(node.world.metrics.sum("send_queue_bytes") < 600.0 * 1024);
}

TEST_CASE("metrics stream: there is a bound, and who left makes room", "[api][metrics_stream]") {
    Watched node;
    std::vector<std::unique_ptr<Dashboard>> pages;
    for (std::size_t i = 0; i < MetricsStreams::streams_max; ++i) {
        pages.push_back(std::make_unique<Dashboard>(node));
        CHECK(pages.back()->get("/metrics/stream?prefix=none").starts_with("HTTP/1.1 200 "));
    }
    Dashboard late{node};
    const std::string refused = late.get("/metrics/stream");
    CHECK(refused.starts_with("HTTP/1.1 503 "));
    CHECK(refused.find("Retry-After: ") != std::string::npos);
    pages.front()->pipe->reset = true;
    node.world.run([&] { pages.front()->pipe->deliver(); });
    late.after(milliseconds{600});
    CHECK(late.get("/metrics/stream?prefix=none").starts_with("HTTP/1.1 200 "));
}

} // namespace fanfare::api
