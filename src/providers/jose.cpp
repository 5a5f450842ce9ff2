#include "jose.hpp"

#include "base64_lenient.hpp"
#include "p256.hpp"

#include <fanfare/base/bytes.hpp>

#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdexcept>
#include <utility>

namespace fanfare::providers {
namespace {

constexpr int rsa_bits_min = 2048;

bool contains(std::string_view text, std::string_view what) {
    return text.find(what) != std::string_view::npos;
}

[[noreturn]] void fail(std::string_view name, std::string_view sentence) {
    ERR_clear_error(); // what stays in OpenSSL's queue would be taken for an error of a TLS socket
    throw std::runtime_error{std::string{name}.append(" ").append(sentence)};
}

/// Instead of OpenSSL's own, which asks the terminal.
int no_passphrase(char* /*to*/, int /*size*/, int /*writing*/, void* /*user*/) {
    return -1;
}

PkeyPtr read_private_key(std::string_view pem, std::string_view name) {
    if (contains(pem, "BEGIN ENCRYPTED PRIVATE KEY") || contains(pem, "Proc-Type: 4,ENCRYPTED"))
        fail(name, "is encrypted with a passphrase: give the gateway the plain key "
                   "(openssl pkey -in KEY -out PLAIN)");
    if (contains(pem, "BEGIN CERTIFICATE")) fail(name, "is a certificate, not a private key");
    if (contains(pem, "BEGIN PUBLIC KEY") || contains(pem, "BEGIN RSA PUBLIC KEY"))
        fail(name, "is a public key: the private one signs");
    const BioPtr bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
    PkeyPtr key{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr)};
    if (!key) fail(name, "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)");
    return key;
}

bool is_on_p256(const EVP_PKEY& key) {
    std::string curve(64, '\0');
    std::size_t size = 0;
    return EVP_PKEY_get_group_name(&key, curve.data(), curve.size(), &size) == 1 &&
           std::string_view{curve}.substr(0, size) == SN_X9_62_prime256v1;
}

void check_key(JoseAlgorithm algorithm, const EVP_PKEY& key, std::string_view name) {
    if (algorithm == JoseAlgorithm::es256) {
        if (EVP_PKEY_get_base_id(&key) != EVP_PKEY_EC)
            fail(name, "is not an EC key: ES256 needs one on P-256");
        if (!is_on_p256(key)) fail(name, "is on another curve: ES256 needs P-256 (prime256v1)");
        return;
    }
    // Not RSA-PSS: such a key says that it must not be used with PKCS#1 v1.5 signatures.
    if (EVP_PKEY_get_base_id(&key) != EVP_PKEY_RSA)
        fail(name, "is not an RSA key, which RS256 needs");
    if (EVP_PKEY_get_bits(&key) < rsa_bits_min)
        fail(name,
             "has " + std::to_string(EVP_PKEY_get_bits(&key)) + " bits: RS256 needs at least 2048");
}

/// OpenSSL gives DER; JOSE wants both numbers at full length.
std::string to_r_and_s(std::string_view der) {
    const unsigned char* at = as_uchar(der.data());
    const EcdsaSigPtr signature{d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()))};
    FANFARE_ASSERT(signature != nullptr);
    std::string raw(2 * p256_scalar_bytes, '\0');
    constexpr int size = p256_scalar_bytes;
    FANFARE_ASSERT(
        BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), as_uchar(raw.data()), size) == size &&
        BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), as_uchar(raw.data() + size), size) == size);
    return raw;
}

} // namespace

SigningKey::SigningKey(JoseAlgorithm algorithm, PkeyPtr key)
    : algorithm_(algorithm), key_(std::move(key)), ready_(EVP_MD_CTX_new()) {
    FANFARE_ASSERT(ready_ && EVP_DigestSignInit_ex(ready_.get(), nullptr, "SHA256", nullptr,
                                                   nullptr, key_.get(), nullptr) == 1);
}

SigningKey::SigningKey(JoseAlgorithm algorithm, std::string_view pem, std::string_view name)
    : SigningKey(algorithm, [&] {
          PkeyPtr key = read_private_key(pem, name);
          check_key(algorithm, *key, name);
          return key;
      }()) {}

SigningKey SigningKey::from_scalar(std::string_view base64, std::string_view name) {
    std::optional<std::string> scalar = from_base64_lenient(base64);
    if (!scalar) fail(name, "is neither PEM nor base64url");
    const Cleanse forget{*scalar};
    PkeyPtr key = p256_private_key(*scalar);
    if (!key) fail(name, "is not a private key on P-256: 32 bytes as base64url, or PEM");
    return {JoseAlgorithm::es256, std::move(key)};
}

std::string SigningKey::sign(std::string_view text) const {
    const MdCtxPtr context{EVP_MD_CTX_new()};
    std::size_t size = 0;
    FANFARE_ASSERT(context && EVP_MD_CTX_copy_ex(context.get(), ready_.get()) == 1 &&
                   EVP_DigestSignUpdate(context.get(), text.data(), text.size()) == 1 &&
                   EVP_DigestSignFinal(context.get(), nullptr, &size) == 1);
    std::string signature(size, '\0');
    FANFARE_ASSERT(EVP_DigestSignFinal(context.get(), as_uchar(signature.data()), &size) == 1);
    signature.resize(size);
    return algorithm_ == JoseAlgorithm::es256 ? to_r_and_s(signature) : signature;
}

std::string SigningKey::sign_token(std::string_view header, std::string_view claims) const {
    std::string token = to_base64url(as_byte_view(header));
    token.append(".").append(to_base64url(as_byte_view(claims)));
    const std::string signature = sign(token);
    return token.append(".").append(to_base64url(as_byte_view(signature)));
}

std::string SigningKey::public_point() const {
    FANFARE_ASSERT(algorithm_ == JoseAlgorithm::es256);
    return p256_point(*key_);
}

} // namespace fanfare::providers
