#pragma once
// A job that the dispatcher holds. It stands in lists without a node of its own in each.

#include <fanfare/delivery/push_queue.hpp>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

#include <cstdint>

namespace fanfare::delivery {

class Credential;

struct HeldJob {
    enum class State : std::uint8_t {
        waiting,   // in its credential's queue
        resting,   // the same, but not before a time
        in_flight, // the provider has it
        ended,     // its outcome is to be written down
    };
    /// What is destroyed need not be taken out: its lists go with it.
    using Hook = boost::intrusive::link_mode<boost::intrusive::normal_link>;

    PushJob job;
    Priority lane = Priority::normal;
    Credential* credential = nullptr; // null: ended, since there is none
    State state = State::waiting;
    bool cancelled = false;    // its notification is done with: in flight, and not again
    bool forgotten = false;    // its device is no more: not sent, or not again
    bool probe = false;        // in flight: for the breaker
    std::uint64_t attempt = 0; // in flight: tells it from an earlier one
    std::uint32_t repeats = 0; // in a row that the service never saw
    MonoMillis since = 0;      // in flight …
    MonoMillis deadline = 0;   // … until then
    HeldJob* next_of_notification = nullptr;
    boost::intrusive::set_member_hook<Hook> by_turn;      // in LaneQueue::waiting
    boost::intrusive::list_member_hook<Hook> by_deadline; // in flight

    [[nodiscard]] PushCursor place() const noexcept { return {job.due, job.id}; }
};

struct PlaceOfJob {
    using type = PushCursor;
    [[nodiscard]] PushCursor operator()(const HeldJob& held) const noexcept { return held.place(); }
};
/// The one that is due first is the first.
using JobsByTurn = boost::intrusive::set<
    HeldJob, boost::intrusive::member_hook<HeldJob, decltype(HeldJob::by_turn), &HeldJob::by_turn>,
    boost::intrusive::key_of_value<PlaceOfJob>>;
using JobsByDeadline = boost::intrusive::list<
    HeldJob,
    boost::intrusive::member_hook<HeldJob, decltype(HeldJob::by_deadline), &HeldJob::by_deadline>>;

} // namespace fanfare::delivery
