// Which slices are asked for and placed, and when: the log and the inboxes are played by the test.

#include "support/manual_clock.hpp"

#include <fanfare/delivery/send_expander.hpp>
#include <fanfare/net/reactor.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fanfare::delivery {
namespace {

using namespace std::chrono_literals;
using fanfare::test::ManualClock;

/// Slices of sends in the order of their numbers, as the store gives them.
class MemorySends final : public SendLog {
  public:
    void on_work(std::function<void()> tell) override { tell_ = std::move(tell); }
    void next(Priority priority, std::int64_t after, std::function<void(SendSlice)> done) override {
        ++asked;
        SendSlice slice;
        if (failing) {
            slice.code = Code::unavailable;
        } else {
            auto& lane = sends[priority];
            auto at = lane.upper_bound(after);
            if (at == lane.end()) at = lane.begin();
            slice.none = at == lane.end();
            if (!slice.none) {
                slice.order.priority = priority;
                slice.order.step.emplace();
                slice.order.step->send = at->first;
                slice.order.step->last = at->second == 1;
            }
        }
        answers.push_back([slice = std::move(slice), done = std::move(done)] { done(slice); });
    }
    void tell() const { tell_(); }

    std::map<Priority, std::map<std::int64_t, int>> sends; // slices that are left
    bool failing = false;
    std::size_t asked = 0;
    std::deque<std::function<void()>> answers;

  private:
    std::function<void()> tell_;
};

struct World {
    World() {
        expander = std::make_unique<SendExpander>(
            reactors[0], log, [this](Order order, std::function<void(const Placed&)> done) {
                placed.push_back(std::to_string(order.step->send));
                Placed answer;
                answer.code = code;
                if (code == Code::ok) {
                    auto& lane = log.sends[order.priority];
                    if (--lane[order.step->send] == 0) lane.erase(order.step->send);
                }
                log.answers.push_back([answer, done = std::move(done)] { done(answer); });
            });
    }
    ~World() {
        expander.reset();
        reactors.stop();
    }
    /// Answers one question after the other, until none is open or `most` were answered.
    void run(std::size_t most = 1'000) {
        reactors[0].run_turn();
        for (; most > 0 && !log.answers.empty(); --most) {
            const auto answer = std::move(log.answers.front());
            log.answers.pop_front();
            const net::Reactor::Scope scope{reactors[0]};
            answer();
        }
        reactors[0].run_turn();
    }
    void pass(std::chrono::milliseconds time) {
        clock.advance(time);
        run();
    }
    std::string shown() {
        std::string text;
        for (const std::string& each : std::exchange(placed, {}))
            text += (text.empty() ? "" : " ") + each;
        return text;
    }

    ManualClock clock;
    Metrics metrics;
    net::Reactors reactors{1, clock, metrics};
    MemorySends log;
    Code code = Code::ok;
    std::vector<std::string> placed;
    std::unique_ptr<SendExpander> expander;
};

} // namespace

TEST_CASE("send expander: what is there at the start is placed to its end", "[delivery][sends]") {
    World world;
    world.log.sends[Priority::normal] = {{1, 3}};
    world.run();
    CHECK(world.placed.empty()); // not started
    world.expander->start();
    world.run();
    CHECK(world.shown() == "1 1 1");
    const std::size_t asked = world.log.asked;
    world.pass(10min);
    CHECK(world.log.asked == asked); // nobody asks for nothing
}

TEST_CASE("send expander: sends of a priority take turns", "[delivery][sends]") {
    World world;
    world.log.sends[Priority::normal] = {{1, 3}, {2, 1}, {5, 2}};
    world.expander->start();
    world.run();
    CHECK(world.shown() == "1 2 5 1 5 1");
}

TEST_CASE("send expander: a priority has one slice on its way and waits for no other",
          "[delivery][sends]") {
    World world;
    world.log.sends[Priority::low] = {{1, 100}};
    world.expander->start();
    world.run(4 + 3); // each lane has asked; the slices of one are under way
    const std::size_t low = world.placed.size();
    CHECK(low >= 1);
    CHECK(world.log.answers.size() == 1);
    world.log.sends[Priority::critical] = {{9, 1}};
    world.log.tell();
    world.run(4 + 2);
    CHECK(std::count(world.placed.begin(), world.placed.end(), "9") == 1);
    CHECK(world.log.sends[Priority::low].at(1) > 90);
}

TEST_CASE("send expander: one that comes while the last answer is on its way is not missed",
          "[delivery][sends]") {
    World world;
    world.expander->start();
    world.run(0);
    REQUIRE(world.log.answers.size() == 4); // "none", for each priority
    world.log.sends[Priority::high] = {{1, 1}};
    world.log.tell();
    world.run();
    CHECK(world.shown() == "1");
}

TEST_CASE("send expander: a full queue and a disk that fails are tried again",
          "[delivery][sends]") {
    World world;
    world.log.sends[Priority::normal] = {{1, 2}};
    world.code = Code::unavailable;
    world.expander->start();
    world.run();
    CHECK(world.shown() == "1");
    world.pass(100ms);
    CHECK(world.shown().empty());
    world.code = Code::ok;
    world.log.failing = true;
    world.pass(300ms);
    CHECK(world.shown().empty());
    world.log.failing = false;
    world.pass(300ms);
    CHECK(world.shown() == "1 1");
}

TEST_CASE("send expander: a slice that was placed already is read again", "[delivery][sends]") {
    World world;
    world.log.sends[Priority::normal] = {{1, 1}};
    world.code = Code::conflict;
    world.expander->start();
    world.run(6);
    CHECK(world.placed.size() >= 1);
    world.code = Code::ok;
    world.run();
    CHECK(world.log.sends[Priority::normal].empty());
}

TEST_CASE("send expander: after its end nothing begins, and late answers find nobody",
          "[delivery][sends]") {
    World world;
    world.log.sends[Priority::normal] = {{1, 50}};
    world.expander->start();
    world.run(5);
    const std::size_t placed = world.placed.size();
    SECTION("stopped") {
        world.expander->stop();
    }
    SECTION("gone") {
        world.expander.reset();
    }
    world.run();
    CHECK(world.placed.size() <= placed);
    world.log.tell();
    world.pass(1min);
    CHECK(world.placed.size() <= placed);
}

TEST_CASE("send view: its status and what remains", "[delivery][sends]") {
    SendView send;
    CHECK(send.status() == Status::pending);
    CHECK(send.remaining() == 1); // nobody knows yet
    send.began = 1;
    send.accepted = 2;
    send.counts[static_cast<std::size_t>(Status::failed)] = 2;
    CHECK(send.status() == Status::processing);
    CHECK(send.remaining() == 1); // all there are so far are settled, and more may come
    send.expanded = 1;
    CHECK(send.remaining() == 0);
    CHECK(send.status() == Status::failed);
    send.accepted = 5;
    CHECK(send.remaining() == 3);
    CHECK(send.status() == Status::processing);
    send.counts[static_cast<std::size_t>(Status::expired)] = 1;
    send.counts[static_cast<std::size_t>(Status::suppressed)] = 1;
    send.counts[static_cast<std::size_t>(Status::delivered)] = 1;
    CHECK(send.sent() == 1);
    CHECK(send.status() == Status::sent);
    SendView none;
    none.began = none.expanded = 1;
    CHECK(none.status() == Status::sent);
    none.cut = true;
    CHECK(none.status() == Status::expired);
}

} // namespace fanfare::delivery
