#pragma once
// Makes tokens, good and bad, with OpenSSL alone: what verifies them uses cjose.

#include <fanfare/base/bytes.hpp>

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace fanfare::test {

struct PrivateKey {
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{nullptr, &EVP_PKEY_free};
    std::string public_pem;
};
/// Made once per process.
const PrivateKey& rsa_key(); // 2048 bits
const PrivateKey& ec_key();  // P-256

std::string hmac(std::string_view hash, std::string_view secret, std::string_view text);
std::string rs256(std::string_view text);
/// R and S, 32 bytes each.
std::string es256(std::string_view text);
/// The same in the form that JOSE does not allow.
std::string es256_der(std::string_view text);

/// `header.payload` of two JSON texts.
inline std::string unsigned_token(std::string_view header, std::string_view payload) {
    return to_base64url(as_byte_view(header)) + '.' + to_base64url(as_byte_view(payload));
}
inline std::string with_signature(const std::string& text, std::string_view signature) {
    return text + '.' + to_base64url(as_byte_view(signature));
}

inline const std::string hs_secret = "0123456789abcdef0123456789abcdef";
inline std::string hs256_token(std::string_view header, std::string_view payload) {
    const std::string text = unsigned_token(header, payload);
    return with_signature(text, hmac("SHA256", hs_secret, text));
}
inline std::string hs256_token(std::string_view payload) {
    return hs256_token(R"({"alg":"HS256","typ":"JWT"})", payload);
}

} // namespace fanfare::test
