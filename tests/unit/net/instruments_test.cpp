#include <fanfare/net/instruments.hpp>

#include <catch2/catch.hpp>

using namespace fanfare;
using net::HighWater;
using net::PublishLatency;

TEST_CASE("instruments: the high water is the largest of the last half to whole minute",
          "[net][instruments]") {
    Metrics metrics;
    HighWater high{metrics.gauge_max("queue_bytes", "Largest.")};
    const auto shown = [&] { return metrics.sum("queue_bytes"); };
    high.tick(HighWater::window_ms); // the clock begins somewhere
    high.saw(500);
    high.saw(200);
    CHECK(shown() == 500);
    high.tick(2 * HighWater::window_ms - 1);
    CHECK(shown() == 500);
    high.tick(2 * HighWater::window_ms);
    CHECK(shown() == 500); // of the window before
    high.saw(300);
    CHECK(shown() == 500);
    high.tick(3 * HighWater::window_ms);
    CHECK(shown() == 300);
    high.tick(4 * HighWater::window_ms);
    CHECK(shown() == 0);
}

TEST_CASE("instruments: a message counts once per subscriber, when it has been written",
          "[net][instruments]") {
    Metrics metrics;
    Histogram& histogram = metrics.histogram("publish_seconds", "Latency.");
    PublishLatency latency{histogram};
    CHECK(latency.empty());
    latency.note(1'000, 0); // nobody heard it
    CHECK(latency.empty());
    latency.note(1'000, 40);
    latency.note(5'000, 2);
    CHECK(metrics.sum("publish_seconds") == 0);
    latency.written(6'000);
    CHECK(latency.empty());
    CHECK(metrics.sum("publish_seconds") == 42);
    CHECK(histogram.sum() == Approx(40 * 0.005 + 2 * 0.001));
    latency.note(9'000, 1);
    latency.written(8'000); // reactors read the clock one after the other
    CHECK(metrics.sum("publish_seconds") == 43);
    CHECK(histogram.sum() == Approx(40 * 0.005 + 2 * 0.001));
}
