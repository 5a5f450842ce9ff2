#include <fanfare/base/metrics.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <support/manual_clock.hpp>
#include <thread>
#include <utility>
#include <vector>

using namespace fanfare;
using net::BlockingTask;
using net::BlockingTasks;
using net::BlockingThread;
using net::Reactor;

namespace {

/// Two hooks.
struct Step final : BlockingTask {
    explicit Step(std::function<void()> work, std::function<void()> tell = {})
        : work_(std::move(work)), tell_(std::move(tell)) {}
    void run() override {
        if (work_) work_();
    }
    void done() override {
        if (tell_) tell_();
    }

  private:
    std::function<void()> work_;
    std::function<void()> tell_;
};

/// Reactors that the test turns by hand, or that have threads.
struct World {
    explicit World(unsigned count = 1) : reactors(count, clock, metrics) {}
    void post(BlockingThread& thread, std::size_t from, std::function<void()> work,
              std::function<void()> tell = {}) {
        const Reactor::Scope scope{reactors[from]};
        thread.post(std::make_unique<Step>(std::move(work), std::move(tell)));
    }
    void turn_until(const std::function<bool()>& holds) {
        while (!holds())
            for (std::size_t i = 0; i < reactors.size(); ++i) reactors[i].run_turn();
    }
    test::ManualClock clock;
    Metrics metrics;
    net::Reactors reactors;
};

std::vector<int> numbers(int count) {
    std::vector<int> all;
    for (int i = 0; i < count; ++i) all.push_back(i);
    return all;
}

} // namespace

TEST_CASE("blocking thread: tasks run in order, on its thread, and are told on their reactor",
          "[net][blocking]") {
    World world{2};
    BlockingThread thread{"test"};
    std::vector<int> ran;
    std::array<std::vector<int>, 2> told;
    bool elsewhere = true;
    int wrong_reactor = 0;
    const std::thread::id here = std::this_thread::get_id();
    for (int i = 0; i < 100; ++i) {
        const auto from = static_cast<std::size_t>(i % 2);
        world.post(
            thread, from,
            [&, i] {
                ran.push_back(i);
                elsewhere = elsewhere && std::this_thread::get_id() != here &&
                            Reactor::current() == nullptr;
            },
            [&, i, from] {
                if (Reactor::current() != &world.reactors[from]) ++wrong_reactor;
                told[from].push_back(i / 2);
            });
    }
    world.turn_until([&] { return told[0].size() + told[1].size() == 100; });
    CHECK(ran == numbers(100));
    CHECK(told[0] == numbers(50));
    CHECK(told[1] == numbers(50));
    CHECK(elsewhere);
    CHECK(wrong_reactor == 0);
}

TEST_CASE("blocking thread: nothing that many reactors post is lost or out of order",
          "[net][blocking]") {
    constexpr unsigned posters = 4;
    constexpr int each = 5'000;
    World world{posters};
    std::vector<std::vector<int>> ran(posters);  // the blocking thread's
    std::vector<std::vector<int>> told(posters); // each reactor's own
    std::atomic<int> left{posters * each};
    std::promise<void> over;
    {
        BlockingThread thread{"test"};
        world.reactors.start();
        // From turn to turn, so that posts meet a thread that works, and one that sleeps.
        std::function<void(unsigned, int)> go = [&](unsigned from, int begin) {
            for (int n = begin; n < begin + 10; ++n)
                thread.post(std::make_unique<Step>([&, from, n] { ran[from].push_back(n); },
                                                   [&, from, n] {
                                                       told[from].push_back(n);
                                                       if (--left == 0) over.set_value();
                                                   }));
            if (begin + 10 < each)
                world.reactors[from].post([&go, from, begin] { go(from, begin + 10); });
        };
        for (unsigned from = 0; from < posters; ++from)
            world.reactors[from].post([&go, from] { go(from, 0); });
        over.get_future().wait();
        world.reactors.stop();
    }
    for (unsigned from = 0; from < posters; ++from) {
        CHECK(ran[from] == numbers(each));
        CHECK(told[from] == numbers(each));
    }
}

TEST_CASE("blocking thread: stop runs and tells what was posted before it", "[net][blocking]") {
    World world;
    std::vector<int> ran;
    std::vector<int> told;
    {
        std::promise<void> go; // outlives the thread, which may still be in its wait
        BlockingThread thread{"test"};
        // It is held in the first task until it was stopped with the others waiting behind.
        world.post(thread, 0, [&] { go.get_future().wait(); });
        for (int i = 0; i < 50; ++i)
            world.post(
                thread, 0, [&, i] { ran.push_back(i); }, [&, i] { told.push_back(i); });
        thread.stop();
        thread.stop();
        go.set_value();
    }
    CHECK(ran == numbers(50));
    world.turn_until([&] { return told.size() == 50; });
    CHECK(told == numbers(50));
}

TEST_CASE("blocking thread: what was not told is destroyed with its reactor", "[net][blocking]") {
    const auto alive = std::make_shared<int>();
    {
        World world;
        BlockingThread thread{"test"};
        world.post(
            thread, 0, [alive] {}, [alive] { FAIL("the reactor never turned"); });
    }
    CHECK(alive.use_count() == 1);
}

TEST_CASE("blocking thread: a life of its own takes batches, times out and is woken",
          "[net][blocking]") {
    World world;
    std::promise<void> blocked;
    std::promise<void> release;
    std::vector<std::size_t> batches; // sizes
    std::atomic<int> empty{0};
    std::atomic<int> told{0};
    {
        BlockingThread thread{
            "test", [&](BlockingThread& self) {
                BlockingTasks tasks;
                while (self.take(tasks, std::chrono::milliseconds{batches.size() < 2 ? -1 : 1})) {
                    if (tasks.empty()) {
                        ++empty;
                        continue;
                    }
                    batches.push_back(tasks.size());
                    if (batches.size() == 1) {
                        blocked.set_value();
                        release.get_future().wait();
                    }
                    self.complete(std::move(tasks));
                    tasks = BlockingTasks{};
                }
            }};
        thread.wake(); // with nothing to do: take returns with nothing
        while (empty == 0) std::this_thread::yield();
        world.post(thread, 0, {}, [&] { ++told; });
        blocked.get_future().wait();
        for (int i = 0; i < 7; ++i) world.post(thread, 0, {}, [&] { ++told; });
        release.set_value();
        world.turn_until([&] { return told == 8; });
        while (empty < 3) std::this_thread::yield(); // its timeout
    }
    CHECK(batches == std::vector<std::size_t>{1, 7});
}
