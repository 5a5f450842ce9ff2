#include "retry.hpp"

#include <algorithm>
#include <chrono>

namespace fanfare::delivery {
namespace {

using Fate = PushResult::Fate;

// What a service asks for at most; more is taken as that. No `expires` is later, and sums stay far
// from the end of the numbers.
constexpr std::int64_t asked_max_ms = std::int64_t{366} * 24 * 3'600 * 1'000;
// What the service never saw comes again soon, since it most often needs another connection only,
// and then more and more slowly: a provider that takes pushes and returns them must not spin.
constexpr std::int64_t unseen_start_ms = 250;
constexpr std::int64_t unseen_cap_ms = 30'000;

/// Twice as long for each time, up to the cap.
std::int64_t doubled(std::int64_t start, std::uint32_t times, std::int64_t cap) {
    std::int64_t value = std::max<std::int64_t>(start, 1);
    for (; times != 0 && value < cap; --times) value *= 2;
    return std::min(value, cap);
}

std::int64_t part(double random, std::int64_t of) {
    return static_cast<std::int64_t>(random * static_cast<double>(of));
}

std::int64_t asked(const PushOutcome& outcome) {
    if (!outcome.retry_after) return 0;
    return std::clamp<std::int64_t>(outcome.retry_after->count(), 0, asked_max_ms);
}

/// `wait`: at least so long. `jitter`: up to so much on top; that alone never makes it too late.
NextStep again(const Tried& tried, std::int64_t wait, std::int64_t jitter, bool counts) {
    if (tried.now + wait >= tried.expires) return {Fate::void_, 0, counts};
    return {Fate::again, std::min(tried.now + wait + jitter, tried.expires - 1), counts};
}

NextStep later(const PushOutcome& outcome, const Tried& tried, const PushOptions& options) {
    if (outcome.not_attempted) {
        const std::int64_t span = doubled(unseen_start_ms, tried.repeats, unseen_cap_ms);
        const std::int64_t wait = std::max(span / 2, asked(outcome));
        return again(tried, wait, part(tried.random, span - span / 2), false);
    }
    if (tried.attempts + 1 >= options.attempts) return {Fate::dead, 0, true};
    // Jitter over the whole span, so that what failed together does not come back together; but
    // for its beginning: Google asks for ten seconds before the first repeat.
    const std::int64_t start = options.backoff_start.count();
    const std::int64_t cap = std::max(options.backoff_cap.count(), start);
    const std::int64_t span = doubled(start, tried.attempts + 1, cap) - start;
    const std::int64_t backoff = start + part(tried.random, span);
    const std::int64_t wait = asked(outcome);
    if (wait <= backoff) return again(tried, backoff, 0, true);
    return again(tried, wait, part(tried.random, std::min(start, wait / 4)), true);
}

} // namespace

NextStep next_step(const PushOutcome& outcome, const Tried& tried, const PushOptions& options) {
    const bool counts = !outcome.not_attempted;
    switch (outcome.verdict) {
    case PushVerdict::done:
        return {Fate::sent, 0, counts};
    case PushVerdict::drop_device:
        return {Fate::dropped, 0, counts};
    case PushVerdict::fix:
        return {Fate::dead, 0, counts};
    case PushVerdict::later:
        return later(outcome, tried, options);
    // Both are troubles of the credential, not of this push: they do not use up its attempts.
    case PushVerdict::pause:
        return again(tried, std::max<std::int64_t>(asked(outcome), 1), 0, false);
    case PushVerdict::stop:
        return again(tried, options.breaker.open_for.count(), 0, false);
    }
    return {Fate::dead, 0, counts};
}

} // namespace fanfare::delivery
