#include "openssl_ptr.hpp"
#include "p256.hpp"
#include "push_keys.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <cjose/jwk.h>
#include <cjose/jws.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <vector>

namespace fanfare::test {
namespace {

using providers::as_uchar;
using providers::BioPtr;
using providers::BnPtr;
using providers::OpensslFree;
using providers::PkeyPtr;

std::string text_of(BIO& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(&bio, &data);
    return {data, static_cast<std::size_t>(size)};
}

std::string private_pem(EVP_PKEY& key) {
    const BioPtr bio{BIO_new(BIO_s_mem())};
    REQUIRE(PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) ==
            1);
    return text_of(*bio);
}

PkeyPtr read_pem(const std::string& pem) {
    const BioPtr bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
    PkeyPtr key{PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr)};
    REQUIRE(key);
    return key;
}

using JwkPtr = std::unique_ptr<cjose_jwk_t, OpensslFree<cjose_jwk_release>>;
using JwsPtr = std::unique_ptr<cjose_jws_t, OpensslFree<cjose_jws_release>>;

std::vector<std::uint8_t> number_of(const EVP_PKEY& key, const char* name) {
    BIGNUM* raw = nullptr;
    REQUIRE(EVP_PKEY_get_bn_param(&key, name, &raw) == 1);
    const BnPtr number{raw};
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
    BN_bn2bin(number.get(), bytes.data());
    return bytes;
}

JwkPtr point_jwk(std::string_view point) {
    std::vector<std::uint8_t> x(point.begin() + 1, point.begin() + 33);
    std::vector<std::uint8_t> y(point.begin() + 33, point.end());
    cjose_jwk_ec_keyspec spec{};
    spec.crv = CJOSE_JWK_EC_P_256;
    spec.x = x.data();
    spec.xlen = x.size();
    spec.y = y.data();
    spec.ylen = y.size();
    return JwkPtr{cjose_jwk_create_EC_spec(&spec, nullptr)};
}

JwkPtr rsa_jwk(const EVP_PKEY& key) {
    std::vector<std::uint8_t> n = number_of(key, OSSL_PKEY_PARAM_RSA_N);
    std::vector<std::uint8_t> e = number_of(key, OSSL_PKEY_PARAM_RSA_E);
    cjose_jwk_rsa_keyspec spec{};
    spec.n = n.data();
    spec.nlen = n.size();
    spec.e = e.data();
    spec.elen = e.size();
    return JwkPtr{cjose_jwk_create_RSA_spec(&spec, nullptr)};
}

std::string verified(std::string_view token, const JwkPtr& key) {
    REQUIRE(key);
    const JwsPtr jws{cjose_jws_import(token.data(), token.size(), nullptr)};
    if (!jws || !cjose_jws_verify(jws.get(), key.get(), nullptr)) return "refused";
    std::uint8_t* data = nullptr;
    std::size_t size = 0;
    REQUIRE(cjose_jws_get_plaintext(jws.get(), &data, &size, nullptr));
    return {data, data + size};
}

} // namespace

std::string ec_key_pem(const char* curve) {
    const PkeyPtr key{EVP_EC_gen(curve)};
    REQUIRE(key);
    return private_pem(*key);
}

std::string ec_key_pem_in(const char* form) {
    const PkeyPtr key{EVP_EC_gen("prime256v1")};
    REQUIRE(EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                           form) == 1);
    return private_pem(*key);
}

std::string rsa_key_pem(int bits) {
    const PkeyPtr key{EVP_RSA_gen(static_cast<unsigned>(bits))};
    REQUIRE(key);
    return private_pem(*key);
}

const std::string& rsa_pem() {
    static const std::string pem = rsa_key_pem(2048);
    return pem;
}

std::string encrypted_pem(const std::string& pem) {
    const BioPtr bio{BIO_new(BIO_s_mem())};
    std::string passphrase{"secret"};
    REQUIRE(PEM_write_bio_PKCS8PrivateKey(bio.get(), read_pem(pem).get(), EVP_aes_128_cbc(),
                                          passphrase.data(), static_cast<int>(passphrase.size()),
                                          nullptr, nullptr) == 1);
    return text_of(*bio);
}

std::string public_pem(const std::string& pem) {
    const BioPtr bio{BIO_new(BIO_s_mem())};
    REQUIRE(PEM_write_bio_PUBKEY(bio.get(), read_pem(pem).get()) == 1);
    return text_of(*bio);
}

std::string verified_claims(std::string_view token, const std::string& pem) {
    const PkeyPtr key = read_pem(pem);
    return verified(token, EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC
                               ? point_jwk(providers::p256_point(*key))
                               : rsa_jwk(*key));
}

std::string verified_by_point(std::string_view token, std::string_view point) {
    return verified(token, point_jwk(point));
}

std::string token_header(std::string_view token) {
    return from_base64url(token.substr(0, token.find('.'))).value_or("not base64url");
}

} // namespace fanfare::test

TEST_CASE("push keys: a token of another key is refused", "[providers]") {
    using namespace fanfare::test;
    // RFC 8292 §2.4 under a key that did not sign it: what verifies here can say no.
    constexpr std::string_view token =
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiO"
        "jE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGk"
        "MlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA";
    const auto point = fanfare::from_base64url(
        "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs");
    REQUIRE(point);
    CHECK(verified_by_point(token, *point) ==
          R"({"aud":"https://push.example.net","exp":1453523768,"sub":"mailto:push@example.com"})");
    CHECK(verified_claims(token, ec_key_pem()) == "refused");
}
