// One pass, no recursion: the open brackets are one bit each, `{` or `[`. Runs of plain characters
// in strings are skipped many bytes at a time, and UTF-8 is validated at the end, by simdjson,
// only if a byte beyond ASCII was seen.

#include "json_scan.hpp"
#include "utf8_scan.hpp"

#include <fanfare/base/json_check.hpp>

#include <simdjson.h>

#include <algorithm>
#include <bitset>
#include <charconv>

namespace fanfare {
namespace {

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}
constexpr bool is_letter(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// Functions that return bool say "go on"; false means that `fault_` is set.
class Checker {
  public:
    explicit Checker(std::string_view text, JsonMembers* members) noexcept
        : begin_(text.data()), at_(begin_), end_(begin_ + text.size()), members_(members) {}

    JsonFault check() noexcept {
        document();
        // A fault in the grammar is reported only if the text before it is UTF-8: the first fault
        // is the one that helps. (No fault lies inside a character: strings end at a quote.)
        const std::size_t read = fault_ ? fault_.at : static_cast<std::size_t>(end_ - begin_);
        if ((seen_ & json_high_bits) != 0 && !simdjson::validate_utf8(begin_, read))
            fault_ = {"the text is not UTF-8", utf8_prefix({begin_, read})};
        return fault_;
    }

  private:
    void document() noexcept {
        skip_space();
        if (at_ == end_) {
            fail("a value is expected, but the text is empty");
            return;
        }
        while (value() && next_value()) {
        }
    }

    bool fail(const char* what) noexcept { return fail(what, at_); }
    bool fail(const char* what, const char* at) noexcept {
        fault_ = {what, static_cast<std::size_t>(at - begin_)};
        return false;
    }

    void skip_space() noexcept {
        // Nearly always there is none, and one comparison tells.
        while (at_ != end_ && static_cast<unsigned char>(*at_) <= ' ' &&
               (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t'))
            ++at_;
    }

    /// Reads a scalar or an empty container whole, of any other container all up to its first
    /// value: on return a value has just ended.
    bool value() noexcept {
        for (;;) {
            if (at_ == end_) return fail("the text ends where a value is expected");
            switch (*at_) {
            case '{':
                if (!open(true)) return false;
                if (at_ != end_ && *at_ == '}') return close();
                if (!name("a name in double quotes or '}' is expected")) return false;
                break;
            case '[':
                if (!open(false)) return false;
                if (at_ != end_ && *at_ == ']') return close();
                break;
            case '"':
                return string();
            case '-':
            case '0':
            case '1':
            case '2':
            case '3':
            case '4':
            case '5':
            case '6':
            case '7':
            case '8':
            case '9':
                return number();
            default:
                return word();
            }
        }
    }

    /// After a value: goes through closing brackets up to the place of the next value. False also
    /// at the proper end of the document.
    bool next_value() noexcept {
        for (;;) {
            if (depth_ == 1 && value_ != nullptr) tell_member();
            skip_space();
            if (depth_ == 0)
                return at_ == end_ ? false : fail("something follows the end of the value");
            const bool object = objects_[depth_ - 1];
            if (at_ == end_)
                return fail(object ? "the text ends inside an object"
                                   : "the text ends inside an array");
            const char c = *at_;
            if (c == ',') {
                ++at_;
                skip_space();
                if (object) return name("a name in double quotes is expected after the comma");
                if (at_ != end_ && *at_ == ']') return fail("a value is expected after the comma");
                return true;
            }
            if (c != (object ? '}' : ']'))
                return fail(object ? "a comma or '}' is missing" : "a comma or ']' is missing");
            close();
        }
    }

    bool open(bool object) noexcept {
        if (depth_ == json_depth_max) return fail("nested too deeply");
        objects_[depth_++] = object;
        ++at_;
        skip_space();
        return true;
    }

    bool close() noexcept {
        --depth_;
        ++at_;
        return true;
    }

    /// A member's name and its colon.
    bool name(const char* otherwise) noexcept {
        if (at_ == end_) return fail("the text ends where a name is expected");
        if (*at_ != '"') return fail(otherwise);
        const char* const quote = at_;
        if (!string()) return false;
        const char* const behind = at_;
        skip_space();
        if (at_ == end_ || *at_ != ':') return fail("a colon is missing after the name");
        ++at_;
        skip_space();
        if (depth_ == 1 && members_ != nullptr) {
            name_ = {quote + 1, static_cast<std::size_t>(behind - quote) - 2};
            value_ = at_;
        }
        return true;
    }

    /// The value of a member of the outermost object has just ended.
    void tell_member() noexcept {
        members_->on_member(name_, {value_, static_cast<std::size_t>(at_ - value_)});
        value_ = nullptr;
    }

    bool string() noexcept {
        const char* const quote = at_++;
        for (;;) {
            std::uint64_t seen = seen_; // here it can be in a register
            at_ = find_json_special(at_, end_, seen);
            seen_ = seen;
            if (at_ == end_) return fail("a string is not closed", quote);
            if (*at_ == '"') {
                ++at_;
                return true;
            }
            if (*at_ != '\\') return fail("a control character in a string must be escaped");
            if (!escape(quote)) return false;
        }
    }

    bool escape(const char* quote) noexcept {
        const char* const backslash = at_++;
        if (at_ == end_) return fail("a string is not closed", quote);
        switch (*at_++) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
            return true;
        case 'u':
            break;
        default:
            return fail("an unknown escape in a string", backslash);
        }
        unsigned unit = 0;
        if (!hex4(backslash, unit)) return false;
        if (unit < 0xd800 || unit > 0xdfff) return true;
        // RFC 8259 §8.2 allows half a pair and warns that nobody knows what it then means; decoders
        // refuse it, and a message that some subscribers cannot read is refused here.
        constexpr const char* lone = "a \\u escape is half of a surrogate pair";
        if (unit >= 0xdc00 || end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u')
            return fail(lone, backslash);
        const char* const second = at_;
        at_ += 2;
        if (!hex4(second, unit)) return false;
        return (unit >= 0xdc00 && unit <= 0xdfff) || fail(lone, backslash);
    }

    bool hex4(const char* backslash, unsigned& unit) noexcept {
        unit = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = at_ == end_ ? '\0' : *at_;
            unsigned digit = 0;
            if (is_digit(c))
                digit = static_cast<unsigned>(c - '0');
            else if (c >= 'a' && c <= 'f')
                digit = static_cast<unsigned>(c - 'a') + 10;
            else if (c >= 'A' && c <= 'F')
                digit = static_cast<unsigned>(c - 'A') + 10;
            else
                return fail("a \\u escape needs four hex digits", backslash);
            unit = unit * 16 + digit;
        }
        return true;
    }

    /// RFC 8259 §6. The value is never computed, so no number is too large.
    bool number() noexcept {
        const char* const start = at_;
        if (*at_ == '-') ++at_;
        if (at_ != end_ && *at_ == '0') {
            ++at_;
            if (at_ != end_ && is_digit(*at_)) return fail("a number has a leading zero", start);
        } else if (!digits("a digit is missing after '-'")) {
            return false;
        }
        if (at_ != end_ && *at_ == '.') {
            ++at_;
            if (!digits("a digit is missing after the decimal point")) return false;
        }
        if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
            ++at_;
            if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
            if (!digits("a digit is missing in the exponent")) return false;
        }
        return true;
    }

    bool digits(const char* otherwise) noexcept {
        if (at_ == end_ || !is_digit(*at_)) return fail(otherwise);
        while (at_ != end_ && is_digit(*at_)) ++at_;
        return true;
    }

    /// What is left where a value begins: three words, or something that is none.
    bool word() noexcept {
        const char* stop = at_;
        while (stop != end_ && (is_letter(*stop) || is_digit(*stop))) ++stop;
        const std::string_view found{at_, static_cast<std::size_t>(stop - at_)};
        if (found == "true" || found == "false" || found == "null") {
            at_ = stop;
            return true;
        }
        if (!found.empty()) return fail("an unknown word (only true, false and null are values)");
        switch (*at_) {
        case ',':
        case ':':
        case ']':
        case '}':
            return fail("a value is missing");
        case '\'':
            return fail("a string needs double quotes");
        case '+':
            return fail("a number must not begin with '+'");
        case '.':
            return fail("a number must begin with a digit");
        case '\xef': // what editors put in front
            if (at_ == begin_ && end_ - at_ >= 3 && at_[1] == '\xbb' && at_[2] == '\xbf')
                return fail("a byte order mark is not allowed");
            break;
        default:
            break;
        }
        return fail("a value is expected");
    }

    const char* begin_;
    const char* at_;
    const char* end_;
    JsonMembers* members_;        // null: nobody asks
    std::string_view name_;       // of the member of the outermost object that is being read …
    const char* value_ = nullptr; // … and where its value began; null: none is
    std::uint64_t seen_ = 0;      // bits of the bytes in strings; see find_json_special
    std::size_t depth_ = 0;
    std::bitset<json_depth_max> objects_; // by depth: the open bracket is '{', not '['
    JsonFault fault_;
};

} // namespace

JsonFault check_json(std::string_view text) noexcept {
    return Checker{text, nullptr}.check();
}

JsonFault check_json(std::string_view text, JsonMembers& members) noexcept {
    return Checker{text, &members}.check();
}

namespace {

/// The number of a \u escape; `at` is behind the `u`.
std::uint32_t unit_at(std::string_view text, std::size_t at) noexcept {
    std::uint32_t unit = 0;
    std::from_chars(text.data() + at, text.data() + at + 4, unit, 16);
    return unit;
}

void append_utf8(std::string& out, std::uint32_t point) {
    const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
    const auto put_rest = [&](unsigned shift) { put(0x80 | ((point >> shift) & 0x3f)); };
    if (point < 0x80) return put(point);
    if (point < 0x800) {
        put(0xc0 | (point >> 6));
    } else if (point < 0x10000) {
        put(0xe0 | (point >> 12));
        put_rest(6);
    } else {
        put(0xf0 | (point >> 18));
        put_rest(12);
        put_rest(6);
    }
    put_rest(0);
}

} // namespace

void append_unescaped(std::string& out, std::string_view inside) {
    for (std::size_t at = 0; at < inside.size();) {
        const std::size_t backslash = std::min(inside.find('\\', at), inside.size());
        out.append(inside, at, backslash - at);
        if (backslash == inside.size()) return;
        const char kind = inside[backslash + 1];
        at = backslash + 2;
        if (kind != 'u') {
            constexpr std::string_view letters = "bfnrt";
            const std::size_t letter = letters.find(kind);
            out += letter == std::string_view::npos ? kind : "\b\f\n\r\t"[letter];
            continue;
        }
        std::uint32_t point = unit_at(inside, at);
        at += 4;
        if (point >= 0xd800 && point <= 0xdbff) { // the checker has seen the second half
            point = 0x10000 + ((point - 0xd800) << 10) + (unit_at(inside, at + 2) - 0xdc00);
            at += 6;
        }
        append_utf8(out, point);
    }
}

} // namespace fanfare
