// Web Push encryptions per CPU-second against a bare OpenSSL loop that does the same work for each
// message: a key pair, ECDH, HKDF, AES-128-GCM. Both take turns, so that a busy machine slows both;
// the figure is the median of the turns' ratios.
//
//   fanfare-providers-bench [TURNS [MESSAGES]]     default: 15 turns of 2000 messages each

#include "p256.hpp"
#include "webpush_encrypt.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/ids.hpp>

#include <fmt/core.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

using namespace fanfare::providers;

namespace {

constexpr std::size_t plaintext_bytes = 256; // a size that needs no padding
constexpr std::size_t header_bytes = 86;

double cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Subscription {
    std::string point;
    std::string auth = std::string(16, 'a');
};
Subscription subscribe() {
    const PkeyPtr key{EVP_EC_gen("prime256v1")};
    return {p256_point(*key)};
}

/// What somebody writes who knows OpenSSL 3 well and has this one task: everything that can be
/// looked up once is, nothing is checked twice, buffers are on the stack.
class Floor {
  public:
    explicit Floor(const Subscription& to)
        : to_(to), maker_(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)),
          curve_(EVP_EC_gen("prime256v1")), aes_(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)),
          cipher_(EVP_CIPHER_CTX_new()) {
        kdf_ = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
        kdf_context_ = EVP_KDF_CTX_new(kdf_);
        FANFARE_ASSERT(EVP_PKEY_keygen_init(maker_.get()) == 1 &&
                       EVP_PKEY_CTX_set_group_name(maker_.get(), "prime256v1") == 1);
    }
    ~Floor() {
        EVP_KDF_CTX_free(kdf_context_);
        EVP_KDF_free(kdf_);
    }
    Floor(const Floor&) = delete;
    Floor& operator=(const Floor&) = delete;

    std::size_t encrypt(const std::string& plaintext) {
        std::array<unsigned char, 4096> body{};
        RAND_bytes(body.data(), 16);
        body[18] = 16;
        body[20] = 65;
        EVP_PKEY* raw = nullptr;
        FANFARE_ASSERT(EVP_PKEY_keygen(maker_.get(), &raw) == 1);
        const PkeyPtr sender{raw};
        std::size_t size = 0;
        FANFARE_ASSERT(EVP_PKEY_get_octet_string_param(sender.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                                       body.data() + 21, 65, &size) == 1);
        const PkeyPtr receiver{EVP_PKEY_new()};
        FANFARE_ASSERT(EVP_PKEY_copy_parameters(receiver.get(), curve_.get()) == 1 &&
                       EVP_PKEY_set1_encoded_public_key(receiver.get(), as_uchar(to_.point.data()),
                                                        to_.point.size()) == 1);
        std::array<unsigned char, 32> secret{};
        const PkeyCtxPtr context{EVP_PKEY_CTX_new_from_pkey(nullptr, sender.get(), nullptr)};
        size = secret.size();
        FANFARE_ASSERT(EVP_PKEY_derive_init(context.get()) == 1 &&
                       EVP_PKEY_derive_set_peer_ex(context.get(), receiver.get(), 0) == 1 &&
                       EVP_PKEY_derive(context.get(), secret.data(), &size) == 1);
        std::string info{"WebPush: info"};
        info.append(1, '\0').append(to_.point);
        info.append(view_of(body.data() + 21, 65));
        std::array<unsigned char, 32> ikm{};
        derive(to_.auth.data(), secret.data(), info, ikm.data(), ikm.size());
        std::array<unsigned char, 16> key{};
        std::array<unsigned char, 12> nonce{};
        const auto* const salt = view_of(body.data(), 16).data();
        derive(salt, ikm.data(), {"Content-Encoding: aes128gcm\0", 28}, key.data(), key.size());
        derive(salt, ikm.data(), {"Content-Encoding: nonce\0", 24}, nonce.data(), nonce.size());
        unsigned char* const record = body.data() + header_bytes;
        std::copy(plaintext.begin(), plaintext.end(), record);
        const std::size_t length = plaintext.size() + 1;
        record[plaintext.size()] = 2;
        int out = 0;
        FANFARE_ASSERT(
            EVP_EncryptInit_ex2(cipher_.get(), aes_.get(), key.data(), nonce.data(), nullptr) ==
                1 &&
            EVP_EncryptUpdate(cipher_.get(), record, &out, record, static_cast<int>(length)) == 1 &&
            EVP_EncryptFinal_ex(cipher_.get(), record + length, &out) == 1 &&
            EVP_CIPHER_CTX_ctrl(cipher_.get(), EVP_CTRL_AEAD_GET_TAG, 16, record + length) == 1);
        return header_bytes + length + 16;
    }

  private:
    static std::string_view view_of(const unsigned char* data, std::size_t size) {
        // NOLINTNEXTLINE: OpenSSL speaks unsigned char.
        return {reinterpret_cast<const char*>(data), size};
    }
    void derive(const char* salt, unsigned char* key, std::string_view info, unsigned char* out,
                std::size_t size) {
        std::string digest{"SHA256"};
        std::array<char, 16> salt_bytes{};
        std::copy(salt, salt + 16, salt_bytes.begin());
        std::string info_bytes{info};
        const std::array params{
            OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_bytes.data(), 16),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, 32),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info_bytes.data(),
                                              info_bytes.size()),
            OSSL_PARAM_construct_end()};
        EVP_KDF_CTX_reset(kdf_context_);
        FANFARE_ASSERT(EVP_KDF_derive(kdf_context_, out, size, params.data()) == 1);
    }

    const Subscription& to_;
    PkeyCtxPtr maker_;
    PkeyPtr curve_;
    CipherPtr aes_;
    CipherCtxPtr cipher_;
    EVP_KDF* kdf_ = nullptr;
    EVP_KDF_CTX* kdf_context_ = nullptr;
};

/// Messages per CPU-second.
template <class Encrypt>
double rate_of(std::size_t messages, const Encrypt& encrypt) {
    const double begun = cpu_seconds();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < messages; ++i) bytes += encrypt();
    FANFARE_ASSERT(bytes == messages * (header_bytes + plaintext_bytes + 17));
    return static_cast<double>(messages) / (cpu_seconds() - begun);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

} // namespace

int main(int argc, char** argv) {
    const std::size_t turns = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 15;
    const std::size_t messages = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2'000;
    if (turns == 0 || messages == 0) {
        fmt::print(stderr, "usage: fanfare-providers-bench [TURNS [MESSAGES]]\n");
        return 2;
    }
    const Subscription to = subscribe();
    const std::string plaintext(plaintext_bytes, 'p');
    WebPushEncryptor encryptor;
    Floor floor{to};
    const auto ours = [&] { return encryptor.encrypt(to.point, to.auth, plaintext)->size(); };
    const auto bare = [&] { return floor.encrypt(plaintext); };
    std::vector<double> our_rates;
    std::vector<double> bare_rates;
    std::vector<double> ratios;
    for (std::size_t turn = 0; turn < turns; ++turn) {
        our_rates.push_back(rate_of(messages, ours));
        bare_rates.push_back(rate_of(messages, bare));
        ratios.push_back(our_rates.back() / bare_rates.back());
    }
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    fmt::print("web push encryptions per CPU-second: {:.0f}, bare OpenSSL {:.0f}, ratio {:.2f} "
               "({:.2f} to {:.2f} in {} turns)\n",
               median(our_rates), median(bare_rates), median(ratios), *least, *most, turns);
}
