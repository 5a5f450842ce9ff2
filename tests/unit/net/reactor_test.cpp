#include <fanfare/base/metrics.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <support/manual_clock.hpp>
#include <support/memory_transport.hpp>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace fanfare;
using net::Handle;
using net::Owned;
using net::Reactor;
using net::Reactors;

namespace {

struct World {
    explicit World(unsigned count = 1) : reactors(count, clock, metrics) {}
    Reactor& operator[](std::size_t i) { return reactors[i]; }
    void settle() {
        for (int round = 0; round < 4; ++round)
            for (std::size_t i = 0; i < reactors.size(); ++i) reactors[i].run_turn();
    }
    test::ManualClock clock;
    Metrics metrics;
    Reactors reactors;
};

std::vector<int> numbers(int first, int count) {
    std::vector<int> all;
    for (int i = 0; i < count; ++i) all.push_back(first + i);
    return all;
}

/// Boxed: any captures.
std::function<void()> boxed(std::function<void()> act) {
    return act;
}

struct Thing final : Owned {
    explicit Thing(std::function<void()> at_end = {}) : end(std::move(at_end)) {}
    ~Thing() override {
        if (end) end();
    }
    std::function<void()> end;
};

} // namespace

TEST_CASE("reactor: is the current one in its turn and nowhere else", "[net][reactor]") {
    World world{2};
    CHECK(Reactor::current() == nullptr);
    std::array<Reactor*, 2> seen{};
    for (std::size_t i = 0; i < 2; ++i)
        world[i].post(boxed([&seen, i] { seen[i] = Reactor::current(); }));
    world.settle();
    CHECK(seen[0] == &world[0]);
    CHECK(seen[1] == &world[1]);
    CHECK(Reactor::current() == nullptr);
}

TEST_CASE("reactor: posts from outside run in its next turn, in order", "[net][reactor]") {
    World world;
    std::vector<int> ran;
    for (int i = 0; i < 100; ++i) world[0].post([&ran, i] { ran.push_back(i); });
    CHECK(ran.empty());
    world[0].run_turn();
    CHECK(ran == numbers(0, 100));
}

TEST_CASE("reactor: posts to itself run later in the same turn, in order, over any chunks",
          "[net][reactor]") {
    World world;
    std::vector<int> ran;
    world[0].post(boxed([&] {
        for (int i = 1; i <= 100; ++i) world[0].post([&ran, i] { ran.push_back(i); });
        ran.push_back(0); // never in the middle of the poster
    }));
    world[0].run_turn();
    CHECK(ran == numbers(0, 101));
}

TEST_CASE("reactor: posts to another run in that one's turn, in order, over any chunks",
          "[net][reactor]") {
    World world{2};
    std::vector<int> ran;
    world[0].post(boxed([&] {
        for (int i = 0; i < 200; ++i) world[1].post([&ran, i] { ran.push_back(i); });
    }));
    world[0].run_turn();
    CHECK(ran.empty());
    CHECK(world[1].mailbox().backlog() == 200);
    world[1].run_turn();
    CHECK(ran == numbers(0, 200));
}

TEST_CASE("reactor: one turn's posts to another wake it once", "[net][reactor]") {
    World world{2};
    REQUIRE(world[1].mailbox().prepare_sleep());
    world[0].post(boxed([&] {
        for (int i = 0; i < 500; ++i) world[1].post([] {});
    }));
    world[0].run_turn();
    CHECK(world[1].mailbox().wakes() == 1);
    world[1].mailbox().awake();
    world[1].run_turn();
    CHECK(world[1].mailbox().backlog() == 0);
}

TEST_CASE("reactor: a command that posts itself for ever does not hold the turn",
          "[net][reactor]") {
    World world;
    int runs = 0;
    std::function<void()> again = [&] {
        ++runs;
        world[0].post(again);
    };
    world[0].post(again);
    world[0].run_turn();
    const int first = runs;
    CHECK(first >= 2);
    CHECK(first <= 20);
    world[0].run_turn();
    CHECK(runs > first); // and it is not forgotten
}

