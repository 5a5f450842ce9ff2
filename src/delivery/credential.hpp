#pragma once
// What the dispatcher knows of one provider object, one credential of one vendor: what waits for it
// in each lane, and whether it may be given something now.
//
// Its room is shared by lane: with so much in flight of what it would take in all, `low` must leave
// half of the places, `normal` a quarter, `high` a tenth. So an urgent push finds a place however
// many others wait. A lane that always finds others before it still gets each twentieth place.
//
// After a pause, or when its breaker closes, what may be in flight grows from one with each
// success: a service that has just recovered is not given everything at once.

#include "breaker.hpp"
#include "held_job.hpp"
#include "push_metrics.hpp"
#include "push_rate.hpp"

#include <fanfare/delivery/options.hpp>
#include <fanfare/delivery/provider.hpp>
#include <fanfare/delivery/push_queue.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace fanfare::delivery {

inline constexpr std::array<Priority, 4> push_lanes{Priority::critical, Priority::high,
                                                    Priority::normal, Priority::low};
[[nodiscard]] constexpr std::size_t lane_index(Priority lane) noexcept {
    return static_cast<std::size_t>(lane);
}

/// Jobs of one lane for one credential. PushWindow fills it.
struct LaneQueue {
    JobsByTurn waiting;   // may go now
    std::size_t held = 0; // those, and those that rest
    /// Jobs behind it that are not held were left in the store, since there were enough. None:
    /// nothing was left.
    std::optional<PushCursor> hole;
    std::size_t held_at_hole = 0; // then
    std::size_t passed_over = 0;  // by higher lanes, in a row
};

class Credential {
  public:
    Credential(Provider& to, PushMetrics& metrics, const PushOptions& options, MonoMillis now);
    ~Credential();
    Credential(const Credential&) = delete;
    Credential& operator=(const Credential&) = delete;
    void set_options(const PushOptions& options);

    [[nodiscard]] LaneQueue& queue(Priority lane) noexcept { return queues_[lane_index(lane)]; }
    [[nodiscard]] bool anything_waits() const noexcept;
    /// Whether it may be given a push of that lane now.
    [[nodiscard]] bool may_send(Priority lane, MonoMillis now) const;
    /// When time alone may change that; 0: it does not.
    [[nodiscard]] MonoMillis wakes_at(MonoMillis now) const noexcept;
    /// A lane below that was passed over too often; none most of the time.
    [[nodiscard]] std::optional<Priority> overdue_below(Priority lane) noexcept;

    /// A push of that lane is handed over. Returns whether it is its breaker's probe.
    bool began(Priority lane, MonoMillis now);
    /// It came to an end. Completes the outcome: a pause has a time.
    void ended(PushOutcome& outcome, bool probe, std::int64_t took_ms, MonoMillis now);
    /// Shows the state of the breaker, which time moves too.
    void show_state(MonoMillis now) noexcept;

    Provider& provider;
    const std::string name;
    const std::string app; // empty: none
    std::size_t in_flight = 0;
    bool routed = true; // devices lead to it

  private:
    [[nodiscard]] std::size_t places(Priority lane) const;
    void pause(PushOutcome& outcome, MonoMillis now);
    void stop(const PushOutcome& outcome, bool probe, MonoMillis now);
    void on_change(Breaker::Change change, MonoMillis now);

    PushMetrics& metrics_;
    Breaker breaker_;
    std::int64_t open_for_ms_ = 0;
    Rate rate_;
    TokenBucket bucket_;
    MonoMillis torn_at_ = -1; // when a connection broke last
    MonoMillis paused_until_ = 0;
    std::uint32_t pauses_ = 0; // in a row
    std::size_t ramp_ = 0;     // so much may be in flight; 0: as much as there is room for
    bool refused_ = false;     // and an operator was told
    std::size_t shown_state_ = 0;
    std::array<LaneQueue, push_lanes.size()> queues_;
};

} // namespace fanfare::delivery
