#pragma once
// What check_json must say, asked of simdjson: the unit tests and the fuzz target share it.

#include <fanfare/base/json_check.hpp>

#include <simdjson.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// What check_json tells of a text, or what simdjson reads on demand, in the same words.
struct Members final : JsonMembers {
    struct Member {
        std::string name;  // unescaped
        std::string value; // as it stands
        std::string text;  // of a string: unescaped
        friend bool operator==(const Member&, const Member&) = default;
    };
    std::vector<Member> list;

    void on_member(std::string_view name, std::string_view value) noexcept override {
        Member& member = list.emplace_back();
        append_unescaped(member.name, name);
        member.value = value;
        if (value.front() == '"') append_unescaped(member.text, value.substr(1, value.size() - 2));
    }
};

/// `text` has passed check_json. Nothing if simdjson cannot read it so: its objects are read one
/// after the other, whatever the size of their numbers.
inline std::vector<Members::Member> simdjson_members(std::string_view text) {
    namespace ondemand = simdjson::ondemand;
    thread_local ondemand::parser parser;
    const simdjson::padded_string padded{text};
    std::vector<Members::Member> members;
    ondemand::document document;
    ondemand::object object;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
        document.get_object().get(object) != simdjson::SUCCESS)
        return members;
    for (auto item : object) {
        ondemand::field field;
        std::string_view name;
        if (std::move(item).get(field) != simdjson::SUCCESS ||
            field.unescaped_key().get(name) != simdjson::SUCCESS)
            break;
        Members::Member& member = members.emplace_back();
        member.name = name;
        ondemand::value value = field.value();
        ondemand::json_type type{};
        std::string_view raw;
        if (value.type().get(type) == simdjson::SUCCESS && type == ondemand::json_type::string) {
            raw = value.raw_json_token();
            std::string_view inside;
            if (value.get_string().get(inside) == simdjson::SUCCESS) member.text = inside;
        } else if (simdjson::to_json_string(value).get(raw) != simdjson::SUCCESS) {
            break;
        }
        member.value = raw.substr(0, raw.find_last_not_of(" \t\r\n") + 1);
    }
    return members;
}

/// Both tell the same members.
inline bool members_agree(std::string_view text) {
    Members told;
    if (check_json(text, told)) return true; // worth nothing then
    return told.list == simdjson_members(text);
}

} // namespace fanfare::test
