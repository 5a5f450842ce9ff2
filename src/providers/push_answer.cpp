#include "push_answer.hpp"

#include <algorithm>

namespace fanfare::providers {
namespace {

constexpr std::size_t reason_bytes_max = 64;

constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr bool is_reason_char(char c) noexcept {
    const char low = lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == ' ';
}

} // namespace

bool equal_without_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view PushAnswer::field(std::string_view name) const noexcept {
    for (const AnswerField& one : fields)
        if (equal_without_case(one.name, name)) return one.value;
    return {};
}

bool is_reason(std::string_view text) noexcept {
    return !text.empty() && text.size() <= reason_bytes_max &&
           std::all_of(text.begin(), text.end(), [](char c) { return is_reason_char(c); });
}

std::string status_reason(int status) {
    return "HTTP " + std::to_string(status);
}

} // namespace fanfare::providers
