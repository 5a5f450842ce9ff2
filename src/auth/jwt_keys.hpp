#pragma once
// The keys that tokens are verified with: one per allowed algorithm, checked when the settings are
// read, so that a key can never be used with an algorithm of another kind.

#include <fanfare/auth/options.hpp>

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

struct _cjose_jwk_int; // NOLINT: cjose's own name for what cjose_jwk_t points at

namespace fanfare::auth {

/// As in a token's header: "HS256".
[[nodiscard]] std::string_view algorithm_name(Algorithm algorithm) noexcept;

struct JwtKey {
    struct Release {
        void operator()(_cjose_jwk_int* key) const noexcept;
    };
    Algorithm algorithm{};
    std::unique_ptr<_cjose_jwk_int, Release> key;
    std::size_t signature_bytes = 0; // exactly; RFC 7518 §3
};

/// One entry per algorithm of the allow-list.
/// Throws std::runtime_error with one sentence if an algorithm has no fitting key: a secret that is
/// too short (RFC 7518 §3.2) or is the text of a key file; a public key that cannot be read, is of
/// another type or curve, or is an RSA key below 2048 bits.
[[nodiscard]] std::vector<JwtKey> make_jwt_keys(const JwtOptions& options);

} // namespace fanfare::auth
