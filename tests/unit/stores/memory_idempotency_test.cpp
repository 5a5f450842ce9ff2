#include <fanfare/net/reactor.hpp>
#include <fanfare/stores/stores.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <support/manual_clock.hpp>
#include <thread>
#include <vector>

using namespace fanfare;
using room::IdempotencyKey;
using room::IdempotencyLog;
using room::PublishResults;
using Verdict = IdempotencyLog::Verdict;

namespace {

/// Reactors that the test turns by hand.
struct Node {
    explicit Node(unsigned count, const room::IdempotencyOptions& options = {})
        : reactors(count, clock, metrics), log(stores::make_memory_idempotency(reactors, options)) {
    }

    void run_on(std::size_t reactor, std::function<void()> act) {
        reactors[reactor].post(std::move(act));
        settle();
    }
    void settle() {
        for (int round = 0; round < 6; ++round)
            for (std::size_t i = 0; i < reactors.size(); ++i) reactors[i].run_turn();
    }
    void pass(std::chrono::milliseconds time) {
        clock.advance(time);
        settle();
    }

    struct Answer {
        int calls = 0;
        Verdict verdict{};
        PublishResults results;
        net::Reactor* reactor = nullptr;
    };
    std::shared_ptr<Answer> begin(std::size_t reactor, const std::string& key,
                                  std::uint64_t fingerprint = 1) {
        auto answer = std::make_shared<Answer>();
        run_on(reactor, [this, key, fingerprint, answer] {
            log->begin({key, fingerprint}, [answer](Verdict verdict, PublishResults results) {
                ++answer->calls;
                answer->verdict = verdict;
                answer->results = std::move(results);
                answer->reactor = net::Reactor::current();
            });
        });
        return answer;
    }
    void finish(std::size_t reactor, const std::string& key, std::uint64_t offset) {
        run_on(reactor, [this, key, offset] {
            room::PublishResult result;
            result.position.offset = offset;
            log->finish({key, 1}, {result});
        });
    }

    test::ManualClock clock;
    Metrics metrics;
    net::Reactors reactors;
    std::unique_ptr<IdempotencyLog> log;
};

} // namespace

TEST_CASE("memory idempotency: one first over all reactors, answers on the caller's",
          "[stores][protocol-4]") {
    Node node{3};
    for (int i = 0; i < 20; ++i) { // enough keys for every partition
        const std::string key = "key " + std::to_string(i);
        CAPTURE(key);
        const auto first = node.begin(0, key);
        REQUIRE(first->calls == 1);
        CHECK(first->verdict == Verdict::first);
        CHECK(first->reactor == &node.reactors[0]);
        const auto waits = node.begin(1, key);
        CHECK(waits->calls == 0);
        const auto conflict = node.begin(2, key, 2);
        REQUIRE(conflict->calls == 1);
        CHECK(conflict->verdict == Verdict::conflict);
        CHECK(conflict->reactor == &node.reactors[2]);

        node.finish(0, key, 7);
        REQUIRE(waits->calls == 1);
        CHECK(waits->verdict == Verdict::duplicate);
        CHECK(waits->reactor == &node.reactors[1]);
        REQUIRE(waits->results.size() == 1);
        CHECK(waits->results[0].position.offset == 7);
        const auto late = node.begin(2, key);
        REQUIRE(late->calls == 1);
        CHECK(late->verdict == Verdict::duplicate);
        CHECK(first->calls == 1);
    }
}

TEST_CASE("memory idempotency: with one reactor the answer comes at once", "[stores]") {
    Node node{1};
    node.run_on(0, [&node] {
        bool answered = false;
        node.log->begin({"k", 1}, [&answered](Verdict, PublishResults) { answered = true; });
        CHECK(answered);
    });
}

