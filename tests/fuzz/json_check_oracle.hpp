#pragma once
// What check_json must say, asked of simdjson: the unit tests and the fuzz target share it.

#include <simdjson.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace fanfare::test {

/// RFC 8259 §6, written as differently from the checker as such a small grammar allows.
inline bool is_json_number(std::string_view text) {
    const auto digits = [&] {
        const std::size_t stop = std::min(text.find_first_not_of("0123456789"), text.size());
        text.remove_prefix(stop);
        return stop;
    };
    if (text.starts_with('-')) text.remove_prefix(1);
    const bool zero = text.starts_with('0');
    const std::size_t whole = digits();
    if (whole == 0 || (zero && whole > 1)) return false;
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        if (digits() == 0) return false;
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
        if (digits() == 0) return false;
    }
    return text.empty();
}

/// `text` with 0 in place of each number outside strings: simdjson refuses numbers that do not fit
/// its types, check_json does not, and about all else they must agree.
inline std::string with_small_numbers(std::string_view text) {
    std::string out;
    bool in_string = false;
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at];
        if (!in_string && (c == '-' || (c >= '0' && c <= '9'))) {
            const std::size_t stop =
                std::min(text.find_first_not_of("0123456789+-.eE", at), text.size());
            const std::string_view run = text.substr(at, stop - at);
            out += is_json_number(run) ? "0" : run;
            at = stop;
            continue;
        }
        if (c == '"') in_string = !in_string;
        out += c;
        ++at;
        if (in_string && c == '\\' && at < text.size()) out += text[at++];
    }
    return out;
}

/// True if simdjson's DOM takes the text, numbers of any size included.
inline bool simdjson_accepts(std::string_view text) {
    thread_local simdjson::dom::parser parser;
    const std::string small = with_small_numbers(text);
    return parser.parse(small.data(), small.size()).error() == simdjson::SUCCESS;
}

} // namespace fanfare::test
