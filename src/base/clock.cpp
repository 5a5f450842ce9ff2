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

} // namespace fanfare
