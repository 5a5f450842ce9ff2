#pragma once
// One push to Google: FCM HTTP v1, `projects.messages.send`.

#include "push_request.hpp"
#include "said_before.hpp"

#include <fanfare/base/error.hpp>
#include <fanfare/delivery/provider.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace fanfare::providers {

/// Of Google's 4096 bytes. What exactly these count is not published; we count the names and values
/// of `data` and the texts of the notification, and stay a little below.
inline constexpr std::size_t fcm_payload_max = 4'000;

/// `{"message":{"token","notification","data","android"}}`:
///   notification  title and body; none if silent
///   data          texts, as FCM has nothing else: `id`, `category`, and our JSON as one text,
///                 `data`
///   android.priority      HIGH for critical and high; NORMAL for the rest and for all silent ones
///   android.ttl           what is left, at most four weeks, "0s" if nothing is; not there if it
///                         has no end
///   android.collapse_key  the collapse key; with a notification also its `tag`, which replaces the
///                         one on the screen
///   android.notification  sound ("default" if none is given), badge as `notification_count`
[[nodiscard]] std::string fcm_payload(const delivery::NotificationId& id,
                                      const delivery::PushContent& content,
                                      const delivery::PushDevice& device, WallMillis now);

/// The same, for many in a row: a content like the one before is not built anew.
class FcmPayloads {
  public:
    [[nodiscard]] std::string make(const delivery::NotificationId& id,
                                   const delivery::PushContent& content,
                                   const delivery::PushDevice& device, WallMillis now);

  private:
    SaidBefore before_;
    std::string left_;   // `ttl`; empty: none
    std::string middle_; // from behind the token to the id
    std::string end_;    // from behind the id
};

/// `too_large`, naming the limit; no error: it fits.
[[nodiscard]] Error check_fcm(const delivery::PushContent& content);

/// `authorization`: of the token.
[[nodiscard]] PushRequest fcm_request(std::string_view project_id, std::string_view authorization,
                                      const delivery::NotificationId& id,
                                      const delivery::PushContent& content,
                                      const delivery::PushDevice& device, WallMillis now,
                                      FcmPayloads& payloads);

/// Names in `data` that Google keeps for itself: a message with one is refused.
[[nodiscard]] constexpr bool is_reserved_by_fcm(std::string_view name) noexcept {
    return name == "from" || name == "message_type" || name.starts_with("google.") ||
           name.starts_with("gcm.notification.");
}

} // namespace fanfare::providers
