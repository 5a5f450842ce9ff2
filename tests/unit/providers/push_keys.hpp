#pragma once
// Keys and tokens for tests of providers, made with OpenSSL, and verified with cjose.

#include <string>
#include <string_view>

namespace fanfare::test {

/// PEM of new keys; `curve` by OpenSSL's name.
std::string ec_key_pem(const char* curve = "prime256v1");
/// On P-256, its public half in the form that OpenSSL calls so: "compressed", "hybrid".
std::string ec_key_pem_in(const char* form);
std::string rsa_key_pem(int bits);
/// One RSA key for the whole process: they take long to make.
const std::string& rsa_pem();
/// Of a private key's PEM.
std::string encrypted_pem(const std::string& pem);
std::string public_pem(const std::string& pem);

/// What cjose says of a compact JWS and the public half of a private key's PEM: the payload, or
/// "refused".
std::string verified_claims(std::string_view token, const std::string& private_pem);
/// The same for an EC key given by its public point.
std::string verified_by_point(std::string_view token, std::string_view point);
/// The header's JSON.
std::string token_header(std::string_view token);

} // namespace fanfare::test
