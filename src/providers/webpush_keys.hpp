#pragma once
// The keys of a subscription, as browsers give them.

#include <fanfare/base/error.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

namespace fanfare::providers {

inline constexpr std::size_t webpush_auth_bytes = 16;

struct WebPushKeys {
    std::string p256dh; // the browser's public key: 65 bytes
    std::string auth;   // its secret: 16 bytes
};

/// From base64, in either alphabet, with or without padding. The error names the member, `p256dh`
/// or `auth`, and says what is wrong, without any part of it.
[[nodiscard]] std::variant<WebPushKeys, Error> read_webpush_keys(std::string_view p256dh,
                                                                 std::string_view auth);

} // namespace fanfare::providers
