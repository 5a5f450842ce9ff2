#pragma once
// What Apple's answers mean.

#include "push_answer.hpp"

#include <string>
#include <string_view>

namespace fanfare::providers {

/// By status and reason together; a reason that we do not know, or do not know with this status,
/// counts for nothing: 429 and 5xx are `later`, other failures `fix`. A token is dropped for the
/// reasons that Apple says so for, never for an unknown one.
/// A dropped token of `wrong_target` goes through a MassDropGuard first.
[[nodiscard]] PushReading read_apns_answer(const PushAnswer& answer, WallMillis now,
                                           Attempt attempt);

/// The `reason` of a failure's body or of a GOAWAY's debug data; empty if there is none.
[[nodiscard]] std::string apns_reason(std::string_view json);

/// A GOAWAY that says that the credential itself is refused: connecting again does not help.
[[nodiscard]] bool apns_goaway_refuses(std::string_view reason) noexcept;

} // namespace fanfare::providers
