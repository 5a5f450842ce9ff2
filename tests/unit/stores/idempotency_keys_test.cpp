#include "idempotency_keys.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace fanfare;
using namespace fanfare::stores;
using Verdict = IdempotencyKeys::Verdict;
using room::IdempotencyKey;
using room::PublishResults;

namespace {

struct Table {
    explicit Table(std::size_t keys_max = 100) : keys(std::chrono::seconds{10}, keys_max) {}

    struct Answer {
        std::string who;
        Verdict verdict;
        std::uint64_t offset; // of the first result; 0: no results
    };
    struct NotedCall final : IdempotencyKeys::Call {
        NotedCall(std::vector<Answer>& to, std::string name) : answers(to), who(std::move(name)) {}
        void answer(Verdict verdict, PublishResults results) override {
            answers.push_back({who, verdict, results.empty() ? 0 : results[0].position.offset});
        }
        std::vector<Answer>& answers;
        std::string who;
    };
    void begin(const std::string& key, std::string who, std::uint64_t fingerprint = 1) {
        keys.begin({key, fingerprint}, std::make_unique<NotedCall>(answers, std::move(who)), now);
    }
    void finish(const std::string& key, std::uint64_t offset) {
        room::PublishResult result;
        result.position.offset = offset;
        keys.finish({key, 1}, {result}, now);
    }
    void abandon(const std::string& key) { keys.abandon({key, 1}); }
    /// The answers since the last look, as "who:verdict:offset …".
    std::string look() {
        std::string text;
        for (const Answer& answer : std::exchange(answers, {})) {
            constexpr const char* names[] = {"first", "duplicate", "conflict", "full"};
            text += text.empty() ? "" : " ";
            text += answer.who + ':' + names[static_cast<int>(answer.verdict)];
            if (answer.offset != 0) text += ':' + std::to_string(answer.offset);
        }
        return text;
    }

    IdempotencyKeys keys;
    std::vector<Answer> answers;
    MonoMillis now = 1'000;
};

} // namespace

TEST_CASE("idempotency keys: a repeat gets the first answer", "[stores][protocol-4]") {
    Table t;
    t.begin("k", "a");
    CHECK(t.look() == "a:first");
    t.finish("k", 7);
    CHECK(t.look().empty());
    t.begin("k", "b");
    t.begin("other", "c");
    CHECK(t.look() == "b:duplicate:7 c:first");
}

TEST_CASE("idempotency keys: a repeat in flight waits for the answer", "[stores][protocol-4]") {
    Table t;
    t.begin("k", "a");
    t.begin("k", "b");
    t.begin("k", "c");
    CHECK(t.look() == "a:first");
    t.finish("k", 7);
    CHECK(t.look() == "b:duplicate:7 c:duplicate:7");
}

TEST_CASE("idempotency keys: another request under a key is a conflict", "[stores][protocol-4]") {
    Table t;
    t.begin("k", "a", 1);
    t.begin("k", "in flight", 2);
    t.finish("k", 7);
    t.begin("k", "finished", 2);
    CHECK(t.look() == "a:first in flight:conflict finished:conflict");
}

TEST_CASE("idempotency keys: after abandon the next is the first", "[stores]") {
    Table t;
    t.begin("k", "a");
    t.abandon("k");
    CHECK(t.keys.size() == 0);
    t.begin("k", "b", 2); // nothing happened under the key, so it may mean something else now
    CHECK(t.look() == "a:first b:first");

    SECTION("whoever waits longest takes over") {
        t.begin("w", "a");
        t.begin("w", "b");
        t.begin("w", "c");
        t.abandon("w");
        CHECK(t.look() == "a:first b:first");
        t.finish("w", 3);
        CHECK(t.look() == "c:duplicate:3");
    }
}

TEST_CASE("idempotency keys: finish and abandon of what is not in flight do nothing", "[stores]") {
    Table t;
    t.finish("k", 1);
    t.abandon("k");
    CHECK(t.keys.size() == 0);
    t.begin("k", "a");
    t.finish("k", 1);
    t.finish("k", 2);
    t.abandon("k");
    t.begin("k", "b");
    CHECK(t.look() == "a:first b:duplicate:1");
}

TEST_CASE("idempotency keys: the window runs from the answer", "[stores]") {
    Table t;
    t.begin("k", "a");
    t.now += 60'000; // in flight does not count
    t.finish("k", 1);
    REQUIRE(t.keys.any_finished());
    CHECK(t.keys.next_expiry() == t.now + 10'000);
    t.now += 9'999;
    t.begin("k", "b");
    t.now += 1;
    t.begin("k", "c");
    CHECK(t.look() == "a:first b:duplicate:1 c:first");
}

TEST_CASE("idempotency keys: expire forgets what is over, and only that", "[stores]") {
    Table t;
    for (const char* key : {"1", "2", "3"}) {
        t.begin(key, key);
        t.finish(key, 1);
        t.now += 1'000;
    }
    t.begin("in flight", "x");
    t.now += 8'000; // the windows of 1 and 2 are over
    t.keys.expire(t.now);
    CHECK(t.keys.size() == 2);
    t.now += 1'000'000;
    t.keys.expire(t.now);
    CHECK(t.keys.size() == 1);
    CHECK_FALSE(t.keys.any_finished());
}

TEST_CASE("idempotency keys: at the bound the oldest finished key goes", "[stores]") {
    Table t{3};
    for (const char* key : {"1", "2", "3"}) t.begin(key, key);
    t.look();
    SECTION("all in flight: full") {
        t.begin("4", "x");
        t.begin("1", "y"); // a repeat needs no room
        CHECK(t.look() == "x:full");
        t.finish("1", 5);
        CHECK(t.look() == "y:duplicate:5");
    }
    SECTION("by the order of the answers") {
        t.finish("2", 1);
        t.finish("1", 1);
        t.begin("4", "4");
        t.begin("1", "1");
        CHECK(t.look() == "4:first 1:duplicate:1");
        CHECK(t.keys.size() == 3);
        t.begin("2", "2"); // takes the place of 1
        t.begin("5", "5");
        CHECK(t.look() == "2:first 5:full");
    }
}

TEST_CASE("idempotency keys: an answer may begin the next call", "[stores]") {
    Table t{1};
    std::uint64_t offset = 0;
    struct Again final : IdempotencyKeys::Call {
        Again(Table& in, std::uint64_t& to) : table(in), offset(to) {}
        void answer(Verdict /*verdict*/, PublishResults results) override {
            table.begin("next", "next"); // forgets the key that is being answered
            offset = results[0].position.offset;
        }
        Table& table;
        std::uint64_t& offset;
    };
    t.begin("k", "a");
    t.keys.begin({"k", 1}, std::make_unique<Again>(t, offset), t.now);
    t.keys.begin({"k", 1}, std::make_unique<Table::NotedCall>(t.answers, "last"), t.now);
    t.finish("k", 9);
    CHECK(offset == 9);
    CHECK(t.look() == "a:first next:first last:duplicate:9");
}
