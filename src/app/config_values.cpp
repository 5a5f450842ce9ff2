#include "config_values.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace fanfare::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};
constexpr std::array<Unit, 3> size_units{{{"GiB", 1U << 30}, {"MiB", 1U << 20}, {"KiB", 1U << 10}}};
constexpr std::array<Unit, 5> time_units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// Digits only; nothing on anything else, and beyond 64 bits.
std::optional<std::uint64_t> parse_digits(std::string_view text) {
    std::uint64_t number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || stop != text.data() + text.size())
        return std::nullopt;
    return number;
}

/// Digits and one of the units; nothing if it is not that or overflows. `plain`: the unit may be
/// missing.
template <std::size_t N>
std::optional<std::uint64_t> parse_quantity(std::string_view text, const std::array<Unit, N>& units,
                                            bool plain) {
    const auto digits = static_cast<std::size_t>(
        std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
    const auto number = parse_digits(text.substr(0, digits));
    if (!number) return std::nullopt;
    const std::string_view rest = text.substr(digits);
    if (rest.empty() && plain) return number;
    for (const Unit& unit : units) {
        if (rest != unit.name) continue;
        if (*number > std::numeric_limits<std::int64_t>::max() / unit.factor) return std::nullopt;
        return *number * unit.factor;
    }
    return std::nullopt;
}

template <std::size_t N>
std::string show_quantity(std::uint64_t value, const std::array<Unit, N>& units,
                          std::string_view zero) {
    if (value == 0) return std::string{zero};
    for (const Unit& unit : units)
        if (value % unit.factor == 0) return fmt::format("{}{}", value / unit.factor, unit.name);
    return fmt::format("{}", value);
}

std::string range_words(std::string_view what, std::string_view min, std::string_view max) {
    return fmt::format("{} from {} to {}", what, min, max);
}

/// The text of a scalar that need not be a text; fails with what is expected instead.
const std::string& scalar(const Value& value, const std::string& words) {
    switch (value.node.kind) {
    case ConfigNode::Kind::null:
        value.fail("has no value; expected " + words);
    case ConfigNode::Kind::list:
        value.fail("is a list; expected " + words);
    case ConfigNode::Kind::map:
        value.fail("is a section; expected " + words);
    case ConfigNode::Kind::scalar:
        break;
    }
    return value.node.text;
}

[[noreturn]] void unexpected(const Value& value, const std::string& words) {
    value.fail(fmt::format("{} is not {}", in_quotes(value.node.text), words));
}

bool is_boolean(std::string_view text) {
    return text == "true" || text == "True" || text == "TRUE" || text == "false" ||
           text == "False" || text == "FALSE";
}
bool is_number(std::string_view text) {
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
    if (text == ".inf" || text == ".Inf" || text == ".INF" || text == ".nan" || text == ".NaN" ||
        text == ".NAN")
        return true;
    const auto all_of = [](std::string_view digits, std::string_view allowed) {
        return !digits.empty() && digits.find_first_not_of(allowed) == std::string_view::npos;
    };
    if (text.starts_with("0x")) return all_of(text.substr(2), "0123456789abcdefABCDEF");
    if (text.starts_with("0o")) return all_of(text.substr(2), "01234567");
    double number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool begins = !text.empty() && (is_digit(text.front()) || text.front() == '.');
    return begins && error != std::errc::invalid_argument && stop == text.data() + text.size();
}

/// Edit distance with swaps of neighbours (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + cost});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        std::swap(before, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

} // namespace

bool is_yaml_text(std::string_view plain) {
    return !is_boolean(plain) && !is_number(plain);
}

std::string show_size(std::size_t bytes) {
    return show_quantity(bytes, size_units, "0");
}

std::string show_duration(milliseconds time) {
    return show_quantity(static_cast<std::uint64_t>(time.count()), time_units, "0s");
}

std::string nearest(std::string_view text, const std::vector<std::string>& names) {
    std::string best;
    // Longer names may differ in more places before they are another word.
    std::size_t best_distance = std::max<std::size_t>(2, text.size() / 3 + 1);
    if (text.size() > 64) return best;
    for (const std::string& name : names) {
        const std::size_t one = distance(text, name);
        if (one < best_distance && one < name.size()) {
            best = name;
            best_distance = one;
        }
    }
    return best;
}

std::string read_text(const Value& value, const std::string& words) {
    const std::string& text = scalar(value, words);
    if (value.node.style == ConfigNode::Style::plain && !is_yaml_text(text))
        value.fail(fmt::format("{} is no text; write {}", text.substr(0, 40), in_quotes(text)));
    if (!is_utf8(text)) value.fail("is not UTF-8");
    if (has_control(text)) value.fail("holds a control character; expected " + words);
    return text;
}

