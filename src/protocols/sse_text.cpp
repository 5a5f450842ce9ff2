#include "sse_text.hpp"

#include <algorithm>
#include <bit>

namespace fanfare::protocols {

void append_sse_head(std::string& out, std::string_view id, std::string_view event) {
    const auto line = [&out](std::string_view name, std::string_view value) {
        if (value.empty()) return;
        out += name;
        out += value;
        out += '\n';
    };
    line("id: ", id);
    line("event: ", event);
    out += "data: ";
}

void append_sse_event(std::string& out, std::string_view id, std::string_view event,
                      std::string_view json) {
    append_sse_head(out, id, event);
    append_sse_data(out, json);
    out += "\n\n";
}

bool has_line_end(std::string_view json) noexcept {
    // Two passes of memchr are faster than one that looks for either.
    return json.find('\n') != std::string_view::npos || json.find('\r') != std::string_view::npos;
}

void append_sse_data(std::string& out, std::string_view json) {
    while (true) {
        const std::size_t end = json.find_first_of("\r\n");
        out += json.substr(0, end);
        if (end == std::string_view::npos) return;
        json.remove_prefix(json.substr(end, 2) == "\r\n" ? end + 2 : end + 1);
        out += "\ndata: ";
    }
}

std::size_t chunk_head_size(std::size_t size) noexcept {
    const auto digits = (static_cast<std::size_t>(std::bit_width(size)) + 3) / 4;
    return std::max<std::size_t>(digits, 1) + 2;
}

char* write_chunk_head(char* to, std::size_t size) noexcept {
    constexpr std::string_view digits = "0123456789abcdef";
    char* const end = to + chunk_head_size(size);
    char* at = end;
    *--at = '\n';
    *--at = '\r';
    while (at != to) {
        *--at = digits[size & 15U];
        size >>= 4;
    }
    return end;
}

void append_chunk(std::string& out, std::string_view bytes) {
    const std::size_t at = out.size();
    out.resize(at + chunk_head_size(bytes.size()));
    write_chunk_head(out.data() + at, bytes.size());
    out += bytes;
    out += chunk_tail;
}

} // namespace fanfare::protocols
