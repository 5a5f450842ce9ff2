#include "p256.hpp"
#include "webpush_encrypt.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <openssl/err.h>
#include <openssl/kdf.h>

#include <array>
#include <optional>
#include <set>

using namespace fanfare;
using namespace fanfare::providers;

namespace {

std::string raw(std::string_view base64) {
    return from_base64url(base64).value();
}

// RFC 8291 section 5 and appendix A.
const std::string ua_private = raw("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
const std::string ua_public =
    raw("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
const std::string auth_secret = raw("BTBZMqHH6r4Tts7J_aSIgg");
const std::string as_private = raw("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
const std::string salt = raw("DGv6ra1nlYgDCS1FRnbzlw");
constexpr std::string_view plaintext = "When I grow up, I want to be a watermelon";
constexpr std::string_view expected =
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
    "lcy4a-fN";

/// HKDF by OpenSSL's own, which the encryptor does not use.
std::string hkdf(const std::string& hkdf_salt, const std::string& key, std::string info,
                 std::size_t size) {
    const PkeyCtxPtr context{EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr)};
    std::string out(size, '\0');
    REQUIRE((EVP_PKEY_derive_init(context.get()) == 1 &&
             EVP_PKEY_CTX_set_hkdf_md(context.get(), EVP_sha256()) == 1 &&
             EVP_PKEY_CTX_set1_hkdf_salt(context.get(), as_uchar(hkdf_salt.data()),
                                         static_cast<int>(hkdf_salt.size())) == 1 &&
             EVP_PKEY_CTX_set1_hkdf_key(context.get(), as_uchar(key.data()),
                                        static_cast<int>(key.size())) == 1 &&
             EVP_PKEY_CTX_add1_hkdf_info(context.get(), as_uchar(info.data()),
                                         static_cast<int>(info.size())) == 1 &&
             EVP_PKEY_derive(context.get(), as_uchar(out.data()), &size) == 1));
    return out;
}

std::string shared_secret(const std::string& point) {
    const PkeyPtr mine = p256_private_key(ua_private);
    const PkeyPtr theirs = p256_public_key(point);
    REQUIRE(theirs);
    const PkeyCtxPtr context{EVP_PKEY_CTX_new(mine.get(), nullptr)};
    std::string out(32, '\0');
    std::size_t size = out.size();
    REQUIRE((EVP_PKEY_derive_init(context.get()) == 1 &&
             EVP_PKEY_derive_set_peer(context.get(), theirs.get()) == 1 &&
             EVP_PKEY_derive(context.get(), as_uchar(out.data()), &size) == 1 && size == 32));
    return out;
}

std::optional<std::string> decrypt_gcm(const std::string& key, const std::string& nonce,
                                       const std::string& sealed) {
    const CipherCtxPtr context{EVP_CIPHER_CTX_new()};
    std::string out = sealed.substr(0, sealed.size() - 16);
    std::string tag = sealed.substr(out.size());
    int size = 0;
    REQUIRE((EVP_DecryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, as_uchar(key.data()),
                                as_uchar(nonce.data())) == 1 &&
             EVP_DecryptUpdate(context.get(), as_uchar(out.data()), &size, as_uchar(out.data()),
                               static_cast<int>(out.size())) == 1 &&
             EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, 16, tag.data()) == 1));
    if (EVP_DecryptFinal_ex(context.get(), as_uchar(out.data()) + size, &size) != 1)
        return std::nullopt;
    return out;
}

/// What a browser does; with its checks. The record as it is, padding and all.
std::string open_record(const std::string& body) {
    REQUIRE(body.size() >= 86 + 17);
    CHECK(body.substr(16, 5) == std::string("\0\0\x10\0\x41", 5));
    const std::string sender = body.substr(21, 65);
    std::string info{"WebPush: info"};
    info.append(1, '\0').append(ua_public).append(sender);
    const std::string key = hkdf(auth_secret, shared_secret(sender), info, 32);
    const std::string its_salt = body.substr(0, 16);
    using namespace std::string_literals;
    const auto record =
        decrypt_gcm(hkdf(its_salt, key, "Content-Encoding: aes128gcm\0"s, 16),
                    hkdf(its_salt, key, "Content-Encoding: nonce\0"s, 12), body.substr(86));
    REQUIRE(record);
    return *record;
}
std::string opened(const std::string& body) {
    std::string record = open_record(body);
    record.resize(record.find_last_not_of('\0') + 1);
    REQUIRE(record.ends_with('\x02'));
    record.pop_back();
    return record;
}

} // namespace

