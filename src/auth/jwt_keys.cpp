#include "jwt_keys.hpp"

#include <cjose/cjose.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace fanfare::auth {
namespace {

constexpr int rsa_bits_min = 2048;
constexpr std::size_t p256_bytes = 32;

using PublicKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

bool contains(std::string_view text, std::string_view what) {
    return text.find(what) != std::string_view::npos;
}

/// How messages call the key file.
std::string file_name(const JwtOptions& options) {
    return options.public_key_path.empty() ? "the public key" : options.public_key_path;
}

[[noreturn]] void fail(const std::string& sentence) {
    ERR_clear_error(); // what stays in OpenSSL's queue would be taken for an error of a TLS socket
    throw std::runtime_error{sentence};
}

PublicKey read_public_key(const JwtOptions& options) {
    const std::string& pem = options.public_key_pem;
    const std::string name = file_name(options);
    if (contains(pem, "PRIVATE KEY-----"))
        fail(name + " is a private key: give the gateway the public one "
                    "(openssl pkey -in KEY -pubout)");
    if (contains(pem, "-----BEGIN CERTIFICATE"))
        fail(name + " is a certificate: give the gateway its public key "
                    "(openssl x509 -in CERT -noout -pubkey)");
    const std::unique_ptr<BIO, decltype(&BIO_free)> bio{
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
    PublicKey key{PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free};
    if (!key) fail(name + " holds no public key in PEM form (-----BEGIN PUBLIC KEY-----)");
    return key;
}

/// A number of the key as unsigned big-endian bytes; `size` 0: as many as it needs.
std::vector<std::uint8_t> number_of(const PublicKey& key, const char* name, std::size_t size) {
    BIGNUM* raw = nullptr;
    if (EVP_PKEY_get_bn_param(key.get(), name, &raw) != 1) return {};
    const std::unique_ptr<BIGNUM, decltype(&BN_free)> number{raw, &BN_free};
    if (size == 0) size = static_cast<std::size_t>((BN_num_bits(number.get()) + 7) / 8);
    std::vector<std::uint8_t> bytes(size);
    if (BN_bn2binpad(number.get(), bytes.data(), static_cast<int>(size)) < 0) return {};
    return bytes;
}

JwtKey make_key(Algorithm algorithm, cjose_jwk_t* key, std::size_t signature_bytes,
                const std::string& name) {
    if (key == nullptr)
        fail(name + " cannot be used for " + std::string{algorithm_name(algorithm)});
    return {algorithm, std::unique_ptr<cjose_jwk_t, JwtKey::Release>{key}, signature_bytes};
}

JwtKey make_rsa(Algorithm algorithm, const JwtOptions& options) {
    const PublicKey key = read_public_key(options);
    const std::string name = file_name(options);
    // Not RSA-PSS: such a key says that it must not be used with PKCS#1 v1.5 signatures.
    if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA)
        fail("RS256 needs an RSA public key, and " + name + " is of another type");
    if (EVP_PKEY_get_bits(key.get()) < rsa_bits_min)
        fail("RS256 needs an RSA key of at least 2048 bits; " + name + " has " +
             std::to_string(EVP_PKEY_get_bits(key.get())));
    std::vector<std::uint8_t> n = number_of(key, OSSL_PKEY_PARAM_RSA_N, 0);
    std::vector<std::uint8_t> e = number_of(key, OSSL_PKEY_PARAM_RSA_E, 0);
    cjose_jwk_rsa_keyspec spec{};
    spec.n = n.data();
    spec.nlen = n.size();
    spec.e = e.data();
    spec.elen = e.size();
    return make_key(algorithm, cjose_jwk_create_RSA_spec(&spec, nullptr), n.size(), name);
}

JwtKey make_ec(Algorithm algorithm, const JwtOptions& options) {
    const PublicKey key = read_public_key(options);
    const std::string name = file_name(options);
    std::string curve(64, '\0');
    std::size_t size = 0;
    if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC)
        fail("ES256 needs an EC public key on P-256, and " + name + " is of another type");
    if (EVP_PKEY_get_group_name(key.get(), curve.data(), curve.size(), &size) != 1 ||
        curve.substr(0, size) != SN_X9_62_prime256v1)
        fail("ES256 needs an EC public key on P-256, and " + name + " is on another curve");
    std::vector<std::uint8_t> x = number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, p256_bytes);
    std::vector<std::uint8_t> y = number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, p256_bytes);
    cjose_jwk_ec_keyspec spec{};
    spec.crv = CJOSE_JWK_EC_P_256;
    spec.x = x.data();
    spec.xlen = x.size();
    spec.y = y.data();
    spec.ylen = y.size();
    return make_key(algorithm, cjose_jwk_create_EC_spec(&spec, nullptr), 2 * p256_bytes, name);
}

JwtKey make_hmac(Algorithm algorithm, std::size_t hash_bytes, const JwtOptions& options) {
    const std::string name{algorithm_name(algorithm)};
    const std::string& secret = options.secret;
    if (secret.empty()) fail(name + " needs a secret, and none is given");
    // Who takes a public key for the secret lets everyone sign who can read that key.
    if (contains(secret, "-----BEGIN "))
        fail("the secret for " + name +
             " is the text of a PEM file: public keys belong to RS256 "
             "or ES256");
    if (secret.size() < hash_bytes)
        fail(name + " needs a secret of at least " + std::to_string(hash_bytes) +
             " bytes; this one has " + std::to_string(secret.size()));
    // NOLINTNEXTLINE: cjose speaks unsigned char.
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(secret.data());
    return make_key(algorithm, cjose_jwk_create_oct_spec(bytes, secret.size(), nullptr), hash_bytes,
                    "the secret");
}

JwtKey make_for(Algorithm algorithm, const JwtOptions& options) {
    switch (algorithm) {
    case Algorithm::hs256:
        return make_hmac(algorithm, 32, options);
    case Algorithm::hs384:
        return make_hmac(algorithm, 48, options);
    case Algorithm::hs512:
        return make_hmac(algorithm, 64, options);
    case Algorithm::rs256:
    case Algorithm::es256:
        break;
    }
    if (options.public_key_pem.empty())
        fail(std::string{algorithm_name(algorithm)} + " needs a public key, and none is given");
    return algorithm == Algorithm::rs256 ? make_rsa(algorithm, options)
                                         : make_ec(algorithm, options);
}

} // namespace

std::string_view algorithm_name(Algorithm algorithm) noexcept {
    switch (algorithm) {
    case Algorithm::hs256:
        return "HS256";
    case Algorithm::hs384:
        return "HS384";
    case Algorithm::hs512:
        return "HS512";
    case Algorithm::rs256:
        return "RS256";
    case Algorithm::es256:
        break;
    }
    return "ES256";
}

void JwtKey::Release::operator()(_cjose_jwk_int* key) const noexcept {
    cjose_jwk_release(key);
}

std::vector<JwtKey> make_jwt_keys(const JwtOptions& options) {
    std::vector<JwtKey> keys;
    for (const Algorithm algorithm : options.algorithms)
        keys.push_back(make_for(algorithm, options));
    return keys;
}

} // namespace fanfare::auth
