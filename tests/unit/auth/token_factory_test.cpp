// The factory itself, and that it agrees with a published vector.

#include "token_factory.hpp"

#include <catch2/catch.hpp>
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

namespace fanfare::test {
namespace {

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

PrivateKey with_pem(EVP_PKEY* key) {
    PrivateKey result;
    result.key.reset(key);
    BIO* const bio = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_PUBKEY(bio, key) == 1);
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio, &text); // NOLINT: OpenSSL's macro casts
    result.public_pem.assign(text, static_cast<std::size_t>(size));
    BIO_free(bio);
    return result;
}

std::string sign(EVP_PKEY* key, std::string_view text) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                          &EVP_MD_CTX_free};
    REQUIRE(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1);
    std::string out(512, '\0');
    std::size_t size = out.size();
    REQUIRE(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                           bytes_of(text), text.size()) == 1);
    out.resize(size);
    return out;
}

} // namespace

const PrivateKey& rsa_key() {
    static const PrivateKey key =
        with_pem(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
    return key;
}

const PrivateKey& ec_key() {
    static const PrivateKey key = with_pem(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    return key;
}

std::string hmac(std::string_view hash, std::string_view secret, std::string_view text) {
    std::string out(64, '\0');
    unsigned size = 0;
    HMAC(EVP_get_digestbyname(std::string{hash}.c_str()), secret.data(),
         static_cast<int>(secret.size()), bytes_of(text), text.size(),
         reinterpret_cast<unsigned char*>(out.data()), &size);
    out.resize(size);
    return out;
}

std::string rs256(std::string_view text) {
    return sign(rsa_key().key.get(), text);
}

std::string es256_der(std::string_view text) {
    return sign(ec_key().key.get(), text);
}

std::string es256(std::string_view text) {
    const std::string der = es256_der(text);
    const unsigned char* at = bytes_of(der);
    ECDSA_SIG* const signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    REQUIRE(signature != nullptr);
    std::string out(64, '\0');
    auto* const to = reinterpret_cast<unsigned char*>(out.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), to, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), to + 32, 32);
    ECDSA_SIG_free(signature);
    return out;
}

TEST_CASE("token factory: HMAC of RFC 4231 test case 2", "[auth]") {
    CHECK(to_hex(as_byte_view(hmac("SHA256", "Jefe", "what do ya want for nothing?"))) ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

} // namespace fanfare::test
