#pragma once
// Thousands of coarse timeouts in O(1) each, without a timer object of the kernel or of Asio per
// connection. A hierarchical wheel: five levels of 64 slots at 25 ms reach 310 days. A timer is a
// base class with two links; setting and cancelling touch its neighbours only.

#include <fanfare/base/clock.hpp>

#include <array>
#include <chrono>
#include <cstdint>

namespace fanfare::net {

class TimerWheel {
  public:
    static constexpr std::int64_t tick_ms = 25;

    /// Derive from it to be called once at a time. Destruction cancels.
    class Timer {
      public:
        Timer() = default;
        Timer(const Timer&) = delete;
        Timer& operator=(const Timer&) = delete;
        virtual ~Timer() { cancel(); }
        [[nodiscard]] bool armed() const noexcept { return next_ != nullptr; }
        void cancel() noexcept;

      protected:
        /// On the wheel's reactor, at or at most one tick after the time set. May set itself again.
        virtual void on_timer() = 0;

      private:
        friend class TimerWheel;
        Timer* next_ = nullptr;
        Timer* previous_ = nullptr;
        std::uint32_t due_ = 0; // tick, its low bits
    };

    explicit TimerWheel(MonoMillis now);
    ~TimerWheel();
    TimerWheel(const TimerWheel&) = delete;
    TimerWheel& operator=(const TimerWheel&) = delete;

    /// Arms (or re-arms) for `delay` from the time told last. Fires never before that, and at most
    /// one tick after; not in the same call of `advance`, whatever the delay.
    void set(Timer& timer, std::chrono::milliseconds delay);
    /// What time it is, without firing anything: `set` counts from the latest time told.
    void tell(MonoMillis now) noexcept { now_ = now; }
    /// Tells the time and fires everything due.
    void advance(MonoMillis now);
    /// Milliseconds until the wheel wants `advance` again; at most `limit`.
    [[nodiscard]] std::int64_t next_in(MonoMillis now, std::int64_t limit) const noexcept;

  private:
    static constexpr unsigned slot_bits = 6;
    static constexpr unsigned slots = 1U << slot_bits;
    static constexpr unsigned levels = 5;
    struct List final : Timer {
        List() noexcept;
        void on_timer() override {}
    };
    void place(Timer& timer) noexcept;
    void cascade(unsigned level);

    std::array<std::array<List, slots>, levels> wheel_;
    MonoMillis start_;
    MonoMillis now_;
    std::uint64_t tick_ = 0; // ticks processed
};

} // namespace fanfare::net
