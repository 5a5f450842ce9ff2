// One run from the first connect to the last goodbye, as a sequence of phases on one thread.
#pragma once

#include "disturbance.hpp"
#include "fleet.hpp"
#include "network.hpp"
#include "options.hpp"
#include "process_stats.hpp"
#include "publishing.hpp"
#include "tally.hpp"
#include "user_clock.hpp"

#include <memory>

namespace load {

/// What is known at the end beside the tally.
struct Outcome {
    bool timed_out = false;
    bool interrupted = false;
    std::uint64_t holes = 0;
    std::uint64_t missing = 0;
    std::size_t live_at_end = 0; // before the clients were told to leave
    std::size_t live_at_plateau = 0;
    Duration elapsed{};
    Duration connecting{}; // until the last client was live or refused
    Duration active{};     // from the first publish to the last answer or delivery
    Duration back{};       // mode storm: from the first return until the last was live again
    Duration storm{};      // the same until the last missed message was in, too
    std::uint64_t bytes_received = 0;
    std::uint64_t polls = 0;
    std::uint64_t polls_empty = 0;
    ProcessStats own;              // the generator's CPU time over the whole run
    double measured_s = 0;         // from the plateau's sample to the one after
    ProcessStats server_before;    // before the first connect
    ProcessStats server_connected; // the last client has just come in
    ProcessStats server_plateau;   // all connected, nothing published
    ProcessStats server_after;     // when the last message was in, or the hold was over
};

class Run {
  public:
    /// Throws std::invalid_argument when the URL or an address cannot be used.
    explicit Run(const Options& options);

    /// Runs to the end, at most --timeout plus a short goodbye. `interrupted` is looked at in
    /// every turn of the loop; set by a signal handler, it ends the run early. `enough`, likewise,
    /// ends publishing or holding only, and the run goes on to a complete result.
    [[nodiscard]] Outcome execute(const volatile bool& interrupted, const volatile bool& enough);

    [[nodiscard]] const Tally& tally() const { return tally_; }
    [[nodiscard]] const Rooms& rooms() const { return rooms_; }

  private:
    enum class Phase {
        connecting, // subscribers come in at --connect-rate
        settling,   // all have come; the server's memory settles
        holding,    // mode idle: nothing happens
        publishing,
        draining,  // all is published, the last messages are on their way
        lingering, // all have arrived; a duplicate might still follow
        leaving,   // close handshakes
        finished,
    };

    void step(Instant now, bool enough);
    void enter(Phase phase, Instant now);
    [[nodiscard]] ProcessStats sample_server() const;
    void begin_measuring(Instant now);
    void end_measuring(Instant now);
    void begin_leaving(Instant now);
    [[nodiscard]] Duration time_to_sleep(Instant now) const;
    [[nodiscard]] const char* phase_name() const;
    void show_progress(Instant now);

    // constant after construction
    const Options& options_;
    const UserClock user_clock_;

    Network network_;
    Tally tally_;
    Rooms rooms_;
    Fleet fleet_;
    Publishing publishing_;
    std::unique_ptr<Disturbance> disturbance_;

    Phase phase_ = Phase::connecting;
    Instant phase_since_{};
    Instant run_since_{};
    Instant measured_since_{};
    Instant look_again_{}; // when a phase that waits for a condition examines it next
    Instant progress_next_{};
    Outcome outcome_;
};

} // namespace load
