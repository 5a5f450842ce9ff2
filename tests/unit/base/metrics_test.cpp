#include <fanfare/base/metrics.hpp>

#include <catch2/catch.hpp>

#include <thread>

using namespace fanfare;
using Catch::Contains;

TEST_CASE("metrics: cells of one series are summed", "[metrics]") {
    Metrics metrics;
    Counter& one = metrics.counter("messages_out_total", "Messages sent.", {{"form", "sse"}});
    Counter& two = metrics.counter("messages_out_total", "Messages sent.", {{"form", "sse"}});
    Counter& other = metrics.counter("messages_out_total", "Messages sent.", {{"form", "ws"}});
    CHECK(&one != &two);
    one.add();
    two.add(40);
    other.add(5);
    CHECK(metrics.text() == "# HELP fanfare_messages_out_total Messages sent.\n"
                            "# TYPE fanfare_messages_out_total counter\n"
                            "fanfare_messages_out_total{form=\"sse\"} 41\n"
                            "fanfare_messages_out_total{form=\"ws\"} 5\n");
    CHECK(metrics.sum("messages_out_total") == 46);
}

TEST_CASE("metrics: labels are one set, whatever their order", "[metrics]") {
    Metrics metrics;
    metrics.counter("closed_total", "Closed.", {{"code", "1001"}, {"by", "server"}}).add();
    metrics.counter("closed_total", "Closed.", {{"by", "server"}, {"code", "1001"}}).add();
    CHECK_THAT(metrics.text(), Contains("fanfare_closed_total{by=\"server\",code=\"1001\"} 2\n"));
}

TEST_CASE("metrics: label values are escaped", "[metrics]") {
    Metrics metrics;
    metrics.counter("odd_total", "Odd.", {{"value", "a\"b\\c\nd"}}).add();
    CHECK_THAT(metrics.text(), Contains(R"(fanfare_odd_total{value="a\"b\\c\nd"} 1)"));
}

TEST_CASE("metrics: gauges go both ways, asked ones are asked at scrape", "[metrics]") {
    Metrics metrics;
    Gauge& sessions = metrics.gauge("sessions", "Sessions now.");
    Gauge& more = metrics.gauge("sessions", "Sessions now.");
    sessions.add(3);
    sessions.add(-1);
    more.set(-7);
    CHECK(metrics.sum("sessions") == -5);
    double seconds = 1.5;
    metrics.gauge_from("uptime_seconds", "Since the start.", [&] { return seconds; });
    CHECK_THAT(metrics.text(), Contains("# TYPE fanfare_uptime_seconds gauge\n"
                                        "fanfare_uptime_seconds 1.5\n"));
    seconds = 2;
    CHECK_THAT(metrics.text(), Contains("fanfare_uptime_seconds 2\n"));
}

TEST_CASE("metrics: histograms have cumulative buckets", "[metrics]") {
    Metrics metrics;
    Histogram& one = metrics.histogram("publish_seconds", "Time to publish.");
    Histogram& two = metrics.histogram("publish_seconds", "Time to publish.");
    one.observe(0.00005); // a bound belongs to its bucket
    one.observe(0.75);
    two.observe(0.75);
    two.observe(60);
    const std::string text = metrics.text();
    CHECK_THAT(text, Contains("# TYPE fanfare_publish_seconds histogram\n"));
    CHECK_THAT(text, Contains("fanfare_publish_seconds_bucket{le=\"0.5\"} 1\n"));
    CHECK_THAT(text, Contains("fanfare_publish_seconds_bucket{le=\"1\"} 3\n"));
    CHECK_THAT(text, Contains("fanfare_publish_seconds_bucket{le=\"10\"} 3\n"));
    CHECK_THAT(text, Contains("fanfare_publish_seconds_bucket{le=\"+Inf\"} 4\n"));
    CHECK_THAT(text, Contains("fanfare_publish_seconds_count 4\n"));
    CHECK_THAT(text, Contains("fanfare_publish_seconds_sum 61.5"));
    CHECK(metrics.sum("publish_seconds") == 4);
}

TEST_CASE("metrics: families are sorted by name", "[metrics]") {
    Metrics metrics;
    static_cast<void>(metrics.gauge("rooms", "Rooms."));
    static_cast<void>(metrics.counter("bytes_total", "Bytes."));
    static_cast<void>(metrics.gauge("connections", "Connections."));
    const std::string text = metrics.text();
    CHECK(text.find("fanfare_bytes_total") < text.find("fanfare_connections"));
    CHECK(text.find("fanfare_connections") < text.find("fanfare_rooms"));
}

