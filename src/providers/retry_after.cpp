#include "retry_after.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace fanfare::providers {
namespace {

using std::chrono::milliseconds;

constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> short_days{"Mon", "Tue", "Wed", "Thu",
                                                     "Fri", "Sat", "Sun"};
constexpr std::array<std::string_view, 7> long_days{"Monday", "Tuesday",  "Wednesday", "Thursday",
                                                    "Friday", "Saturday", "Sunday"};

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

/// Takes a text apart from its front; once something was not there, all that follows fails too.
class Scan {
  public:
    explicit Scan(std::string_view text) : text_(text) {}

    Scan& expect(std::string_view word) {
        if (!text_.starts_with(word)) return fail();
        text_.remove_prefix(word.size());
        return *this;
    }
    /// Exactly so many digits.
    int digits(std::size_t count) {
        const std::string_view digits = text_.substr(0, count);
        if (digits.size() < count || !std::all_of(digits.begin(), digits.end(), is_digit)) {
            fail();
            return 0;
        }
        int value = 0;
        for (const char c : digits) value = value * 10 + (c - '0');
        text_.remove_prefix(count);
        return value;
    }
    /// A day of the month as asctime writes it: two digits, or a blank and one.
    int padded_day() {
        if (!text_.starts_with(' ')) return digits(2);
        text_.remove_prefix(1);
        return digits(1);
    }
    template <std::size_t Size>
    unsigned one_of(const std::array<std::string_view, Size>& words) {
        for (unsigned i = 0; i < Size; ++i) {
            if (!text_.starts_with(words[i])) continue;
            text_.remove_prefix(words[i].size());
            return i;
        }
        fail();
        return 0;
    }
    [[nodiscard]] bool done() const noexcept { return good_ && text_.empty(); }

  private:
    Scan& fail() {
        good_ = false;
        text_ = {};
        return *this;
    }
    std::string_view text_;
    bool good_ = true;
};

struct Parts {
    int year = 0;
    unsigned month = 0; // from 0
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
};

void read_time(Scan& scan, Parts& parts) {
    parts.hour = scan.digits(2);
    parts.minute = scan.expect(":").digits(2);
    parts.second = scan.expect(":").digits(2);
}

std::optional<WallMillis> to_millis(const Parts& parts) {
    const std::chrono::year_month_day date{std::chrono::year{parts.year},
                                           std::chrono::month{parts.month + 1},
                                           std::chrono::day{static_cast<unsigned>(parts.day)}};
    // RFC 9110 lets a leap second through.
    if (!date.ok() || parts.hour > 23 || parts.minute > 59 || parts.second > 60)
        return std::nullopt;
    const auto time = std::chrono::sys_days{date} + std::chrono::hours{parts.hour} +
                      std::chrono::minutes{parts.minute} + std::chrono::seconds{parts.second};
    return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

/// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<WallMillis> parse_imf(std::string_view text) {
    Scan scan{text};
    Parts parts;
    scan.one_of(short_days);
    parts.day = scan.expect(", ").digits(2);
    parts.month = scan.expect(" ").one_of(months);
    parts.year = scan.expect(" ").digits(4);
    scan.expect(" ");
    read_time(scan, parts);
    scan.expect(" GMT");
    return scan.done() ? to_millis(parts) : std::nullopt;
}

/// "Sun Nov  6 08:49:37 1994"
std::optional<WallMillis> parse_asctime(std::string_view text) {
    Scan scan{text};
    Parts parts;
    scan.one_of(short_days);
    parts.month = scan.expect(" ").one_of(months);
    parts.day = scan.expect(" ").padded_day();
    scan.expect(" ");
    read_time(scan, parts);
    parts.year = scan.expect(" ").digits(4);
    return scan.done() ? to_millis(parts) : std::nullopt;
}

/// "Sunday, 06-Nov-94 08:49:37 GMT". A year that seems more than 50 years ahead is of the century
/// before (RFC 9110 §5.6.7).
std::optional<WallMillis> parse_rfc850(std::string_view text, WallMillis now) {
    Scan scan{text};
    Parts parts;
    scan.one_of(long_days);
    parts.day = scan.expect(", ").digits(2);
    parts.month = scan.expect("-").one_of(months);
    const int in_century = scan.expect("-").digits(2);
    scan.expect(" ");
    read_time(scan, parts);
    scan.expect(" GMT");
    if (!scan.done()) return std::nullopt;
    const std::chrono::year_month_day today{std::chrono::floor<std::chrono::days>(
        std::chrono::sys_time<milliseconds>{milliseconds{now}})};
    const int this_year = static_cast<int>(today.year());
    parts.year = this_year - this_year % 100 + in_century;
    if (parts.year > this_year + 50) parts.year -= 100;
    return to_millis(parts);
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

/// Nothing if it is not digits only; at most `retry_after_max`, however many digits there are.
std::optional<milliseconds> parse_seconds(std::string_view text) {
    if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
    milliseconds wait{0};
    for (const char c : text) {
        wait = std::min(wait * 10 + std::chrono::seconds{c - '0'}, retry_after_max);
    }
    return wait;
}

std::optional<milliseconds> parse_one(std::string_view text, WallMillis now) {
    text = trimmed(text);
    if (const auto seconds = parse_seconds(text)) return seconds;
    const auto date = parse_http_date(text, now);
    if (!date) return std::nullopt;
    return std::clamp(milliseconds{*date - now}, milliseconds{0}, retry_after_max);
}

} // namespace

std::optional<WallMillis> parse_http_date(std::string_view text, WallMillis now) {
    if (const auto time = parse_imf(text)) return time;
    if (const auto time = parse_rfc850(text, now)) return time;
    return parse_asctime(text);
}

std::optional<milliseconds> retry_after(const PushAnswer& answer, WallMillis now) {
    const auto theirs = parse_http_date(trimmed(answer.field("date")), now);
    std::optional<milliseconds> longest;
    for (const AnswerField& field : answer.fields) {
        if (!equal_without_case(field.name, "retry-after")) continue;
        const auto wait = parse_one(field.value, theirs.value_or(now));
        if (wait && (!longest || *wait > *longest)) longest = wait;
    }
    return longest;
}

} // namespace fanfare::providers
