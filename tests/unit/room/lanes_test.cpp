#include <fanfare/room/lanes.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <string>

using namespace fanfare::room;

namespace {

struct Log {
    Lanes lanes;
    std::string text;

    /// A step that is over at once, or with `release`.
    void step(fanfare::net::Handle lane, char name, bool over) {
        lanes.run(lane, [this, name, over] {
            text += name;
            return over;
        });
    }
};

} // namespace

TEST_CASE("lanes: a step that is over at once leaves no lane behind", "[room]") {
    Log log;
    log.step(1, 'a', true);
    log.step(1, 'b', true);
    CHECK(log.text == "ab");
    CHECK_FALSE(log.lanes.busy(1));
}

TEST_CASE("lanes: steps wait for the one that is not over", "[room]") {
    Log log;
    log.step(1, 'a', false);
    CHECK(log.lanes.busy(1));
    CHECK_FALSE(log.lanes.busy(2));
    log.step(1, 'b', true);
    log.step(1, 'c', false);
    log.step(1, 'd', true);
    log.step(2, 'x', true); // another lane does not wait
    CHECK(log.text == "ax");
    log.lanes.release(1);
    CHECK(log.text == "axbc");
    CHECK(log.lanes.busy(1));
    log.lanes.release(1);
    CHECK(log.text == "axbcd");
    CHECK_FALSE(log.lanes.busy(1));
    log.step(1, 'e', true);
    CHECK(log.text == "axbcde");
}

TEST_CASE("lanes: no lane is never waited for", "[room]") {
    Log log;
    log.step(0, 'a', false);
    log.step(0, 'b', false);
    CHECK(log.text == "ab");
    CHECK_FALSE(log.lanes.busy(0));
    log.lanes.release(0); // of no use, no harm
    log.lanes.release(9);
    CHECK(log.text == "ab");
}

TEST_CASE("lanes: a step may release its own lane before it returns", "[room]") {
    Log log;
    const auto at_once = [&log](char name) {
        log.lanes.run(1, [&log, name] {
            log.text += name;
            log.lanes.release(1);
            return false;
        });
    };
    at_once('a');
    CHECK_FALSE(log.lanes.busy(1));
    log.step(1, 'b', false);
    at_once('c');
    at_once('d');
    log.step(1, 'e', true);
    CHECK(log.text == "ab");
    log.lanes.release(1);
    CHECK(log.text == "abcde");
    CHECK_FALSE(log.lanes.busy(1));
}

TEST_CASE("lanes: a step may add to its own lane and to others", "[room]") {
    Log log;
    log.lanes.run(1, [&log] {
        log.text += 'a';
        log.step(1, 'c', true);
        for (fanfare::net::Handle lane = 2; lane < 100; ++lane) log.step(lane, '.', false);
        log.text += 'b';
        return true;
    });
    CHECK(log.text == "a" + std::string(98, '.') + "bc");
    CHECK_FALSE(log.lanes.busy(1));
    CHECK(log.lanes.busy(99));
}

TEST_CASE("lanes: a long queue does not need a deep stack", "[room]") {
    // As it is when a store answers late, and then a cache at once.
    Log log;
    constexpr int steps = 200'000;
    int run = 0;
    log.step(1, 'a', false);
    for (int i = 0; i < steps; ++i)
        log.lanes.run(1, [&log, &run] {
            ++run;
            log.lanes.release(1);
            return false;
        });
    CHECK(run == 0);
    log.lanes.release(1);
    CHECK(run == steps);
    CHECK_FALSE(log.lanes.busy(1));
}