std::string show_text(const std::string& text) {
    const bool plain = !text.empty() && is_yaml_text(text) && text != "null" &&
                       std::all_of(text.begin(), text.end(), [](char c) {
                           return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                  c == '_' || c == '/' || c == '.' || c == '-';
                       });
    if (plain && text.front() != '-' && text.front() != '.') return text;
    std::string out;
    append_json_string(out, text);
    return out;
}

Kind<bool> boolean() {
    const std::string words = "true or false";
    return {words,
            [words](const Value& value) {
                const std::string& text = scalar(value, words);
                if (value.node.style == ConfigNode::Style::quoted || !is_boolean(text))
                    unexpected(value, words);
                return text.front() == 't' || text.front() == 'T';
            },
            [](bool value) { return std::string{value ? "true" : "false"}; }};
}

Kind<std::size_t> count(std::size_t min, std::size_t max) {
    const std::string words =
        range_words("a number", fmt::format("{}", min), fmt::format("{}", max));
    return {words,
            [words, min, max](const Value& value) -> std::size_t {
                const auto number = parse_digits(scalar(value, words));
                if (number && value.node.style == ConfigNode::Style::quoted)
                    value.fail(in_quotes(value.node.text) + " is a text; leave the quotes away");
                if (!number || *number < min || *number > max) unexpected(value, words);
                return *number;
            },
            [](std::size_t value) { return fmt::format("{}", value); }};
}

Kind<std::size_t> size(std::size_t min, std::size_t max) {
    const std::string words = range_words("a size", show_size(min), show_size(max));
    return {words,
            [words, min, max](const Value& value) -> std::size_t {
                const std::string& text = scalar(value, words);
                const auto number = parse_quantity(text, size_units, true);
                if (!number)
                    value.fail(fmt::format("{} is not {}, such as 64KiB, 1MiB or plain bytes",
                                           in_quotes(text), words));
                if (*number < min || *number > max) unexpected(value, words);
                return *number;
            },
            [](std::size_t value) { return show_size(value); }};
}

Kind<milliseconds> duration(milliseconds min, milliseconds max) {
    const std::string words = range_words("a duration", show_duration(min), show_duration(max));
    return {words,
            [words, min, max](const Value& value) {
                const std::string& text = scalar(value, words);
                const auto number = parse_quantity(text, time_units, false);
                if (!number && parse_digits(text))
                    value.fail(fmt::format("{} has no unit; write {}s or {}ms", text.substr(0, 40),
                                           text.substr(0, 40), text.substr(0, 40)));
                if (!number)
                    value.fail(fmt::format("{} is not {}, such as 250ms, 30s, 5m, 1h or 7d",
                                           in_quotes(text), words));
                const milliseconds time{static_cast<std::int64_t>(*number)};
                if (time < min || time > max) unexpected(value, words);
                return time;
            },
            [](milliseconds value) { return show_duration(value); }};
}

Kind<seconds> whole_seconds(seconds min, seconds max) {
    const Kind<milliseconds> any = duration(min, max);
    return {any.words,
            [any](const Value& value) {
                const milliseconds time = any.read(value);
                if (time.count() % 1000 != 0)
                    value.fail(in_quotes(value.node.text) + " is not in whole seconds");
                return std::chrono::duration_cast<seconds>(time);
            },
            [](seconds value) { return show_duration(value); }};
}

Kind<std::string> text(std::string words, std::size_t bytes_min, std::size_t bytes_max) {
    return {
        words,
        [words, bytes_min, bytes_max](const Value& value) {
            std::string read = read_text(value, words);
            if (read.size() < bytes_min)
                value.fail((bytes_min == 1 ? std::string{"is empty"}
                                           : fmt::format("is shorter than {} bytes", bytes_min)) +
                           "; expected " + words);
            if (read.size() > bytes_max)
                value.fail(fmt::format("is longer than {} bytes; expected {}", bytes_max, words));
            return read;
        },
        show_text};
}

namespace detail {

std::string choice_words(const std::vector<std::string>& names) {
    std::string words;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (i > 0) words += i + 1 == names.size() ? " or " : ", ";
        words += names[i];
    }
    return words;
}

std::size_t read_choice(const Value& value, const std::vector<std::string>& names) {
    const std::string words = choice_words(names);
    const std::string& text = scalar(value, words);
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) unexpected(value, words);
    return static_cast<std::size_t>(found - names.begin());
}

void check_list(const Value& value, const std::string& words, std::size_t min, std::size_t max) {
    // A list whose items are all commented out is null.
    if (value.node.kind != ConfigNode::Kind::list && value.node.kind != ConfigNode::Kind::null)
        value.fail(value.node.kind == ConfigNode::Kind::scalar
                       ? fmt::format("is not a list; expected {}, in brackets", words)
                       : "is a section; expected " + words);
    const std::size_t items = value.node.items.size();
    if (items < min) value.fail(fmt::format("is empty; expected {}, at least {}", words, min));
    if (items > max) value.fail(fmt::format("has {} items; at most {} are possible", items, max));
}

} // namespace detail
} // namespace fanfare::app
