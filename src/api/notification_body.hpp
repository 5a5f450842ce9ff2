#pragma once
// The body of `POST /api/v1/notifications`: one text in, one value out. No I/O.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/delivery/notification.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fanfare::api {

/// Views show the text.
struct NotificationBody {
    std::vector<std::string> users; // one, or those of `user_ids`; none twice
    bool many = false;              // `user_ids` was given
    std::string topic;              // empty: it is not for one
    bool broadcast = false;
    std::string_view title;          // a JSON string as it came, quotes and all; empty: none
    std::string_view body;           // the same
    std::string_view data;           // JSON as it came; empty: none
    delivery::Channels channels = 0; // none: those that are served
    delivery::Priority priority = delivery::Priority::normal;
    std::optional<std::chrono::seconds> ttl; // at most `ttl_max`
    std::string collapse_key;                // empty: none
    std::string category;                    // empty: none
    // For push alone:
    std::optional<std::uint32_t> badge; // at most `badge_max`
    std::string sound;                  // empty: none
    bool silent = false;                // then none of title, body, badge and sound is there
    std::string key;                    // of idempotency; empty: none

    /// Longer ones are taken as this, so that milliseconds fit whatever number comes.
    static constexpr std::chrono::seconds ttl_max = std::chrono::hours{24 * 36'500};
    static constexpr std::uint32_t badge_max = 0x7fff'ffff; // phones count in 32 bits
};

/// It is for more than the one user of `user_id`.
[[nodiscard]] inline bool is_send(const NotificationBody& body) noexcept {
    return body.many || body.broadcast || !body.topic.empty();
}

/// Overwrites `body`. Returns what is wrong; then `body` is worth nothing. `users_max`: of
/// `user_ids`. Members that are not known are skipped; known ones may occur once.
[[nodiscard]] Error parse_notification(std::string_view text, std::size_t users_max,
                                       NotificationBody& body);

/// What clients are sent as `data`:
/// `{"title","body","data","category","priority","created"}`, of which the first four are there
/// if they were given.
[[nodiscard]] std::string client_data(const NotificationBody& body, WallMillis created);

/// What is for push alone, as delivery::Notification has it.
[[nodiscard]] std::string push_options(const NotificationBody& body);

/// All that was asked for, the same in every process: another one under the same key is a conflict.
[[nodiscard]] std::uint64_t fingerprint(const NotificationBody& body);

/// Offsets that no inbox reaches; stores keep them in 63 bits.
inline constexpr std::uint64_t inbox_offset_max = (std::uint64_t{1} << 63U) - 1;
/// The body of `POST /api/v1/users/{user}/inbox/read`, `{"offset":n}` or `{"all":true}`: up to
/// where all is read; or what is wrong.
[[nodiscard]] std::variant<Error, std::uint64_t> parse_read(std::string_view text);

} // namespace fanfare::api
