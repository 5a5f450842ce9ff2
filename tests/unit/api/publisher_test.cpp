#include "publisher.hpp"
#include "support/session_world.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::api;
using fanfare::test::Lines;
using fanfare::test::World;
using Verdict = room::IdempotencyLog::Verdict;

namespace {

room::PublishResult at(std::uint64_t offset, bool duplicate = false) {
    room::PublishResult result;
    result.position = {Epoch::parse("abcdefgh"), offset};
    result.duplicate = duplicate;
    return result;
}
room::PublishResult ephemeral() {
    room::PublishResult result;
    result.ephemeral = true;
    return result;
}
room::PublishResult failed(Code code) {
    room::PublishResult result;
    result.code = code;
    result.detail = "why";
    return result;
}
std::string written(const Outcome& outcome) {
    std::string text;
    write_outcome(text, outcome);
    return text;
}

/// Publishes and writes down what comes back.
struct Desk final : EffectClient {
    World world;
    Publisher publisher{*world.rooms[0], world.keys};
    net::Handle handle = publisher.clients.insert(this);
    Lines lines;

    void on_outcome(std::uint64_t item, const Outcome& outcome) override {
        std::string line = std::to_string(item) + ":";
        if (outcome.error) line += " " + std::string{code_name(outcome.error.code)};
        for (const room::PublishResult& result : outcome.results)
            line += (result.code == Code::ok ? " " + std::to_string(result.position.offset)
                                             : " " + std::string{code_name(result.code)}) +
                    (result.duplicate ? "d" : "");
        lines.push_back(line);
    }
    Lines publish(std::uint64_t item, std::vector<std::string_view> rooms,
                  std::string_view key = {}, net::Handle lane = 0, bool is_ephemeral = false) {
        PublishBody body;
        body.rooms = std::move(rooms);
        body.many = body.rooms.size() != 1;
        body.data = "1";
        body.ephemeral = is_ephemeral;
        lines.clear();
        world.run([&] { publisher.publish(body, "backend", key, handle, item, lane); });
        return std::exchange(lines, {});
    }
    Lines answer(Verdict verdict, const room::PublishResults& results = {}) {
        lines.clear();
        world.run([&] { world.keys.answer(verdict, results); });
        return std::exchange(lines, {});
    }
};

} // namespace

TEST_CASE("publisher: what an outcome is answered with", "[api][protocol-4]") {
    CHECK(written({{}, {"a\"b"}, {at(7)}, false}) ==
          R"({"room":"a\"b","epoch":"abcdefgh","offset":7})");
    CHECK(written({{}, {"a"}, {ephemeral()}, false}) == R"({"room":"a"})");
    CHECK(written({{}, {"a"}, {at(7, true)}, false}) ==
          R"({"room":"a","epoch":"abcdefgh","offset":7,"duplicate":true})");
    CHECK(written({{}, {"a"}, {failed(Code::unavailable)}, false}) ==
          R"({"error":{"code":"unavailable","message":"why"}})");
    CHECK(written({{Code::bad_request, "bad", "id"}, {}, {}, false}) ==
          R"({"error":{"code":"bad_request","message":"bad","field":"id"}})");
    CHECK(written({{Code::not_found, "no", {}}, {}, {}, true}) ==
          R"({"error":{"code":"not_found","message":"no"}})");
    // One room in `rooms` is a list too.
    CHECK(written({{}, {"a"}, {at(1)}, true}) ==
          R"({"results":[{"room":"a","epoch":"abcdefgh","offset":1}]})");
    CHECK(written({{}, {"a", "b"}, {at(1), failed(Code::limit_reached)}, true}) ==
          R"({"results":[{"room":"a","epoch":"abcdefgh","offset":1},)"
          R"({"error":{"code":"limit_reached","message":"why"}}]})");
    CHECK(written({{}, {"a", "b"}, {at(1, true), at(2, true)}, true}) ==
          R"({"results":[{"room":"a","epoch":"abcdefgh","offset":1},)"
          R"({"room":"b","epoch":"abcdefgh","offset":2}],"duplicate":true})");
}

TEST_CASE("publisher: an outcome is a failure if no room took it", "[api]") {
    CHECK(failure_of({{Code::conflict, "x", "id"}, {}, {}, false}).code == Code::conflict);
    CHECK_FALSE(failure_of({{}, {"a"}, {at(1)}, false}));
    CHECK_FALSE(failure_of({{}, {"a", "b"}, {failed(Code::unavailable), at(1)}, true}));
    const Error error = failure_of(
        {{}, {"a", "b"}, {failed(Code::unavailable), failed(Code::limit_reached)}, true});
    CHECK(error.code == Code::unavailable);
    CHECK(error.message == "why");
}

