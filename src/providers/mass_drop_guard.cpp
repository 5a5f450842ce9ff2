#include "mass_drop_guard.hpp"

namespace fanfare::providers {

void MassDropGuard::check(PushReading& reading) noexcept {
    wrong_[next_] = reading.wrong_target;
    next_ = (next_ + 1) % window;
    if (wrong_.count() > wrong_max) holds_ = true;
    if (!holds_ || !reading.wrong_target) return;
    reading.outcome.verdict = delivery::PushVerdict::stop;
    reading.alert = true;
}

} // namespace fanfare::providers
