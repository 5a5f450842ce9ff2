// Small codecs: base64url, hexadecimal, percent-encoding, JSON strings. Text in, text out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sim {

/// base64url without padding (RFC 4648 §5). Decoding refuses padding, other alphabets, white space
/// and unused bits that are not zero.
[[nodiscard]] std::string to_base64url(std::string_view bytes);
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);

[[nodiscard]] std::string to_hex(std::string_view bytes);
[[nodiscard]] bool is_hex(std::string_view text);

/// %XX and, as in forms, + decoded. Malformed escapes are kept as they are.
[[nodiscard]] std::string percent_decoded(std::string_view text);

/// The value of `name` in `a=1&b=2`, decoded.
[[nodiscard]] std::optional<std::string> form_value(std::string_view form, std::string_view name);

/// `text`, valid UTF-8, as a JSON string with its quotes.
[[nodiscard]] std::string json_text(std::string_view text);

/// Random bytes, from the system's generator.
[[nodiscard]] std::string random_bytes(std::size_t count);

/// A random UUID in lower case.
[[nodiscard]] std::string random_uuid();

[[nodiscard]] bool equal_without_case(std::string_view a, std::string_view b);

/// Digits only, at most 18 of them.
[[nodiscard]] std::optional<std::int64_t> to_number(std::string_view text);

} // namespace sim
