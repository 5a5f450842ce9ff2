#include "run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace load {
namespace {

// Conditions over all clients are examined this often; also the longest sleep.
constexpr Duration look_interval = std::chrono::milliseconds{10};

// A message that came twice would have done so by then.
constexpr Duration linger = std::chrono::milliseconds{200};

// Close handshakes end by then, of their own or by each subscriber's timer.
constexpr Duration leaving_max = std::chrono::seconds{6};

/// None in mode publish: nobody is there to compare with, and there may be millions.
Rooms make_rooms(const Options& options) {
    Rooms rooms;
    if (options.mode == Mode::publish) return rooms;
    rooms.reserve(options.rooms);
    for (std::size_t i = 0; i < options.rooms; ++i) {
        rooms.emplace_back(options.room_prefix + std::to_string(i));
        if (options.mode == Mode::broadcast && !options.reconnect) {
            rooms.back().arrivals.emplace();
        }
    }
    return rooms;
}

} // namespace

Run::Run(const Options& options)
    : options_(options), user_clock_(options.pids), network_(resolve(options.url)),
      rooms_(make_rooms(options)), fleet_(network_, tally_, rooms_, options),
      publishing_(network_, tally_, rooms_, options) {
    for (const std::string& text : options.source_addresses) {
        network_.sources.push_back(parse_source(text));
    }
    network_.kernel_timestamps = options.kernel_timestamps;
    tally_.keeps_samples = !options.samples_file.empty();
}

Outcome Run::execute(const volatile bool& interrupted, const volatile bool& enough) {
    run_since_ = Clock::now();
    progress_next_ = run_since_ + std::chrono::seconds{1};
    outcome_.server_before = sample_server();
    enter(Phase::connecting, run_since_);
    const Instant deadline = run_since_ + seconds(options_.timeout_s);

    while (phase_ != Phase::finished) {
        const Instant now = Clock::now();
        if (phase_ != Phase::leaving && (now >= deadline || interrupted)) {
            outcome_.interrupted = interrupted;
            outcome_.timed_out = !interrupted;
            if (outcome_.measured_s <= 0) end_measuring(now);
            begin_leaving(now);
        }
        network_.timers.run(now);
        step(now, enough);
        show_progress(now);
        network_.poller.wait(options_.spin ? Duration::zero() : time_to_sleep(now));
    }
    outcome_.elapsed = Clock::now() - run_since_;
    outcome_.bytes_received = network_.bytes_received;
    outcome_.polls = network_.poller.polls();
    outcome_.polls_empty = network_.poller.polls_empty();
    outcome_.own = sample_own();
    return outcome_;
}

void Run::step(Instant now, bool enough) {
    switch (phase_) {
    case Phase::connecting:
        fleet_.connect_due(now);
        if (!fleet_.all_settled()) return;
        outcome_.connecting = now - run_since_;
        outcome_.server_connected = sample_server();
        // Without a single client there is nothing to measure; the refusals are the result.
        if (fleet_.size() > 0 && fleet_.count(SubscriberState::live) == 0) {
            return begin_leaving(now);
        }
        if (options_.publishes()) publishing_.connect();
        return enter(Phase::settling, now);
    case Phase::settling:
        if (now - phase_since_ < seconds(options_.settle_s)) return;
        begin_measuring(now);
        if (!options_.publishes()) return enter(Phase::holding, now);
        disturbance_ = make_disturbance(options_, fleet_, now);
        publishing_.start(now);
        return enter(Phase::publishing, now);
    case Phase::holding:
        if (now - phase_since_ < seconds(options_.hold_s) && !enough) return;
        end_measuring(now);
        return begin_leaving(now);
    case Phase::publishing:
        if (enough) publishing_.stop();
        publishing_.tick(now);
        disturbance_->tick(now);
        if (!publishing_.is_finished()) return;
        disturbance_->stop();
        if (disturbance_->is_settled()) enter(Phase::draining, now);
        return;
    case Phase::draining: {
        if (now < look_again_) return;
        look_again_ = now + look_interval;
        const Instant quiet_since = std::max(tally_.last_delivery, phase_since_);
        if (!fleet_.all_caught_up() && now - quiet_since < seconds(options_.drain_s)) return;
        end_measuring(now);
        return enter(Phase::lingering, now);
    }
    case Phase::lingering:
        if (now - phase_since_ >= linger) begin_leaving(now);
        return;
    case Phase::leaving:
        if (fleet_.all_back() || now - phase_since_ > leaving_max) enter(Phase::finished, now);
        return;
    case Phase::finished:
        return;
    }
}

void Run::enter(Phase phase, Instant now) {
    phase_ = phase;
    phase_since_ = now;
    progress_next_ = now; // whoever waits for a phase need not wait for the next second
}

ProcessStats Run::sample_server() const {
    ProcessStats stats = sample(options_.pids);
    if (const auto user_s = user_clock_.seconds()) {
        stats.user_s = *user_s;
        stats.system_s = std::max(0.0, stats.run_s - *user_s);
        stats.user_is_sampled = true;
    }
    return stats;
}

void Run::begin_measuring(Instant now) {
    outcome_.live_at_plateau = fleet_.count(SubscriberState::live);
    outcome_.server_plateau = sample_server();
    measured_since_ = now;
}

void Run::end_measuring(Instant now) {
    outcome_.server_after = sample_server();
    if (measured_since_ == Instant{}) return; // the plateau was never reached
    outcome_.measured_s = to_seconds(now - measured_since_);
    if (tally_.returning_since != Instant{}) {
        outcome_.back = tally_.last_live - tally_.returning_since;
        outcome_.storm = std::max(tally_.last_live, tally_.last_delivery) - tally_.returning_since;
    }
    outcome_.active = std::max(tally_.last_delivery, tally_.last_answer) - tally_.first_publish;
}

void Run::begin_leaving(Instant now) {
    publishing_.stop();
    outcome_.holes = fleet_.holes();
    outcome_.missing = fleet_.missing();
    outcome_.live_at_end = fleet_.count(SubscriberState::live);
    fleet_.leave_all();
    enter(Phase::leaving, now);
}

Duration Run::time_to_sleep(Instant now) const {
    Instant next = std::min(network_.timers.next(), now + look_interval);
    if (phase_ == Phase::publishing) next = std::min(next, publishing_.next_due());
    if (phase_ == Phase::connecting) next = std::min(next, fleet_.next_due());
    // While the limit of attempts under way holds, being due does not help: sleep until an answer.
    return std::max(next - now, Duration{std::chrono::microseconds{50}});
}

const char* Run::phase_name() const {
    switch (phase_) {
    case Phase::connecting:
        return "connecting";
    case Phase::settling:
        return "settling";
    case Phase::holding:
        return "holding";
    case Phase::publishing:
        return "publishing";
    case Phase::draining:
        return "draining";
    case Phase::lingering:
        return "lingering";
    case Phase::leaving:
        return "leaving";
    case Phase::finished:
        break;
    }
    return "finished";
}

void Run::show_progress(Instant now) {
    if (options_.quiet || now < progress_next_) return;
    progress_next_ = now + std::chrono::seconds{1};
    fmt::print(stderr, "{:6.1f}s {:<10} live {}/{} published {} deliveries {} failures {}\n",
               to_seconds(now - run_since_), phase_name(), fleet_.count(SubscriberState::live),
               fleet_.size(), tally_.published, tally_.deliveries,
               Tally::sum(tally_.connect_failures) + tally_.unexpected_closes +
                   tally_.publish_refused + tally_.publish_broken);
}

} // namespace load
