#include <fanfare/net/timer_wheel.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <vector>

using namespace fanfare;
using net::TimerWheel;
using std::chrono::milliseconds;

namespace {

constexpr MonoMillis tick = TimerWheel::tick_ms;

struct Alarm final : TimerWheel::Timer {
    int fired = 0;
    std::function<void()> act;
    void on_timer() override {
        ++fired;
        if (act) act();
    }
};

} // namespace

TEST_CASE("timer wheel: fires at the time set or at most one tick later, on all levels",
          "[net][timer_wheel]") {
    // 64 slots a level: the borders are 64, 64², 64³ and 64⁴ ticks.
    const MonoMillis delay = GENERATE(
        as<MonoMillis>{}, 1, 24, 25, 26, 49, 50, 51, 62 * 25, 63 * 25, 64 * 25, 65 * 25, 1599, 1601,
        4'095 * 25, 4'096 * 25, 4'097 * 25, 102'401, 262'143 * 25, 262'144 * 25, 262'145 * 25 + 3);
    const MonoMillis phase = GENERATE(as<MonoMillis>{}, 0, 1, 12, 24, 25, 1'590, 102'399);
    CAPTURE(delay, phase);
    constexpr MonoMillis start = 7'777;
    TimerWheel wheel{start};
    const MonoMillis now = start + phase;
    wheel.advance(now);
    Alarm alarm;
    wheel.set(alarm, milliseconds{delay});
    CHECK(alarm.armed());
    wheel.advance(now + delay - 1);
    CHECK(alarm.fired == 0);
    wheel.advance(now + delay + tick);
    CHECK(alarm.fired == 1);
    CHECK_FALSE(alarm.armed());
}

TEST_CASE("timer wheel: the top level works too", "[net][timer_wheel]") {
    TimerWheel wheel{0};
    wheel.advance(12);
    Alarm alarm;
    const MonoMillis delay = 16'777'300 * tick; // just beyond 64⁴ ticks
    wheel.set(alarm, milliseconds{delay});
    wheel.advance(12 + delay - 1);
    CHECK(alarm.fired == 0);
    wheel.advance(12 + delay + tick);
    CHECK(alarm.fired == 1);
}

TEST_CASE("timer wheel: no time at all is one tick, for ever is the wheel's reach",
          "[net][timer_wheel]") {
    TimerWheel wheel{0};
    Alarm now;
    Alarm past;
    Alarm never;
    wheel.set(now, milliseconds{0});
    wheel.set(past, milliseconds{-5'000});
    wheel.set(never, milliseconds::max());
    wheel.advance(tick - 1);
    CHECK(now.fired + past.fired == 0);
    wheel.advance(tick);
    CHECK(now.fired == 1);
    CHECK(past.fired == 1);
    CHECK(never.armed());
    wheel.advance(3'600'000);
    CHECK(never.fired == 0);
}

TEST_CASE("timer wheel: delays count from the last time that the wheel was told",
          "[net][timer_wheel]") {
    // A reactor that slept: what it hears then sets timers before the wheel has caught up.
    TimerWheel wheel{0};
    wheel.tell(900);
    Alarm alarm;
    wheel.set(alarm, milliseconds{100});
    wheel.advance(999);
    CHECK(alarm.fired == 0);
    wheel.advance(1'025);
    CHECK(alarm.fired == 1);
}

TEST_CASE("timer wheel: setting an armed timer moves it", "[net][timer_wheel]") {
    TimerWheel wheel{0};
    Alarm alarm;
    wheel.set(alarm, milliseconds{100});
    wheel.set(alarm, milliseconds{500});
    wheel.advance(499);
    CHECK(alarm.fired == 0);
    wheel.set(alarm, milliseconds{50}); // at 499
    wheel.advance(574);
    CHECK(alarm.fired == 1);
    wheel.advance(10'000);
    CHECK(alarm.fired == 1);
}

TEST_CASE("timer wheel: a cancelled or destroyed timer does not fire", "[net][timer_wheel]") {
    TimerWheel wheel{0};
    Alarm alarm;
    auto doomed = std::make_unique<Alarm>();
    Alarm other;
    wheel.set(alarm, milliseconds{100});
    wheel.set(*doomed, milliseconds{100});
    wheel.set(other, milliseconds{100});
    alarm.cancel();
    alarm.cancel();
    CHECK_FALSE(alarm.armed());
    doomed.reset();
    wheel.advance(1'000);
    CHECK(alarm.fired == 0);
    CHECK(other.fired == 1);
}

TEST_CASE("timer wheel: a timer may set itself again in its call", "[net][timer_wheel]") {
    TimerWheel wheel{0};
    Alarm alarm;
    alarm.act = [&] { wheel.set(alarm, milliseconds{50}); };
    wheel.set(alarm, milliseconds{50});
    for (MonoMillis now = 0; now <= 1'000; now += tick) wheel.advance(now);
    CHECK(alarm.fired == 20);
    CHECK(alarm.armed());
}

TEST_CASE("timer wheel: set again while the wheel catches up, it counts from now",
          "[net][timer_wheel]") {
    // After a stall a period must not fire once per period missed.
    TimerWheel wheel{0};
    Alarm alarm;
    alarm.act = [&] { wheel.set(alarm, milliseconds{100}); };
    wheel.set(alarm, milliseconds{100});
    wheel.advance(5'000);
    CHECK(alarm.fired == 1);
    wheel.advance(5'099);
    CHECK(alarm.fired == 1);
    wheel.advance(5'125);
    CHECK(alarm.fired == 2);
}

TEST_CASE("timer wheel: a call may cancel, destroy and set others of the same tick",
          "[net][timer_wheel]") {
    TimerWheel wheel{0};
    Alarm first;
    Alarm cancelled;
    auto destroyed = std::make_unique<Alarm>();
    int destroyed_fired = 0;
    destroyed->act = [&] { ++destroyed_fired; };
    Alarm moved;
    Alarm last;
    first.act = [&] {
        cancelled.cancel();
        destroyed.reset();
        wheel.set(moved, milliseconds{100});
    };
    for (Alarm* const alarm : {&first, &cancelled, destroyed.get(), &moved, &last})
        wheel.set(*alarm, milliseconds{100});
    wheel.advance(125);
    CHECK(first.fired == 1);
    CHECK(cancelled.fired == 0);
    CHECK(destroyed_fired == 0);
    CHECK(moved.fired == 0);
    CHECK(last.fired == 1);
    wheel.advance(250);
    CHECK(moved.fired == 1);
}

TEST_CASE("timer wheel: a timer may destroy itself in its call", "[net][timer_wheel]") {
    TimerWheel wheel{0};
    auto alarm = std::make_unique<Alarm>();
    bool called = false;
    alarm->act = [&] {
        called = true;
        // The function object lives in the timer: nothing may follow.
        alarm.reset();
    };
    wheel.set(*alarm, milliseconds{10});
    wheel.advance(1'000);
    CHECK(called);
    CHECK(alarm == nullptr);
}

TEST_CASE("timer wheel: timers outlive the wheel", "[net][timer_wheel]") {
    std::vector<std::unique_ptr<Alarm>> alarms;
    {
        TimerWheel wheel{0};
        for (const MonoMillis delay : {10, 10, 5'000, 500'000, 50'000'000}) {
            alarms.push_back(std::make_unique<Alarm>());
            wheel.set(*alarms.back(), milliseconds{delay});
        }
    }
    for (const auto& alarm : alarms) CHECK_FALSE(alarm->armed());
}

TEST_CASE("timer wheel: next_in is bounded by its limit and says zero when something is due",
          "[net][timer_wheel]") {
    TimerWheel wheel{0};
    CHECK(wheel.next_in(0, 1'000) == 1'000);
    Alarm alarm;
    wheel.set(alarm, milliseconds{100});
    CHECK(wheel.next_in(0, 1'000) == 100);
    CHECK(wheel.next_in(0, 30) == 30);
    CHECK(wheel.next_in(90, 1'000) == 10);
    CHECK(wheel.next_in(5'000, 1'000) == 0);
}

namespace {

/// Timers under random orders, and what the contract says about each.
class Model {
  public:
    /// `punctual`: time moves in steps that leave no excuse for a timer to be late.
    explicit Model(std::uint32_t seed, bool punctual = false)
        : random_(seed), wheel_(start_), now_(start_), punctual_(punctual) {
        for (int i = 0; i < 60; ++i) {
            auto& timer = timers_.emplace_back();
            timer.alarm = std::make_unique<Alarm>();
            timer.alarm->act = [this, i] { fired(static_cast<std::size_t>(i)); };
        }
    }

    void act() {
        const std::size_t i = pick(timers_.size());
        switch (pick(4)) {
        case 0:
            cancel(i);
            break;
        default:
            set(i);
            break;
        }
    }
    void move_to(MonoMillis now) {
        now_ = now;
        wheel_.advance(now);
        for (const auto& timer : timers_) {
            ok_ = ok_ && timer.alarm->armed() == timer.due.has_value();
            // What is due since a tick or more has fired.
            ok_ = ok_ && (!timer.due || now < *timer.due + tick);
        }
    }
    [[nodiscard]] MonoMillis now() const { return now_; }
    [[nodiscard]] std::int64_t next_in(std::int64_t limit) const {
        return wheel_.next_in(now_, limit);
    }
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] std::size_t fired() const { return fired_; }
    /// Mostly short, at times very long.
    MonoMillis span(double log2_max) {
        return static_cast<MonoMillis>(
            std::exp2(std::uniform_real_distribution<>{0, log2_max}(random_)) - 1);
    }

  private:
    struct Timer {
        std::unique_ptr<Alarm> alarm;
        std::optional<MonoMillis> due;
    };
    std::size_t pick(std::size_t n) { return random_() % n; }
    void set(std::size_t i) {
        const MonoMillis delay = span(24);
        wheel_.set(*timers_[i].alarm, milliseconds{delay});
        timers_[i].due = now_ + delay;
    }
    void cancel(std::size_t i) {
        timers_[i].alarm->cancel();
        timers_[i].due.reset();
    }
    void fired(std::size_t i) {
        ++fired_;
        // Never early, never without being set.
        ok_ = ok_ && timers_[i].due && now_ >= *timers_[i].due;
        if (punctual_) ok_ = ok_ && now_ <= *timers_[i].due + tick;
        timers_[i].due.reset();
        if (pick(3) == 0) set(i);
        if (pick(3) == 0) act();
    }

    static constexpr MonoMillis start_ = 123'456;
    std::mt19937 random_;
    TimerWheel wheel_;
    std::vector<Timer> timers_;
    MonoMillis now_;
    bool punctual_;
    bool ok_ = true;
    std::size_t fired_ = 0;
};

} // namespace

TEST_CASE("timer wheel: any orders, any steps of time: never early, at most one tick late",
          "[net][timer_wheel][property]") {
    const auto seed = GENERATE(range(1U, 21U));
    CAPTURE(seed);
    Model model{seed};
    for (int step = 0; step < 1'000 && model.ok(); ++step) {
        for (int i = 0; i < 3; ++i) model.act();
        model.move_to(model.now() + model.span(18));
    }
    CHECK(model.ok());
    CHECK(model.fired() > 100);
}

TEST_CASE("timer wheel: who sleeps as long as next_in says is never late",
          "[net][timer_wheel][property]") {
    const auto seed = GENERATE(range(101U, 111U));
    const std::int64_t limit = GENERATE(1'000, 1'000'000);
    CAPTURE(seed, limit);
    Model model{seed, true};
    for (int step = 0; step < 5'000 && model.ok(); ++step) {
        if (step % 4 == 0) model.act();
        const std::int64_t sleep = model.next_in(limit);
        // The wheel has caught up: to ask for no sleep at all would spin.
        REQUIRE(sleep > 0);
        REQUIRE(sleep <= limit);
        model.move_to(model.now() + sleep);
    }
    CHECK(model.ok());
    CHECK(model.fired() > 50);
}
