#pragma once
// A notification: what a backend wants a user to know, and what became of it.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/ids.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::delivery {

/// Names a notification: 48 bits of its time, so that new ones stand together in an index, and 80
/// random bits. As text 22 characters of base64url.
class NotificationId {
  public:
    static constexpr std::size_t bytes = 16;
    [[nodiscard]] static NotificationId make(WallMillis now);
    /// Nothing if the text is not one of ours.
    [[nodiscard]] static std::optional<NotificationId> parse(std::string_view text);
    /// `raw`: 16 bytes, as `raw()` gave them.
    [[nodiscard]] static NotificationId from_raw(std::string_view raw);
    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::string_view raw() const noexcept { return {bytes_.data(), bytes_.size()}; }
    friend bool operator==(const NotificationId&, const NotificationId&) = default;

  private:
    std::array<char, bytes> bytes_{};
};

/// Values are kept in the store: never renumbered.
enum class Status : std::uint8_t {
    pending = 0,    // waits: in the inbox, or for a worker
    processing = 1, // a channel is at work on it
    sent = 2,       // a provider took it for at least one device
    delivered = 3,  // acknowledged by the user's client
    retry = 4,      // a provider asked to come again later
    failed = 5,     // every channel of its route was tried and refused for good
    scheduled = 6,  // for later
    cancelled = 7,  // by the backend, before it was sent
    suppressed = 8, // collapsed, or opted out
    expired = 9,    // its time was over before it was delivered
};
inline constexpr std::size_t status_count = 10;
/// As sent, e.g. "pending".
[[nodiscard]] std::string_view status_name(Status status) noexcept;
/// The only legal moves (docs/protocol.md, "Notifications").
[[nodiscard]] bool may_become(Status from, Status to) noexcept;
/// Nothing leads out of it but a late acknowledgement, or a redrive.
[[nodiscard]] bool is_final(Status status) noexcept;
/// Nothing of it need be sent any more, on any channel, unless it is redriven.
[[nodiscard]] bool is_over(Status status) noexcept;

/// Values are kept in the store.
enum class Priority : std::uint8_t { critical = 0, high = 1, normal = 2, low = 3 };
[[nodiscard]] std::string_view priority_name(Priority priority) noexcept;
[[nodiscard]] std::optional<Priority> parse_priority(std::string_view name) noexcept;

/// A set of channels is an `or` of these. Values are kept in the store.
enum Channel : std::uint8_t { realtime = 1, push = 2, email = 4, sms = 8 };
using Channels = std::uint8_t;
inline constexpr std::array<Channel, 4> all_channels{realtime, push, email, sms};
[[nodiscard]] std::string_view channel_name(Channel channel) noexcept;
[[nodiscard]] std::optional<Channel> parse_channel(std::string_view name) noexcept;

/// A decision on a timeline. Values are kept in the store.
enum class Event : std::uint8_t {
    accepted = 0,         // by the API; status pending
    sent = 1,             // attempt n, to these sessions
    not_acknowledged = 2, // attempt n, within ack_timeout
    waiting = 3,      // attempts are spent and no further channel is there: it stays in the inbox
    acknowledged = 4, // status delivered
    collapsed = 5,    // by a newer one with its collapse key; status suppressed
    expired = 6,      // status expired
    processing = 7,   // a channel begins
    failed = 8,       // no channel is left
    returned = 9,     // attempt n reached no session: it does not count
    push_sent = 10,   // a service took it for one device; attempt n
    push_retry = 11,  // attempt n at one device failed; it is tried again
    push_failed = 12, // it is given up for one device; attempt n
    device_dropped = 13, // the service says that the device is no more; attempt n
    redriven = 14,       // what was given up for one device is tried anew
    discarded = 15,      // it never will be: its dead letter was thrown away
};
inline constexpr std::size_t event_count = 16;
[[nodiscard]] std::string_view event_name(Event event) noexcept;

struct TimelineEntry {
    WallMillis time = 0;
    Event event = Event::accepted;
    std::optional<Status> status; // that it moved to; none: it did not move
    std::uint32_t attempt = 0;    // 0: not about an attempt
    /// sent: sessions, separated by commas. acknowledged: session, or "api". collapsed: the id of
    /// the newer one. Of one device (push_…): a JSON object of `device`, `provider`, `status`,
    /// `reason`, `provider_id`, those that there are; redriven and discarded are told so too.
    /// Others: the reason, for people. May be empty.
    std::string detail;
};

/// All that the store knows of one, but for its timeline.
struct Notification {
    NotificationId id;
    std::string user;
    std::uint64_t offset = 0; // in the user's inbox
    Status status = Status::pending;
    Priority priority = Priority::normal;
    Channels channels = realtime;
    std::uint32_t attempts = 0; // made in realtime
    WallMillis created = 0;
    WallMillis expires = 0;
    WallMillis updated = 0; // when the status moved last
    WallMillis tried = 0;   // last attempt; 0: none
    std::string category;
    std::string collapse_key;
    std::optional<NotificationId> send; // that it is of
    std::string data;                   // what clients are sent as `data`, JSON
    /// What is for push alone: a JSON object of `badge` (a number), `sound` and `silent` (true),
    /// those that were given. Empty: none was.
    std::string push_options;
};

/// A status that moved, for whoever follows a notification.
struct StatusChange {
    NotificationId id;
    Status status = Status::pending;
    WallMillis time = 0;
    Event event = Event::accepted; // why
};

} // namespace fanfare::delivery