TEST_CASE("reactor: ping-pong keeps order in both directions", "[net][reactor]") {
    World world{2};
    std::vector<int> ran;
    std::function<void(int)> hit = [&](int n) {
        ran.push_back(n);
        if (n < 20)
            world[static_cast<std::size_t>((n + 1) % 2)].post(boxed([&hit, n] { hit(n + 1); }));
    };
    world[0].post(boxed([&] { hit(0); }));
    for (int i = 0; i < 20; ++i) world.settle();
    CHECK(ran == numbers(0, 21));
}

TEST_CASE("reactor: commands that never ran are destroyed, not run", "[net][reactor]") {
    const auto alive = std::make_shared<int>(0);
    int runs = 0;
    {
        World world{2};
        world[0].post(boxed([&, alive] {
            for (int i = 0; i < 40; ++i) world[1].post([&runs, alive] { ++runs; });
        }));
        world[0].run_turn(); // in the other one's mailbox now
        world[0].post([&runs, alive] { ++runs; });
        CHECK(alive.use_count() == 42);
    }
    CHECK(alive.use_count() == 1);
    CHECK(runs == 0);
}

TEST_CASE("reactor: chunks that it has read serve its own posts", "[net][reactor]") {
    World world{2};
    CHECK(world[1].mailbox().spare_chunks() == 0);
    world[0].post(boxed([&] { world[1].post([] {}); }));
    world.settle();
    CHECK(world[1].mailbox().spare_chunks() == 1);
    int runs = 0;
    for (int i = 0; i < 5; ++i) {
        world[1].post(boxed([&] { world[1].post([&runs] { ++runs; }); }));
        world[1].run_turn();
    }
    CHECK(runs == 5);
    // The self-posts took from the store what they gave back; only posts from outside brought more.
    CHECK(world[1].mailbox().spare_chunks() <= 6);
}

TEST_CASE("reactor: finds what it owns by handle until it is retired", "[net][reactor]") {
    World world;
    bool destroyed = false;
    world[0].post(boxed([&] {
        const Handle handle = world[0].adopt(std::make_unique<Thing>([&] { destroyed = true; }));
        CHECK(handle != 0);
        Owned* const thing = world[0].find(handle);
        REQUIRE(thing != nullptr);
        CHECK(thing->handle() == handle);
        CHECK(world[0].owned() == 1);
        world[0].retire(handle);
        CHECK(world[0].find(handle) == nullptr); // stale at once
        CHECK_FALSE(destroyed);                  // but never in mid-turn
        world[0].retire(handle);                 // idempotent
        world[0].post(boxed([&] { CHECK_FALSE(destroyed); }));
        CHECK(world[0].owned() == 0);
    }));
    world[0].run_turn();
    CHECK(destroyed);
}

TEST_CASE("reactor: a stale handle does not find who has its slot now", "[net][reactor]") {
    World world;
    const Handle old = world[0].adopt(std::make_unique<Thing>());
    world[0].retire(old);
    const Handle fresh = world[0].adopt(std::make_unique<Thing>());
    CHECK(world[0].find(old) == nullptr);
    world[0].retire(old);
    CHECK(world[0].find(fresh) != nullptr);
    CHECK(world[0].find(0) == nullptr);
}

TEST_CASE("reactor: a destructor may retire and post", "[net][reactor]") {
    World world;
    int posted = 0;
    bool second_gone = false;
    const Handle second = world[0].adopt(std::make_unique<Thing>([&] { second_gone = true; }));
    const Handle first = world[0].adopt(std::make_unique<Thing>([&] {
        world[0].retire(second);
        world[0].post([&posted] { ++posted; });
    }));
    world[0].retire(first);
    world[0].run_turn();
    world[0].run_turn();
    CHECK(second_gone);
    CHECK(posted == 1);
}

TEST_CASE("reactor: everything owned is destroyed in the end, chains too", "[net][reactor]") {
    int gone = 0;
    {
        World world;
        Handle last = world[0].adopt(std::make_unique<Thing>([&] { ++gone; }));
        for (int i = 0; i < 10; ++i)
            last = world[0].adopt(std::make_unique<Thing>([&, last] {
                ++gone;
                CHECK(Reactor::current() == &world[0]);
                world[0].retire(last);
            }));
        world[0].adopt(std::make_unique<Thing>([&] {
            ++gone;
            world[0].adopt(std::make_unique<Thing>([&] { ++gone; })); // born late
        }));
        world[0].destroy_owned();
        CHECK(gone == 13);
        CHECK(world[0].owned() == 0);
        world[0].adopt(std::make_unique<Thing>([&] { ++gone; }));
    }
    CHECK(gone == 14);
}

