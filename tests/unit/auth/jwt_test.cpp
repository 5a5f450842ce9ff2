#include "jwt.hpp"
#include "token_factory.hpp"

#include <catch2/catch.hpp>
#include <openssl/err.h>

#include <stdexcept>
#include <string>
#include <support/manual_clock.hpp>
#include <utility>
#include <vector>

using namespace fanfare;
using namespace fanfare::auth;
using namespace fanfare::test;

namespace {

constexpr std::int64_t now = 1'767'225'600; // of ManualClock

JwtOptions hs256_options() {
    JwtOptions options;
    options.algorithms = {Algorithm::hs256};
    options.secret = hs_secret;
    return options;
}
JwtOptions public_key_options(Algorithm algorithm, const std::string& pem) {
    JwtOptions options;
    options.algorithms = {algorithm};
    options.public_key_pem = pem;
    options.public_key_path = "pub.pem";
    return options;
}

struct Verify {
    explicit Verify(const JwtOptions& options = hs256_options()) : verifier(options, clock) {}
    /// No code: the token is good.
    error_code operator()(const std::string& token) {
        const auto identity = verifier.verify(token);
        CHECK(ERR_peek_error() == 0); // nothing left for a TLS connection to stumble over
        if (!identity) return identity.error();
        last = *identity;
        return {};
    }
    ManualClock clock;
    JwtVerifier verifier;
    session::IdentityRef last;
};

/// A payload with the claims that every token needs, and more.
std::string claims(const std::string& more = "") {
    return R"({"sub":"u1","exp":)" + std::to_string(now + 60) + more + "}";
}
/// Nothing else but `exp`, as it is given.
std::string expiring(const std::string& exp) {
    return R"({"sub":"u1","exp":)" + exp + "}";
}

const error_code good;

} // namespace

