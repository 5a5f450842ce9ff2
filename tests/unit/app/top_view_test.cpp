#include "top_view.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

namespace fanfare::app {
namespace {

Sample sample(std::string_view text, double at = 0) {
    return Sample::parse(text, at).value();
}

std::string joined(const std::vector<std::string>& lines) {
    std::string all;
    for (const std::string& line : lines) all += line + '\n';
    return all;
}

bool shows(const std::vector<std::string>& lines, std::string_view text) {
    return joined(lines).find(text) != std::string::npos;
}

// What comes between two scrapes of ten seconds.
constexpr const char* first = R"(# HELP fanfare_x Words.
fanfare_build_info{version="1.2.3"} 1
fanfare_connections{transport="http"} 2
fanfare_connections{transport="sse"} 30
fanfare_connections{transport="websocket"} 12000
fanfare_connections_max 19408
fanfare_http_requests_total{method="POST",route="/api/v1/publish",status="200"} 100
fanfare_messages_published_total 1000
fanfare_process_uptime_seconds 90061
fanfare_publish_to_write_seconds_bucket{le="0.001"} 0
fanfare_publish_to_write_seconds_bucket{le="0.01"} 0
fanfare_publish_to_write_seconds_bucket{le="+Inf"} 0
fanfare_slow_consumers_total 3
)";
constexpr const char* second = R"(
fanfare_build_info{version="1.2.3"} 1
fanfare_connections{transport="websocket"} 12000
fanfare_http_requests_total{method="",route="",status="404"} 5
fanfare_http_requests_total{method="POST",route="/api/v1/publish",status="200"} 1100
fanfare_messages_published_total 3000
fanfare_process_uptime_seconds 90071
fanfare_publish_to_write_seconds_bucket{le="0.001"} 90
fanfare_publish_to_write_seconds_bucket{le="0.01"} 100
fanfare_publish_to_write_seconds_bucket{le="+Inf"} 100
fanfare_slow_consumers_total 3
)";

} // namespace

TEST_CASE("top: a scrape is read by name and label", "[top]") {
    const Sample one = sample(first);
    CHECK(one.sum("connections") == 12'032); // not connections_max
    CHECK(one.sum("connections", "transport=\"sse\"") == 30);
    CHECK(one.label("build_info", "version") == "1.2.3");
    CHECK(one.label("build_info", "ersion").empty());
    CHECK(one.sum("nothing") == 0);
    CHECK_FALSE(Sample::parse("<html>fanfare_</html>", 0));
    CHECK_FALSE(Sample::parse("go_threads 7\n", 0));
    CHECK_FALSE(Sample::parse("", 0));
}

TEST_CASE("top: quantiles are of what came between the scrapes", "[top]") {
    const auto at = [](double q) {
        return quantile(sample(first), sample(second), "publish_to_write_seconds", q);
    };
    CHECK(at(0.5).value() == Approx(0.001 * 50 / 90));
    CHECK(at(0.99).value() == Approx(0.001 + 0.009 * 0.9));
    CHECK(at(1).value() == Approx(0.01));
    CHECK_FALSE(quantile(sample(first), sample(first), "publish_to_write_seconds", 0.5));
    CHECK_FALSE(quantile(sample(first), sample(second), "nothing", 0.5));
    // Above the last bound only that bound is known; a restart begins from zero.
    const Sample beyond =
        sample("fanfare_t_bucket{le=\"2\"} 1\nfanfare_t_bucket{le=\"+Inf\"} 10\n");
    CHECK(quantile(sample("fanfare_t_bucket{le=\"2\"} 50\nfanfare_t_bucket{le=\"+Inf\"} 50\n"),
                   beyond, "t", 0.5)
              .value() == Approx(2));
}

TEST_CASE("top: the first view has totals, the next ones rates", "[top]") {
    const Sample before = sample(first, 100);
    const Sample now = sample(second, 110);
    View view;
    view.url = "http://h:1";
    view.height = 40;
    const auto once = render(nullptr, before, view);
    CHECK(shows(once, "Fanfare 1.2.3  http://h:1  up 1d 1h"));
    CHECK(shows(once, "connections 12.0 k / 19.4 k   websocket 12.0 k   sse 30   http 2"));
    CHECK(shows(once, "published                        –        1000"));
    const auto twice = render(&before, now, view);
    CHECK(shows(twice, "published                      200        3000"));
    CHECK(shows(twice, "publish to write            556 µs      9.1 ms"));
    CHECK(shows(twice, "trouble earlier: slow clients cut off 3"));
    CHECK(shows(twice, "200 POST /api/v1/publish                               100.0        1100"));
    CHECK(shows(twice, "404  (no route)"));
}

TEST_CASE("top: a gateway that was restarted has counted what it has", "[top]") {
    const Sample before = sample(second, 100);
    const Sample now = sample("fanfare_messages_published_total 50\n", 110);
    CHECK(shows(render(&before, now, {}), "published                      5.0          50"));
}

TEST_CASE("top: trouble that grows is told apart from trouble that was", "[top]") {
    const Sample before =
        sample("fanfare_slow_consumers_total 3\nfanfare_idle_closed_total 1\n", 0);
    const Sample now = sample("fanfare_slow_consumers_total 8\nfanfare_idle_closed_total 1\n", 10);
    View view;
    view.colours = true;
    const auto lines = render(&before, now, view);
    CHECK(shows(lines, "\x1b[1;31mtrouble now: slow clients cut off 0.5/s\x1b[0m"));
    CHECK(shows(lines, "trouble earlier: silent clients closed 1"));
    CHECK(shows(render(nullptr, sample("fanfare_rooms 1\n"), {}), "no trouble since the start"));
}

TEST_CASE("top: the view fits its window and tells when there is no answer", "[top]") {
    View view;
    view.width = 20;
    view.height = 7;
    view.fault = "Connection refused";
    const Sample now = sample(second, 0);
    const auto lines = render(nullptr, now, view);
    CHECK(lines.size() == 7);
    for (const std::string& line : lines) {
        CAPTURE(line);
        CHECK(std::count_if(line.begin(), line.end(),
                            [](char c) { return (c & '\xc0') != '\x80'; }) <= 20);
    }
    CHECK(lines[1] == "no answer: Connectio");
}

} // namespace fanfare::app
