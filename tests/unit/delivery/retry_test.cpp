#include "retry.hpp"

#include <catch2/catch.hpp>

#include <random>

namespace fanfare::delivery {
namespace {

using namespace std::chrono_literals;
using Fate = PushResult::Fate;

constexpr WallMillis now = 1'767'225'600'000;

PushOutcome outcome(PushVerdict verdict) {
    PushOutcome made;
    made.verdict = verdict;
    return made;
}

/// `random`: 0 and nearly 1 are the ends of the span.
Tried tried(std::uint32_t attempts, double random, WallMillis expires = now + 86'400'000) {
    Tried made;
    made.attempts = attempts;
    made.now = now;
    made.expires = expires;
    made.random = random;
    return made;
}

TEST_CASE("retry: what a verdict means for its job", "[delivery][push]") {
    struct Case {
        PushVerdict verdict;
        Fate fate;
        bool counts;
    };
    const auto c = GENERATE(values<Case>({
        {PushVerdict::done, Fate::sent, true},
        {PushVerdict::drop_device, Fate::dropped, true},
        {PushVerdict::fix, Fate::dead, true},
        {PushVerdict::later, Fate::again, true},
        {PushVerdict::pause, Fate::again, false},
        {PushVerdict::stop, Fate::again, false},
    }));
    const NextStep step = next_step(outcome(c.verdict), tried(0, 0.5), {});
    CHECK(step.fate == c.fate);
    CHECK(step.counts == c.counts);
    CHECK((step.again_at != 0) == (c.fate == Fate::again));
    PushOutcome unseen = outcome(c.verdict);
    unseen.not_attempted = true;
    CHECK_FALSE(next_step(unseen, tried(0, 0.5), {}).counts);
}

TEST_CASE("retry: each attempt may wait twice as long, up to the cap", "[delivery][push]") {
    PushOptions options;
    options.attempts = 100;
    struct Case {
        std::uint32_t attempts;
        std::int64_t longest;
    };
    const auto c = GENERATE(values<Case>({{0, 20'000},
                                          {1, 40'000},
                                          {2, 80'000},
                                          {5, 640'000},
                                          {6, 900'000},
                                          {7, 900'000},
                                          {98, 900'000}}));
    CAPTURE(c.attempts);
    const auto wait = [&](double random) {
        return next_step(outcome(PushVerdict::later), tried(c.attempts, random), options).again_at -
               now;
    };
    CHECK(wait(0) == 10'000);
    CHECK(wait(0.5) == 10'000 + (c.longest - 10'000) / 2);
    CHECK(wait(0.999'999) >= c.longest - 10);
    CHECK(wait(0.999'999) <= c.longest);
}

TEST_CASE("retry: after the last attempt it is a dead letter", "[delivery][push]") {
    PushOptions options;
    options.attempts = 3;
    CHECK(next_step(outcome(PushVerdict::later), tried(1, 0), options).fate == Fate::again);
    const NextStep last = next_step(outcome(PushVerdict::later), tried(2, 0), options);
    CHECK(last.fate == Fate::dead);
    CHECK(last.counts);
    // Also if there were fewer before a reload.
    CHECK(next_step(outcome(PushVerdict::later), tried(9, 0), options).fate == Fate::dead);
}

TEST_CASE("retry: never before Retry-After, and not all at that moment", "[delivery][push]") {
    PushOutcome asked = outcome(PushVerdict::later);
    asked.retry_after = 120s;
    CHECK(next_step(asked, tried(0, 0), {}).again_at == now + 120'000);
    const WallMillis other = next_step(asked, tried(0, 0.9), {}).again_at;
    CHECK(other > now + 120'000);
    CHECK(other < now + 130'000);
    SECTION("a short one does not shorten the backoff") {
        asked.retry_after = 1s;
        CHECK(next_step(asked, tried(0, 0), {}).again_at == now + 10'000);
    }
    SECTION("a negative one is none") {
        asked.retry_after = -5s;
        CHECK(next_step(asked, tried(0, 0), {}).again_at == now + 10'000);
    }
}

TEST_CASE("retry: nothing is tried again when its time is over", "[delivery][push]") {
    const PushVerdict verdict = GENERATE(PushVerdict::later, PushVerdict::pause, PushVerdict::stop);
    PushOutcome asked = outcome(verdict);
    asked.retry_after = 60s;
    SECTION("at that moment") {
        const NextStep step = next_step(asked, tried(0, 0.9, now + 60'000), {});
        CHECK(step.fate == Fate::void_);
    }
    SECTION("just before it, whatever the jitter") {
        const NextStep step = next_step(asked, tried(0, 0.9, now + 60'001), {});
        CHECK(step.fate == Fate::again);
        CHECK(step.again_at == now + 60'000);
    }
    SECTION("however long a service asks for") {
        asked.retry_after = std::chrono::milliseconds::max();
        if (verdict != PushVerdict::stop)
            CHECK(next_step(asked, tried(0, 0.9), {}).fate == Fate::void_);
    }
}

TEST_CASE("retry: the last attempt's verdict stands, expired or not", "[delivery][push]") {
    CHECK(next_step(outcome(PushVerdict::done), tried(2, 0, now), {}).fate == Fate::sent);
    CHECK(next_step(outcome(PushVerdict::later), tried(2, 0, now), {}).fate == Fate::dead);
}

TEST_CASE("retry: what the service never saw comes again soon, and more and more slowly",
          "[delivery][push]") {
    PushOutcome unseen = outcome(PushVerdict::later);
    unseen.not_attempted = true;
    std::int64_t longest = 250;
    for (std::uint32_t repeats = 0; repeats < 100; ++repeats) {
        Tried times = tried(2, 0); // the last attempt: it is not used up
        times.repeats = repeats;
        const NextStep soonest = next_step(unseen, times, {});
        times.random = 0.999'999;
        const NextStep latest = next_step(unseen, times, {});
        CHECK(soonest.fate == Fate::again);
        CHECK_FALSE(soonest.counts);
        CHECK(soonest.again_at - now == longest / 2);
        CHECK(latest.again_at - now <= longest);
        longest = std::min<std::int64_t>(longest * 2, 30'000);
    }
}

TEST_CASE("retry: a time of again is always ahead, and before the end",
          "[delivery][push][property]") {
    std::mt19937 generator{7};
    const auto random = [&] { return static_cast<std::int32_t>(generator() & 0x7fffffff); };
    for (int i = 0; i < 20'000; ++i) {
        PushOutcome any = outcome(static_cast<PushVerdict>(random() % 6));
        any.not_attempted = random() % 4 == 0;
        if (random() % 2 == 0) any.retry_after = std::chrono::milliseconds{random() % 1'000'000};
        PushOptions options;
        options.backoff_start = std::chrono::milliseconds{random() % 100'000};
        options.backoff_cap = std::chrono::milliseconds{random() % 1'000'000};
        Tried any_tried = tried(static_cast<std::uint32_t>(random() % 5), random() % 1'000 / 1e3,
                                now - 1'000 + random() % 2'000'000);
        any_tried.repeats = static_cast<std::uint32_t>(random() % 50);
        const NextStep step = next_step(any, any_tried, options);
        if (step.fate != Fate::again) continue;
        CHECK(step.again_at > now);
        CHECK(step.again_at < any_tried.expires);
        if (any.retry_after && any.verdict != PushVerdict::stop)
            CHECK(step.again_at >= now + any.retry_after->count());
    }
}

} // namespace
} // namespace fanfare::delivery
