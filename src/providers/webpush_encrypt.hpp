#pragma once
// Message encryption for Web Push: RFC 8291, over aes128gcm of RFC 8188.
//
// One record. Each message has a key pair and a salt of its own, used once. Costs are those of the
// two operations on the curve, making the pair and the shared secret; the rest is a tenth of it, as
// long as OpenSSL is not asked to look its algorithms up by name each time. So they are looked up
// once, here.

#include "openssl_ptr.hpp"

#include <fanfare/base/result.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace fanfare::providers {

enum class webpush_errc : std::uint8_t {
    bad_key = 1, // the subscription's key is not on P-256
    bad_auth,    // its secret is not 16 bytes
    too_large,   // more than `webpush_plaintext_max`
};
[[nodiscard]] error_code make_error_code(webpush_errc code) noexcept;

/// A body of 4096 bytes, which every service takes, less header, delimiter and tag.
inline constexpr std::size_t webpush_plaintext_max = 3'993;

/// Padding hides from the service how long a message is: rounded up to one of a few sizes.
enum class Padding : std::uint8_t { none, to_sizes };

/// One thread.
class WebPushEncryptor {
  public:
    WebPushEncryptor();

    /// The request's body. `p256dh`: 65 bytes, `auth`: 16 bytes.
    [[nodiscard]] Result<std::string> encrypt(std::string_view p256dh, std::string_view auth,
                                              std::string_view plaintext,
                                              Padding padding = Padding::to_sizes);
    /// The same with salt (16 bytes) and private key (32 bytes) from outside: for the examples of
    /// the RFC. Used twice, they would give both messages away.
    [[nodiscard]] Result<std::string> encrypt_with(std::string_view salt, std::string_view scalar,
                                                   std::string_view p256dh, std::string_view auth,
                                                   std::string_view plaintext, Padding padding);

  private:
    Result<std::string> seal(std::string_view salt, EVP_PKEY& sender, std::string_view p256dh,
                             std::string_view auth, std::string_view plaintext, Padding padding);
    /// HMAC-SHA-256 into 32 bytes.
    void hmac(const unsigned char* key, std::size_t key_size, std::string_view data,
              unsigned char* out);

    PkeyCtxPtr key_maker_;
    MacPtr hmac_;
    MacCtxPtr mac_;
    CipherPtr aes_;
    CipherCtxPtr cipher_;
};

} // namespace fanfare::providers

template <>
struct boost::system::is_error_code_enum<fanfare::providers::webpush_errc> : std::true_type {};
