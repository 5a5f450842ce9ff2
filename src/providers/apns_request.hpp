#pragma once
// One push to Apple as an HTTP/2 request.

#include "apns_payload.hpp"
#include "push_request.hpp"

#include <fanfare/delivery/provider.hpp>

#include <string>
#include <string_view>

namespace fanfare::providers {

/// `authorization`: of the token; empty on a connection with a client certificate. `content` has
/// passed `check_apns`, `device.token` is hex. Fields:
///   apns-topic, apns-push-type
///   apns-id           the notification's 16 bytes as a UUID: the same for each attempt
///   apns-priority     10, Apple's default, for critical, high and normal; 5 for low and for all
///                     that goes to the background, where Apple refuses 10
///   apns-expiration   when its time is over, at most in 30 days; 0 (one try, not stored) if that
///   is
///                     now; not there if it has none
///   apns-collapse-id  the collapse key; its hash if it is longer than 64 bytes or not plain ASCII
[[nodiscard]] PushRequest apns_request(std::string_view topic, std::string_view authorization,
                                       const delivery::NotificationId& id,
                                       const delivery::PushContent& content,
                                       const delivery::PushDevice& device, WallMillis now,
                                       ApnsPayloads& payloads);

/// 8-4-4-4-12 lower-case hex digits.
[[nodiscard]] std::string apns_id(const delivery::NotificationId& id);

} // namespace fanfare::providers
