#pragma once
// Base64 of keys that people and old libraries hand over.

#include <optional>
#include <string>
#include <string_view>

namespace fanfare::providers {

/// Either alphabet of RFC 4648, with or without padding; white space at the ends is not looked at.
/// Nothing if it is anything else.
[[nodiscard]] std::optional<std::string> from_base64_lenient(std::string_view text);

} // namespace fanfare::providers