TEST_CASE("metrics: an unknown series sums to nothing, an empty registry is empty", "[metrics]") {
    const Metrics metrics;
    CHECK(metrics.sum("nothing_total") == 0);
    CHECK(metrics.text().empty());
}

TEST_CASE("metrics: threads count while others register and scrape", "[metrics][threads]") {
    Metrics metrics;
    constexpr int threads_count = 4;
    constexpr int rounds = 5'000;
    std::vector<std::thread> threads;
    for (int i = 0; i < threads_count; ++i)
        threads.emplace_back([&metrics, i] {
            Counter& counter = metrics.counter("work_total", "Work.");
            Histogram& histogram = metrics.histogram("work_seconds", "Work.");
            Gauge& gauge = metrics.gauge("workers", "Workers.", {{"n", std::to_string(i)}});
            gauge.set(1);
            for (int n = 0; n < rounds; ++n) {
                counter.add();
                histogram.observe(0.25);
            }
        });
    double last = 0;
    for (int i = 0; i < 50; ++i) {
        static_cast<void>(metrics.text());
        const double now = metrics.sum("work_total");
        CHECK(now >= last);
        last = now;
    }
    for (auto& thread : threads) thread.join();
    CHECK(metrics.sum("work_total") == threads_count * rounds);
    CHECK(metrics.sum("work_seconds") == threads_count * rounds);
    CHECK(metrics.sum("workers") == threads_count);
}

TEST_CASE("metrics: of a maximum's cells the largest counts", "[metrics]") {
    Metrics metrics;
    metrics.gauge_max("queue_bytes", "Largest.").set(7);
    metrics.gauge_max("queue_bytes", "Largest.").set(30);
    metrics.gauge_max("queue_bytes", "Largest.").set(11);
    CHECK(metrics.sum("queue_bytes") == 30);
    CHECK_THAT(metrics.text(), Contains("# TYPE fanfare_queue_bytes gauge\n"
                                        "fanfare_queue_bytes 30\n"));
}

TEST_CASE("metrics: a counter may be asked for at scrape", "[metrics]") {
    Metrics metrics;
    double seconds = 2.5;
    metrics.counter_from("cpu_seconds_total", "Processor time.", [&] { return seconds; });
    CHECK_THAT(metrics.text(), Contains("# TYPE fanfare_cpu_seconds_total counter\n"
                                        "fanfare_cpu_seconds_total 2.5\n"));
    seconds = 3;
    CHECK(metrics.sum("cpu_seconds_total") == 3);
}

TEST_CASE("metrics: a histogram of entries has bounds that count, and takes many at once",
          "[metrics]") {
    Metrics metrics;
    Histogram& batches = metrics.histogram("batch_entries", "Sizes.");
    batches.observe(3, 2);
    batches.observe(33'000);
    const std::string text = metrics.text();
    CHECK_THAT(text, Contains("fanfare_batch_entries_bucket{le=\"2\"} 0\n"));
    CHECK_THAT(text, Contains("fanfare_batch_entries_bucket{le=\"4\"} 2\n"));
    CHECK_THAT(text, Contains("fanfare_batch_entries_bucket{le=\"32768\"} 2\n"));
    CHECK_THAT(text, Contains("fanfare_batch_entries_bucket{le=\"+Inf\"} 3\n"));
    CHECK_THAT(text, Contains("fanfare_batch_entries_sum 33006\n"));
}

TEST_CASE("metrics: a family makes a counter for each value, once per reactor", "[metrics]") {
    Metrics metrics;
    CounterFamily one{metrics, "handshakes_total", "By outcome.", "outcome"};
    CounterFamily two{metrics, "handshakes_total", "By outcome.", "outcome"};
    one["accepted"].add(2);
    one["accepted"].add();
    two["accepted"].add();
    two["forbidden"].add();
    CHECK(&one["accepted"] == &one["accepted"]);
    CHECK_THAT(metrics.text(), Contains("fanfare_handshakes_total{outcome=\"accepted\"} 4\n"
                                        "fanfare_handshakes_total{outcome=\"forbidden\"} 1\n"));
}
