#include "history.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <deque>
#include <random>
#include <string>
#include <support/manual_clock.hpp>

using namespace fanfare;
using room::History;
using room::Message;
using room::MessageRef;
using std::chrono::milliseconds;

namespace {

struct Maker {
    test::ManualClock clock;
    std::uint64_t offset = 0;
    MessageRef next() {
        Message::Parts parts;
        parts.room = "r";
        auto message = Message::make(parts, 1);
        message->number({Epoch{}, ++offset}, clock.wall(), clock.mono_micros());
        return message;
    }
};

} // namespace

TEST_CASE("history: keeps the newest up to its size", "[room][history]") {
    Maker maker;
    History history;
    CHECK(history.empty());
    CHECK(history.oldest_offset(0) == 1);
    for (int i = 0; i < 5; ++i) history.add(maker.next(), 3);
    CHECK(history.size() == 3);
    CHECK(history.oldest_offset(maker.offset) == 3);
    CHECK(history.oldest()->position().offset == 3);
    CHECK(history[2]->position().offset == 5);
}

TEST_CASE("history: a size of zero keeps nothing, also of what was", "[room][history]") {
    Maker maker;
    History history;
    for (int i = 0; i < 3; ++i) history.add(maker.next(), 10);
    history.add(maker.next(), 0);
    CHECK(history.empty());
    CHECK(history.oldest_offset(maker.offset) == 5);
}

TEST_CASE("history: covers what needs no message that is gone", "[room][history]") {
    Maker maker;
    History history;
    CHECK(history.covers(0, 0)); // nothing was ever there
    CHECK_FALSE(history.covers(1, 0));
    for (int i = 0; i < 5; ++i) history.add(maker.next(), 3); // 3, 4, 5 are kept
    CHECK_FALSE(history.covers(0, 5));
    CHECK_FALSE(history.covers(1, 5));
    CHECK(history.covers(2, 5));
    CHECK(history.covers(4, 5));
    CHECK(history.covers(5, 5));
    CHECK_FALSE(history.covers(6, 5));
    CHECK_FALSE(history.covers(~std::uint64_t{0}, 5));
    history.trim(0);
    CHECK(history.covers(5, 5)); // the newest needs nothing
    CHECK_FALSE(history.covers(4, 5));
}

TEST_CASE("history: drops what has reached its age", "[room][history]") {
    Maker maker;
    History history;
    for (int i = 0; i < 3; ++i) {
        history.add(maker.next(), 10);
        maker.clock.advance(100);
    }
    history.expire(maker.clock.mono(), milliseconds{301});
    CHECK(history.size() == 3);
    history.expire(maker.clock.mono(), milliseconds{300});
    CHECK(history.size() == 2);
    history.expire(maker.clock.mono() + 10'000, milliseconds{300});
    CHECK(history.empty());
}

TEST_CASE("history: behaves as a deque that is cut at the front", "[room][history][property]") {
    const auto seed = GENERATE(range(1U, 11U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    Maker maker;
    History history;
    std::deque<MessageRef> model;
    const auto cut = [&](std::size_t size) {
        while (model.size() > size) model.pop_front();
    };
    for (int step = 0; step < 3'000; ++step) {
        maker.clock.advance(static_cast<std::int64_t>(random() % 20));
        switch (random() % 8) {
        case 0: {
            const auto size = random() % 40;
            history.trim(size);
            cut(size);
            break;
        }
        case 1: {
            const milliseconds ttl{static_cast<std::int64_t>(random() % 500)};
            history.expire(maker.clock.mono(), ttl);
            while (!model.empty() && model.front()->born() + ttl.count() <= maker.clock.mono())
                model.pop_front();
            break;
        }
        default: {
            const auto size = random() % 50; // also zero
            const MessageRef message = maker.next();
            history.add(message, size);
            model.push_back(message);
            cut(size);
        }
        }
        REQUIRE(history.size() == model.size());
        REQUIRE(history.empty() == model.empty());
        for (std::size_t i = 0; i < model.size(); ++i) REQUIRE(history[i] == model[i]);
        if (!model.empty())
            REQUIRE(history.oldest_offset(maker.offset) == model.front()->position().offset);
    }
}
