#include "log_line.hpp"

#include "utf8_scan.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>

#include <algorithm>
#include <type_traits>

namespace fanfare::log {
namespace {

std::string_view level_name(Level level) noexcept {
    switch (level) {
    case Level::debug:
        return "debug";
    case Level::info:
        return "info";
    case Level::warn:
        return "warn";
    case Level::error:
        return "error";
    case Level::off:
        break;
    }
    return "off";
}

/// Five characters, so that events line up.
std::string_view level_column(Level level) noexcept {
    switch (level) {
    case Level::debug:
        return "DEBUG";
    case Level::info:
        return "INFO ";
    case Level::warn:
        return "WARN ";
    case Level::error:
        return "ERROR";
    case Level::off:
        break;
    }
    return "OFF  ";
}

/// `text` within its bound and in UTF-8.
std::string repaired(std::string_view text) {
    const bool cut = text.size() > field_bytes_max;
    if (cut) {
        text = text.substr(0, field_bytes_max);
        // Not through the middle of a character: what is left of one is a lead and at most
        // two continuation bytes.
        std::size_t size = text.size();
        while (size > text.size() - 2 &&
               (static_cast<unsigned char>(text[size - 1]) & 0xc0) == 0x80)
            --size;
        if (static_cast<unsigned char>(text[size - 1]) >= 0xc0 &&
            utf8_prefix(text.substr(size - 1)) == 0)
            text = text.substr(0, size - 1);
    }
    std::string out;
    while (!text.empty()) {
        const std::size_t good = utf8_prefix(text);
        out += text.substr(0, good);
        text.remove_prefix(good);
        if (text.empty()) break;
        out += "\xef\xbf\xbd"; // U+FFFD, one for each byte that fits nothing
        text.remove_prefix(1);
    }
    if (cut) out += "…";
    return out;
}

void append_quoted(std::string& out, std::string_view text) {
    if (text.size() <= field_bytes_max && is_utf8(text))
        append_json_string(out, text);
    else
        append_json_string(out, repaired(text));
}

/// A text that could be taken for something else, or for two, is quoted.
bool needs_quotes(std::string_view text) noexcept {
    const auto unsafe = [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7f ||
               c == '"' || c == '=' || c == '\\';
    };
    return text.empty() || text.size() > field_bytes_max || std::ranges::any_of(text, unsafe);
}

void append_plain(std::string& out, std::string_view text) {
    if (needs_quotes(text))
        append_quoted(out, text);
    else
        out += text;
}

/// Numbers and booleans look the same in both formats.
template <class Value>
void append_scalar(std::string& out, Value value) {
    JsonWriter writer{out};
    if constexpr (std::is_same_v<Value, bool>)
        writer.boolean(value);
    else if constexpr (std::is_same_v<Value, double>)
        writer.real(value);
    else if constexpr (std::is_same_v<Value, std::int64_t>)
        writer.integer(value);
    else
        writer.number(value);
}

void append_value(std::string& out, const Field& field,
                  void (*append_text)(std::string&, std::string_view)) {
    std::visit(
        [&](auto value) {
            if constexpr (std::is_same_v<decltype(value), std::string_view>)
                append_text(out, value);
            else
                append_scalar(out, value);
        },
        field.value);
}

} // namespace

std::string format_line(Format format, Level level, WallMillis time, std::string_view event,
                        Fields fields) {
    std::string line;
    line.reserve(160); // most lines
    if (format == Format::json) {
        line += R"({"time":")";
        line += rfc3339(time);
        line += R"(","level":")";
        line += level_name(level);
        line += R"(","event":)";
        append_quoted(line, event);
        for (const Field& field : fields) {
            line += ',';
            append_quoted(line, field.key);
            line += ':';
            append_value(line, field, append_quoted);
        }
        line += '}';
    } else {
        line += rfc3339(time);
        line += ' ';
        line += level_column(level);
        line += ' ';
        append_plain(line, event);
        for (const Field& field : fields) {
            line += ' ';
            append_plain(line, field.key);
            line += '=';
            append_value(line, field, append_plain);
        }
    }
    line += '\n';
    return line;
}

} // namespace fanfare::log
