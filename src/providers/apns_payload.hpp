#pragma once
// What a notification is to Apple: the JSON body, and the kind of push.

#include "said_before.hpp"

#include <fanfare/base/error.hpp>
#include <fanfare/delivery/provider.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare::providers {

enum class ApnsPushType : std::uint8_t { alert, background, voip };
/// As `apns-push-type` names it.
[[nodiscard]] std::string_view apns_push_type_name(ApnsPushType type) noexcept;
/// A topic with the suffix `.voip` takes VoIP pushes only. Else: what shows or sounds is an alert;
/// what is silent, or has nothing but data, wakes the app in the background.
[[nodiscard]] ApnsPushType apns_push_type(const delivery::PushContent& content,
                                          std::string_view topic) noexcept;

/// Bytes of the body, in UTF-8: 4096; VoIP 5120.
[[nodiscard]] std::size_t apns_payload_max(ApnsPushType type) noexcept;

/// `{"aps":{…},"id":"<notification>","data":<as it came>}`. `aps` has
///   alert      title and body; none in the background
///   badge      if given, 0 too
///   sound      as given, else "default" if there is an alert
///   category   for the app's actions, and `thread-id`: a phone groups by category
///   mutable-content   1 if there is an alert and data: a service extension may use it
///   content-available 1 in the background
[[nodiscard]] std::string apns_payload(const delivery::PushContent& content,
                                       const delivery::NotificationId& id, ApnsPushType type);

/// The same, for many in a row: a content like the one before is not built anew.
class ApnsPayloads {
  public:
    [[nodiscard]] std::string make(const delivery::PushContent& content,
                                   const delivery::NotificationId& id, ApnsPushType type);

  private:
    SaidBefore before_;
    ApnsPushType type_ = ApnsPushType::alert;
    std::string text_;      // with the place of an id …
    std::size_t id_at_ = 0; // … here
};

/// `too_large`, naming the limit; no error: it fits.
[[nodiscard]] Error check_apns(const delivery::PushContent& content, std::string_view topic);

} // namespace fanfare::providers
