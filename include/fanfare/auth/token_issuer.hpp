#pragma once
// Signing tokens: for the command line and for tests. In production the backend signs its own.

#include <fanfare/auth/options.hpp>
#include <fanfare/base/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::auth {

enum class issue_errc {
    no_secret = 1,  // no HS* algorithm in the options, or no secret for it
    bad_claims,     // no `sub`, an `exp` that is not after `iat`, or `info` that is not JSON
    signing_failed, // the library refused: out of memory, a broken key
};
[[nodiscard]] error_code make_error_code(issue_errc code) noexcept;

struct Claims {
    std::string sub;                    // the user; UTF-8, required
    std::vector<std::string> subscribe; // rooms.subscribe: names or patterns with `*`
    std::vector<std::string> publish;   // rooms.publish
    std::string info;                   // any JSON; empty: no claim
    std::string device;                 // empty: no claim
    std::int64_t issued_at = 0;         // `iat`, Unix seconds
    std::int64_t expires = 0;           // `exp`, Unix seconds
};

/// A compact JWS, signed with the first HS* algorithm of `options` and its secret. `iss` and `aud`
/// are those of `options`, where set. Any thread. Source: protocol.md §6 "JWT claims", RFC 7519.
[[nodiscard]] Result<std::string> issue_token(const JwtOptions& options, const Claims& claims);

} // namespace fanfare::auth

template <>
struct boost::system::is_error_code_enum<fanfare::auth::issue_errc> : std::true_type {};