TEST_CASE("reactor: what is destroyed with the reactors may post to any of them",
          "[net][reactor]") {
    // More than a chunk: the posts leave the outbox, towards a reactor that must exist still.
    const auto alive = std::make_shared<int>(0);
    {
        World world{2};
        for (std::size_t from = 0; from < 2; ++from)
            world[from].adopt(std::make_unique<Thing>([&world, alive, from] {
                for (int i = 0; i < 100; ++i) world[1 - from].post([alive] {});
            }));
    }
    CHECK(alive.use_count() == 1);
}

namespace {

struct Peer final : net::OutQueue::Owner, net::TransportHandler {
    Peer() : pipe(std::make_shared<test::MemoryPipe>()), transport(pipe), queue(*this) {
        transport.set_handler(*this);
        queue.attach(&transport);
    }
    void on_drained() override {}
    void on_write_failed(error_code /*why*/) override {}
    void on_readable() override {}
    void on_writable() override {}
    std::shared_ptr<test::MemoryPipe> pipe;
    test::MemoryTransport transport;
    net::OutQueue queue;
};

} // namespace

TEST_CASE("reactor: what a turn and its mail queued is flushed once at its end", "[net][reactor]") {
    World world{2};
    Peer peer;
    world[0].post(boxed([&] {
        for (int i = 0; i < 50; ++i)
            world[1].post([&peer] { peer.queue.push(LocalBytes::copy_of("x")); });
    }));
    world[0].run_turn();
    world[1].run_turn();
    CHECK(peer.pipe->output == std::string(50, 'x'));
    CHECK(peer.pipe->writes == 1);
}

TEST_CASE("reactor: what posts to itself queue leaves in the same turn", "[net][reactor]") {
    World world;
    Peer peer;
    world[0].post(boxed([&] {
        peer.queue.push(LocalBytes::copy_of("a"));
        world[0].post([&peer] { peer.queue.push(LocalBytes::copy_of("b")); });
    }));
    world[0].run_turn();
    CHECK(peer.pipe->output == "ab");
}

