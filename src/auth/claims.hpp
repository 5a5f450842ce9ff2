#pragma once
// What a token says, once its signature holds (RFC 7519 §4.1; docs/protocol.md §6 "JWT claims").

#include "jwt.hpp"

#include <fanfare/auth/options.hpp>
#include <fanfare/base/clock.hpp>
#include <fanfare/base/result.hpp>
#include <fanfare/session/authorizer.hpp>

#include <string_view>

namespace fanfare::auth {

/// The identity of a payload, or the first claim that is wrong. `now`: the wall clock's time.
/// `options`: issuer, audience and leeway count.
[[nodiscard]] Result<session::Identity> read_claims(std::string_view payload,
                                                    const JwtOptions& options, WallMillis now);

} // namespace fanfare::auth