TEST_CASE("jwt: what a good token says", "[auth][rfc7519]") {
    Verify verify;
    REQUIRE(verify(hs256_token(claims())) == good);
    CHECK(verify.last->user == "u1");
    CHECK(verify.last->expires == now + 60);
    CHECK(verify.last->closes == now + 60);
    CHECK(verify.last->info.empty());
    CHECK(verify.last->device.empty());
    CHECK(verify.last->subscribe.empty());
    CHECK(verify.last->publish.empty());

    REQUIRE(verify(hs256_token(claims(
                R"(,"rooms":{"subscribe":["chat:*","\u0061"],"publish":["chat:42"],"more":1})"
                R"(,"info": { "n" : 1e400, "t":"\u00e9" } ,"device":"d1","other":[1])"))) == good);
    CHECK(verify.last->subscribe == std::vector<std::string>{"chat:*", "a"});
    CHECK(verify.last->publish == std::vector<std::string>{"chat:42"});
    CHECK(verify.last->info == R"({ "n" : 1e400, "t":"\u00e9" })");
    CHECK(verify.last->device == "d1");

    REQUIRE(verify(hs256_token(claims(R"(,"info": "a\"b" )"))) == good);
    CHECK(verify.last->info == R"("a\"b")");
}

TEST_CASE("jwt: each algorithm with its key", "[auth][rfc7518]") {
    const std::string payload = claims();
    SECTION("HS384, HS512") {
        JwtOptions options;
        options.algorithms = {Algorithm::hs384, Algorithm::hs512};
        options.secret = std::string(64, 's');
        Verify verify{options};
        const std::string t384 = unsigned_token(R"({"alg":"HS384"})", payload);
        CHECK(verify(with_signature(t384, hmac("SHA384", options.secret, t384))) == good);
        const std::string t512 = unsigned_token(R"({"alg":"HS512"})", payload);
        CHECK(verify(with_signature(t512, hmac("SHA512", options.secret, t512))) == good);
        CHECK(verify(with_signature(t512, hmac("SHA384", options.secret, t512))) ==
              errc::bad_signature);
        CHECK(verify(hs256_token(payload)) == errc::wrong_algorithm);
    }
    SECTION("RS256") {
        Verify verify{public_key_options(Algorithm::rs256, rsa_key().public_pem)};
        const std::string text = unsigned_token(R"({"alg":"RS256"})", payload);
        std::string signature = rs256(text);
        CHECK(verify(with_signature(text, signature)) == good);
        signature.back() = static_cast<char>(signature.back() ^ 1);
        CHECK(verify(with_signature(text, signature)) == errc::bad_signature);
        // The oldest trick: HMAC with the public key's text.
        const std::string hs = unsigned_token(R"({"alg":"HS256"})", payload);
        CHECK(verify(with_signature(hs, hmac("SHA256", rsa_key().public_pem, hs))) ==
              errc::wrong_algorithm);
    }
    SECTION("ES256") {
        Verify verify{public_key_options(Algorithm::es256, ec_key().public_pem)};
        const std::string text = unsigned_token(R"({"alg":"ES256"})", payload);
        const std::string signature = es256(text);
        CHECK(verify(with_signature(text, signature)) == good);
        CHECK(verify(with_signature(text, es256_der(text))) == errc::bad_signature);
        CHECK(verify(with_signature(text, signature.substr(0, 63))) == errc::bad_signature);
        CHECK(verify(with_signature(text, signature + '\0')) == errc::bad_signature);
        CHECK(verify(with_signature(text, '\0' + signature.substr(0, 32) + '\0' +
                                              signature.substr(32))) == errc::bad_signature);
        CHECK(verify(with_signature(text, std::string(64, '\0'))) == errc::bad_signature);
        CHECK(verify(with_signature(text, std::string(32, '\0') + signature.substr(32))) ==
              errc::bad_signature);
        CHECK(verify(with_signature(text, signature.substr(0, 32) + std::string(32, '\0'))) ==
              errc::bad_signature);
    }
    SECTION("two kinds at once: each token meets its own key only") {
        JwtOptions options = public_key_options(Algorithm::es256, ec_key().public_pem);
        options.algorithms.push_back(Algorithm::hs256);
        options.secret = hs_secret;
        Verify verify{options};
        const std::string es = unsigned_token(R"({"alg":"ES256"})", payload);
        CHECK(verify(with_signature(es, es256(es))) == good);
        CHECK(verify(hs256_token(payload)) == good);
        CHECK(verify(with_signature(es, hmac("SHA256", hs_secret, es))) == errc::bad_signature);
    }
    SECTION("no algorithm is allowed") {
        Verify verify{JwtOptions{}};
        CHECK(verify(hs256_token(payload)) == errc::wrong_algorithm);
    }
}

TEST_CASE("jwt: vectors of RFC 7515", "[auth][rfc7515-a]") {
    // They have no `sub`, so a signature that holds is followed by that fault and no other.
    const std::string payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcG"
                                "xlLmNvbS9pc19yb290Ijp0cnVlfQ";
    struct Vector {
        JwtOptions options;
        std::string token;
    };
    Vector a1{hs256_options(), "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + payload +
                                   ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"};
    a1.options.secret = *from_base64url(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    const Vector a2{
        public_key_options(Algorithm::rs256, R"(-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----
)"),
        "eyJhbGciOiJSUzI1NiJ9." + payload +
            ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
            "O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIAR"
            "NPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvh"
            "J1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_"
            "IoypGlUPQGe77Rw"};
    const Vector a3{
        public_key_options(Algorithm::es256, R"(-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----
)"),
        "eyJhbGciOiJFUzI1NiJ9." + payload +
            ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
            "Kg6NU1Q"};
    for (const Vector& vector : {a1, a2, a3}) {
        CAPTURE(vector.token);
        Verify verify{vector.options};
        verify.clock.set_wall(1'300'819'000'000);
        CHECK(verify(vector.token) == errc::bad_subject);
        std::string changed = vector.token;
        changed[changed.size() - 40] = changed[changed.size() - 40] == 'A' ? 'B' : 'A';
        CHECK(verify(changed) == errc::bad_signature);
    }
}

TEST_CASE("jwt: form and header", "[auth][rfc8725]") {
    const std::string payload = claims();
    const std::string token = hs256_token(payload);
    const auto header = [&payload](const std::string& more) {
        return hs256_token(R"({"alg":"HS256")" + more + "}", payload);
    };
    const std::string none = unsigned_token(R"({"alg":"none"})", payload);
    struct Case {
        const char* name;
        std::string token;
        error_code fault;
    };
    const std::vector<Case> cases{
        {"empty", "", errc::not_compact},
        {"one part", "abc", errc::not_compact},
        {"two parts", token.substr(0, token.rfind('.')), errc::not_compact},
        {"four parts", token + ".x", errc::not_compact},
        {"five parts", "a.b.c.d.e", errc::not_compact},
        {"8 KB and a byte", token + std::string(token_bytes_max + 1 - token.size(), 'A'),
         errc::too_large},
        {"a header of 100 KB", header(R"(,"x":")" + std::string(100'000, 'x') + '"'),
         errc::too_large},
        {"padding", token + "=", errc::not_base64url},
        {"white space", token + "\n", errc::not_base64url},
        {"unused bits set", token.substr(0, token.size() - 1) + '_', errc::not_base64url},
        {"the other alphabet", '+' + token, errc::not_base64url},
        {"an empty header", '.' + token.substr(token.find('.') + 1), errc::bad_header},
        {"a header that is a list", hs256_token("[]", payload), errc::bad_header},
        {"a header that is not JSON", hs256_token(R"({"alg":"HS256",})", payload),
         errc::bad_header},
        {"a header that is not UTF-8", hs256_token("{\"alg\":\"HS256\",\"x\":\"\xff\"}", payload),
         errc::bad_header},
        {"two alg", header(R"(,"alg":"none")"), errc::bad_header},
        {"two alg, one escaped", header(R"(,"\u0061lg":"HS256")"), errc::bad_header},
        {"deep nesting", header(R"(,"x":)" + std::string(1'000, '[') + std::string(1'000, ']')),
         errc::bad_header},
        {"no alg", hs256_token("{}", payload), errc::wrong_algorithm},
        {"alg is no text", hs256_token(R"({"alg":["HS256"]})", payload), errc::wrong_algorithm},
        {"none", none + '.', errc::wrong_algorithm},
        {"None", unsigned_token(R"({"alg":"None"})", payload) + '.', errc::wrong_algorithm},
        {"nOnE", unsigned_token(R"({"alg":"nOnE"})", payload) + '.', errc::wrong_algorithm},
        {"hs256", hs256_token(R"({"alg":"hs256"})", payload), errc::wrong_algorithm},
        {"HS256 and a NUL", hs256_token(R"({"alg":"HS256\u0000"})", payload),
         errc::wrong_algorithm},
        {"an algorithm without key", hs256_token(R"({"alg":"RS256"})", payload),
         errc::wrong_algorithm},
        {"crit", header(R"(,"crit":["exp"])"), errc::critical},
        {"an empty crit", header(R"(,"crit":[])"), errc::critical},
        {"jwk", header(R"(,"jwk":{"kty":"oct","k":"AAAA"})"), errc::forbidden_header},
        {"jku", header(R"(,"jku":"https://evil.example/keys")"), errc::forbidden_header},
        {"x5c", header(R"(,"x5c":[])"), errc::forbidden_header},
        {"x5u", header(R"(,"x5u":"https://evil.example/")"), errc::forbidden_header},
        {"b64", header(R"(,"b64":false)"), errc::forbidden_header},
        {"zip", header(R"(,"zip":"DEF")"), errc::forbidden_header},
        {"enc", header(R"(,"enc":"A128GCM")"), errc::forbidden_header},
        {"an empty signature", token.substr(0, token.rfind('.') + 1), errc::bad_signature},
        {"a short signature", with_signature(token.substr(0, token.rfind('.')), "short"),
         errc::bad_signature},
        {"another secret",
         with_signature(
             unsigned_token(R"({"alg":"HS256"})", payload),
             hmac("SHA256", std::string(32, 'x'), unsigned_token(R"({"alg":"HS256"})", payload))),
         errc::bad_signature},
        {"another payload",
         token.substr(0, token.find('.') + 1) +
             to_base64url(as_byte_view(claims(R"(,"admin":true)"))) +
             token.substr(token.rfind('.')),
         errc::bad_signature},
        {"an odd kid is not looked at", header(R"(,"kid":"../../' OR 1")"), good},
        {"members that are not known", header(R"(,"typ":"at+jwt","cty":"x")"), good},
    };
    for (const Case& c : cases) {
        CAPTURE(c.name);
        Verify verify;
        CHECK(verify(c.token) == c.fault);
    }
}

TEST_CASE("jwt: claims", "[auth][rfc7519-4.1]") {
    struct Case {
        std::string payload;
        error_code fault;
    };
    const std::string ahead = std::to_string(now + 31);
    const std::string within = std::to_string(now + 30);
    const std::vector<Case> cases{
        {"", errc::bad_payload},
        {"[]", errc::bad_payload},
        {"{", errc::bad_payload},
        {claims(R"(,"exp":1)"), errc::bad_payload},
        {claims(R"(,"x":1,"x":1)"), errc::bad_payload},
        {claims(",\"x\":\"\xc3\""), errc::bad_payload},
        {R"({"sub":"u1"})", errc::no_expiry},
        {expiring('"' + std::to_string(now + 60) + '"'), errc::bad_claim},
        {expiring("null"), errc::bad_claim},
        {expiring("-1"), errc::bad_claim},
        {expiring("1e400"), errc::bad_claim},
        {expiring("9007199254740993e3"), errc::bad_claim},
        {expiring("1e16"), errc::bad_claim},
        {expiring("9007199254740992"), good},
        {expiring("1.8e9"), good},
        {expiring(std::to_string(now + 60) + ".75"), good},
        {expiring("0"), errc::expired},
        {claims(R"(,"nbf":"1")"), errc::bad_claim},
        {claims(R"(,"nbf":-1)"), errc::bad_claim},
        {claims(R"(,"nbf":)" + ahead), errc::not_yet_valid},
        {claims(R"(,"nbf":)" + within), good},
        {claims(R"(,"iat":true)"), errc::bad_claim},
        {claims(R"(,"iat":)" + ahead), errc::issued_ahead},
        {claims(R"(,"iat":)" + within), good},
        {R"({"exp":9e9})", errc::bad_subject},
        {R"({"exp":9e9,"sub":""})", errc::bad_subject},
        {R"({"exp":9e9,"sub":7})", errc::bad_subject},
        {R"({"exp":9e9,"sub":null})", errc::bad_subject},
        {R"({"exp":9e9,"sub":"a\u0000"})", errc::bad_subject},
        {R"({"exp":9e9,"sub":"a\u007f"})", errc::bad_subject},
        {R"({"exp":9e9,"sub":")" + std::string(256, 'u') + "\"}", errc::bad_subject},
        {R"({"exp":9e9,"sub":")" + std::string(255, 'u') + "\"}", good},
        {R"({"exp":9e9,"sub":"\ud83d\ude00"})", good},
        {claims(R"(,"rooms":[])"), errc::bad_claim},
        {claims(R"(,"rooms":null)"), errc::bad_claim},
        {claims(R"(,"rooms":{"subscribe":"a"})"), errc::bad_claim},
        {claims(R"(,"rooms":{"subscribe":["a",1]})"), errc::bad_claim},
        {claims(R"(,"rooms":{"publish":{}})"), errc::bad_claim},
        {claims(R"(,"rooms":{"publish":[],"publish":["a"]})"), errc::bad_claim},
        {claims(R"(,"rooms":{})"), good},
        {claims(R"(,"device":1)"), errc::bad_claim},
        {claims(R"(,"device":"")"), errc::bad_claim},
        {claims(R"(,"device":"a\nb")"), errc::bad_claim},
        {claims(R"(,"info":null)"), good},
        {claims(R"(,"iss":1,"aud":2)"), good}, // neither is configured
    };
    for (const Case& c : cases) {
        CAPTURE(c.payload);
        Verify verify;
        CHECK(verify(hs256_token(c.payload)) == c.fault);
    }
}

TEST_CASE("jwt: issuer and audience are exact", "[auth][rfc8725]") {
    JwtOptions options = hs256_options();
    options.issuer = "https://id.example.com";
    options.audience = "gateway";
    Verify verify{options};
    const auto check = [&verify](const std::string& iss, const std::string& aud) {
        return verify(hs256_token(claims(iss + aud)));
    };
    const std::string iss = R"(,"iss":"https://id.example.com")";
    const std::string aud = R"(,"aud":"gateway")";
    CHECK(check(iss, aud) == good);
    CHECK(check("", aud) == errc::wrong_issuer);
    CHECK(check(R"(,"iss":"https://id.example.com/")", aud) == errc::wrong_issuer);
    CHECK(check(R"(,"iss":["https://id.example.com"])", aud) == errc::wrong_issuer);
    CHECK(check(iss, "") == errc::wrong_audience);
    CHECK(check(iss, R"(,"aud":["a","gateway"])") == good);
    CHECK(check(iss, R"(,"aud":["a","Gateway"])") == errc::wrong_audience);
    CHECK(check(iss, R"(,"aud":["gateway",1])") == errc::wrong_audience);
    CHECK(check(iss, R"(,"aud":[])") == errc::wrong_audience);
    CHECK(check(iss, R"(,"aud":{"gateway":1})") == errc::wrong_audience);
    CHECK(check(iss, R"(,"aud":"gateway","aud":"x")") == errc::bad_payload);
}

TEST_CASE("jwt: exp, its leeway, and when a session closes", "[auth]") {
    struct Case {
        std::string exp;
        error_code fault;
        std::int64_t expires;
        std::int64_t closes;
    };
    const std::vector<Case> cases{
        {std::to_string(now + 1), good, now + 1, now + 1},
        {std::to_string(now) + ".5", good, now, now + 1}, // not before it is over
        {std::to_string(now), good, now, now + 30},       // has passed: the leeway is left
        {std::to_string(now - 29), good, now - 29, now + 1},
        {std::to_string(now - 30) + ".5", good, now - 30, now + 1},
        {std::to_string(now - 30), errc::expired, 0, 0},
        {std::to_string(now - 31), errc::expired, 0, 0},
    };
    for (const Case& c : cases) {
        CAPTURE(c.exp);
        Verify verify;
        REQUIRE(verify(hs256_token(expiring(c.exp))) == c.fault);
        if (c.fault) continue;
        CHECK(verify.last->expires == c.expires);
        CHECK(verify.last->closes == c.closes);
    }
    // The wall clock counts, also when it is set back.
    Verify verify;
    const std::string token = hs256_token(expiring(std::to_string(now + 10)));
    CHECK(verify(token) == good);
    verify.clock.set_wall((now + 40) * 1000 - 1);
    CHECK(verify(token) == good);
    verify.clock.set_wall((now + 40) * 1000);
    CHECK(verify(token) == errc::expired);
    verify.clock.set_wall((now - 3'600) * 1000);
    CHECK(verify(token) == good);
}

TEST_CASE("jwt: a key that does not fit stops the start", "[auth]") {
    const ManualClock clock;
    const auto sentence = [&clock](const JwtOptions& options) -> std::string {
        try {
            const JwtVerifier verifier{options, clock};
        } catch (const std::runtime_error& error) {
            CHECK(ERR_peek_error() == 0);
            return error.what();
        }
        return "accepted";
    };
    const auto hmac_options = [](Algorithm algorithm, std::string secret) {
        JwtOptions options;
        options.algorithms = {algorithm};
        options.secret = std::move(secret);
        return options;
    };
    using A = Algorithm;
    CHECK(sentence(hmac_options(A::hs256, "")) == "HS256 needs a secret, and none is given");
    CHECK(sentence(hmac_options(A::hs256, std::string(31, 's'))) ==
          "HS256 needs a secret of at least 32 bytes; this one has 31");
    CHECK(sentence(hmac_options(A::hs256, std::string(32, 's'))) == "accepted");
    CHECK(sentence(hmac_options(A::hs384, std::string(47, 's'))) ==
          "HS384 needs a secret of at least 48 bytes; this one has 47");
    CHECK(sentence(hmac_options(A::hs512, std::string(63, 's'))) ==
          "HS512 needs a secret of at least 64 bytes; this one has 63");
    CHECK(sentence(hmac_options(A::hs256, rsa_key().public_pem)) ==
          "the secret for HS256 is the text of a PEM file: public keys belong to RS256 or ES256");

    const auto pem = [&sentence](Algorithm algorithm, const std::string& text) {
        return sentence(public_key_options(algorithm, text));
    };
    CHECK(pem(A::rs256, "") == "RS256 needs a public key, and none is given");
    CHECK(pem(A::rs256, "hello") ==
          "pub.pem holds no public key in PEM form (-----BEGIN PUBLIC KEY-----)");
    CHECK(pem(A::es256, "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n") ==
          "pub.pem is a private key: give the gateway the public one "
          "(openssl pkey -in KEY -pubout)");
    CHECK(pem(A::es256, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") ==
          "pub.pem is a certificate: give the gateway its public key "
          "(openssl x509 -in CERT -noout -pubkey)");
    CHECK(pem(A::rs256, ec_key().public_pem) ==
          "RS256 needs an RSA public key, and pub.pem is of another type");
    CHECK(pem(A::es256, rsa_key().public_pem) ==
          "ES256 needs an EC public key on P-256, and pub.pem is of another type");
    CHECK(pem(A::rs256, R"(-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCxCpsvd2Jgnbdkigzg9ltfdrSj
0HH4eVm0aDOtGSr1jYbp8EJmhaeuNJdRJkl0+00SXIfRH4A+k6FHXJmG6GzjnDSE
P+qLKaBsnPCxGNI7NM+eiJZkXPlFML0uHKVa5TRFkh2qZpcGt0HqPR+op1eIcXM7
IUxKTCLNfg8y/+nVtwIDAQAB
-----END PUBLIC KEY-----
)") == "RS256 needs an RSA key of at least 2048 bits; pub.pem has 1024");
    CHECK(pem(A::es256, R"(-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEO7jDGsJtqWnCAvKro+LoqKiYSWlrSJEE
+OmCqtmoTbV5X8ZbihBrUEDoo3RUbb6Q/PzkB0ZIQbHaWqI+67YEPYtMXy9s7RrG
wLuuX8Ng0T2+MkMfnsGz6u1+amMLVqd1
-----END PUBLIC KEY-----
)") == "ES256 needs an EC public key on P-256, and pub.pem is on another curve");
}

TEST_CASE("jwt: any changed byte of a token is noticed", "[auth]") {
    Verify verify;
    const std::string token = hs256_token(claims());
    for (std::size_t i = 0; i < token.size(); ++i) {
        for (const char c : {'A', 'Q', '_', '.', '\0'}) {
            if (token[i] == c) continue;
            std::string changed = token;
            changed[i] = c;
            CAPTURE(i, c);
            CHECK(verify(changed) != good);
        }
    }
    for (std::size_t size = 0; size < token.size(); ++size)
        CHECK(verify(token.substr(0, size)) != good);
}
