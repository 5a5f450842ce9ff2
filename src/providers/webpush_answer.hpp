#pragma once
// What browsers' push services answer, and what it means.
//
// Status first: each service has bodies of its own, and Google's are texts that change. A body is
// read for two questions only: what to call the failure, and whether it speaks of our VAPID key.

#include "push_answer.hpp"

namespace fanfare::providers {

/// Which key the subscription was made with, as far as we know.
enum class SubscribedWith : std::uint8_t { this_key, other_key };

/// 404 and 410 drop the subscription. 400, 401 and 403 that speak of the key drop it only if it was
/// made with another one; else they keep it, and ask for a pause of the origin (`pause_origin`) and
/// an operator: an origin is anybody's, so it cannot stop the credential.
/// `retry_after` after 429 is the service's, else 60 s.
[[nodiscard]] PushReading read_webpush_answer(const PushAnswer& answer, WallMillis now,
                                              SubscribedWith key);

} // namespace fanfare::providers
