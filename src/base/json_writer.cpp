#include "json_scan.hpp"

#include <fanfare/base/json_writer.hpp>

#include <array>
#include <charconv>
#include <cmath>

namespace fanfare {
namespace {

template <class Number>
void append_chars(std::string& out, Number value) {
    std::array<char, 32> digits; // 20 for an integer, 24 for the longest shortest double
    const auto done = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out.append(digits.data(), done.ptr);
}

void append_escape(std::string& out, char c) {
    switch (c) {
    case '"':
        out += "\\\"";
        return;
    case '\\':
        out += "\\\\";
        return;
    case '\b':
        out += "\\b";
        return;
    case '\f':
        out += "\\f";
        return;
    case '\n':
        out += "\\n";
        return;
    case '\r':
        out += "\\r";
        return;
    case '\t':
        out += "\\t";
        return;
    default:
        constexpr std::string_view digits = "0123456789abcdef";
        out += "\\u00";
        out += digits[static_cast<unsigned char>(c) >> 4];
        out += digits[static_cast<unsigned char>(c) & 15];
    }
}

} // namespace

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    const char* at = text.data();
    const char* const end = at + text.size();
    std::uint64_t seen = 0;
    while (at != end) {
        const char* const special = find_json_special(at, end, seen);
        out.append(at, static_cast<std::size_t>(special - at));
        if (special == end) break;
        append_escape(out, *special);
        at = special + 1;
    }
    out += '"';
}

void append_number(std::string& out, std::uint64_t value) {
    append_chars(out, value);
}

void JsonWriter::separate() {
    if (comma_) out_ += ',';
    comma_ = true;
}

JsonWriter& JsonWriter::open(char bracket) {
    separate();
    out_ += bracket;
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
    out_ += bracket;
    comma_ = true; // what was closed is a value of the level outside
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    separate();
    out_ += '"';
    out_ += name;
    out_ += "\":";
    comma_ = false; // the value that follows belongs to the name
    return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
    separate();
    append_json_string(out_, value);
    return *this;
}

JsonWriter& JsonWriter::number(std::uint64_t value) {
    separate();
    append_chars(out_, value);
    return *this;
}

JsonWriter& JsonWriter::integer(std::int64_t value) {
    separate();
    append_chars(out_, value);
    return *this;
}

JsonWriter& JsonWriter::real(double value) {
    // JSON has no word for these (RFC 8259 §6).
    if (!std::isfinite(value)) return null();
    separate();
    // to_chars would say 1e+05, which is shorter but not what people expect to read. Up to 2^53 an
    // integral double is exact as an integer; minus zero is not, it keeps its sign below.
    constexpr double exact = 9007199254740992.0;
    if (std::abs(value) <= exact && std::trunc(value) == value &&
        !(value == 0 && std::signbit(value)))
        append_chars(out_, static_cast<std::int64_t>(value));
    else
        append_chars(out_, value);
    return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
    return raw(value ? "true" : "false");
}

JsonWriter& JsonWriter::null() {
    return raw("null");
}

JsonWriter& JsonWriter::raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
}

} // namespace fanfare
