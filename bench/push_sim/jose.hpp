// JSON Web Tokens from the verifier's side (RFC 7515, 7518), on OpenSSL alone. The gateway signs
// with other code, so that a fault cannot hide by being on both sides.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sim {

/// A compact token, decoded but not verified.
struct Jwt {
    std::string alg, kid;
    std::string iss, aud, sub, scope; // empty when absent or not a text
    std::optional<double> iat, exp;   // set only if they are JSON numbers
    bool iat_present = false;
    std::string signed_part; // header.payload as they came
    std::string signature;   // bytes
};

/// Empty if it is not three parts of strict base64url with two JSON objects.
[[nodiscard]] std::optional<Jwt> parse_jwt(std::string_view text);

class PublicKey {
  public:
    /// Reads a PEM public key. Throws std::invalid_argument that names the file.
    [[nodiscard]] static PublicKey from_pem(const std::string& file);

    /// An uncompressed P-256 point of 65 bytes; empty if it is none, or not on the curve.
    [[nodiscard]] static std::optional<PublicKey> from_point(std::string_view point);

    /// ES256 with the signature as 64 bytes, R then S; a DER signature fails.
    [[nodiscard]] bool verify_es256(const Jwt& token) const;
    [[nodiscard]] bool verify_rs256(const Jwt& token) const;

    [[nodiscard]] EVP_PKEY* get() const { return key_.get(); }

  private:
    explicit PublicKey(EVP_PKEY* key);
    std::shared_ptr<EVP_PKEY> key_;
};

} // namespace sim
