#include "text.hpp"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <stdexcept>

namespace sim {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

int hex_digit(char c) {
    const char l = lower(c);
    if (l >= '0' && l <= '9') return l - '0';
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

constexpr std::array<std::int8_t, 256> make_reverse() {
    std::array<std::int8_t, 256> reverse{};
    for (auto& value : reverse) value = -1;
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
        reverse[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
    }
    return reverse;
}

} // namespace

std::string to_base64url(std::string_view bytes) {
    std::string out;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : bytes) {
        bits = (bits << 8U) | static_cast<unsigned char>(c);
        for (count += 8; count >= 6; count -= 6) out += alphabet[(bits >> (count - 6)) & 63U];
    }
    if (count > 0) out += alphabet[(bits << (6 - count)) & 63U];
    return out;
}

std::optional<std::string> from_base64url(std::string_view text) {
    static constexpr auto reverse = make_reverse();
    std::string out;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        const int value = reverse[static_cast<unsigned char>(c)];
        if (value < 0) return std::nullopt;
        bits = (bits << 6U) | static_cast<std::uint32_t>(value);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        out += static_cast<char>((bits >> count) & 0xFFU);
    }
    if (count == 6 || (bits & ((1U << count) - 1U)) != 0) return std::nullopt;
    return out;
}

std::string to_hex(std::string_view bytes) {
    std::string out;
    for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return out;
}

bool is_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return hex_digit(c) >= 0; });
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                            hex_digit(text[i + 2]) >= 0;
        if (escape) {
            out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        } else {
            out += text[i] == '+' ? ' ' : text[i];
        }
    }
    return out;
}

std::optional<std::string> form_value(std::string_view form, std::string_view name) {
    std::size_t start = 0;
    while (start < form.size()) {
        std::size_t end = start;
        while (end < form.size() && form[end] != '&') ++end;
        const std::string_view pair = form.substr(start, end - start);
        const std::size_t equals = std::min(pair.find('='), pair.size());
        if (percent_decoded(pair.substr(0, equals)) == name) {
            return percent_decoded(pair.substr(std::min(equals + 1, pair.size())));
        }
        start = end + 1;
    }
    return std::nullopt;
}

std::string json_text(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += {'\\', c};
        } else if (static_cast<unsigned char>(c) < 0x20) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string random_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    auto* data = reinterpret_cast<unsigned char*>(bytes.data());
    if (::RAND_bytes(data, static_cast<int>(count)) != 1) {
        throw std::runtime_error("the system's random generator failed");
    }
    return bytes;
}

std::string random_uuid() {
    std::string bytes = random_bytes(16);
    bytes[6] = static_cast<char>((bytes[6] & 0x0F) | 0x40);
    bytes[8] = static_cast<char>((bytes[8] & 0x3F) | 0x80);
    std::string text = to_hex(bytes);
    for (const std::size_t at : {8U, 13U, 18U, 23U}) text.insert(at, 1, '-');
    return text;
}

bool equal_without_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::int64_t> to_number(std::string_view text) {
    if (text.empty() || text.size() > 18 || text.front() == '-') return std::nullopt;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

} // namespace sim
