#include "mass_drop_guard.hpp"

#include <catch2/catch.hpp>

using namespace fanfare::providers;
using fanfare::delivery::PushVerdict;

namespace {

PushReading wrong_target() {
    PushReading reading;
    reading.outcome.verdict = PushVerdict::drop_device;
    reading.wrong_target = true;
    return reading;
}
PushReading plain(PushVerdict verdict) {
    PushReading reading;
    reading.outcome.verdict = verdict;
    return reading;
}
PushVerdict checked(MassDropGuard& guard, PushReading reading) {
    guard.check(reading);
    CHECK(reading.alert == (reading.outcome.verdict == PushVerdict::stop));
    return reading.outcome.verdict;
}

} // namespace

TEST_CASE("mass drop guard: a thousand bad tokens in a row drop twenty devices", "[providers]") {
    MassDropGuard guard;
    int dropped = 0;
    for (int i = 0; i < 1'000; ++i)
        if (checked(guard, wrong_target()) == PushVerdict::drop_device) ++dropped;
    CHECK(dropped == 20);
    CHECK(guard.holds());
    // Others go on, a device that is really gone too.
    CHECK(checked(guard, plain(PushVerdict::done)) == PushVerdict::done);
    CHECK(checked(guard, plain(PushVerdict::drop_device)) == PushVerdict::drop_device);
    for (int i = 0; i < 200; ++i)
        CHECK(checked(guard, plain(PushVerdict::done)) == PushVerdict::done);
    CHECK(checked(guard, wrong_target()) == PushVerdict::stop); // until somebody has looked
    guard.reset();
    CHECK(checked(guard, wrong_target()) == PushVerdict::drop_device);
}

TEST_CASE("mass drop guard: a fifth is let pass", "[providers]") {
    MassDropGuard guard;
    for (int i = 0; i < 1'000; ++i) {
        const bool wrong = i % 5 == 0;
        CHECK(checked(guard, wrong ? wrong_target() : plain(PushVerdict::done)) ==
              (wrong ? PushVerdict::drop_device : PushVerdict::done));
    }
    CHECK_FALSE(guard.holds());
}

TEST_CASE("mass drop guard: gone devices are no sign of a wrong setting", "[providers]") {
    MassDropGuard guard;
    for (int i = 0; i < 1'000; ++i)
        CHECK(checked(guard, plain(PushVerdict::drop_device)) == PushVerdict::drop_device);
    CHECK_FALSE(guard.holds());
}