namespace {

struct Alarm final : net::TimerWheel::Timer {
    int fired = 0;
    void on_timer() override { ++fired; }
};

struct Bell final : net::PollHandler {
    Bell() : fd(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    ~Bell() { ::close(fd); }
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;
    void on_events(std::uint32_t /*events*/) override {
        eventfd_t value = 0;
        ::eventfd_read(fd, &value);
        ++rings;
        if (act) act();
    }
    int fd;
    int rings = 0;
    std::function<void()> act;
};

} // namespace

TEST_CASE("reactor: a turn looks at the clock, the timers and the poll set", "[net][reactor]") {
    World world;
    Alarm alarm;
    Bell bell;
    REQUIRE(world[0].poll_set().add(bell.fd, bell, EPOLLIN));
    world[0].timers().set(alarm, std::chrono::milliseconds{100});
    const MonoMillis before = world[0].now();
    world[0].run_turn();
    CHECK(bell.rings == 1);
    CHECK(alarm.fired == 0);
    world.clock.advance(125);
    world[0].run_turn();
    CHECK(world[0].now() == before + 125);
    CHECK(alarm.fired == 1);
}

TEST_CASE("reactor: a timer set after a long sleep does not fire at once", "[net][reactor]") {
    // The wheel has slept as long as the reactor; what woke it sets a timer before it catches up.
    World world;
    Alarm alarm;
    Bell bell;
    REQUIRE(world[0].poll_set().add(bell.fd, bell, EPOLLIN));
    bell.act = [&] {
        world[0].timers().set(alarm, std::chrono::milliseconds{100});
        world[0].stop();
    };
    world.clock.advance(900);
    world[0].run();
    CHECK(bell.rings == 1);
    CHECK(alarm.fired == 0);
    CHECK(alarm.armed());
}

TEST_CASE("reactor: newcomers get a slice of a turn, those before them all they need",
          "[net][reactor]") {
    World world;
    std::array<Bell, 20> newcomers;
    for (Bell& bell : newcomers) {
        REQUIRE(world[0].newcomers().add(bell.fd, bell, EPOLLIN));
        bell.act = [&] { world.clock.advance(1); }; // more than a slice each
    }
    const auto served = [&] {
        return std::count_if(newcomers.begin(), newcomers.end(),
                             [](const Bell& bell) { return bell.rings == 1; });
    };
    std::array<Bell, 600> established; // more than one batch
    for (Bell& bell : established) REQUIRE(world[0].poll_set().add(bell.fd, bell, EPOLLIN));
    world[0].run_turn();
    CHECK(served() == 4);
    for (const Bell& bell : established) REQUIRE(bell.rings == 1);
    for (int turn = 2; turn <= 5; ++turn) {
        world[0].run_turn();
        CHECK(served() == 4 * turn);
    }
}

TEST_CASE("reactor: newcomers get a third of a busy turn", "[net][reactor]") {
    World world;
    std::array<Bell, 100> newcomers;
    for (Bell& bell : newcomers) {
        REQUIRE(world[0].newcomers().add(bell.fd, bell, EPOLLIN));
        bell.act = [&] { world.clock.advance(1); };
    }
    Bell busy;
    REQUIRE(world[0].poll_set().add(busy.fd, busy, EPOLLIN));
    const eventfd_t again = 1;
    busy.act = [&] {
        world.clock.advance(100);
        ::eventfd_write(busy.fd, again);
    };
    world[0].run_turn(); // whoever is served first
    const auto served = [&] {
        return std::count_if(newcomers.begin(), newcomers.end(),
                             [](const Bell& bell) { return bell.rings == 1; });
    };
    const auto before = served();
    world[0].run_turn();
    CHECK(busy.rings == 2);
    CHECK(served() - before >= 50); // half of what the other one took, in steps of four
    CHECK(served() - before <= 54);
}

TEST_CASE("reactor: counts its turns and its mail", "[net][reactor]") {
    World world;
    world[0].post([] {});
    world[0].post([] {});
    world[0].run_turn();
    CHECK(world.metrics.sum("reactor_turns_total") == 1);
    CHECK(world.metrics.sum("mailbox_batch_entries") == 1); // batches
    CHECK(world.metrics.text().find("fanfare_mailbox_batch_entries_sum 2\n") != std::string::npos);
    CHECK(world.metrics.sum("reactor_turn_seconds") == 1);
}

TEST_CASE("reactor: one that sleeps wakes when it was asked to", "[net][reactor][threads]") {
    // Without the wish the loop would sleep for a second; what is checked is the order of the
    // clock.
    Metrics metrics;
    Reactor reactor{0, system_clock(), metrics};
    struct Ends final : net::TurnEnd {
        explicit Ends(Reactor& its) : reactor(its) { reactor.add_turn_end(*this); }
        ~Ends() { reactor.remove_turn_end(*this); }
        void on_turn_end() override {
            if (turns++ == 0) {
                wish = system_clock().mono_micros() + 3'000;
                reactor.wake_at(wish + 50'000'000);
                reactor.wake_at(wish); // the earlier one counts
            } else if (reactor.now_micros() >= wish) {
                reactor.stop();
            }
        }
        Reactor& reactor;
        int turns = 0;
        MonoMicros wish = 0;
    } ends{reactor};
    reactor.run();
    CHECK(system_clock().mono_micros() - ends.wish < 500'000);
}

TEST_CASE("reactor: a sleeping one wakes for a post, a timer and a stop",
          "[net][reactor][threads]") {
    Metrics metrics;
    Reactors reactors{2, system_clock(), metrics};
    reactors.start();
    const auto bounded = std::chrono::seconds{20};
    struct Timed final : net::TimerWheel::Timer {
        std::promise<void> done;
        void on_timer() override { done.set_value(); }
    } timed;
    auto fired = timed.done.get_future();
    for (int round = 0; round < 50; ++round) {
        // There and back: each finds the other one asleep or about to sleep.
        auto there = std::make_shared<std::promise<unsigned>>();
        auto back = there->get_future();
        reactors[0].post(boxed([&reactors, there] {
            reactors[1].post(boxed([&reactors, there] {
                reactors[0].post(boxed([there] { there->set_value(Reactor::current()->index()); }));
            }));
        }));
        REQUIRE(back.wait_for(bounded) == std::future_status::ready);
        REQUIRE(back.get() == 0);
    }
    reactors[0].post(boxed([&] { reactors[0].timers().set(timed, std::chrono::milliseconds{1}); }));
    CHECK(fired.wait_for(bounded) == std::future_status::ready);
    reactors.stop();
    reactors.stop();
}

TEST_CASE("reactor: many threads and reactors at once lose and reorder nothing",
          "[net][reactor][threads]") {
    static constexpr std::size_t count = 3;
    static constexpr std::uint32_t each = 5'000;
    Metrics metrics;
    Reactors reactors{count, system_clock(), metrics};
    struct Lane { // touched on its reactor only
        std::array<std::uint32_t, count> next{};
        std::uint32_t total = 0;
        bool in_order = true;
        std::promise<void> done;
    };
    std::array<Lane, count> lanes;
    // Every reactor posts to every reactor, itself included, in bursts.
    std::function<void(std::size_t, std::uint32_t)> burst = [&](std::size_t from,
                                                                std::uint32_t first) {
        for (std::uint32_t n = first; n < first + 100; ++n)
            for (std::size_t to = 0; to < count; ++to)
                reactors[to].post([&lane = lanes[to], from, n] {
                    lane.in_order = lane.in_order && lane.next[from] == n;
                    ++lane.next[from];
                    if (++lane.total == count * each) lane.done.set_value();
                });
        if (first + 100 < each)
            reactors[from].post(boxed([&burst, from, first] { burst(from, first + 100); }));
    };
    std::array<std::future<void>, count> done;
    for (std::size_t i = 0; i < count; ++i) done[i] = lanes[i].done.get_future();
    reactors.start();
    for (std::size_t i = 0; i < count; ++i) reactors[i].post(boxed([&burst, i] { burst(i, 0); }));
    for (auto& one : done)
        CHECK(one.wait_for(std::chrono::seconds{60}) == std::future_status::ready);
    reactors.stop();
    for (const Lane& lane : lanes) {
        CHECK(lane.in_order);
        CHECK(lane.total == count * each);
    }
}

TEST_CASE("reactors: every hash has one home, and all are used", "[net][reactor]") {
    World world{3};
    std::array<int, 3> homes{};
    for (std::uint64_t i = 0; i < 300; ++i) {
        const std::uint64_t hash = i * 0x9e3779b97f4a7c15ULL;
        Reactor& home = world.reactors.home_of(hash);
        CHECK(&home == &world.reactors.home_of(hash));
        ++homes[home.index()];
    }
    for (const int homed : homes) CHECK(homed > 50);
}

TEST_CASE("reactor: a turn is as long as what it does", "[net][reactor]") {
    World world;
    world[0].post(boxed([&] { world.clock.advance(300); }));
    world[0].run_turn();
    const std::string text = world.metrics.text();
    CHECK(text.find("fanfare_reactor_turn_seconds_bucket{le=\"0.25\"} 0\n") != std::string::npos);
    CHECK(text.find("fanfare_reactor_turn_seconds_bucket{le=\"0.5\"} 1\n") != std::string::npos);
    world[0].run_turn();
    CHECK(world.metrics.text().find("fanfare_reactor_turn_seconds_bucket{le=\"5e-05\"} 1\n") !=
          std::string::npos);
}

TEST_CASE("reactor: what blocks its loop shows as lag", "[net][reactor][threads]") {
    Metrics metrics;
    Reactors reactors{1, system_clock(), metrics};
    reactors.start();
    Alarm alarm;
    const auto late = [&] {
        const std::string text = metrics.text();
        return text.find("fanfare_reactor_lag_seconds_bucket{le=\"0.05\"} " +
                         std::to_string(static_cast<int>(metrics.sum("reactor_lag_seconds"))) +
                         "\n") == std::string::npos;
    };
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (!late() && std::chrono::steady_clock::now() < end) {
        std::promise<void> armed;
        std::promise<void> done;
        reactors[0].post(boxed([&] {
            reactors[0].timers().set(alarm, std::chrono::milliseconds{25});
            armed.set_value();
        }));
        armed.get_future().get();
        reactors[0].post(boxed([&] {
            const MonoMillis until = system_clock().mono() + 150;
            while (system_clock().mono() < until) {
            }
            done.set_value();
        }));
        done.get_future().get();
    }
    CHECK(late());
    reactors.stop();
    alarm.cancel();
}
