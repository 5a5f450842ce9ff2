#pragma once
// A send: one message to many users, and how far it is. Design: docs/decisions/0015-mass-sends.md.

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/notification.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace fanfare::delivery {

/// For whom it is.
struct Audience {
    /// Values are kept in the store.
    enum class Kind : std::uint8_t {
        users = 0,     // named by the caller
        topic = 1,     // every user with a device that has it
        broadcast = 2, // every user with a device
    };
    Kind kind = Kind::users;
    std::string topic; // of a topic
};

/// Up to where an audience has been walked; which of them counts depends on its kind.
struct SendCursor {
    std::int64_t place = 0;
    std::string user;
    friend bool operator==(const SendCursor&, const SendCursor&) = default;
};

/// One step of the walk: what lies between is placed, and then the cursor stands at `to`.
struct SendStep {
    std::int64_t send = 0; // in the store
    NotificationId id;     // as callers know it
    SendCursor from;
    SendCursor to;
    bool last = false; // nothing is behind it
};

/// What its caller is shown.
struct SendView {
    NotificationId id;
    Audience audience;
    Priority priority = Priority::normal;
    Channels channels = realtime;
    WallMillis created = 0;
    WallMillis expires = 0;
    WallMillis updated = 0;  // when a count moved last
    WallMillis began = 0;    // the walk; 0: not yet
    WallMillis expanded = 0; // the walk has ended; 0: not yet
    bool cut = false;        // it ended since the time was over
    std::string category;
    std::string collapse_key;
    std::string data;           // what clients are sent as `data`, JSON
    std::uint64_t accepted = 0; // users whom it is for, as far as that is known
    std::array<std::uint64_t, status_count> counts{}; // its notifications by status

    [[nodiscard]] std::uint64_t count(Status status) const noexcept {
        return counts[static_cast<std::size_t>(status)];
    }
    /// A provider or the user took them.
    [[nodiscard]] std::uint64_t sent() const noexcept;
    /// Accepted and not settled; never 0 while the audience is walked.
    [[nodiscard]] std::uint64_t remaining() const noexcept;
    /// Of all of it: `pending` before the walk, `processing` until nothing remains, then what
    /// became of the luckiest: `sent`, `failed`, `expired`, `suppressed`. Of nobody: `sent`.
    [[nodiscard]] Status status() const noexcept;
};

} // namespace fanfare::delivery
