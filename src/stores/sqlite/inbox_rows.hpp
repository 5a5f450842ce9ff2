#pragma once
// The steps of which a change of an inbox consists, row by row: in a transaction, on the writer's
// thread. Every move of a status and every attempt is made here, with its line on the timeline and
// in the figures.

#include "database.hpp"
#include "push_rows.hpp"
#include "send_rows.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/delivery/inbox_log.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::stores {

/// Rows that clients are shown, but for their time: in the inbox, and neither suppressed nor over.
inline const std::string shown_rows = "(channels & 1) <> 0 AND status NOT IN (6, 7, 8, 9)";
/// Those that wait there to be acknowledged.
inline const std::string waiting_rows = "(channels & 1) <> 0 AND status IN (0, 1, 2, 4, 5)";
/// The same of a row that was read.
[[nodiscard]] inline bool waits(delivery::Status status) noexcept {
    using delivery::Status;
    return status == Status::pending || status == Status::processing || status == Status::sent ||
           status == Status::retry || status == Status::failed;
}

struct InboxRow {
    std::int64_t id = 0; // 0: there is none yet
    Epoch epoch;
    std::uint64_t newest = 0;
    std::uint64_t acked = 0;
};

/// What a step must know of a notification.
struct NotificationRow {
    std::int64_t inbox = 0;
    std::uint64_t offset = 0;
    delivery::NotificationId id;
    delivery::Status status = delivery::Status::pending;
    std::uint32_t attempts = 0;
    WallMillis created = 0;
    WallMillis expires = 0;
    bool awaited = false; // the last attempt waits for its acknowledgement
    delivery::Channels channels = 0;
    delivery::Priority priority = delivery::Priority::normal;
    bool pushed = false;   // its push has begun
    std::int64_t send = 0; // that it is of; 0: none
    std::string data;      // of those that are to be sent
};

/// When a change is made, and by which options.
struct Moment {
    WallMillis now = 0;
    delivery::InboxOptions options;
};

/// What a transaction does to the figures.
struct InboxTally {
    std::int64_t depth = 0; // notifications that are pending
    std::uint64_t redeliveries = 0;
    std::array<std::uint64_t, delivery::status_count> moves{};
};

class InboxRows {
  public:
    InboxRows(Database& database, PushRows& push, SendRows& sends);

    InboxTally tally; // of this transaction; its owner clears it
    /// Moves that no answer tells, in this transaction; its owner takes them.
    std::vector<delivery::StatusChange> untold;

    // --- inboxes ---
    [[nodiscard]] std::optional<InboxRow> find(std::string_view user);
    [[nodiscard]] InboxRow make(std::string_view user, const Epoch& epoch);
    /// The next offset.
    std::uint64_t advance(InboxRow& inbox);
    void set_acked(InboxRow& inbox, std::uint64_t offset);
    void set_device(std::int64_t inbox, std::string_view device, std::uint64_t offset,
                    WallMillis now);
    /// Visible, pending, and above the acknowledged position.
    [[nodiscard]] std::uint64_t unread(const InboxRow& inbox, WallMillis now);
    struct Removed {
        std::uint64_t notifications = 0;
        std::uint64_t devices = 0;
    };
    Removed erase(std::int64_t inbox);
    /// Deletes an inbox that has no notification.
    void drop_if_empty(std::int64_t inbox);
    /// Empty: there is none.
    [[nodiscard]] std::string user_of(std::int64_t inbox);

