#include "breaker.hpp"

#include <algorithm>

namespace fanfare::delivery {

Breaker::State Breaker::state(MonoMillis now) const noexcept {
    if (closed_) return State::closed;
    return now < open_until_ ? State::open : State::half_open;
}

bool Breaker::allows(MonoMillis now) const noexcept {
    const State is = state(now);
    return is == State::closed || (is == State::half_open && !probing_);
}

bool Breaker::sent(MonoMillis /*now*/) noexcept {
    if (closed_) return false;
    probing_ = true;
    return true;
}

Breaker::Change Breaker::answered(Answer answer, bool probe, MonoMillis now) noexcept {
    if (!closed_) {
        if (!probe) return Change::none;
        probing_ = false;
        if (answer != Answer::success) return open(now);
        closed_ = true;
        open_until_ = 0;
        counted_ = {};
        return Change::closed;
    }
    if (answer == Answer::nothing) return Change::none;
    count(answer == Answer::failure, now);
    if (answer == Answer::success) return Change::none;
    const Counts seen = counts(now);
    const bool enough = seen.answers >= options_.answers_min;
    const bool failing =
        static_cast<double>(seen.failures) >= options_.failures * static_cast<double>(seen.answers);
    return enough && failing ? open(now) : Change::none;
}

Breaker::Change Breaker::trip(bool probe, MonoMillis now) noexcept {
    if (probe) probing_ = false;
    return open(now);
}

Breaker::Change Breaker::open(MonoMillis now) noexcept {
    open_until_ = now + options_.open_for.count();
    const bool was_closed = closed_;
    closed_ = false;
    return was_closed ? Change::opened : Change::none;
}

std::int64_t Breaker::slot_number(MonoMillis now) const noexcept {
    const std::int64_t length =
        std::max<std::int64_t>(options_.window.count() / static_cast<std::int64_t>(slots), 1);
    return now / length;
}

void Breaker::count(bool failure, MonoMillis now) noexcept {
    const std::int64_t number = slot_number(now);
    Slot& slot = counted_[static_cast<std::size_t>(number) % slots];
    if (slot.number != number) slot = {number, {}};
    ++slot.counts.answers;
    if (failure) ++slot.counts.failures;
}

Breaker::Counts Breaker::counts(MonoMillis now) const noexcept {
    const std::int64_t number = slot_number(now);
    Counts sum;
    for (const Slot& slot : counted_) {
        if (slot.number <= number - static_cast<std::int64_t>(slots) || slot.number > number)
            continue;
        sum.answers += slot.counts.answers;
        sum.failures += slot.counts.failures;
    }
    return sum;
}

} // namespace fanfare::delivery
