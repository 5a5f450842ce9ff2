#include "ece.hpp"

#include "jose.hpp"
#include "text.hpp"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>

#include <cstdint>
#include <optional>
#include <stdexcept>

namespace sim {
namespace {

constexpr std::size_t salt_size = 16;
constexpr std::size_t key_size = 65;
constexpr std::size_t tag_size = 16;
constexpr std::size_t head_size = salt_size + 4 + 1 + key_size;

const unsigned char* bytes_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

unsigned char* bytes_of(std::string& text) {
    return reinterpret_cast<unsigned char*>(text.data());
}

std::string hmac(std::string_view key, std::string_view data) {
    std::string out(32, '\0');
    unsigned size = 0;
    ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(data), data.size(),
           bytes_of(out), &size);
    return out;
}

/// HKDF's expansion, one block, to `size` bytes.
std::string expand(std::string_view key, std::string_view info, std::size_t size) {
    return hmac(key, std::string{info} + '\x01').substr(0, size);
}

std::optional<std::string> agree(EVP_PKEY* own, EVP_PKEY* other) {
    std::string secret(32, '\0');
    std::size_t size = secret.size();
    EVP_PKEY_CTX* context = ::EVP_PKEY_CTX_new(own, nullptr);
    const bool ok = ::EVP_PKEY_derive_init(context) == 1 &&
                    ::EVP_PKEY_derive_set_peer(context, other) == 1 &&
                    ::EVP_PKEY_derive(context, bytes_of(secret), &size) == 1 && size == 32;
    ::EVP_PKEY_CTX_free(context);
    if (!ok) return std::nullopt;
    return secret;
}

std::optional<std::string> decrypt(std::string_view key, std::string_view nonce,
                                   std::string_view record) {
    std::string tag{record.substr(record.size() - tag_size)};
    record.remove_suffix(tag_size);
    std::string out(record.size(), '\0');
    int size = 0;
    int rest = 0;
    EVP_CIPHER_CTX* context = ::EVP_CIPHER_CTX_new();
    const bool ok =
        ::EVP_DecryptInit_ex(context, ::EVP_aes_128_gcm(), nullptr, bytes_of(key),
                             bytes_of(nonce)) == 1 &&
        ::EVP_DecryptUpdate(context, bytes_of(out), &size, bytes_of(record),
                            static_cast<int>(record.size())) == 1 &&
        ::EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, tag_size, tag.data()) == 1 &&
        ::EVP_DecryptFinal_ex(context, bytes_of(out) + size, &rest) == 1;
    ::EVP_CIPHER_CTX_free(context);
    if (!ok) return std::nullopt;
    return out;
}

std::string public_point(EVP_PKEY* key) {
    std::string point(key_size, '\0');
    std::size_t size = 0;
    if (::EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, bytes_of(point),
                                          point.size(), &size) != 1 ||
        size != key_size) {
        throw std::runtime_error("OpenSSL gives no public point");
    }
    return point;
}

EVP_PKEY* import_key(std::string_view private_key, std::string_view public_key) {
    OSSL_PARAM_BLD* build = ::OSSL_PARAM_BLD_new();
    BIGNUM* number =
        ::BN_bin2bn(bytes_of(private_key), static_cast<int>(private_key.size()), nullptr);
    ::OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    ::OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number);
    ::OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, public_key.data(),
                                       public_key.size());
    OSSL_PARAM* parameters = ::OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX* context = ::EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr);
    EVP_PKEY* key = nullptr;
    const bool ok = ::EVP_PKEY_fromdata_init(context) == 1 &&
                    ::EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) == 1;
    ::EVP_PKEY_CTX_free(context);
    ::OSSL_PARAM_free(parameters);
    ::OSSL_PARAM_BLD_free(build);
    ::BN_free(number);
    if (!ok) throw std::invalid_argument("private_key and p256dh are no P-256 key pair");
    return key;
}

Recipient::Opened failed(std::string error) {
    Recipient::Opened opened;
    opened.error = std::move(error);
    return opened;
}

} // namespace

Recipient::Recipient()
    : key_(::EVP_EC_gen("P-256"), &::EVP_PKEY_free), public_key_(public_point(key_.get())),
      auth_(random_bytes(16)) {}

Recipient::Recipient(std::string_view private_key, std::string_view public_key,
                     std::string_view auth)
    : public_key_(public_key), auth_(auth) {
    if (private_key.size() != 32 || public_key.size() != key_size || auth.size() != 16) {
        throw std::invalid_argument("private_key, p256dh and auth have 32, 65 and 16 bytes");
    }
    key_ = {import_key(private_key, public_key), &::EVP_PKEY_free};
}

Recipient::Opened Recipient::open(std::string_view body) const {
    if (body.size() < head_size + 1 + tag_size) return failed("the body is too short");
    std::uint32_t record_size = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        record_size = (record_size << 8U) | static_cast<unsigned char>(body[salt_size + i]);
    }
    if (record_size < 18) return failed("the record size is below 18");
    if (body[salt_size + 4] != '\x41') return failed("the key id is not of 65 bytes");
    const std::string_view salt = body.substr(0, salt_size);
    const std::string_view sender = body.substr(salt_size + 5, key_size);
    const std::string_view record = body.substr(head_size);
    if (record.size() > record_size) return failed("there is more than one record");
    const auto sender_key = PublicKey::from_point(sender);
    if (!sender_key) return failed("the key id is no P-256 point");
    const auto secret = agree(key_.get(), sender_key->get());
    if (!secret) return failed("no key agreement");

    const std::string info =
        std::string{"WebPush: info"} + '\0' + public_key_ + std::string{sender};
    const std::string input = expand(hmac(auth_, *secret), info, 32);
    const std::string key = hmac(salt, input);
    const std::string content_key =
        expand(key, std::string{"Content-Encoding: aes128gcm"} + '\0', 16);
    const std::string nonce = expand(key, std::string{"Content-Encoding: nonce"} + '\0', 12);
    auto plaintext = decrypt(content_key, nonce, record);
    if (!plaintext) return failed("the record does not decrypt");
    plaintext->resize(plaintext->find_last_not_of('\0') + 1); // npos + 1: nothing but padding
    if (plaintext->empty() || plaintext->back() != '\x02') {
        return failed("the last record does not end with its delimiter");
    }
    plaintext->pop_back();
    return {.error = {},
            .plaintext = std::move(*plaintext),
            .salt = std::string{salt},
            .sender_key = std::string{sender}};
}

} // namespace sim
