#pragma once
// Views of bytes and the small conversions everyone needs: hex, base64url, constant-time compare.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fanfare {

using ByteView = std::span<const std::byte>;

[[nodiscard]] inline ByteView as_byte_view(std::string_view text) noexcept {
    return std::as_bytes(std::span{text.data(), text.size()});
}
[[nodiscard]] inline std::string_view as_text(ByteView bytes) noexcept {
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Lower-case hex, two digits a byte.
[[nodiscard]] std::string to_hex(ByteView bytes);
/// Nothing if the length is odd or a character is not a hex digit (either case).
[[nodiscard]] std::optional<std::string> from_hex(std::string_view hex);

/// RFC 4648 §5 without padding.
[[nodiscard]] std::string to_base64url(ByteView bytes);
/// Strict: no padding, no other characters, unused bits zero (RFC 7515 §2); else nothing.
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);
/// RFC 4648 §4 with padding (Sec-WebSocket-Accept).
[[nodiscard]] std::string to_base64(ByteView bytes);

/// Equal, in a time that depends on the lengths only.
[[nodiscard]] bool equal_constant_time(std::string_view a, std::string_view b) noexcept;

/// SHA-256 (32 raw bytes) and SHA-1 (20 raw bytes, for RFC 6455 §4.2.2 only).
[[nodiscard]] std::string sha256(std::string_view data);
[[nodiscard]] std::string sha1(std::string_view data);

/// Well-formed UTF-8 by RFC 3629 (no surrogates, no overlong forms).
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;
/// True if a byte below 0x20 or 0x7f is in the text.
[[nodiscard]] bool has_control(std::string_view text) noexcept;

/// A fast 64-bit hash, seeded once per process so that clients cannot aim for collisions.
[[nodiscard]] std::uint64_t hash_bytes(std::string_view text) noexcept;
/// The leading 64 bits of its SHA-256: the same in every process, for what is kept.
[[nodiscard]] std::uint64_t lasting_fingerprint(std::string_view text);

} // namespace fanfare
