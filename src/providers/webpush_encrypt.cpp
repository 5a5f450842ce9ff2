#include "webpush_encrypt.hpp"

#include "p256.hpp"
#include "webpush_keys.hpp"

#include <fanfare/base/ids.hpp>

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>

namespace fanfare::providers {
namespace {

const char* describe(webpush_errc code) {
    switch (code) {
    case webpush_errc::bad_key:
        return "the subscription's key is not a point on P-256";
    case webpush_errc::bad_auth:
        return "the subscription's secret is not 16 bytes";
    case webpush_errc::too_large:
        return "the message is larger than 3993 bytes";
    }
    return "unknown error";
}
constexpr Category<webpush_errc> category{"fanfare.providers.webpush", describe};

constexpr std::size_t salt_bytes = 16;
constexpr std::size_t tag_bytes = 16;
constexpr std::size_t hash_bytes = 32;
constexpr std::size_t key_bytes = 16;
constexpr std::size_t nonce_bytes = 12;
constexpr std::size_t header_bytes = salt_bytes + 4 + 1 + p256_point_bytes;
/// The record size, 4096, and the length of the key that follows.
constexpr std::string_view sizes_in_header{"\0\0\x10\0\x41", 5};
constexpr char last_record = '\x02';
constexpr std::array<std::size_t, 5> padded_sizes{256, 512, 1'024, 2'048, webpush_plaintext_max};

/// Bytes that do not outlive their scope.
template <std::size_t Size>
struct SecretBytes {
    std::array<unsigned char, Size> bytes{};
    SecretBytes() = default;
    ~SecretBytes() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
    SecretBytes(const SecretBytes&) = delete;
    SecretBytes& operator=(const SecretBytes&) = delete;
    unsigned char* data() { return bytes.data(); }
    [[nodiscard]] std::string_view view() const {
        // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
};

std::size_t padded_size(std::size_t size, Padding padding) {
    if (padding == Padding::none) return size;
    return *std::lower_bound(padded_sizes.begin(), padded_sizes.end(), size);
}

/// ECDH; always 32 bytes. The peer was checked to be on the curve when it was read.
void derive_secret(EVP_PKEY& sender, EVP_PKEY& receiver, unsigned char* out) {
    const PkeyCtxPtr context{EVP_PKEY_CTX_new_from_pkey(nullptr, &sender, nullptr)};
    std::size_t size = hash_bytes;
    FANFARE_ASSERT(context && EVP_PKEY_derive_init(context.get()) == 1 &&
                   EVP_PKEY_derive_set_peer_ex(context.get(), &receiver, 0) == 1 &&
                   EVP_PKEY_derive(context.get(), out, &size) == 1 && size == hash_bytes);
}

std::string key_info(std::string_view receiver, std::string_view sender) {
    std::string info{"WebPush: info"};
    info.reserve(146);
    return info.append(1, '\0').append(receiver).append(sender).append(1, '\x01');
}

} // namespace

error_code make_error_code(webpush_errc code) noexcept {
    return {static_cast<int>(code), category};
}

WebPushEncryptor::WebPushEncryptor()
    : key_maker_(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)),
      hmac_(EVP_MAC_fetch(nullptr, "HMAC", nullptr)), mac_(EVP_MAC_CTX_new(hmac_.get())),
      aes_(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)), cipher_(EVP_CIPHER_CTX_new()) {
    FANFARE_ASSERT(key_maker_ && EVP_PKEY_keygen_init(key_maker_.get()) == 1 &&
                   EVP_PKEY_CTX_set_group_name(key_maker_.get(), SN_X9_62_prime256v1) == 1);
    std::string hash{"SHA256"};
    const std::array params{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash.data(), 0),
                            OSSL_PARAM_construct_end()};
    FANFARE_ASSERT(mac_ && EVP_MAC_CTX_set_params(mac_.get(), params.data()) == 1);
    FANFARE_ASSERT(aes_ && cipher_);
}

