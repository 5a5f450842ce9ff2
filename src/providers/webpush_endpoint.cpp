#include "webpush_endpoint.hpp"

#include <algorithm>

namespace fanfare::providers {
namespace {

constexpr std::string_view scheme = "https://";

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_hex(char c) {
    const char low = lower(c);
    return is_digit(c) || (low >= 'a' && low <= 'f');
}

/// What a name or an IPv4 address is made of; no escapes, so that nobody reads it two ways.
bool is_host(std::string_view host) {
    return !host.empty() && host.size() <= 253 && host.front() != '.' &&
           host.find("..") == std::string_view::npos &&
           std::all_of(host.begin(), host.end(), [](char c) {
               const char low = lower(c);
               return is_digit(c) || (low >= 'a' && low <= 'z') || c == '-' || c == '.' || c == '_';
           });
}
bool is_ipv6(std::string_view host) {
    return host.size() >= 2 && host.size() <= 45 && host.find(':') != std::string_view::npos &&
           std::all_of(host.begin(), host.end(),
                       [](char c) { return is_hex(c) || c == ':' || c == '.'; });
}

/// An empty port is the scheme's own (RFC 3986 §3.2.3).
std::optional<std::uint16_t> parse_port(std::string_view text) {
    if (text.empty()) return std::uint16_t{443};
    unsigned port = 0;
    if (text.size() > 5 || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
    for (const char c : text) port = port * 10 + static_cast<unsigned>(c - '0');
    if (port == 0 || port > 65'535) return std::nullopt;
    return static_cast<std::uint16_t>(port);
}

/// Host with its brackets if it has some, and what follows the colon.
struct Authority {
    std::string_view host;
    std::string_view port;
    bool good = true;
};
Authority split(std::string_view authority) {
    std::size_t end = 0;
    if (authority.starts_with('[')) {
        end = authority.find(']');
        if (end == std::string_view::npos) return {{}, {}, false};
        ++end;
    } else {
        end = std::min(authority.find(':'), authority.size());
    }
    const std::string_view rest = authority.substr(end);
    if (!rest.empty() && rest.front() != ':') return {{}, {}, false};
    return {authority.substr(0, end), rest.empty() ? rest : rest.substr(1)};
}

} // namespace

std::variant<WebPushEndpoint, const char*> parse_endpoint(std::string_view url) {
    if (url.size() > endpoint_bytes_max) return "is longer than 4096 bytes";
    if (!std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < '\x7f'; }))
        return "has characters that a URL cannot have";
    if (url.size() < scheme.size() ||
        !std::equal(scheme.begin(), scheme.end(), url.begin(),
                    [](char ours, char theirs) { return ours == lower(theirs); }))
        return "is not an https URL";
    if (url.find('#') != std::string_view::npos) return "has a fragment";
    url.remove_prefix(scheme.size());
    const std::string_view authority = url.substr(0, url.find_first_of("/?\\"));
    const std::string_view path = url.substr(authority.size());
    if (path.starts_with('\\')) return "has a backslash behind its host";
    if (authority.find('@') != std::string_view::npos) return "has user information";
    const Authority parts = split(authority);
    const bool bracketed = parts.host.starts_with('[');
    std::string_view host = parts.host;
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (!parts.good || !(bracketed ? is_ipv6(host) : is_host(host))) return "has no valid host";
    const auto port = parse_port(parts.port);
    if (!port) return "has no valid port";

    WebPushEndpoint endpoint;
    endpoint.host = host;
    std::transform(host.begin(), host.end(), endpoint.host.begin(), lower);
    endpoint.port = *port;
    endpoint.path = path.starts_with('/') ? std::string{path} : "/" + std::string{path};
    endpoint.origin = scheme;
    endpoint.origin += bracketed ? "[" + endpoint.host + "]" : endpoint.host;
    if (*port != 443) endpoint.origin += ":" + std::to_string(*port);
    return endpoint;
}

} // namespace fanfare::providers
