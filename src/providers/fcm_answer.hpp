#pragma once
// What Google's answers to a push mean.
//
// The same status means different things: 401 is our own access token, or the project's key for
// Apple; 404 is a dead token, or a wrong project. What settles it is the entry FcmError in the
// details, wherever it stands; only without one does `error.status` count, and only without that
// the HTTP status. A token is dropped on Google's explicit word only.

#include "push_answer.hpp"

namespace fanfare::providers {

/// `retry_after` is Google's, else what its pages ask for: at least 60 s after 429, 10 s after 5xx.
/// `pause`: the quota is the project's. `stop`: wrong project or missing permission.
/// A dropped token of `wrong_target` goes through a MassDropGuard first.
[[nodiscard]] PushReading read_fcm_answer(const PushAnswer& answer, WallMillis now,
                                          Attempt attempt);

} // namespace fanfare::providers
