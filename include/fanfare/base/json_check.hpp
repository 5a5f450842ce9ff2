#pragma once
// Strict RFC 8259 validation of a whole document, with the place that is wrong.
//
// Why our own: payloads pass through as the bytes that came, numbers of any size included.
// simdjson's DOM refuses numbers beyond 64 bits, its on-demand reader does not look at what it
// skips. So a document is first checked here in one pass, and then read with simdjson on demand.

#include <cstddef>
#include <string_view>

namespace fanfare {

struct JsonFault {
    const char* what =
        nullptr; // nullptr: the document is valid; else one phrase, e.g. "a comma is missing"
    std::size_t at = 0; // byte offset of the fault
    explicit operator bool() const noexcept { return what != nullptr; }
};

/// Deeper nesting is refused (a document of 64 KiB of '[' must not cost a stack).
inline constexpr std::size_t json_depth_max = 128;

/// Checks that `text` is exactly one JSON value in UTF-8 with optional white space around it.
[[nodiscard]] JsonFault check_json(std::string_view text) noexcept;

} // namespace fanfare
