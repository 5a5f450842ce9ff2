// Kinds of values that are texts with a form of their own: addresses, URLs, patterns, hashes.

#include "config_values.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/net/acceptor.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace fanfare::app {
namespace {

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && stop == text.data() + text.size() && port != 0;
}

/// host, host:port or [v6]:port, without a user.
bool is_authority(std::string_view text) {
    std::size_t colon = text.find(':');
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos || end < 3) return false;
        const std::string_view inner = text.substr(1, end - 1);
        if (inner.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos)
            return false;
        text.remove_prefix(end + 1);
        return text.empty() || (text.front() == ':' && is_port(text.substr(1)));
    }
    const std::string_view host = text.substr(0, colon);
    return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
        return is_letter_or_digit(c) || c == '-' || c == '.' || c == '_';
    }) && (colon == std::string_view::npos || is_port(text.substr(colon + 1)));
}

bool is_scheme(std::string_view text) {
    return !text.empty() && is_letter_or_digit(text.front()) && text.front() > '9' &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return is_letter_or_digit(c) || c == '+' || c == '-' || c == '.';
           });
}

bool is_origin(std::string_view text) {
    if (text == "*") return true;
    const std::size_t mark = text.find("://");
    if (mark == std::string_view::npos || !is_scheme(text.substr(0, mark))) return false;
    std::string_view rest = text.substr(mark + 3);
    if (rest.starts_with("*.")) rest.remove_prefix(2);
    return is_authority(rest);
}

bool is_url(std::string_view text, const std::vector<std::string>& schemes) {
    const std::size_t mark = text.find("://");
    if (mark == std::string_view::npos ||
        std::find(schemes.begin(), schemes.end(), text.substr(0, mark)) == schemes.end())
        return false;
    if (std::any_of(text.begin(), text.end(),
                    [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == '#'; }))
        return false;
    std::string_view rest = text.substr(mark + 3);
    rest = rest.substr(0, rest.find_first_of("/?"));
    const std::size_t at = rest.rfind('@'); // what is before it is user and password
    if (at != std::string_view::npos) rest.remove_prefix(at + 1);
    return is_authority(rest);
}

/// Without its escapes; nothing if they are none, or stand for what no name or password has.
std::optional<std::string> unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const auto byte = from_hex(text.substr(i + 1, 2));
        if (!byte || byte->size() != 1) return std::nullopt;
        out += *byte;
        i += 2;
    }
    if (has_control(out)) return std::nullopt;
    return out;
}

std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (is_letter_or_digit(c) || c == '-' || c == '.' || c == '_' || c == '~')
            out += c;
        else
            out += '%' + to_hex(as_byte_view(std::string_view{&c, 1}));
    }
    return out;
}

std::optional<http::H2ProxyOptions> parse_proxy(std::string_view text) {
    constexpr std::string_view scheme = "http://";
    http::H2ProxyOptions proxy;
    if (text.empty()) return proxy;
    if (!text.starts_with(scheme)) return std::nullopt;
    text.remove_prefix(scheme.size());
    if (text.ends_with('/')) text.remove_suffix(1);
    if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
        const std::string_view who = text.substr(0, at);
        const std::size_t colon = std::min(who.find(':'), who.size());
        const auto user = unescape(who.substr(0, colon));
        const auto password = unescape(who.substr(std::min(colon + 1, who.size())));
        // Between user and password of Basic stands the first colon (RFC 7617 §2).
        if (!user || !password || user->empty() || user->find(':') != std::string::npos)
            return std::nullopt;
        proxy.user = *user;
        proxy.password = *password;
        text.remove_prefix(at + 1);
    }
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || !is_authority(text) || text.ends_with(']'))
        return std::nullopt;
    const std::string_view port = text.substr(colon + 1);
    std::from_chars(port.data(), port.data() + port.size(), proxy.port);
    proxy.host = text.substr(0, colon);
    if (proxy.host.starts_with('[')) proxy.host = proxy.host.substr(1, proxy.host.size() - 2);
    return proxy;
}

std::string proxy_text(const http::H2ProxyOptions& proxy) {
    if (proxy.host.empty()) return {};
    std::string text = "http://";
    if (!proxy.user.empty())
        text.append(escape(proxy.user)).append(":").append(escape(proxy.password)).append("@");
    const bool v6 = proxy.host.find(':') != std::string::npos;
    return text + (v6 ? '[' + proxy.host + ']' : proxy.host) + ':' + std::to_string(proxy.port);
}

} // namespace

