#include <fanfare/net/timer_wheel.hpp>

#include <algorithm>

namespace fanfare::net {

void TimerWheel::Timer::cancel() noexcept {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
}

TimerWheel::List::List() noexcept {
    next_ = previous_ = this;
}

TimerWheel::TimerWheel(MonoMillis now) : start_(now), now_(now) {}

TimerWheel::~TimerWheel() {
    // Timers may outlive the wheel (a room destroyed after its reactor stopped): unlink them.
    for (auto& level : wheel_)
        for (List& list : level)
            while (list.next_ != &list) list.next_->cancel();
}

void TimerWheel::set(Timer& timer, std::chrono::milliseconds delay) {
    timer.cancel();
    // Counted from the time told, not from the last tick processed: that lies behind after a sleep
    // of the reactor, and while a stalled wheel catches up, so that the timer would fire early.
    constexpr std::int64_t reach = (std::int64_t{1} << (slot_bits * levels)) - 2;
    const std::int64_t wait = std::clamp<std::int64_t>(delay.count(), 0, reach * tick_ms);
    const std::int64_t since_start = now_ - start_;
    const std::int64_t due =
        std::max((since_start + wait + tick_ms - 1) / tick_ms, since_start / tick_ms + 1);
    timer.due_ =
        static_cast<std::uint32_t>(std::min(static_cast<std::uint64_t>(due), tick_ + reach));
    place(timer);
}

void TimerWheel::place(Timer& timer) noexcept {
    const std::uint32_t distance = timer.due_ - static_cast<std::uint32_t>(tick_);
    unsigned level = 0;
    while (level + 1 < levels && (distance >> (slot_bits * (level + 1))) != 0) ++level;
    List& list = wheel_[level][(timer.due_ >> (slot_bits * level)) % slots];
    timer.next_ = &list;
    timer.previous_ = list.previous_;
    list.previous_->next_ = &timer;
    list.previous_ = &timer;
}

void TimerWheel::cascade(unsigned level) {
    List& list = wheel_[level][(tick_ >> (slot_bits * level)) % slots];
    while (list.next_ != &list) {
        Timer& timer = *list.next_;
        timer.cancel();
        place(timer);
    }
}

void TimerWheel::advance(MonoMillis now) {
    now_ = now;
    const auto target = static_cast<std::uint64_t>((now - start_) / tick_ms);
    while (tick_ < target) {
        ++tick_;
        // A level turns when all the levels below it have come round; the highest first, so that
        // what falls is placed before the level below is read.
        unsigned turned = 0;
        while (turned + 1 < levels && ((tick_ >> (slot_bits * turned)) % slots) == 0) ++turned;
        for (unsigned level = turned; level > 0; --level) cascade(level);
        // A timer that sets itself again goes at least one tick ahead, so this ends.
        List& due = wheel_[0][tick_ % slots];
        while (due.next_ != &due) {
            Timer& timer = *due.next_;
            timer.cancel();
            timer.on_timer();
        }
    }
}

std::int64_t TimerWheel::next_in(MonoMillis now, std::int64_t limit) const noexcept {
    const MonoMillis current = start_ + static_cast<std::int64_t>(tick_) * tick_ms;
    for (std::uint32_t ahead = 1; ahead <= slots; ++ahead) {
        const std::uint64_t tick = tick_ + ahead;
        const List& list = wheel_[0][tick % slots];
        // The tick at which the next level turns must not be slept through either.
        if (list.next_ == &list && tick % slots != 0) continue;
        const std::int64_t wait = current + std::int64_t{ahead} * tick_ms - now;
        return std::clamp<std::int64_t>(wait, 0, limit);
    }
    return limit;
}

} // namespace fanfare::net
