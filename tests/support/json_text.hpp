#pragma once
// Members of the gateway's JSON texts, found by their names. Not a parser: it takes the first
// member of a name at any depth, which is enough where the test wrote the payload itself.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::test {

/// The text behind `"name":`; empty if there is no such member.
[[nodiscard]] inline std::string_view json_value(std::string_view text, std::string_view name) {
    for (std::size_t at = 0; (at = text.find(name, at)) != std::string_view::npos; ++at) {
        const std::size_t end = at + name.size();
        if (at != 0 && text[at - 1] == '"' && text.substr(end, 2) == "\":")
            return text.substr(end + 2);
    }
    return {};
}

[[nodiscard]] inline std::optional<std::uint64_t> json_number(std::string_view text,
                                                              std::string_view name) {
    std::string_view value = json_value(text, name);
    if (value.empty() || value.front() < '0' || value.front() > '9') return std::nullopt;
    std::uint64_t number = 0;
    for (; !value.empty() && value.front() >= '0' && value.front() <= '9'; value.remove_prefix(1))
        number = number * 10 + static_cast<std::uint64_t>(value.front() - '0');
    return number;
}

/// A text without escapes; empty if there is no such member or it is no text.
[[nodiscard]] inline std::string_view json_string(std::string_view text, std::string_view name) {
    const std::string_view value = json_value(text, name);
    if (value.empty() || value.front() != '"') return {};
    return value.substr(1, value.find('"', 1) - 1);
}

[[nodiscard]] inline bool json_is_true(std::string_view text, std::string_view name) {
    return json_value(text, name).starts_with("true");
}

} // namespace fanfare::test