    // --- notifications: in offset order, if not said otherwise ---
    using Rows = std::vector<NotificationRow>;
    /// Begins pending, and without an attempt. `send`: that it is of; 0: none.
    [[nodiscard]] NotificationRow insert(const InboxRow& inbox, std::uint64_t offset,
                                         const delivery::NotificationId& id,
                                         const delivery::Order& order, std::int64_t send);
    /// Whether the send, which began at `created`, has placed its notification there.
    [[nodiscard]] bool has(const InboxRow& inbox, std::int64_t send, WallMillis created);
    [[nodiscard]] Rows collapsible(const InboxRow& inbox, std::string_view key, WallMillis now);
    /// Of a walk. The first row beyond `bytes` is still among the rows, so that it is seen.
    struct Bounds {
        std::size_t rows = 0;
        std::size_t bytes = 0;
    };
    /// To be shown behind `after`.
    [[nodiscard]] Rows shown(std::int64_t inbox, std::uint64_t after, WallMillis now,
                             const Bounds& bounds);
    /// The same, of those that wait and have attempts left.
    [[nodiscard]] Rows waiting(std::int64_t inbox, std::uint64_t after, const Moment& moment,
                               const Bounds& bounds);
    /// The offset behind which the newest `count` of those that are shown are.
    [[nodiscard]] std::uint64_t before_last(std::int64_t inbox, std::uint32_t count,
                                            WallMillis now);
    /// The longest due first.
    [[nodiscard]] Rows due(std::int64_t inbox, WallMillis now, const Bounds& bounds);
    /// When the next is due; 0: none is.
    [[nodiscard]] WallMillis next_due(std::int64_t inbox);
    /// What an acknowledgement of all up to `to` moves.
    [[nodiscard]] Rows acknowledgeable(const InboxRow& inbox, std::uint64_t to, WallMillis now);
    [[nodiscard]] std::optional<NotificationRow> at(std::int64_t inbox, std::uint64_t offset);
    /// To be looked at by now, the earliest first.
    [[nodiscard]] Rows sweepable(WallMillis now, std::size_t limit);
    /// Of all inboxes: whose acknowledgement is late, the longest first.
    [[nodiscard]] Rows overdue(WallMillis now, std::size_t limit);
    [[nodiscard]] std::optional<WallMillis> next_overdue(WallMillis now);
    [[nodiscard]] std::optional<WallMillis> next_sweep();
    void remove(const NotificationRow& row);
    /// It is over; its record goes then.
    void keep(const NotificationRow& row, WallMillis until);

    // --- steps ---
    void move(NotificationRow& row, delivery::Status to, delivery::Event why, const Moment& moment,
              std::string_view detail);
    /// Counts an attempt to these sessions.
    void attempt(NotificationRow& row, const Moment& moment, std::string_view sessions);
    /// The last attempt was not acknowledged, and there will be no other: the next channel has it.
    void spend(NotificationRow& row, std::string_view user, const Moment& moment);
    /// Hands it to push, if it may go there, has not yet, and there is a device.
    bool begin_push(NotificationRow& row, std::string_view user, const Moment& moment);
    /// A push-only one has nowhere to go.
    void fail(NotificationRow& row, const Moment& moment, std::string_view why);
    /// Something became of one of its pushes.
    void note_push(const NotificationRow& row, const Moment& moment, delivery::Event event,
                   std::uint32_t attempt, std::string_view detail);
    /// A service took one. `detail`: as in `note_push`.
    void push_taken(const delivery::PushResult& result, const Moment& moment,
                    std::string_view detail);
    /// One waits to be tried again.
    void push_waits(NotificationRow& row, const Moment& moment);
    /// Its last job has ended, and none was taken.
    void push_refused(NotificationRow& row, const Moment& moment);
    /// It lives until then at least.
    void prolong(NotificationRow& row, WallMillis expires);
    /// What was given up for one device is a job again.
    void redriven(NotificationRow& row, const Moment& moment, std::string_view detail);
    /// The last attempt reached no one.
    void give_back(NotificationRow& row, const Moment& moment);
    /// Nobody waits for its acknowledgement any more.
    void forget_due(NotificationRow& row);

    // --- idempotency ---
    struct Key {
        std::uint64_t fingerprint = 0;
        WallMillis expires = 0;
        std::optional<delivery::NotificationId> send;
        std::vector<delivery::Placed::One> answers;
    };
    [[nodiscard]] std::optional<Key> find_key(std::string_view key);
    void set_key(const delivery::Order& order, std::size_t part,
                 const delivery::Placed::One& answer);
    /// The same of a send.
    void set_key(const delivery::Order& order, const delivery::NotificationId& send);
    void forget_key(std::string_view key);
    /// Returns how many went.
    std::size_t forget_keys(WallMillis now, std::size_t limit);

  private:
    struct Statements;
    void note(std::int64_t inbox, std::uint64_t offset, WallMillis time, delivery::Event event,
              std::optional<delivery::Status> status, std::uint32_t attempt,
              std::string_view detail);
    void note(const NotificationRow& row, WallMillis time, delivery::Event event,
              std::optional<delivery::Status> status, std::uint32_t attempt,
              std::string_view detail);

    void move_untold(NotificationRow& row, delivery::Status to, delivery::Event why,
                     const Moment& moment, std::string_view detail);

    Database& database_;
    PushRows& push_;
    SendRows& sends_;
    struct Delete {
        void operator()(Statements* statements) const noexcept;
    };
    std::unique_ptr<Statements, Delete> sql_;
};

} // namespace fanfare::stores
