#include "retry_after.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace fanfare;
using namespace fanfare::providers;
using namespace std::chrono_literals;

namespace {

constexpr WallMillis now = 784'111'777'000; // Sun, 06 Nov 1994 08:49:37 GMT

std::optional<std::chrono::milliseconds> wait_of(const std::vector<AnswerField>& fields) {
    PushAnswer answer;
    answer.status = 503;
    answer.fields = fields;
    return retry_after(answer, now);
}

} // namespace

TEST_CASE("retry after: every form", "[providers][rfc9110-10.2.3]") {
    struct Case {
        const char* value;
        std::optional<std::chrono::milliseconds> wait;
    };
    const auto c = GENERATE(values<Case>({
        {"7", 7s},
        {" 120\t", 120s},
        {"0", 0s},
        {"86400", 24h},
        {"86401", 24h},
        {"99999999999999999999999999", 24h},
        {"Sun, 06 Nov 1994 08:49:44 GMT", 7s},
        {"Sunday, 06-Nov-94 08:49:44 GMT", 7s},
        {"Sun Nov  6 08:49:44 1994", 7s},
        {"Sun Nov 06 08:49:44 1994", 7s},
        {"Sun, 06 Nov 1994 08:49:30 GMT", 0s},
        {"Sun, 06 Nov 1904 08:49:30 GMT", 0s},
        {"Fri, 31 Dec 2049 00:00:00 GMT", 24h},
        {"Friday, 31-Dec-49 00:00:00 GMT", 0s}, // 2049 would be 55 years ahead: it is 1949
        {"Sun, 06 Nov 1994 08:49:60 GMT", 23s}, // a leap second
        {"", std::nullopt},
        {"-5", std::nullopt},
        {"1.5", std::nullopt},
        {"5s", std::nullopt},
        {"soon", std::nullopt},
        {"Sun, 06 Nov 1994 08:49:44", std::nullopt},
        {"Sun, 06 Nov 1994 08:49:44 CET", std::nullopt},
        {"Sun, 31 Feb 1994 08:49:44 GMT", std::nullopt},
        {"Sun, 06 Nov 1994 24:49:44 GMT", std::nullopt},
        {"Sun, 06 Nov 1994 08:49:44 GMT+", std::nullopt},
        {"Sun, 6 Nov 1994 08:49:44 GMT", std::nullopt},
    }));
    CAPTURE(c.value);
    CHECK(wait_of({{"Retry-After", c.value}}) == c.wait);
}

TEST_CASE("retry after: of several the longest, and none is none", "[providers]") {
    CHECK(wait_of({}) == std::nullopt);
    CHECK(wait_of({{"retry-after", "3"}, {"Retry-After", "9"}, {"RETRY-AFTER", "x"}}) == 9s);
}

TEST_CASE("retry after: a date counts from the answer's own", "[providers]") {
    CHECK(wait_of({{"date", "Sun, 06 Nov 1994 09:49:37 GMT"},
                   {"retry-after", "Sun, 06 Nov 1994 09:50:07 GMT"}}) == 30s);
    CHECK(wait_of({{"date", "garbage"}, {"retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"}}) == 30s);
    CHECK(wait_of({{"date", "Sun, 06 Nov 1994 09:49:37 GMT"}, {"retry-after", "30"}}) == 30s);
}

TEST_CASE("retry after: the century of two digits", "[providers]") {
    constexpr WallMillis in_2026 = 1'767'225'600'000;
    CHECK(parse_http_date("Thursday, 01-Jan-26 00:00:00 GMT", in_2026) == in_2026);
    CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", in_2026) == now);
}
