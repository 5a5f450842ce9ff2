#pragma once
// One push to a browser as an HTTP request.

#include "push_request.hpp"
#include "webpush_encrypt.hpp"
#include "webpush_endpoint.hpp"

#include <fanfare/base/error.hpp>
#include <fanfare/delivery/provider.hpp>

#include <string>
#include <string_view>

namespace fanfare::providers {

/// What the service worker gets, in clear: `{"id","title","body","data","category","sound","badge",
/// "silent"}`, each but the first only if given (`silent` only if true).
[[nodiscard]] std::string webpush_payload(const delivery::NotificationId& id,
                                          const delivery::PushContent& content);

/// `too_large`, naming the limit; no error: it fits.
[[nodiscard]] Error check_webpush(const delivery::PushContent& content);

/// `authorization`: of VAPID, for the endpoint's origin. `content` has passed `check_webpush`.
/// A device without keys is sent a push without a body, which wakes its service worker. Fails as
/// the encryptor does. Fields:
///   ttl       what is left; at most four weeks, which is also what a push without an end gets
///   urgency   high for critical and high, normal, low
///   topic     the collapse key, if it is one; else 32 characters of its hash
///   content-encoding, content-type   with a body
[[nodiscard]] Result<PushRequest>
webpush_request(WebPushEncryptor& encryptor, const WebPushEndpoint& endpoint,
                std::string_view authorization, const delivery::NotificationId& id,
                const delivery::PushContent& content, const delivery::PushDevice& device,
                WallMillis now);

} // namespace fanfare::providers
