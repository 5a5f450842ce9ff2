#include "http_response.hpp"

#include <algorithm>
#include <charconv>
#include <strings.h>

namespace load {
namespace {

constexpr std::size_t head_size_max = std::size_t{64} * 1024;

bool equal_in_any_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::optional<std::uint64_t> parse_number(std::string_view text, int base) {
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value, base);
    if (result.ec != std::errc{} || result.ptr != end) return std::nullopt;
    return value;
}

/// Calls `visit(name, value)` for each header line until it returns false.
template <class Visitor>
void for_each_field(std::string_view fields, Visitor visit) {
    while (!fields.empty()) {
        const std::size_t end = fields.find("\r\n");
        const std::string_view line = fields.substr(0, end);
        fields.remove_prefix(std::min(fields.size(), end == fields.npos ? end : end + 2));
        const std::size_t colon = line.find(':');
        if (colon == line.npos) continue;
        if (!visit(line.substr(0, colon), trim(line.substr(colon + 1)))) return;
    }
}

} // namespace

std::string_view ResponseHead::field(std::string_view name) const {
    std::string_view found;
    for_each_field(fields, [&](std::string_view field_name, std::string_view value) {
        if (!equal_in_any_case(field_name, name)) return true;
        found = value;
        return false;
    });
    return found;
}

bool list_has_token(std::string_view list, std::string_view token) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        if (equal_in_any_case(trim(list.substr(0, comma)), token)) return true;
        list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
    }
    return false;
}

HeadResult parse_response_head(std::string_view in) {
    const std::size_t end = in.find("\r\n\r\n");
    if (end == in.npos) {
        const bool bad = in.size() > head_size_max;
        return {bad ? HeadStatus::bad : HeadStatus::need_more, {}};
    }
    const std::string_view status_line = in.substr(0, in.find("\r\n"));
    // "HTTP/1.1 200 OK": the status is the three digits behind the version.
    if (!status_line.starts_with("HTTP/1.") || status_line.size() < 12)
        return {HeadStatus::bad, {}};
    const auto status = parse_number(status_line.substr(9, 3), 10);
    if (!status) return {HeadStatus::bad, {}};

    ResponseHead head;
    head.status = static_cast<int>(*status);
    head.size = end + 4;
    head.close = status_line.starts_with("HTTP/1.0");
    if (end > status_line.size()) {
        head.fields = in.substr(status_line.size() + 2, end - status_line.size() - 2);
    }
    for_each_field(head.fields, [&](std::string_view name, std::string_view value) {
        if (equal_in_any_case(name, "content-length")) {
            head.content_length = parse_number(value, 10);
        } else if (equal_in_any_case(name, "transfer-encoding")) {
            head.chunked = list_has_token(value, "chunked");
        } else if (equal_in_any_case(name, "connection")) {
            head.close = head.close || list_has_token(value, "close");
        }
        return true;
    });
    return {HeadStatus::complete, head};
}

BodyReader::BodyReader(const ResponseHead& head)
    : chunked_(head.chunked), remaining_(head.content_length.value_or(0)) {
    if (head.status == 204 || head.status == 304) {
        state_ = State::complete; // RFC 9112 §6.3: never a body
    } else if (head.chunked) {
        state_ = State::chunk_size;
    } else if (head.content_length) {
        state_ = remaining_ == 0 ? State::complete : State::data;
    } else {
        state_ = State::until_close;
    }
}

BodyReader::Piece BodyReader::next(std::string_view in) {
    switch (state_) {
    case State::until_close:
        return {.data = in, .used = in.size()};
    case State::data: {
        const std::string_view data = in.substr(0, std::min<std::uint64_t>(in.size(), remaining_));
        remaining_ -= data.size();
        if (remaining_ == 0) state_ = chunked_ ? State::chunk_end : State::complete;
        return {.data = data, .used = data.size()};
    }
    case State::chunk_size:
    case State::chunk_end:
    case State::trailer:
        return next_line(in);
    case State::complete:
        break;
    }
    return {};
}

BodyReader::Piece BodyReader::next_line(std::string_view in) {
    const std::size_t end = in.find("\r\n");
    if (end == in.npos) return {.bad = in.size() > 1024};
    const std::string_view line = in.substr(0, end);
    if (state_ == State::chunk_end) {
        state_ = State::chunk_size;
        return {.used = end + 2, .bad = !line.empty()};
    }
    if (state_ == State::trailer) {
        if (line.empty()) state_ = State::complete;
        return {.used = end + 2};
    }
    // RFC 9112 §7.1: hexadecimal size, then perhaps extensions behind a semicolon.
    const auto size = parse_number(trim(line.substr(0, line.find(';'))), 16);
    if (!size) return {.used = end + 2, .bad = true};
    remaining_ = *size;
    state_ = remaining_ == 0 ? State::trailer : State::data;
    return {.used = end + 2};
}

} // namespace load
