#include "credential.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace fanfare::delivery {
namespace {

using Milliseconds = std::chrono::milliseconds;

struct Share {
    std::size_t of;
    std::size_t parts;
};
constexpr std::array<Share, push_lanes.size()> shares{{{1, 1}, {9, 10}, {3, 4}, {1, 2}}};

// So often a lane is passed over before it has its turn.
constexpr std::size_t passed_over_max = 20;

// A service that asks for a pause without a time: Google says a minute, and longer each time.
constexpr std::int64_t pause_start_ms = 60'000;
constexpr std::int64_t pause_cap_ms = 15 * 60'000;
// Whatever a service asks for, after a day one push asks again.
constexpr std::int64_t pause_max_ms = 24 * 3'600'000;

Breaker::Answer answer_of(const PushOutcome& outcome) noexcept {
    // 429 is the word of a service that works; so is all that it says of one push or device.
    constexpr int too_many_requests = 429;
    if (outcome.not_attempted || outcome.verdict == PushVerdict::pause)
        return Breaker::Answer::nothing;
    if (outcome.verdict == PushVerdict::later && outcome.status != too_many_requests)
        return Breaker::Answer::failure;
    return Breaker::Answer::success;
}

} // namespace

Credential::Credential(Provider& to, PushMetrics& metrics, const PushOptions& options,
                       MonoMillis now)
    : provider(to), name(to.name()), app(to.app()), metrics_(metrics), breaker_(options.breaker) {
    set_options(options);
    metrics_.is_in_state(shown_state_);
    show_state(now);
}

Credential::~Credential() {
    metrics_.left_state(shown_state_);
}

void Credential::set_options(const PushOptions& options) {
    breaker_.set_options(options.breaker);
    open_for_ms_ = options.breaker.open_for.count();
    double per_second = 0;
    for (const ProviderRate& one : options.provider_rates)
        if (one.provider == name && one.app == app) per_second = one.per_second;
    rate_ = Rate::per_second(per_second);
}

bool Credential::anything_waits() const noexcept {
    return std::any_of(queues_.begin(), queues_.end(),
                       [](const LaneQueue& queue) { return !queue.waiting.empty(); });
}

// How many may be in flight, all lanes together, after one more of `lane`.
std::size_t Credential::places(Priority lane) const {
    const std::size_t all = in_flight + provider.room();
    const Share share = shares[lane_index(lane)];
    // Never none: where there is one place only, everybody uses it.
    const std::size_t mine = (all * share.of + share.parts - 1) / share.parts;
    return ramp_ == 0 ? mine : std::min(mine, ramp_);
}

bool Credential::may_send(Priority lane, MonoMillis now) const {
    if (now < paused_until_ || !breaker_.allows(now)) return false;
    if (bucket_.ready_at(rate_) > now) return false;
    return provider.room() != 0 && in_flight < places(lane);
}

MonoMillis Credential::wakes_at(MonoMillis now) const noexcept {
    const MonoMillis at = std::max({paused_until_, breaker_.opens_at(), bucket_.ready_at(rate_)});
    return at > now ? at : 0;
}

std::optional<Priority> Credential::overdue_below(Priority lane) noexcept {
    for (std::size_t i = lane_index(lane) + 1; i < queues_.size(); ++i) {
        LaneQueue& lower = queues_[i];
        if (lower.waiting.empty() || lower.passed_over < passed_over_max) continue;
        lower.passed_over = 0;
        return push_lanes[i];
    }
    return std::nullopt;
}

bool Credential::began(Priority lane, MonoMillis now) {
    ++in_flight;
    metrics_.began();
    bucket_.take(rate_, now);
    queue(lane).passed_over = 0;
    for (std::size_t i = lane_index(lane) + 1; i < queues_.size(); ++i)
        if (!queues_[i].waiting.empty()) ++queues_[i].passed_over;
    return breaker_.sent(now);
}

void Credential::ended(PushOutcome& outcome, bool probe, std::int64_t took_ms, MonoMillis now) {
    --in_flight;
    metrics_.ended();
    metrics_.answered(outcome, took_ms);
    if (outcome.verdict == PushVerdict::pause) pause(outcome, now);
    if (outcome.verdict == PushVerdict::stop) return stop(outcome, probe, now);
    Breaker::Answer answer = answer_of(outcome);
    // One connection that breaks takes hundreds along; the service failed once.
    if (outcome.torn && std::exchange(torn_at_, now) == now) answer = Breaker::Answer::nothing;
    if (answer == Breaker::Answer::success) {
        pauses_ = 0;
        if (ramp_ != 0 && ++ramp_ > in_flight + provider.room()) ramp_ = 0;
    }
    on_change(breaker_.answered(answer, probe, now), now);
    if (breaker_.state(now) == Breaker::State::closed) refused_ = false;
}

void Credential::pause(PushOutcome& outcome, MonoMillis now) {
    // Those in flight when it began say the same: they are one pause.
    const bool again = now >= paused_until_;
    if (!outcome.retry_after) {
        const std::uint32_t before = again ? pauses_ : std::max(pauses_, 1U) - 1;
        const std::int64_t wait = pause_start_ms << std::min<std::uint32_t>(before, 4);
        outcome.retry_after = Milliseconds{std::min(wait, pause_cap_ms)};
    }
    if (again) ++pauses_;
    const std::int64_t wait =
        std::clamp<std::int64_t>(outcome.retry_after->count(), 0, pause_max_ms);
    paused_until_ = std::max(paused_until_, now + wait);
    ramp_ = 1;
}

void Credential::stop(const PushOutcome& outcome, bool probe, MonoMillis now) {
    breaker_.trip(probe, now);
    ramp_ = 1;
    show_state(now);
    if (std::exchange(refused_, true)) return;
    log::error("push_credential_refused", {{"provider", name},
                                           {"app", app},
                                           {"status", outcome.status},
                                           {"reason", outcome.reason},
                                           {"again_in_ms", open_for_ms_}});
}

void Credential::on_change(Breaker::Change change, MonoMillis now) {
    show_state(now);
    if (change == Breaker::Change::none) return;
    ramp_ = 1;
    if (change == Breaker::Change::closed)
        return log::info("push_breaker_closed", {{"provider", name}, {"app", app}});
    const Breaker::Counts counts = breaker_.counts(now);
    log::warn("push_breaker_opened", {{"provider", name},
                                      {"app", app},
                                      {"answers", std::uint64_t{counts.answers}},
                                      {"failures", std::uint64_t{counts.failures}},
                                      {"again_in_ms", open_for_ms_}});
}

void Credential::show_state(MonoMillis now) noexcept {
    const auto state = static_cast<std::size_t>(breaker_.state(now));
    if (state == shown_state_) return;
    metrics_.is_in_state(state);
    metrics_.left_state(shown_state_);
    shown_state_ = state;
}

} // namespace fanfare::delivery