void WebPushEncryptor::hmac(const unsigned char* key, std::size_t key_size, std::string_view data,
                            unsigned char* out) {
    std::size_t size = 0;
    FANFARE_ASSERT(EVP_MAC_init(mac_.get(), key, key_size, nullptr) == 1 &&
                   EVP_MAC_update(mac_.get(), as_uchar(data.data()), data.size()) == 1 &&
                   EVP_MAC_final(mac_.get(), out, &size, hash_bytes) == 1 && size == hash_bytes);
}

Result<std::string> WebPushEncryptor::encrypt(std::string_view p256dh, std::string_view auth,
                                              std::string_view plaintext, Padding padding) {
    std::array<char, salt_bytes> salt{};
    random_bytes(salt.data(), salt.size());
    EVP_PKEY* made = nullptr;
    FANFARE_ASSERT(EVP_PKEY_keygen(key_maker_.get(), &made) == 1);
    const PkeyPtr sender{made};
    return seal({salt.data(), salt.size()}, *sender, p256dh, auth, plaintext, padding);
}

Result<std::string> WebPushEncryptor::encrypt_with(std::string_view salt, std::string_view scalar,
                                                   std::string_view p256dh, std::string_view auth,
                                                   std::string_view plaintext, Padding padding) {
    const PkeyPtr sender = p256_private_key(scalar);
    FANFARE_ASSERT(sender && salt.size() == salt_bytes);
    return seal(salt, *sender, p256dh, auth, plaintext, padding);
}

// The steps are those of RFC 8291 §3.4; each HKDF-Expand here is one block of HMAC.
Result<std::string> WebPushEncryptor::seal(std::string_view salt, EVP_PKEY& sender,
                                           std::string_view p256dh, std::string_view auth,
                                           std::string_view plaintext, Padding padding) {
    if (plaintext.size() > webpush_plaintext_max) return make_error_code(webpush_errc::too_large);
    if (auth.size() != webpush_auth_bytes) return make_error_code(webpush_errc::bad_auth);
    const PkeyPtr receiver = p256_public_key(p256dh);
    if (!receiver) return make_error_code(webpush_errc::bad_key);

    const std::string sender_point = p256_point(sender);
    SecretBytes<hash_bytes> shared;
    SecretBytes<hash_bytes> key; // one after the other: PRK_key, IKM, PRK
    SecretBytes<hash_bytes> content_key;
    SecretBytes<hash_bytes> nonce;
    derive_secret(sender, *receiver, shared.data());
    hmac(as_uchar(auth.data()), auth.size(), shared.view(), key.data());
    hmac(key.data(), hash_bytes, key_info(p256dh, sender_point), key.data());
    hmac(as_uchar(salt.data()), salt.size(), key.view(), key.data());
    constexpr std::string_view key_label{"Content-Encoding: aes128gcm\0\x01", 29};
    constexpr std::string_view nonce_label{"Content-Encoding: nonce\0\x01", 25};
    hmac(key.data(), hash_bytes, key_label, content_key.data());
    hmac(key.data(), hash_bytes, nonce_label, nonce.data());
    static_assert(key_bytes <= hash_bytes && nonce_bytes <= hash_bytes);

    const std::size_t record = padded_size(plaintext.size(), padding) + 1;
    std::string body;
    body.reserve(header_bytes + record + tag_bytes);
    body.append(salt).append(sizes_in_header).append(sender_point);
    body.append(plaintext).append(1, last_record);
    body.resize(header_bytes + record + tag_bytes); // the padding is zeros

    unsigned char* const at = as_uchar(body.data()) + header_bytes;
    int size = 0;
    int rest = 0;
    FANFARE_ASSERT(
        EVP_EncryptInit_ex2(cipher_.get(), aes_.get(), content_key.data(), nonce.data(), nullptr) ==
            1 &&
        EVP_EncryptUpdate(cipher_.get(), at, &size, at, static_cast<int>(record)) == 1 &&
        EVP_EncryptFinal_ex(cipher_.get(), at + size, &rest) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher_.get(), EVP_CTRL_AEAD_GET_TAG, tag_bytes, at + record) == 1);
    return body;
}

} // namespace fanfare::providers
