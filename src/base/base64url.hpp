#pragma once
// The alphabet that base64url text, random text and epochs share.

#include <array>
#include <cstdint>
#include <string_view>

namespace fanfare {

/// RFC 4648 §5.
inline constexpr std::string_view base64url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

inline constexpr std::uint8_t not_base64url = 0xff;

/// Character to its six bits, or `not_base64url`.
inline constexpr std::array<std::uint8_t, 256> base64url_values = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(not_base64url);
    for (std::uint8_t i = 0; i < 64; ++i)
        values[static_cast<unsigned char>(base64url_alphabet[i])] = i;
    return values;
}();

} // namespace fanfare
