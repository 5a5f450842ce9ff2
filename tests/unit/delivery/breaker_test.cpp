#include "breaker.hpp"

#include <catch2/catch.hpp>

namespace fanfare::delivery {
namespace {

using Answer = Breaker::Answer;
using Change = Breaker::Change;
using State = Breaker::State;

constexpr MonoMillis start = 1'000'000;

/// Answers of pushes that were sent while it was closed.
Change answers(Breaker& breaker, Answer answer, int count, MonoMillis now = start) {
    Change last = Change::none;
    for (int i = 0; i < count; ++i) last = breaker.answered(answer, false, now);
    return last;
}

Breaker opened() {
    Breaker breaker{{}};
    REQUIRE(answers(breaker, Answer::failure, 20) == Change::opened);
    return breaker;
}

TEST_CASE("breaker: opens at half failures among twenty answers", "[delivery][push]") {
    struct Case {
        int successes;
        int failures;
        bool opens;
    };
    const auto c = GENERATE(values<Case>({{0, 19, false},
                                          {0, 20, true},
                                          {10, 9, false},
                                          {10, 10, true},
                                          {11, 10, false},
                                          {100, 99, false},
                                          {100, 100, true}}));
    CAPTURE(c.successes, c.failures);
    Breaker breaker{{}};
    answers(breaker, Answer::success, c.successes);
    answers(breaker, Answer::failure, c.failures);
    CHECK((breaker.state(start) == State::open) == c.opens);
    CHECK(breaker.allows(start) == !c.opens);
}

TEST_CASE("breaker: what the service never saw is no answer", "[delivery][push]") {
    Breaker breaker{{}};
    answers(breaker, Answer::nothing, 100);
    CHECK(breaker.counts(start).answers == 0);
    answers(breaker, Answer::failure, 19);
    CHECK(breaker.state(start) == State::closed);
}

TEST_CASE("breaker: only the last while is looked at", "[delivery][push]") {
    Breaker breaker{{}};
    answers(breaker, Answer::failure, 19, start);
    CHECK(breaker.counts(start + 26'000).failures == 19);
    CHECK(breaker.counts(start + 30'000).failures == 0);
    CHECK(answers(breaker, Answer::failure, 1, start + 30'000) == Change::none);
    // Successes of long ago do not hide that it fails now.
    Breaker other{{}};
    answers(other, Answer::success, 1'000, start);
    CHECK(answers(other, Answer::failure, 20, start + 31'000) == Change::opened);
}

TEST_CASE("breaker: open, it lets nothing through for a minute, then one at a time",
          "[delivery][push]") {
    Breaker breaker = opened();
    CHECK_FALSE(breaker.allows(start + 59'999));
    CHECK(breaker.state(start + 60'000) == State::half_open);
    CHECK(breaker.allows(start + 60'000));
    CHECK(breaker.sent(start + 60'000));
    CHECK_FALSE(breaker.allows(start + 70'000));

    SECTION("which succeeds: closed, and what was before is forgotten") {
        CHECK(breaker.answered(Answer::success, true, start + 70'000) == Change::closed);
        CHECK(breaker.state(start + 70'000) == State::closed);
        CHECK(breaker.counts(start + 70'000).answers == 0);
        CHECK_FALSE(breaker.sent(start + 70'000));
    }
    SECTION("which fails: open for another minute") {
        const Answer answer = GENERATE(Answer::failure, Answer::nothing);
        CHECK(breaker.answered(answer, true, start + 70'000) == Change::none);
        CHECK_FALSE(breaker.allows(start + 129'999));
        CHECK(breaker.allows(start + 130'000));
        CHECK(breaker.sent(start + 130'000));
    }
    SECTION("whatever those say that were sent before") {
        CHECK(breaker.answered(Answer::success, false, start + 65'000) == Change::none);
        CHECK(breaker.answered(Answer::failure, false, start + 65'000) == Change::none);
        CHECK(breaker.state(start + 65'000) == State::half_open);
        CHECK_FALSE(breaker.allows(start + 65'000));
    }
}

TEST_CASE("breaker: trips at once when the credential is refused", "[delivery][push]") {
    Breaker breaker{{}};
    CHECK(breaker.trip(false, start) == Change::opened);
    CHECK(breaker.state(start) == State::open);
    CHECK(breaker.opens_at() == start + 60'000);
    CHECK(breaker.sent(start + 60'000));
    CHECK(breaker.trip(true, start + 61'000) == Change::none);
    CHECK(breaker.opens_at() == start + 121'000);
    CHECK(breaker.allows(start + 121'000));
}

TEST_CASE("breaker: new options hold from now on", "[delivery][push]") {
    Breaker breaker{{}};
    answers(breaker, Answer::failure, 10);
    BreakerOptions options;
    options.answers_min = 5;
    breaker.set_options(options);
    CHECK(breaker.state(start) == State::closed);
    CHECK(answers(breaker, Answer::failure, 1) == Change::opened);
}

} // namespace
} // namespace fanfare::delivery
