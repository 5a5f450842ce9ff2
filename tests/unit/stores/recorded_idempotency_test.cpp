// The table of keys over what an earlier process wrote down.

#include "memory_idempotency.hpp"

#include <fanfare/net/reactor.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <string>
#include <support/manual_clock.hpp>
#include <utility>
#include <vector>

using namespace fanfare;
using namespace std::chrono_literals;
using room::IdempotencyKey;
using room::PublishResults;
using Verdict = room::IdempotencyLog::Verdict;

namespace {

class Records final : public stores::KeyRecords {
  public:
    void find(const IdempotencyKey& key,
              std::function<void(std::optional<stores::KeyRecord>)> done) override {
        ++asked;
        net::Reactor::current()->post(std::function<void()>{[this, key, done = std::move(done)] {
            const auto at = known.find(key.text);
            done(at == known.end() ? std::nullopt : std::optional{at->second});
        }});
    }
    void record(const IdempotencyKey& key, const PublishResults& results) override {
        known[key.text] = {key.fingerprint, results};
    }
    std::map<std::string, stores::KeyRecord> known;
    int asked = 0;
};

room::PublishResult at(std::uint64_t offset) {
    room::PublishResult result;
    result.position.offset = offset;
    return result;
}

struct World {
    test::ManualClock clock;
    Metrics metrics;
    net::Reactors reactors{1, clock, metrics};
    Records records;
    std::unique_ptr<room::IdempotencyLog> log =
        stores::make_recorded_idempotency(reactors, {10min, 100}, &records);
    std::vector<std::string> answers;

    void begin(const IdempotencyKey& key) {
        reactors[0].post(std::function<void()>{[this, key] {
            log->begin(key, [this](Verdict verdict, const PublishResults& results) {
                static constexpr std::array names{"first", "duplicate", "conflict", "full"};
                std::string line = names[static_cast<std::size_t>(verdict)];
                for (const room::PublishResult& result : results)
                    line += " " + std::to_string(result.position.offset);
                answers.push_back(line);
            });
        }});
    }
    void settle() {
        for (int i = 0; i < 6; ++i) reactors[0].run_turn();
    }
    std::vector<std::string> take() {
        settle();
        return std::exchange(answers, {});
    }
};
using Lines = std::vector<std::string>;

} // namespace

TEST_CASE("recorded keys: what an earlier process has done is a duplicate", "[stores]") {
    World world;
    world.records.known["k"] = {7, {at(3)}};
    world.begin({"k", 7, 1});
    world.begin({"k", 7, 1}); // waits for the first one's answer
    CHECK(world.take() == Lines{"duplicate 3", "duplicate 3"});
    world.begin({"k", 7, 1});
    CHECK(world.take() == Lines{"duplicate 3"});
    CHECK(world.records.asked == 1);
}

TEST_CASE("recorded keys: another body is in conflict, and the first one is not forgotten",
          "[stores]") {
    World world;
    world.records.known["k"] = {7, {at(3)}};
    world.begin({"k", 8, 1});
    world.begin({"k", 8, 1});
    CHECK(world.take() == Lines{"conflict", "conflict"});
    world.begin({"k", 7, 1});
    CHECK(world.take() == Lines{"duplicate 3"});
    world.begin({"k", 8, 1});
    CHECK(world.take() == Lines{"conflict"});
}

TEST_CASE("recorded keys: a call that was cut in the middle goes on", "[stores]") {
    World world;
    world.records.known["k"] = {7, {at(3), {}}};
    world.begin({"k", 7, 2});
    CHECK(world.take() == Lines{"first 3 0"});
    world.reactors[0].post(std::function<void()>{[&] {
        world.log->finish({"k", 7, 2}, {at(3), at(9)});
    }});
    world.settle();
    world.begin({"k", 7, 2});
    CHECK(world.take() == Lines{"duplicate 3 9"});
    CHECK(world.records.known["k"].results.size() == 2);
}

TEST_CASE("recorded keys: a process that is older than the window does not ask", "[stores]") {
    World world;
    world.begin({"new", 7, 1});
    CHECK(world.take() == Lines{"first"});
    CHECK(world.records.asked == 1);
    world.clock.advance(10min);
    world.settle();
    world.begin({"newer", 7, 1});
    CHECK(world.take() == Lines{"first"});
    CHECK(world.records.asked == 1);
}
