#pragma once
// What the readers of request bodies make of a member's value, which is JSON that has passed.
// No I/O.

#include "body_members.hpp"

#include <fanfare/base/error.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace fanfare::api {

[[nodiscard]] inline bool is_string(std::string_view value) noexcept {
    return value.front() == '"';
}

[[nodiscard]] inline bool is_number(std::string_view value) noexcept {
    return value.front() == '-' || (value.front() >= '0' && value.front() <= '9');
}

/// A number without fraction and exponent.
[[nodiscard]] inline bool is_integer(std::string_view value) noexcept {
    return is_number(value) && value.find_first_of(".eE") == std::string_view::npos;
}

/// An integer ≥ 0; above `max`, and above what fits: `max`. Nothing if it is something else.
[[nodiscard]] inline std::optional<std::uint64_t> whole_number(std::string_view value,
                                                               std::uint64_t max) noexcept {
    if (!is_integer(value) || value.front() == '-') return std::nullopt;
    std::uint64_t number = 0;
    const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), number);
    return fault == std::errc{} ? std::min(number, max) : max;
}

/// What a string says.
[[nodiscard]] inline std::string unescaped(std::string_view value) {
    std::string text;
    append_unescaped(text, value.substr(1, value.size() - 2));
    return text;
}

[[nodiscard]] inline Error read_text(std::string_view value, const char* name, TextFault fault_of,
                                     std::string& to) {
    if (!is_string(value)) return wrong_member(name, "must be a string");
    to = unescaped(value);
    if (const char* const fault = fault_of(to)) return wrong_member(name, fault);
    return {};
}

/// A string or an integer, kept as text.
[[nodiscard]] inline Error read_user(std::string_view value, const char* name, std::string& to) {
    if (is_string(value)) return read_text(value, name, room::id_fault, to);
    if (!is_integer(value)) return wrong_member(name, "must be a string or an integer");
    to = value == "-0" ? "0" : value;
    if (const char* const fault = room::id_fault(to)) return wrong_member(name, fault);
    return {};
}

} // namespace fanfare::api
