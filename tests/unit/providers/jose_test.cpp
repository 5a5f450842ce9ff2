#include "jose.hpp"
#include "p256.hpp"
#include "push_keys.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <openssl/err.h>

#include <set>
#include <stdexcept>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;

namespace {

constexpr std::string_view es_header = R"({"alg":"ES256"})";
constexpr std::string_view rs_header = R"({"alg":"RS256"})";
constexpr std::string_view claims = R"({"iss":"TEAM"})";

/// The sentence that refuses a key.
std::string refusal(JoseAlgorithm algorithm, const std::string& pem) {
    try {
        const SigningKey key{algorithm, pem, "key.p8"};
    } catch (const std::runtime_error& error) {
        CHECK(ERR_peek_error() == 0); // nothing left for a TLS connection to stumble over
        return error.what();
    }
    return "accepted";
}

std::string scalar_refusal(std::string_view text) {
    try {
        const SigningKey key = SigningKey::from_scalar(text, "vapid.key");
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "accepted";
}

} // namespace

TEST_CASE("jose: another library verifies what is signed", "[providers]") {
    const std::string ec = ec_key_pem();
    const SigningKey es256{JoseAlgorithm::es256, ec, "key.p8"};
    std::set<std::string> tokens;
    for (int i = 0; i < 300; ++i) { // R and S with leading zeros are among them
        const std::string token = es256.sign_token(es_header, claims);
        CHECK(verified_claims(token, ec) == claims);
        CHECK(from_base64url(token.substr(token.rfind('.') + 1)).value().size() == 64);
        tokens.insert(token);
    }
    CHECK(tokens.size() == 300);

    const SigningKey rs256{JoseAlgorithm::rs256, rsa_pem(), "account.json"};
    const std::string token = rs256.sign_token(rs_header, claims);
    CHECK(verified_claims(token, rsa_pem()) == claims);
    CHECK(token == rs256.sign_token(rs_header, claims)); // PKCS#1 v1.5 is not random
}

TEST_CASE("jose: what is no key for the algorithm is refused by name", "[providers]") {
    using Algorithm = JoseAlgorithm;
    const std::string ec = ec_key_pem();
    struct Case {
        Algorithm algorithm;
        std::string pem;
        const char* sentence;
    };
    const std::vector<Case> cases{
        {Algorithm::es256, ec_key_pem("secp384r1"),
         "key.p8 is on another curve: ES256 needs P-256 (prime256v1)"},
        {Algorithm::es256, ec_key_pem("secp256k1"),
         "key.p8 is on another curve: ES256 needs P-256 (prime256v1)"},
        {Algorithm::es256, rsa_pem(), "key.p8 is not an EC key: ES256 needs one on P-256"},
        {Algorithm::rs256, ec, "key.p8 is not an RSA key, which RS256 needs"},
        {Algorithm::rs256, rsa_key_pem(1024), "key.p8 has 1024 bits: RS256 needs at least 2048"},
        {Algorithm::es256, encrypted_pem(ec),
         "key.p8 is encrypted with a passphrase: give the gateway the plain key "
         "(openssl pkey -in KEY -out PLAIN)"},
        {Algorithm::es256, public_pem(ec), "key.p8 is a public key: the private one signs"},
        {Algorithm::es256, "-----BEGIN CERTIFICATE-----\n",
         "key.p8 is a certificate, not a private key"},
        {Algorithm::es256, "",
         "key.p8 holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"},
        {Algorithm::es256, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
         "key.p8 holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"},
        {Algorithm::es256, ec.substr(0, ec.size() / 2),
         "key.p8 holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.sentence);
        CHECK(refusal(c.algorithm, c.pem) == c.sentence);
    }
    CHECK(refusal(Algorithm::es256, ec) == "accepted");
}

TEST_CASE("jose: a key on P-256 from its 32 bytes, leading zeros too", "[providers]") {
    // RFC 8291 appendix A: the sender's pair.
    const SigningKey key =
        SigningKey::from_scalar("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw=", "vapid.key");
    CHECK(
        to_base64url(as_byte_view(key.public_point())) ==
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
    CHECK(verified_by_point(key.sign_token(es_header, claims), key.public_point()) == claims);

    const std::string small = std::string(31, '\0') + '\x07';
    const SigningKey seven =
        SigningKey::from_scalar(to_base64url(as_byte_view(small)), "vapid.key");
    CHECK(verified_by_point(seven.sign_token(es_header, claims), seven.public_point()) == claims);

    const char* const wrong =
        "vapid.key is not a private key on P-256: 32 bytes as base64url, or PEM";
    CHECK(scalar_refusal("yfWPiYE-") == wrong);
    CHECK(scalar_refusal(to_base64url(as_byte_view(std::string(32, '\0')))) == wrong);
    CHECK(scalar_refusal(to_base64url(as_byte_view(std::string(32, '\xff')))) == wrong);
    CHECK(scalar_refusal("not base64!") == "vapid.key is neither PEM nor base64url");
}

TEST_CASE("jose: the public half is uncompressed, whatever form the file has", "[providers]") {
    const char* const form = GENERATE("uncompressed", "compressed", "hybrid");
    CAPTURE(form);
    const SigningKey key{JoseAlgorithm::es256, ec_key_pem_in(form), "key.p8"};
    CHECK(key.public_point().size() == 65);
    CHECK(key.public_point().front() == '\x04');
    CHECK(verified_by_point(key.sign_token(es_header, claims), key.public_point()) == claims);
    CHECK(ERR_peek_error() == 0);
}
