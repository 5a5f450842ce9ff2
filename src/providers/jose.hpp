#pragma once
// Signing JSON Web Tokens: ES256 for Apple and VAPID, RS256 for Google. (Tokens are verified in
// `auth`, by another library.)

#include "openssl_ptr.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare::providers {

enum class JoseAlgorithm : std::uint8_t { es256, rs256 };

/// A private key, ready to sign. Any thread, several at once.
class SigningKey {
  public:
    /// `pem`: one unencrypted private key; for ES256 EC on P-256, for RS256 RSA of 2048 bits or
    /// more. Throws std::runtime_error with one sentence that begins with `name`, what operators
    /// call the key, and never holds a part of it.
    SigningKey(JoseAlgorithm algorithm, std::string_view pem, std::string_view name);
    /// For ES256: from the 32 bytes of a private key on P-256 as base64url, with or without
    /// padding. Throws likewise.
    [[nodiscard]] static SigningKey from_scalar(std::string_view base64, std::string_view name);

    /// JWS compact form of two JSON texts; `header` must name our algorithm.
    [[nodiscard]] std::string sign_token(std::string_view header, std::string_view claims) const;
    /// ES256: R and S, 32 bytes each (RFC 7518 §3.4). RS256: as long as the modulus.
    [[nodiscard]] std::string sign(std::string_view text) const;
    /// ES256: the public half, 65 bytes, uncompressed.
    [[nodiscard]] std::string public_point() const;

  private:
    SigningKey(JoseAlgorithm algorithm, PkeyPtr key);

    JoseAlgorithm algorithm_;
    PkeyPtr key_;
    /// Has looked up digest and key once; each signature works on a copy.
    MdCtxPtr ready_;
};

} // namespace fanfare::providers
