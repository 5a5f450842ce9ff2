#include "h1_response.hpp"

#include <fanfare/base/json_writer.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

namespace fanfare::http {
namespace {

void append_two(std::string& out, int value) {
    out += static_cast<char>('0' + value / 10);
    out += static_cast<char>('0' + value % 10);
}

/// Composed aside, since each piece that is appended has its price.
void append_length(std::string& out, std::size_t bytes) {
    constexpr std::string_view name = "Content-Length: ";
    std::array<char, 48> line;
    std::copy(name.begin(), name.end(), line.begin());
    char* end = std::to_chars(line.data() + name.size(), line.data() + line.size() - 2, bytes).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(line.data(), static_cast<std::size_t>(end - line.data()));
}

} // namespace

std::string_view DateCache::at(WallMillis now) {
    const std::int64_t second = now / 1000;
    if (second == second_) return text_;
    second_ = second;
    // Not strftime: its names follow the locale.
    constexpr std::array<const char*, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto time = static_cast<std::time_t>(second);
    std::tm utc{};
    ::gmtime_r(&time, &utc);
    text_.clear();
    text_.append(days[static_cast<std::size_t>(utc.tm_wday)]).append(", ");
    append_two(text_, utc.tm_mday);
    text_.append(" ").append(months[static_cast<std::size_t>(utc.tm_mon)]).append(" ");
    append_number(text_, std::uint64_t{1900} + static_cast<std::uint64_t>(utc.tm_year));
    text_ += ' ';
    append_two(text_, utc.tm_hour);
    text_ += ':';
    append_two(text_, utc.tm_min);
    text_ += ':';
    append_two(text_, utc.tm_sec);
    text_ += " GMT";
    return text_;
}

std::string_view AnswerStart::of(const Response& response, WallMillis now) {
    const std::int64_t second = now / 1000;
    // A content type is static text: the same place is the same type.
    if (second == second_ && response.status == status_ &&
        response.content_type.data() == type_.data() &&
        response.content_type.size() == type_.size())
        return text_;
    second_ = second;
    status_ = response.status;
    type_ = response.content_type;
    text_ = "HTTP/1.1 ";
    append_number(text_, static_cast<std::uint64_t>(status_));
    text_.append(" ").append(reason_phrase(status_)).append("\r\nDate: ");
    text_.append(date_.at(now)).append("\r\n");
    if (may_have_body(status_) && !type_.empty())
        text_.append("Content-Type: ").append(type_).append("\r\n");
    return text_;
}

bool may_have_body(int status) noexcept {
    return status >= 200 && status != 204 && status != 304;
}

void append_head(std::string& out, const ResponseHead& head) {
    const Response& response = head.response;
    const auto line = [&](std::string_view name, std::string_view value) {
        out.append(name).append(value).append("\r\n");
    };
    out += head.start;
    if (may_have_body(response.status)) {
        if (head.framing == Framing::length) {
            append_length(out, response.content_type.empty() ? 0 : response.body.size());
        } else if (head.framing == Framing::chunked) {
            line("Transfer-Encoding: chunked", {});
        }
    }
    if (!head.request_id.empty()) line("X-Request-Id: ", head.request_id);
    if (head.close) {
        line("Connection: close", {});
    } else if (head.http_1_0) {
        line("Connection: keep-alive", {});
    }
    // RFC 9110 §15.5.2 demands a challenge; a handler that knows more has set its own.
    if (response.status == 401 && response.headers.find("WWW-Authenticate:") == std::string::npos)
        line("WWW-Authenticate: Bearer realm=\"fanfare\"", {});
    if (!response.headers.empty()) out += response.headers;
    out += "\r\n";
}

void append_chunk_size(std::string& out, std::size_t bytes) {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), bytes, 16).ptr;
    out.append(digits.data(), end).append("\r\n");
}

bool is_sane_request_id(std::string_view id) noexcept {
    return !id.empty() && id.size() <= 128 &&
           std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

} // namespace fanfare::http
