#include <fanfare/base/clock.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace fanfare {
namespace {

class SystemClock final : public Clock {
  public:
    MonoMillis mono() const noexcept override { return millis(std::chrono::steady_clock::now()); }
    MonoMicros mono_micros() const noexcept override {
        return std::chrono::duration_cast<std::chrono::microseconds>(
                   std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }
    WallMillis wall() const noexcept override { return millis(std::chrono::system_clock::now()); }

  private:
    template <class Point>
    static std::int64_t millis(Point point) noexcept {
        return std::chrono::duration_cast<std::chrono::milliseconds>(point.time_since_epoch())
            .count();
    }
};

// RFC 3339 §1 has years of four digits only: 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
constexpr WallMillis wall_min = -62'167'219'200'000;
constexpr WallMillis wall_max = 253'402'300'799'999;

/// Takes fixed parts of a text off its front.
class Parts {
  public:
    explicit Parts(std::string_view text) : text_(text) {}

    /// Exactly so many digits, at most `max`.
    int number(std::size_t digits, int max) {
        int value = 0;
        for (std::size_t i = 0; i < digits; ++i) {
            if (text_.empty() || text_.front() < '0' || text_.front() > '9') return fail();
            value = value * 10 + (text_.front() - '0');
            text_.remove_prefix(1);
        }
        return value <= max ? value : fail();
    }
    void sign(std::string_view one_of) {
        if (text_.empty() || one_of.find(text_.front()) == std::string_view::npos) {
            fail();
            return;
        }
        last_ = text_.front();
        text_.remove_prefix(1);
    }
    /// What `sign` took.
    [[nodiscard]] char last() const noexcept { return last_; }
    /// The digits behind a point, in milliseconds; 0 if there is no point.
    int fraction() {
        if (!text_.starts_with('.')) return 0;
        text_.remove_prefix(1);
        const std::size_t digits = std::min(text_.find_first_not_of("0123456789"), text_.size());
        if (digits == 0) return fail();
        int value = 0;
        for (std::size_t i = 0; i < 3; ++i) value = value * 10 + (i < digits ? text_[i] - '0' : 0);
        text_.remove_prefix(digits);
        return value;
    }
    [[nodiscard]] bool sound() const noexcept { return sound_ && text_.empty(); }

  private:
    int fail() {
        sound_ = false;
        return 0;
    }
    std::string_view text_;
    char last_ = '\0';
    bool sound_ = true;
};

} // namespace

const Clock& system_clock() noexcept {
    static const SystemClock clock;
    return clock;
}

std::string rfc3339(WallMillis time) {
    namespace chrono = std::chrono;
    // Calendar arithmetic of the standard library: unlike gmtime and strftime it knows no locale,
    // no time zone and no shared state. Times out of range (from a token, say) stay readable.
    const chrono::sys_time<chrono::milliseconds> point{
        chrono::milliseconds{std::clamp(time, wall_min, wall_max)}};
    const auto day = chrono::floor<chrono::days>(point);
    const chrono::year_month_day date{day};
    const chrono::hh_mm_ss clock{point - day};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                       clock.subseconds().count());
}

std::optional<WallMillis> parse_rfc3339(std::string_view text) noexcept {
    namespace chrono = std::chrono;
    Parts parts{text};
    const int year = parts.number(4, 9999);
    parts.sign("-");
    const int month = parts.number(2, 12);
    parts.sign("-");
    const int day = parts.number(2, 31);
    parts.sign("Tt ");
    std::int64_t seconds = std::int64_t{parts.number(2, 23)} * 3'600;
    parts.sign(":");
    seconds += std::int64_t{parts.number(2, 59)} * 60;
    parts.sign(":");
    seconds += parts.number(2, 60);
    const int millis = parts.fraction();
    parts.sign("Zz+-");
    const char zone = parts.last();
    if (zone == '+' || zone == '-') {
        int offset = parts.number(2, 23) * 3'600;
        parts.sign(":");
        offset += parts.number(2, 59) * 60;
        seconds -= zone == '+' ? offset : -offset;
    }
    const chrono::year_month_day date{chrono::year{year},
                                      chrono::month{static_cast<unsigned>(month)},
                                      chrono::day{static_cast<unsigned>(day)}};
    if (!parts.sound() || !date.ok()) return std::nullopt;
    const chrono::milliseconds since{chrono::sys_days{date}.time_since_epoch()};
    return since.count() + seconds * 1'000 + millis;
}

} // namespace fanfare
