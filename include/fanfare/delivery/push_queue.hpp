#pragma once
// The contract of the durable queue of pushes. Design: docs/decisions/0014-push-queue.md.
//
// Calls are made on one reactor; `done` comes later there. A failure of the disk is told in `code`
// and `detail` (static text); nothing of that call has happened then.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/delivery/devices.hpp>
#include <fanfare/delivery/notification.hpp>
#include <fanfare/delivery/provider.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fanfare::delivery {

/// One notification for one device.
struct PushJob {
    std::int64_t id = 0;         // in the queue
    std::int64_t inbox = 0;      // where the store keeps the notification …
    std::int64_t device_row = 0; // … and the device; nobody else's business
    std::int64_t send = 0;       // the same: the send that it is of; 0: none
    Notification notification;   // with its data
    PushDevice device;           // with its token
    std::uint32_t attempts = 0;  // made
    WallMillis due = 0;          // not before
    WallMillis queued = 0;       // since when it is a job
};

/// A place in a lane.
struct PushCursor {
    WallMillis due = 0;
    std::int64_t id = 0;
    friend auto operator<=>(const PushCursor&, const PushCursor&) = default;
};

struct PushJobs {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::vector<PushJob> jobs; // in the order of due and id
    PushCursor end;            // behind the last one
    bool more = false;         // more are due
    WallMillis next = 0;       // when the next one behind these is due; 0: there is none
};

/// What became of an attempt.
struct PushResult {
    enum class Fate : std::uint8_t {
        sent,    // the service took it
        again,   // it stays a job, due at `again_at`
        dropped, // the device is dead: it goes, and its other jobs with it
        dead,    // a dead letter
        void_,   // its time is over: nothing is sent any more
    };
    PushResult() = default;
    explicit PushResult(const PushJob& of)
        : job(of.id), lane(of.notification.priority), due(of.due), inbox(of.inbox),
          offset(of.notification.offset), notification(of.notification.id),
          device_row(of.device_row), send(of.send), device(of.device.name), attempts(of.attempts) {}

    // The job: what the store would otherwise have to look up.
    std::int64_t job = 0;
    Priority lane = Priority::normal;
    WallMillis due = 0;
    std::int64_t inbox = 0;
    std::uint64_t offset = 0;
    NotificationId notification;
    std::int64_t device_row = 0;
    std::int64_t send = 0;
    std::string device;         // its name
    std::uint32_t attempts = 0; // before this one
    // What became of it.
    Fate fate = Fate::again;
    WallMillis again_at = 0;
    bool counts = true; // as an attempt
    std::string provider;
    std::string app; // of its credential; empty: the one without a name
    PushOutcome outcome;
    std::vector<std::int64_t> siblings; // `dropped`: jobs that were held and go with the device
};
/// Shared by who writes them down and who may have to ask again.
using PushResults = std::shared_ptr<const std::vector<PushResult>>;
struct Settled {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::vector<StatusChange> changes;
};

struct PushDepth {
    std::uint64_t jobs = 0;
    WallMillis oldest = 0; // queued; 0: none
};

class PushQueue {
  public:
    virtual ~PushQueue() = default;
    /// Called when there may be new jobs. Any thread; once, before anything else.
    virtual void on_work(std::function<void()> tell) = 0;
    /// Jobs of a lane that are due by `now`, behind `after`, at most `limit`.
    virtual void read(Priority lane, const PushCursor& after, WallMillis now, std::size_t limit,
                      std::function<void(PushJobs)> done) = 0;
    /// Writes down what became of attempts. Not refused: jobs in flight are bounded. After a
    /// failure some may have been written; to write all once more is harmless.
    virtual void settle(PushResults results, std::function<void(Settled)> done) = 0;
    /// By lane. Any thread; may be a moment old.
    [[nodiscard]] virtual PushDepth depth(Priority lane) const = 0;
};

} // namespace fanfare::delivery
