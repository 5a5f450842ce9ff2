#include "reactor_watch.hpp"

#include <catch2/catch.hpp>

#include <support/manual_clock.hpp>

namespace fanfare::app {
namespace {

using namespace std::chrono_literals;

/// Two reactors that turn when they are told to, and checks every 250 ms of a limit of one second.
struct World {
    test::ManualClock clock;
    Metrics metrics;
    net::Reactors reactors{2, clock, metrics};
    ReactorWatch watch{reactors};
    MonoMillis now = 1'000;

    std::size_t check_after(std::chrono::milliseconds pause) {
        now += pause.count();
        return watch.check(now, 1s);
    }
    void turn(std::size_t reactor) { reactors[reactor].run_turn(); }
};

TEST_CASE("reactor watch: reactors that turn are not stuck, however long it lasts",
          "[app][watch]") {
    World world;
    for (int i = 0; i < 100; ++i) {
        CHECK(world.check_after(250ms) == 0);
        world.turn(0);
        world.turn(1);
    }
}

TEST_CASE("reactor watch: one that does not turn is stuck after the limit, until it does",
          "[app][watch]") {
    World world;
    CHECK(world.check_after(250ms) == 0); // the beats leave
    std::size_t stuck = 0;
    int checks = 0;
    while (stuck == 0 && checks < 100) {
        world.turn(0);
        stuck = world.check_after(250ms);
        ++checks;
    }
    CHECK(stuck == 1);
    CHECK(checks == 5); // the first that is later than one second
    CHECK(world.check_after(250ms) == 1);
    world.turn(0);
    world.turn(1);
    CHECK(world.check_after(250ms) == 0);
    // And the same again: a beat was sent by the check that saw the answer.
    for (int i = 0; i < 4; ++i) CHECK(world.check_after(250ms) == 0);
    CHECK(world.check_after(250ms) == 2); // now nobody turned
}

TEST_CASE("reactor watch: a pause of the whole process is nobody's fault", "[app][watch]") {
    World world;
    CHECK(world.check_after(250ms) == 0);
    // SIGSTOP, an hour, SIGCONT: the checker runs before the reactors do.
    CHECK(world.check_after(1h) == 0);
    world.turn(0);
    world.turn(1);
    CHECK(world.check_after(250ms) == 0);
}

TEST_CASE("reactor watch: beats may outlive it", "[app][watch]") {
    test::ManualClock clock;
    Metrics metrics;
    net::Reactors reactors{1, clock, metrics};
    CHECK(ReactorWatch{reactors}.check(1'000, 1s) == 0);
    reactors[0].run_turn();
}

} // namespace
} // namespace fanfare::app
