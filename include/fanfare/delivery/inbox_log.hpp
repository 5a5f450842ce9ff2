#pragma once
// The contract of where notifications and inboxes are kept. Design: docs/decisions/0013-inbox.md.
//
// Calls return at once; `done` comes later on the reactor that called. Those that write say false,
// and nothing happens, if too much waits already. A failure of the disk is told in `code` and
// `detail` (static text); nothing of that call has happened then.
//
// An implementation knows which users are *live* (have a session that has caught up), by `page` and
// `leave`, in its own order of work: that order is what makes replay and live delivery meet.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/delivery/notification.hpp>
#include <fanfare/delivery/options.hpp>
#include <fanfare/delivery/send.hpp>
#include <fanfare/room/message.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace fanfare::delivery {

/// What a backend asks for in one call: the same for each of its users.
struct Order {
    std::vector<std::string> users; // none twice; at least one, but for a send
    std::string data;               // what clients are sent as `data`, JSON
    std::string push_options;       // as Notification's
    std::string category;           // empty: none
    std::string collapse_key;       // empty: none
    Priority priority = Priority::normal;
    Channels channels = realtime;
    WallMillis created = 0;
    WallMillis expires = 0;
    std::string key; // idempotency, scoped to caller and call; empty: none
    std::uint64_t fingerprint = 0;
    WallMillis key_expires = 0;
    /// Set: it is a send.
    std::optional<Audience> audience;
    /// Of a send: it is only taken note of, and placed in steps later (send_log.hpp).
    bool later = false;
    /// Such a step: the send is there already, and all but the users is its own.
    std::optional<SendStep> step;
};

/// What became of an order; all or nothing.
struct Placed {
    struct One {
        NotificationId id;
        Position position;         // in its user's inbox; offset 0: an earlier step placed it
        std::uint32_t attempt = 0; // 1: its user was live, it is to be sent now; 0: it waits
        std::vector<NotificationId> collapsed; // older ones that it replaced
    };
    /// conflict: the key was used for something else, or the step was made already; unavailable
    Code code = Code::ok;
    const char* detail = nullptr;
    bool duplicate = false; // the key is known: these are the first answer's, and nothing was done
    std::optional<NotificationId> send; // of a send
    std::vector<One> notifications;     // one per user, in the order of the order
};

/// A piece of an inbox on its way to one session.
struct PageWish {
    std::string user;
    std::string session; // its public id
    Epoch fresh;         // of an inbox that is not there yet
    bool first = true;   // the session joins; else it goes on behind `after`
    // first:
    std::optional<Position> since; // resume
    std::uint32_t last = 0;        // else: the newest so many; 0: all that is unacknowledged
    // not first:
    std::uint64_t after = 0;
    bool unacknowledged = true; // skip what is acknowledged, or has had all its attempts
    std::size_t messages_max = 1'000;
    std::size_t bytes_max = 0; // 0: no messages this time; else at least one, whatever its size
};
struct Page {
    Code code = Code::ok;
    const char* detail = nullptr;
    Position newest;         // the inbox's, at this moment
    std::uint64_t acked = 0; // the user's position
    // of a first page:
    std::optional<bool> recovered; // with `since`
    std::uint64_t after = 0;       // where it begins
    bool unacknowledged = true;    // how it goes on
    /// Room `@me`, in offset order, numbered, with their attempt (room::Message::attempt). Those
    /// that are not acknowledged and had attempts left have been counted as sent.
    std::vector<room::MessageRef> messages;
    /// Nothing is behind these: the session is live from here on.
    bool caught_up = false;
};

struct Due {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::vector<room::MessageRef> messages; // to be sent now, in offset order; counted already
    WallMillis next = 0;                    // when something is due again; 0: nothing is
    std::vector<StatusChange> changes;
};

struct Ack {
    std::string user;
    std::uint64_t offset = 0; // all up to here; above the newest: as the newest
    std::string device;       // whose read position moves too; empty: the shared default
    std::string session;      // for the timeline: its public id, or "api"
};
struct Acked {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::uint64_t acked = 0;  // the user's position now
    bool moved = false;       // by this call
    std::uint64_t unread = 0; // what is left; only if asked for by `count_unread`
    std::vector<StatusChange> changes;
};

/// A question about a user's inbox.
struct InboxQuery {
    std::string user;
    std::uint64_t first = 1; // with `reverse`: the last one, walked downwards
    bool reverse = false;
    bool unread_only = false;
    bool records = false; // also those that clients are not shown: suppressed, expired, push only
    std::size_t limit = 100;
    std::size_t bytes_max = std::size_t{512} * 1024; // at least one comes
};
struct Device {
    std::string name; // empty: the shared default
    std::uint64_t offset = 0;
    WallMillis seen = 0; // its last acknowledgement
};
struct InboxView {
    Code code = Code::ok;
    const char* detail = nullptr;
    bool known = false; // else there never was a notification
    Position newest;
    std::uint64_t acked = 0;
    std::uint64_t unread = 0;
    std::vector<Device> devices;
    std::vector<Notification> notifications; // as walked
    bool more = false;
};
struct Found {
    Code code = Code::ok; // not_found
    const char* detail = nullptr;
    std::optional<SendView> send; // it is one, and there is nothing else
    Notification notification;
    std::vector<TimelineEntry> timeline; // oldest first; only if asked for
};
struct Erased {
    Code code = Code::ok;
    const char* detail = nullptr;
    std::uint64_t notifications = 0;
    std::uint64_t devices = 0;      // read positions
    std::uint64_t push_devices = 0; // registrations (devices.hpp)
    /// Live sessions go on in this life of the inbox.
    Epoch epoch;
};

class InboxLog {
  public:
    virtual ~InboxLog() = default;

    /// From now on. Any thread.
    virtual void set_options(const InboxOptions& options) = 0;
    /// Called with what moved by time alone (expired); on any thread, once, before anything else.
    virtual void on_changes(std::function<void(std::vector<StatusChange>)> tell) = 0;

    // --- writing ---
    [[nodiscard]] virtual bool place(Order order, std::function<void(Placed)> done) = 0;
    [[nodiscard]] virtual bool page(PageWish wish, std::function<void(Page)> done) = 0;
    /// The session is live no more. Not refused.
    virtual void leave(const std::string& user, const std::string& session) = 0;
    /// Takes what is due of a user: attempts to be repeated, and those that were the last.
    [[nodiscard]] virtual bool take_due(const std::string& user, std::function<void(Due)> done) = 0;
    /// These attempts (room::Message::attempt) were counted and reached no one. One that was
    /// counted again since stays as it is. Not refused.
    virtual void give_back(const std::string& user, std::vector<room::MessageRef> messages) = 0;
    [[nodiscard]] virtual bool acknowledge(Ack ack, bool count_unread,
                                           std::function<void(Acked)> done) = 0;
    /// Deletes all that is kept of a user, push devices included. `fresh` is the next life of the
    /// inbox.
    [[nodiscard]] virtual bool erase(const std::string& user, const Epoch& fresh,
                                     std::function<void(Erased)> done) = 0;

    // --- reading ---
    virtual void view(InboxQuery query, std::function<void(InboxView)> done) = 0;
    /// A notification, or a send.
    virtual void find(const NotificationId& id, bool timeline, std::function<void(Found)> done) = 0;
    /// The timelines of some notifications of one user, by offset.
    virtual void timelines(const std::string& user, std::vector<std::uint64_t> offsets,
                           std::function<void(std::vector<std::vector<TimelineEntry>>)> done) = 0;
};

} // namespace fanfare::delivery
