#pragma once
// Where text stops being UTF-8: the slow path behind simdjson, which only says that it does.

#include <cstddef>
#include <string_view>

namespace fanfare {

/// Bytes of the longest beginning of `text` that is whole, well-formed characters (RFC 3629).
[[nodiscard]] std::size_t utf8_prefix(std::string_view text) noexcept;

} // namespace fanfare
