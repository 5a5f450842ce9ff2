#include <fanfare/base/clock.hpp>

#include <catch2/catch.hpp>

#include <limits>
#include <support/manual_clock.hpp>

using namespace fanfare;

TEST_CASE("clock: times are written by RFC 3339 in UTC", "[clock][rfc3339-5.6]") {
    struct Case {
        const char* name;
        WallMillis time;
        const char* text;
    };
    const auto c = GENERATE(values<Case>({
        {"the epoch", 0, "1970-01-01T00:00:00.000Z"},
        {"one millisecond before it", -1, "1969-12-31T23:59:59.999Z"},
        {"milliseconds are padded", 1'763'636'280'007, "2025-11-20T10:58:00.007Z"},
        {"leap day", 1'709'210'096'789, "2024-02-29T12:34:56.789Z"},
        {"end of a leap year", 1'735'689'599'999, "2024-12-31T23:59:59.999Z"},
        {"2000 is a leap year", 951'782'400'000, "2000-02-29T00:00:00.000Z"},
        {"1900 is none", -2'203'891'200'000, "1900-03-01T00:00:00.000Z"},
        {"beyond 32 bits of seconds", 4'294'967'296'000, "2106-02-07T06:28:16.000Z"},
        {"last", 253'402'300'799'999, "9999-12-31T23:59:59.999Z"},
        {"first", -62'167'219'200'000, "0000-01-01T00:00:00.000Z"},
        {"later than that", std::numeric_limits<WallMillis>::max(), "9999-12-31T23:59:59.999Z"},
        {"earlier than that", std::numeric_limits<WallMillis>::min(), "0000-01-01T00:00:00.000Z"},
    }));
    CAPTURE(c.name);
    CHECK(rfc3339(c.time) == c.text);
}

TEST_CASE("clock: times are read by RFC 3339", "[clock][rfc3339-5.6]") {
    struct Case {
        const char* text;
        std::optional<WallMillis> time;
    };
    const auto c = GENERATE(values<Case>({
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000Z", 0},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2025-11-20T10:58:00.0079Z", 1'763'636'280'007},
        {"2025-11-20t10:58:00.1z", 1'763'636'280'100},
        {"2025-11-20 10:58:00Z", 1'763'636'280'000},
        {"2025-11-20T12:58:00+02:00", 1'763'636'280'000},
        {"2025-11-20T03:28:00-07:30", 1'763'636'280'000},
        {"2016-12-31T23:59:60Z", 1'483'228'800'000},
        {"0000-01-01T00:00:00Z", -62'167'219'200'000},
        {"", std::nullopt},
        {"2025-11-20", std::nullopt},
        {"2025-11-20T10:58Z", std::nullopt},
        {"2025-11-20T10:58:00", std::nullopt},
        {"2025-11-20T10:58:00.Z", std::nullopt},
        {"2025-11-20T10:58:00,5Z", std::nullopt},
        {"2025-11-20T10:58:00+0200", std::nullopt},
        {"2025-11-20T10:58:00+02:00 ", std::nullopt},
        {"2025-11-20T10:58:00ZZ", std::nullopt},
        {"2025-02-29T00:00:00Z", std::nullopt},
        {"2025-00-01T00:00:00Z", std::nullopt},
        {"2025-13-01T00:00:00Z", std::nullopt},
        {"2025-01-00T00:00:00Z", std::nullopt},
        {"2025-01-01T24:00:00Z", std::nullopt},
        {"2025-01-01T00:60:00Z", std::nullopt},
        {"2025-01-01T00:00:61Z", std::nullopt},
        {"2025-01-01T00:00:00+24:00", std::nullopt},
        {"+025-01-01T00:00:00Z", std::nullopt},
        {"1763636280007", std::nullopt},
    }));
    CAPTURE(c.text);
    CHECK(parse_rfc3339(c.text) == c.time);
}

TEST_CASE("clock: the machine's clocks", "[clock]") {
    const MonoMillis first = system_clock().mono();
    CHECK(system_clock().mono() >= first);
    CHECK(system_clock().wall() > 1'700'000'000'000); // milliseconds, not seconds
    CHECK(&system_clock() == &system_clock());
}

TEST_CASE("clock: the manual clock moves only by hand", "[clock]") {
    test::ManualClock clock;
    const Clock& seen = clock;
    const MonoMillis mono = seen.mono();
    const WallMillis wall = seen.wall();
    CHECK(rfc3339(wall) == "2026-01-01T00:00:00.000Z");
    clock.advance(std::chrono::seconds{2});
    clock.advance(5);
    CHECK(seen.mono() == mono + 2'005);
    CHECK(seen.wall() == wall + 2'005);
    clock.set_wall(7);
    CHECK(seen.wall() == 7);
    CHECK(seen.mono() == mono + 2'005);
}
