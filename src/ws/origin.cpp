#include "header_list.hpp"

#include <fanfare/ws/origin.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace fanfare::ws {

namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

struct Authority {
    std::string_view host;  // with the brackets of an IPv6 literal
    std::uint16_t port = 0; // 0: the scheme's default
};
struct Origin {
    std::string_view scheme;
    Authority authority;
};

bool is_host(std::string_view host) {
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        const std::string_view inner = host.substr(1, host.size() - 2);
        return std::all_of(inner.begin(), inner.end(),
                           [](char c) { return is_hex(c) || c == ':' || c == '.'; });
    }
    return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
    });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc{} || stop != end || port == 0) return std::nullopt;
    return port;
}

std::optional<Authority> parse_authority(std::string_view text) {
    Authority authority;
    // A colon behind the bracket of an IPv6 literal, or the only one there is.
    const std::size_t bracket = text.rfind(']');
    const std::size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
    authority.host = text.substr(0, colon);
    if (!is_host(authority.host)) return std::nullopt;
    if (colon != std::string_view::npos) {
        const auto port = parse_port(text.substr(colon + 1));
        if (!port) return std::nullopt;
        authority.port = *port;
    }
    return authority;
}

bool is_scheme(std::string_view scheme) {
    return !scheme.empty() && is_letter(scheme.front()) &&
           std::all_of(scheme.begin(), scheme.end(), [](char c) {
               return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
           });
}

// scheme "://" host [":" port], and nothing after it: no path, no user, no list.
std::optional<Origin> parse_origin(std::string_view text) {
    const std::size_t mark = text.find("://");
    if (mark == std::string_view::npos || !is_scheme(text.substr(0, mark))) return std::nullopt;
    const auto authority = parse_authority(text.substr(mark + 3));
    if (!authority) return std::nullopt;
    return Origin{text.substr(0, mark), *authority};
}

std::uint16_t port_of(std::string_view scheme, std::uint16_t port) {
    if (port != 0) return port;
    if (equal_ignoring_case(scheme, "https") || equal_ignoring_case(scheme, "wss")) return 443;
    if (equal_ignoring_case(scheme, "http") || equal_ignoring_case(scheme, "ws")) return 80;
    return 0;
}

bool is_same_host(const Origin& origin, std::string_view host) {
    const auto ours = parse_authority(host);
    // Host has no scheme: behind a TLS proxy only the page knows it, so its default port is taken.
    return ours && equal_ignoring_case(origin.authority.host, ours->host) &&
           port_of(origin.scheme, origin.authority.port) == port_of(origin.scheme, ours->port);
}

// An entry with its wildcard taken out: "https://*.example.com:8443" stands for an origin whose
// host ends with ".example.com". The dot is part of the suffix, so "evil-example.com" is none.
struct Pattern {
    Origin origin;
    bool below = false; // hosts below origin's, not itself
};
std::optional<Pattern> parse_pattern(std::string_view entry, std::string& storage) {
    Pattern pattern;
    storage = entry;
    constexpr std::string_view wildcard = "://*.";
    const std::size_t at = storage.find(wildcard);
    if (at != std::string::npos) {
        pattern.below = true;
        storage.erase(at + 3, 2);
    }
    const auto origin = parse_origin(storage);
    if (!origin) return std::nullopt;
    pattern.origin = *origin;
    return pattern;
}

bool matches(const Origin& origin, const Pattern& pattern) {
    if (!equal_ignoring_case(origin.scheme, pattern.origin.scheme)) return false;
    if (port_of(origin.scheme, origin.authority.port) !=
        port_of(origin.scheme, pattern.origin.authority.port))
        return false;
    const std::string_view host = origin.authority.host;
    const std::string_view wanted = pattern.origin.authority.host;
    if (!pattern.below) return equal_ignoring_case(host, wanted);
    if (host.size() < wanted.size() + 2) return false; // at least one character and the dot
    const std::size_t dot = host.size() - wanted.size() - 1;
    return host[dot] == '.' && host.front() != '.' &&
           equal_ignoring_case(host.substr(dot + 1), wanted);
}

} // namespace

bool is_origin_allowed(std::optional<std::string_view> origin, std::string_view host,
                       std::span<const std::string> allowed) {
    if (!origin) return true;
    const auto parsed = parse_origin(*origin);
    if (allowed.empty()) return parsed && is_same_host(*parsed, host);
    std::string storage;
    return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& entry) {
        if (entry == "*") return true;
        const auto pattern = parse_pattern(entry, storage);
        return parsed && pattern && matches(*parsed, *pattern);
    });
}

bool is_origin_pattern(std::string_view entry) {
    std::string storage;
    return entry == "*" || parse_pattern(entry, storage).has_value();
}

} // namespace fanfare::ws
