#pragma once
// Comma-separated header values (RFC 9110 §5.6.1), for the opening handshake.

#include <optional>
#include <string_view>

namespace fanfare::ws {

/// A character of an HTTP token (RFC 9110 §5.6.2).
[[nodiscard]] bool is_token_char(char c) noexcept;
/// Equal but for the case of ASCII letters.
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

/// Walks over the elements of a list without quoted strings: `while (auto e = list.next())`.
/// White space around elements and empty elements are skipped.
class HeaderList {
  public:
    explicit HeaderList(std::string_view list) noexcept : rest_(list) {}
    /// The next element; shows the list's characters.
    [[nodiscard]] std::optional<std::string_view> next() noexcept;

  private:
    std::string_view rest_;
};

/// Is `token` an element of `list`, whatever the case? (`Connection`, `Upgrade`)
[[nodiscard]] bool list_contains(std::string_view list, std::string_view token) noexcept;

} // namespace fanfare::ws
