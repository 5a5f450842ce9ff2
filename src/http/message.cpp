#include <fanfare/base/bytes.hpp>
#include <fanfare/http/message.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::http {
namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_without_case(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

enum class Plus : bool { is_plus, is_space };

// A NUL or other control character that was escaped is text like any other here; what a name may
// hold is checked by whom it means something to.
std::optional<std::string> decode(std::string_view text, Plus plus) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus == Plus::is_space) {
            out += ' ';
        } else if (text[i] != '%') {
            out += text[i];
        } else {
            if (text.size() - i < 3) return std::nullopt;
            const int high = hex_digit(text[i + 1]);
            const int low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            out += static_cast<char>(high * 16 + low);
            i += 2;
        }
    }
    if (!is_utf8(out)) return std::nullopt;
    return out;
}

struct RawItem {
    std::string_view name;
    std::string_view value;
};

/// Takes the next `name=value` off `query`; pieces without a byte are skipped. False at the end.
bool next_item(std::string_view& query, RawItem& item) {
    while (!query.empty()) {
        const auto end = std::min(query.find('&'), query.size());
        const std::string_view piece = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        if (piece.empty()) continue;
        const auto equals = piece.find('=');
        item.name = piece.substr(0, equals);
        item.value =
            equals == std::string_view::npos ? std::string_view{} : piece.substr(equals + 1);
        return true;
    }
    return false;
}

} // namespace

std::string_view method_name(Method method) noexcept {
    switch (method) {
    case Method::get:
        return "GET";
    case Method::head:
        return "HEAD";
    case Method::post:
        return "POST";
    case Method::put:
        return "PUT";
    case Method::delete_:
        return "DELETE";
    case Method::options:
        return "OPTIONS";
    case Method::patch:
        return "PATCH";
    case Method::other:
        break;
    }
    return "OTHER";
}

std::optional<std::string> percent_decode(std::string_view text) {
    return decode(text, Plus::is_plus);
}

std::optional<std::string> query_value(std::string_view query, std::string_view name) {
    RawItem item;
    while (next_item(query, item)) {
        // Nearly every name comes as it is; only one with escapes is decoded for the comparison.
        bool same = item.name == name;
        if (!same && item.name.find_first_of("%+") != std::string_view::npos) {
            const auto decoded = decode(item.name, Plus::is_space);
            same = decoded && *decoded == name;
        }
        if (same) return decode(item.value, Plus::is_space);
    }
    return std::nullopt;
}

std::optional<std::vector<QueryItem>> parse_query(std::string_view query) {
    std::vector<QueryItem> items;
    RawItem item;
    while (next_item(query, item)) {
        auto name = decode(item.name, Plus::is_space);
        auto value = decode(item.value, Plus::is_space);
        if (!name || !value) return std::nullopt;
        items.push_back({std::move(*name), std::move(*value)});
    }
    return items;
}

std::string_view bearer_token(const RequestHead& head) noexcept {
    constexpr std::string_view scheme = "bearer";
    const std::string_view value = head[Header::authorization];
    if (value.size() <= scheme.size() || value[scheme.size()] != ' ' ||
        !equal_without_case(value.substr(0, scheme.size()), scheme))
        return {};
    return trim(value.substr(scheme.size()));
}

bool has_token(std::string_view list, std::string_view token) noexcept {
    while (!list.empty()) {
        const auto end = std::min(list.find(','), list.size());
        if (equal_without_case(trim(list.substr(0, end)), token)) return true;
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    return false;
}

std::string_view reason_phrase(int status) noexcept {
    switch (status) {
    case 100:
        return "Continue";
    case 101:
        return "Switching Protocols";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 421:
        return "Misdirected Request";
    case 422:
        return "Unprocessable Content";
    case 426:
        return "Upgrade Required";
    case 428:
        return "Precondition Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}

} // namespace fanfare::http
