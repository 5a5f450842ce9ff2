#pragma once
// The jobs that the dispatcher holds: those that wait to be sent, a bounded number per lane, those
// in flight, and those whose outcome is not written down yet. All others wait in the store, where
// the window reads on when it needs more.
//
// How nothing is lost and nothing held twice. A lane is read by a cursor, `front`. Every job that
// is due is held, or lies behind `front`, or lies behind the `hole` of its credential's queue: a
// credential may have as many jobs here as places are left for the others, what comes beyond is
// left in the store, and read from there when half of them are gone. So a mass for one
// credential that does not move leaves places for what goes elsewhere. A job that is held is known
// by its id and passed over. What a read brings may be older than what happened while it was under
// way: jobs that were settled or cancelled meanwhile are passed over, too.
//
// A job may come to lie before `front`: a transaction that took its time, a clock that was set
// back. So after news the last seconds are read once more, and everything from time to time.

#include "credential.hpp"
#include "held_job.hpp"

#include <fanfare/delivery/push_queue.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace fanfare::net {
class Reactor;
}

namespace fanfare::delivery {

/// On one reactor.
class PushWindow {
  public:
    /// `route`: where a device's jobs go; null: nowhere. `orphan`: a job that goes nowhere, or
    /// whose device is `forgotten`; it is held as ended.
    PushWindow(net::Reactor& reactor, PushQueue& queue,
               std::function<Credential*(const PushDevice&)> route,
               std::function<void(HeldJob&)> orphan);
    ~PushWindow();
    PushWindow(const PushWindow&) = delete;
    PushWindow& operator=(const PushWindow&) = delete;

    /// Of jobs that wait, per lane.
    void set_size(std::size_t size) noexcept { size_ = size; }
    /// There may be new jobs.
    void news();
    /// Reads what is wanted.
    void look();
    /// When time alone makes something wanted, or a job's rest ends.
    [[nodiscard]] MonoMillis wakes_at() const;
    /// Those whose time has come wait again.
    void end_rests();
    /// Routes all that wait anew.
    void reroute();

    [[nodiscard]] HeldJob* find(std::int64_t job);
    void take(HeldJob& held);                   // from its queue: it is in flight
    void rest(HeldJob& held, MonoMillis until); // a waiting one, or one that was in flight
    void end(HeldJob& held);                    // its outcome is known
    /// What was ended is written down, and due again then; 0: it is no job any more.
    void forget(std::int64_t job, WallMillis again_at);
    /// It is no job any more, and there is nothing to write down.
    void drop(HeldJob& held);
    /// Drops jobs of these notifications; those in flight are marked.
    void cancel(const std::vector<NotificationId>& notifications);
    /// Jobs for these devices are not sent any more: those that wait, for the caller to end. Those
    /// in flight are marked.
    [[nodiscard]] std::vector<HeldJob*>
    forget_devices(const std::function<bool(const PushDevice&)>& gone);
    /// Jobs for the same token that wait and will be deleted with it: they are ended. Their ids.
    [[nodiscard]] std::vector<std::int64_t> end_siblings(const HeldJob& held,
                                                         WallMillis dead_since);
    [[nodiscard]] std::size_t held() const noexcept { return jobs_.size(); }

  private:
    struct IdHash {
        std::size_t operator()(const NotificationId& id) const noexcept;
    };
    struct Lane {
        PushCursor front;
        std::size_t held = 0; // waiting or resting
        bool wanted = true;   // there may be something behind `front`
        bool news = false;
        WallMillis next = 0;       // something behind it is due then; 0: nothing known
        WallMillis read_at = 0;    // the wall clock, last
        MonoMillis not_before = 0; // after a failure
        MonoMillis back_at = 0;    // the last seconds are read again; 0: no news since
        MonoMillis back_not_before = 0;
        MonoMillis pass_began = 0; // from somewhere to the end; 0: none is under way
        MonoMillis rescan_at = 0;
        bool hole_is_next = false; // they take turns with `front`
        // a read is under way
        bool reading = false;
        std::unordered_set<std::int64_t> gone; // what stopped being held since it began
        std::unordered_set<NotificationId, IdHash> cancelled;          // the same
        std::vector<std::function<bool(const PushDevice&)>> forgotten; // devices, the same
        std::optional<PushCursor> reconsider; // where `front` goes back to when it has ended
    };
    struct Link;

    void look(Priority lane);
    void note_time(Lane& lane);
    [[nodiscard]] Credential* hungry(Priority lane);
    void read(Priority lane, Credential* filling);
    void on_page(Priority lane, const PushCursor& after, Credential* filling, PushJobs& page);
    void on_read(Priority lane, const PushCursor& after, Credential* filling, PushJobs& page);
    void offer(Priority lane, PushJob job);
    void go_back(Lane& lane, const PushCursor& to);
    void join_queue(HeldJob& held);
    void leave_queue(HeldJob& held);
    void erase(HeldJob& held);
    [[nodiscard]] Lane& lane_of(const HeldJob& held) { return lanes_[lane_index(held.lane)]; }

    net::Reactor& reactor_;
    PushQueue& queue_;
    const std::function<Credential*(const PushDevice&)> route_;
    const std::function<void(HeldJob&)> orphan_;
    std::size_t size_ = 0;
    std::array<Lane, push_lanes.size()> lanes_;
    boost::unordered_flat_map<std::int64_t, std::unique_ptr<HeldJob>> jobs_;
    /// The first of those of a notification; HeldJob::next_of_notification is the next one.
    boost::unordered_flat_map<NotificationId, HeldJob*, IdHash> by_notification_;
    std::multimap<MonoMillis, HeldJob*> resting_;
    std::vector<Credential*> credentials_; // that jobs were routed to
    std::uint64_t routing_ = 0;            // counts `reroute`
    std::shared_ptr<Link> link_;
};

} // namespace fanfare::delivery