TEST_CASE("webpush encrypt: the example of the RFC, byte for byte", "[providers][rfc8291-5]") {
    WebPushEncryptor encryptor;
    for (int i = 0; i < 2; ++i) { // contexts are used again
        const auto body = encryptor.encrypt_with(salt, as_private, ua_public, auth_secret,
                                                 plaintext, Padding::none);
        REQUIRE(body);
        CHECK(body->size() == 144);
        CHECK(to_base64url(as_byte_view(*body)) == expected);
    }
    CHECK(opened(raw(expected)) == plaintext);
}

TEST_CASE("webpush encrypt: every length opens, and is padded to a few sizes", "[providers]") {
    WebPushEncryptor encryptor;
    std::set<std::size_t> sizes;
    for (std::size_t size = 0; size <= webpush_plaintext_max; size += size < 300 ? 1 : 37) {
        const std::string text(size, '\0'); // zeros at its end must not be taken for padding
        const auto body = encryptor.encrypt(ua_public, auth_secret, text);
        REQUIRE(body);
        REQUIRE(body->size() <= 4'096);
        sizes.insert(body->size());
        CHECK(opened(*body) == text);
    }
    CHECK(sizes == std::set<std::size_t>{103 + 256, 103 + 512, 103 + 1'024, 103 + 2'048, 4'096});
}

TEST_CASE("webpush encrypt: 3993 bytes, and not one more", "[providers]") {
    WebPushEncryptor encryptor;
    const auto padding = GENERATE(Padding::none, Padding::to_sizes);
    const std::string fits(3'993, 'a');
    const auto body = encryptor.encrypt(ua_public, auth_secret, fits, padding);
    REQUIRE(body);
    CHECK(body->size() == 4'096);
    CHECK(opened(*body) == fits);
    const auto larger = encryptor.encrypt(ua_public, auth_secret, fits + "a", padding);
    REQUIRE_FALSE(larger);
    CHECK(larger.error() == webpush_errc::too_large);
}

TEST_CASE("webpush encrypt: a shared secret with a leading zero", "[providers]") {
    // About one sender in 256 has one. Fixed keys, counted up: the test is the same each time.
    WebPushEncryptor encryptor;
    int seen = 0;
    for (int i = 1; i < 3'000 && seen < 3; ++i) {
        std::string scalar(32, '\x11');
        scalar[30] = static_cast<char>(i >> 8);
        scalar[31] = static_cast<char>(i);
        const std::string sender = p256_point(*p256_private_key(scalar));
        if (shared_secret(sender).front() != '\0') continue;
        ++seen;
        const auto body =
            encryptor.encrypt_with(salt, scalar, ua_public, auth_secret, plaintext, Padding::none);
        REQUIRE(body);
        CHECK(opened(*body) == plaintext);
    }
    CHECK(seen == 3);
}

TEST_CASE("webpush encrypt: salt and sender are new each time", "[providers]") {
    WebPushEncryptor encryptor;
    std::set<std::string> salts;
    std::set<std::string> senders;
    for (int i = 0; i < 200; ++i) {
        const auto body = encryptor.encrypt(ua_public, auth_secret, plaintext);
        REQUIRE(body);
        salts.insert(body->substr(0, 16));
        senders.insert(body->substr(21, 65));
    }
    CHECK(salts.size() == 200);
    CHECK(senders.size() == 200);
}

TEST_CASE("webpush encrypt: keys that are none", "[providers]") {
    WebPushEncryptor encryptor;
    std::string off_curve = ua_public;
    off_curve[40] = static_cast<char>(off_curve[40] ^ 1);
    for (const std::string& key :
         {std::string{}, off_curve, ua_public.substr(1), std::string(65, '\0')})
        CHECK(encryptor.encrypt(key, auth_secret, "x").error() == webpush_errc::bad_key);
    for (const std::string& secret : {std::string{}, std::string(15, 'a'), std::string(17, 'a')})
        CHECK(encryptor.encrypt(ua_public, secret, "x").error() == webpush_errc::bad_auth);
    CHECK(ERR_peek_error() == 0);
    CHECK(make_error_code(webpush_errc::bad_key).message() ==
          "the subscription's key is not a point on P-256");
    CHECK(encryptor.encrypt(ua_public, auth_secret, "x").has_value());
}
