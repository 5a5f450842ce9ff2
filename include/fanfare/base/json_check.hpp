#pragma once
// Strict RFC 8259 validation of a whole document, with the place that is wrong.
//
// Why our own: payloads pass through as the bytes that came, numbers of any size included.
// simdjson's DOM refuses numbers beyond 64 bits, its on-demand reader does not look at what it
// skips. So a document is first checked here in one pass, and then read with simdjson on demand.

#include <cstddef>
#include <string>
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

/// Who is told the members of the outermost object while a text is checked, so that a reader of a
/// few of them needs no second pass. What was told means nothing if the text has a fault.
class JsonMembers {
  public:
    /// In order. `name`: as it stands between its quotes, escapes and all. `value`: its bytes,
    /// without white space around them. Both show the text.
    virtual void on_member(std::string_view name, std::string_view value) noexcept = 0;

  protected:
    ~JsonMembers() = default;
};
/// As above; another document than an object has no members.
[[nodiscard]] JsonFault check_json(std::string_view text, JsonMembers& members) noexcept;

/// Appends what a JSON string says. `inside`: what stands between its quotes, in a text that
/// `check_json` has passed. Never longer than `inside`.
void append_unescaped(std::string& out, std::string_view inside);

} // namespace fanfare
