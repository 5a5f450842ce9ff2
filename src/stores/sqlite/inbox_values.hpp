#pragma once
// Values of notifications as columns hold them. A damaged file must not end the gateway: what is
// none of ours is SQLite's own fault code.

#include "database.hpp"

#include <fanfare/delivery/notification.hpp>
#include <fanfare/delivery/send.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fanfare::stores {

/// The weight of what clients are sent against a bound of bytes, as rooms estimate it.
inline std::size_t message_weight(std::string_view data) noexcept {
    return data.size() + 163;
}

[[noreturn]] inline void damaged(const char* what) {
    constexpr int corrupt = 11; // SQLITE_CORRUPT
    throw SqliteError{corrupt, what};
}

inline delivery::NotificationId id_of(std::string_view blob) {
    if (blob.size() != delivery::NotificationId::bytes) damaged("a notification's id is not one");
    return delivery::NotificationId::from_raw(blob);
}

inline delivery::Status status_of(std::int64_t value) {
    if (value < 0 || value >= static_cast<std::int64_t>(delivery::status_count))
        damaged("a notification's status is not one");
    return static_cast<delivery::Status>(value);
}

inline delivery::Priority priority_of(std::int64_t value) {
    if (value < 0 || value > static_cast<std::int64_t>(delivery::Priority::low))
        damaged("a notification's priority is not one");
    return static_cast<delivery::Priority>(value);
}

inline delivery::Audience::Kind audience_of(std::int64_t value) {
    if (value < 0 || value > static_cast<std::int64_t>(delivery::Audience::Kind::broadcast))
        damaged("a send's audience is not one");
    return static_cast<delivery::Audience::Kind>(value);
}

inline delivery::Event event_of(std::int64_t value) {
    if (value < 0 || value >= static_cast<std::int64_t>(delivery::event_count))
        damaged("an event of a notification is not one");
    return static_cast<delivery::Event>(value);
}

} // namespace fanfare::stores
