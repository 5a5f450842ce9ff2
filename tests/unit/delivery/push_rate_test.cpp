#include "push_rate.hpp"

#include <catch2/catch.hpp>

namespace fanfare::delivery {
namespace {

/// How many a bucket gives in that time, asked each millisecond.
int taken_in(TokenBucket& bucket, const Rate& rate, MonoMillis from, MonoMillis to) {
    int taken = 0;
    for (MonoMillis now = from; now < to; ++now)
        while (bucket.ready_at(rate) <= now && taken < 1'000'000) {
            bucket.take(rate, now);
            ++taken;
        }
    return taken;
}

TEST_CASE("push rate: a bucket gives its burst and then its rate", "[delivery][push]") {
    struct Case {
        Rate rate;
        int first;
        int a_second_later;
    };
    const auto c = GENERATE(values<Case>({{Rate::per_second(1), 1, 1},
                                          {Rate::per_second(100), 10, 100},
                                          {Rate::per_second(12'345), 1'234, 12'345},
                                          {Rate::per_minute(600), 600, 10}}));
    TokenBucket bucket;
    const int first = taken_in(bucket, c.rate, 1'000, 1'001);
    CHECK(first >= c.first);
    CHECK(first <= c.first + 1);
    const int later = taken_in(bucket, c.rate, 1'001, 2'001);
    CHECK(later >= c.a_second_later - 1);
    CHECK(later <= c.a_second_later + 1);
    // A long rest does not make it hold more.
    CHECK(taken_in(bucket, c.rate, 1'000'000, 1'000'001) <= c.first + 1);
}

TEST_CASE("push rate: a bucket says when the next token is there", "[delivery][push]") {
    const Rate rate = Rate::per_minute(100);
    TokenBucket bucket;
    for (int i = 0; i < 100; ++i) {
        CHECK(bucket.ready_at(rate) <= 5'000);
        bucket.take(rate, 5'000);
    }
    CHECK(bucket.ready_at(rate) == 5'600);
    CHECK_FALSE(bucket.full(64'999));
    CHECK(bucket.full(65'000));
}

TEST_CASE("push rate: no rate is no bound", "[delivery][push]") {
    CHECK(Rate::per_second(0).unbounded());
    CHECK(Rate::per_minute(-1).unbounded());
    UserRates users;
    users.set_rate({});
    for (int i = 0; i < 1'000; ++i) users.take("u", 1'000);
    CHECK(users.ready_at("u") == 0);
    CHECK(users.size() == 0);
}

TEST_CASE("push rate: each user has its own", "[delivery][push]") {
    UserRates users;
    users.set_rate(Rate::per_minute(2));
    users.take("a", 1'000);
    users.take("a", 1'000);
    CHECK(users.ready_at("a") == 31'000);
    CHECK(users.ready_at("b") <= 1'000);
}

TEST_CASE("push rate: users that are idle are forgotten", "[delivery][push]") {
    UserRates users;
    users.set_rate(Rate::per_minute(60));
    for (int i = 0; i < 1'000; ++i) users.take(std::to_string(i), 100'000);
    CHECK(users.size() == 1'000);
    users.take("a", 120'000);
    CHECK(users.size() == 1);
}

TEST_CASE("push rate: the table of users is bounded", "[delivery][push]") {
    UserRates users{100};
    users.set_rate(Rate::per_minute(1));
    for (int i = 0; i < 1'000; ++i) users.take(std::to_string(i), 100'000);
    CHECK(users.size() == 100);
    CHECK(users.ready_at("0") == 160'000);
    CHECK(users.ready_at("999") <= 100'000); // not limited
    users.take("999", 200'000);
    CHECK(users.ready_at("999") == 260'000);
}

} // namespace
} // namespace fanfare::delivery
