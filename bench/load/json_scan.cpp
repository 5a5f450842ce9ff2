#include "json_scan.hpp"

#include <charconv>
#include <cstring>

namespace load {
namespace {

/// What follows `key` and blanks; empty when `key` does not occur.
std::string_view after(std::string_view json, std::string_view key) {
    const void* found = ::memmem(json.data(), json.size(), key.data(), key.size());
    if (found == nullptr) return {};
    const auto begin = static_cast<const char*>(found) - json.data();
    std::string_view rest = json.substr(static_cast<std::size_t>(begin) + key.size());
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    return rest;
}

} // namespace

std::optional<std::uint64_t> leading_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc{}) return std::nullopt;
    return value;
}

std::optional<std::uint64_t> find_number(std::string_view json, std::string_view key) {
    return leading_number(after(json, key));
}

std::string_view find_text(std::string_view json, std::string_view key) {
    const std::string_view rest = after(json, key);
    if (!rest.starts_with('"')) return {};
    return rest.substr(1, rest.find('"', 1) - 1);
}

bool find_true(std::string_view json, std::string_view key) {
    return after(json, key).starts_with("true");
}

} // namespace load
