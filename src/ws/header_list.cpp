#include "header_list.hpp"

#include <algorithm>

namespace fanfare::ws {

namespace {

// Locale-free, unlike <cctype>.
char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view white = " \t";
    const std::size_t first = text.find_first_not_of(white);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(white) - first + 1);
}

} // namespace

bool is_token_char(char c) noexcept {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != '\0' && std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::string_view> HeaderList::next() noexcept {
    while (!rest_.empty()) {
        const std::size_t comma = std::min(rest_.find(','), rest_.size());
        const std::string_view element = trim(rest_.substr(0, comma));
        rest_.remove_prefix(std::min(comma + 1, rest_.size()));
        if (!element.empty()) return element;
    }
    return std::nullopt;
}

bool list_contains(std::string_view list, std::string_view token) noexcept {
    HeaderList elements{list};
    while (const auto element = elements.next())
        if (equal_ignoring_case(*element, token)) return true;
    return false;
}

} // namespace fanfare::ws