TEST_CASE("memory idempotency: an abandoned key is free again", "[stores]") {
    Node node{2};
    for (const std::string key : {"a", "b", "c", "d", "e"}) {
        CHECK(node.begin(0, key)->verdict == Verdict::first);
        const auto waits = node.begin(1, key);
        node.run_on(0, [&] { node.log->abandon({key, 1}); });
        REQUIRE(waits->calls == 1);
        CHECK(waits->verdict == Verdict::first);
        node.run_on(1, [&] { node.log->abandon({key, 1}); });
        CHECK(node.begin(0, key, 9)->verdict == Verdict::first);
    }
}

TEST_CASE("memory idempotency: keys are forgotten after the window, by a timer", "[stores]") {
    room::IdempotencyOptions options;
    options.window = std::chrono::seconds{10};
    Node node{2, options};
    std::vector<std::string> keys;
    for (int i = 0; i < 10; ++i) keys.push_back("key " + std::to_string(i));
    for (const std::string& key : keys) {
        node.begin(0, key);
        node.finish(0, key, 1);
        node.pass(std::chrono::milliseconds{500});
    }
    CHECK(node.begin(1, keys[0])->verdict == Verdict::duplicate);
    node.pass(std::chrono::milliseconds{5'100});
    CHECK(node.begin(1, keys[0])->verdict == Verdict::first);
    CHECK(node.begin(1, keys[1])->verdict == Verdict::duplicate);
    node.pass(std::chrono::seconds{10});
    for (const std::string& key : keys) {
        CAPTURE(key);
        if (key != keys[0]) CHECK(node.begin(1, key)->verdict == Verdict::first);
    }
}

TEST_CASE("memory idempotency: the bound is divided over the reactors", "[stores]") {
    room::IdempotencyOptions options;
    options.keys_max = 10;
    Node node{2, options};
    int first = 0;
    int full = 0;
    for (int i = 0; i < 200; ++i) {
        const auto answer = node.begin(0, "key " + std::to_string(i));
        first += answer->verdict == Verdict::first ? 1 : 0;
        full += answer->verdict == Verdict::full ? 1 : 0;
    }
    CHECK(first == 10);
    CHECK(full == 190);
}

TEST_CASE("memory idempotency: whoever still waits is let go at the end", "[stores]") {
    auto held = std::make_shared<int>(1);
    {
        Node node{2};
        for (const std::string key : {"a", "b", "c", "d"}) {
            node.begin(0, key);
            node.run_on(1, [&node, key, held] {
                node.log->begin({key, 1}, [held](Verdict, PublishResults) { FAIL("answered"); });
            });
        }
        // And one that is on its way.
        node.reactors[0].post([&log = *node.log, held] {
            log.begin({"late", 1}, [held](Verdict, PublishResults) {});
        });
        CHECK(held.use_count() > 4);
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("memory idempotency: every key is first exactly once, with real threads", "[stores]") {
    test::ManualClock clock;
    Metrics metrics;
    net::Reactors reactors{3, clock, metrics};
    const auto log = stores::make_memory_idempotency(reactors, {});
    constexpr int keys = 200;
    constexpr int repeats = 10;
    std::atomic<int> firsts{0};
    std::atomic<int> duplicates{0};
    std::atomic<int> wrong{0};
    reactors.start();
    for (int repeat = 0; repeat < repeats; ++repeat)
        for (int i = 0; i < keys; ++i) {
            net::Reactor& on = reactors[static_cast<std::size_t>(i + repeat) % reactors.size()];
            on.post([&, i, at = &on] {
                const IdempotencyKey key{"key " + std::to_string(i), 1};
                log->begin(key, [&, key, at](Verdict verdict, const PublishResults& results) {
                    if (net::Reactor::current() != at) ++wrong;
                    if (verdict == Verdict::first) {
                        ++firsts;
                        room::PublishResult result;
                        result.position.offset = 5;
                        log->finish(key, {result});
                        return;
                    }
                    if (verdict != Verdict::duplicate || results.at(0).position.offset != 5)
                        ++wrong;
                    ++duplicates;
                });
            });
        }
    while (firsts + duplicates < keys * repeats) std::this_thread::yield();
    reactors.stop();
    CHECK(firsts == keys);
    CHECK(duplicates == keys * (repeats - 1));
    CHECK(wrong == 0);
}