TEST_CASE("publisher: one room, several, none", "[api]") {
    Desk desk;
    CHECK(desk.publish(5, {"open:1"}) == Lines{"5: 1"});
    CHECK(desk.publish(6, {"open:1", "open:2", "open:1"}) == Lines{"6: 2 1 3"});
    CHECK(desk.publish(7, {"open:1"}, {}, 0, true) == Lines{"7: 0"});
    // One effect: the third room stops the others.
    CHECK(desk.publish(8, {"open:1", "open:2", "nowhere"}) == Lines{"8: not_found"});
    CHECK(desk.publish(9, {"open:1"}) == Lines{"9: 4"});
    CHECK(desk.publish(1, {"@me"}) == Lines{"1: not_found"});
}

TEST_CASE("publisher: a client that left is not told", "[api]") {
    Desk desk;
    desk.world.keys.hold = true;
    desk.publish(1, {"open:1"}, "k");
    desk.publisher.clients.erase(desk.handle);
    CHECK(desk.answer(Verdict::first).empty());
    CHECK(desk.world.keys.log ==
          Lines{"finish key/backend/publish/k 1"}); // it happened all the same
}

TEST_CASE("publisher: verdicts about keys", "[api][idempotency]") {
    Desk desk;
    desk.world.keys.hold = true;
    CHECK(desk.publish(1, {"open:1"}, "k").empty());
    SECTION("first") {
        CHECK(desk.answer(Verdict::first) == Lines{"1: 1"});
        CHECK(desk.world.keys.log == Lines{"finish key/backend/publish/k 1"});
    }
    SECTION("duplicate") {
        CHECK(desk.answer(Verdict::duplicate, {at(17)}) == Lines{"1: 17d"});
        CHECK(desk.world.keys.log.empty());
    }
    SECTION("conflict") {
        CHECK(desk.answer(Verdict::conflict) == Lines{"1: conflict"});
    }
    SECTION("full") {
        CHECK(desk.answer(Verdict::full) == Lines{"1: unavailable"});
    }
}

TEST_CASE("publisher: a name that no rule allows does not take the key", "[api][idempotency]") {
    Desk desk;
    desk.world.keys.hold = true;
    CHECK(desk.publish(1, {"nowhere"}, "k") == Lines{"1: not_found"});
    CHECK(desk.world.keys.waiting.empty());
    CHECK(desk.world.keys.log.empty());
}

TEST_CASE("publisher: another question under the same key has another fingerprint",
          "[api][idempotency]") {
    Desk desk;
    desk.world.keys.hold = true;
    const auto fingerprint = [&](const PublishBody& body) {
        desk.world.run([&] { desk.publisher.publish(body, "backend", "k", desk.handle, 1, 0); });
        const std::uint64_t value = desk.world.keys.waiting.at(0).first.fingerprint;
        desk.answer(Verdict::conflict);
        return value;
    };
    const PublishBody body{{"open:1"}, false, "1", "open:2", "k", false};
    const std::uint64_t asked = fingerprint(body);
    CHECK(fingerprint(body) == asked);
    CHECK(fingerprint({{"open:2"}, false, "1", "open:2", "k", false}) != asked);
    CHECK(fingerprint({{"open:1", "open:2"}, true, "1", {}, "k", false}) != asked);
    CHECK(fingerprint({{"open:1"}, false, "2", "open:2", "k", false}) != asked);
    CHECK(fingerprint({{"open:1"}, false, "1", "f", "k", false}) != asked);
    CHECK(fingerprint({{"open:1"}, false, "1", "open:2", "k", true}) != asked);
}

TEST_CASE("publisher: in a lane nobody overtakes a key", "[api][idempotency]") {
    Desk desk;
    desk.world.keys.hold = true;
    constexpr net::Handle lane = 9;
    CHECK(desk.publish(1, {"open:1"}, "k1", lane).empty());
    CHECK(desk.publish(2, {"open:1"}, {}, lane).empty());
    CHECK(desk.publish(3, {"open:1"}, "k3", lane).empty());
    CHECK(desk.publish(4, {"open:1"}, {}, lane).empty());
    CHECK(desk.publish(5, {"open:2"}, {}, 0) == Lines{"5: 1"}); // another caller's
    CHECK(desk.answer(Verdict::first) == Lines{"1: 1", "2: 2"});
    CHECK(desk.answer(Verdict::conflict) == Lines{"3: conflict", "4: 3"});
    CHECK(desk.publish(6, {"open:1"}, {}, lane) == Lines{"6: 4"});
}