Kind<http::H2ProxyOptions> proxy_url() {
    const std::string words = "a URL such as http://user:password@proxy.example.com:3128";
    return {words,
            [words](const Value& value) {
                // As for every text, but what is wrong is said without showing it.
                if (value.node.kind != ConfigNode::Kind::scalar)
                    static_cast<void>(read_text(value, words));
                const auto proxy = parse_proxy(value.node.text);
                if (!proxy || value.node.text.size() > 2048) value.fail("is not " + words);
                return *proxy;
            },
            [](const http::H2ProxyOptions& proxy) { return show_text(proxy_text(proxy)); }};
}

Kind<std::string> secret() {
    const std::string words = "a secret";
    return {words,
            [words](const Value& value) {
                // As for every text, but what is wrong is said without showing it.
                if (value.node.kind == ConfigNode::Kind::scalar &&
                    value.node.style == ConfigNode::Style::plain && !is_yaml_text(value.node.text))
                    value.fail("is a number; write it in quotes");
                std::string read = value.node.kind == ConfigNode::Kind::scalar
                                       ? value.node.text
                                       : read_text(value, words);
                if (read.find("-----BEGIN") != std::string::npos)
                    value.fail("is a PEM text, which is not secret if it is a public key; put a "
                               "public key into a file and name it in auth.jwt.public_key");
                if (read.size() > 4096) value.fail("is longer than 4096 bytes");
                return read;
            },
            show_text};
}

Kind<std::string> file(std::string words) {
    return text("the path of " + words, 0, 4096);
}

Kind<std::string> listen_address() {
    const std::string words = "addresses such as \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\"";
    return {words,
            [](const Value& value) {
                std::string read = read_text(value, "an address such as \"127.0.0.1:8080\"");
                if (!net::parse_listen_address(read))
                    value.fail(in_quotes(read) + " is no address to listen at; write one such as "
                                                 "\"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\"");
                return read;
            },
            show_text};
}

Kind<std::string> origin() {
    const std::string words = "origins such as \"https://app.example.com\"";
    return {
        words,
        [](const Value& value) {
            std::string read = read_text(value, "an origin such as \"https://app.example.com\"");
            if (!is_origin(read))
                value.fail(in_quotes(read) + " is no origin; write \"https://app.example.com\" "
                                             "without a path, \"https://*.example.com\" or \"*\"");
            return read;
        },
        show_text};
}

Kind<std::string> url(std::initializer_list<std::string_view> schemes) {
    const std::vector<std::string> names(schemes.begin(), schemes.end());
    std::string words = "a URL that begins with ";
    for (const std::string& name : names)
        words += (name == names.front() ? "" : " or ") + name + "://";
    return {words,
            [names, words](const Value& value) {
                std::string read = read_text(value, words);
                if (read.size() > 2048 || !is_url(read, names)) value.fail("is not " + words);
                return read;
            },
            show_text};
}

Kind<std::string> room_pattern() {
    const std::string words = "a room's name, with * for any run of characters";
    return {words,
            [words](const Value& value) {
                std::string read = read_text(value, words);
                if (read.empty()) value.fail("is empty; \"*\" matches every room");
                if (read.size() > 255) value.fail("is longer than 255 bytes, as no room's name is");
                if (read.front() == '@')
                    value.fail(
                        in_quotes(read) +
                        ": names that begin with @ are the gateway's own; no rule is for them");
                return read;
            },
            show_text};
}

Kind<std::string> key_hash() {
    const std::string words = "\"sha256:\" and 64 hex digits";
    return {words,
            [words](const Value& value) {
                constexpr std::string_view prefix = "sha256:";
                constexpr std::string_view remedy =
                    "; `fanfare apikey new` makes a key and its hash";
                const std::string read = read_text(value, words);
                if (read.starts_with("sk_"))
                    value.fail("is the key itself, which does not belong here; expected " + words +
                               std::string{remedy});
                const auto raw =
                    read.starts_with(prefix) ? from_hex(read.substr(prefix.size())) : std::nullopt;
                if (!raw || raw->size() != 32) value.fail("is not " + words + std::string{remedy});
                return *raw;
            },
            [](const std::string& raw) { return "\"sha256:" + to_hex(as_byte_view(raw)) + "\""; }};
}

} // namespace fanfare::app
