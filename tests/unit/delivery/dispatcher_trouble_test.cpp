// What is done when services, the store or the process itself fail.

#include "push_world.hpp"

#include <random>

namespace fanfare::delivery {
namespace {

using namespace test;

std::size_t metric(const PushWorld& world, const std::string& series) {
    const std::string text = world.text();
    const auto at = text.find("fanfare_" + series + " ");
    REQUIRE(at != std::string::npos);
    return std::stoul(text.substr(text.find(' ', at)));
}

PushOutcome with_retry_after(PushVerdict verdict, int status, std::chrono::milliseconds after) {
    PushOutcome made = outcome(verdict, status);
    made.retry_after = after;
    return made;
}

TEST_CASE("dispatcher: what fails is tried again, and is a dead letter in the end",
          "[delivery][push]") {
    PushWorld world;
    world.apns.script = [](const auto&) { return failing; };
    world.start();
    const std::int64_t id = world.put("a");
    world.settle();
    CHECK(world.apns.sent.size() == 1);
    world.pass(9'900ms);
    CHECK(world.apns.sent.size() == 1);
    world.pass(11s);
    CHECK(world.apns.sent.size() == 2);
    world.pass(41s);
    CHECK(world.apns.sent.size() == 3);
    REQUIRE(world.queue.results.size() == 3);
    CHECK(world.queue.results[2].fate == Fate::dead);
    CHECK(world.queue.results[2].outcome.reason == "as scripted");
    CHECK(world.queue.ends[id] == 1);
    world.pass(10min, 1s);
    CHECK(world.apns.sent.size() == 3);
}

TEST_CASE("dispatcher: Retry-After holds for its job", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put("a");
    world.settle();
    world.answer(world.apns, with_retry_after(PushVerdict::later, 429, 120s));
    world.put("b");
    world.settle();
    CHECK(world.apns.sent == std::vector<std::string>{"a", "b"});
    world.pass(119'900ms, 100ms);
    CHECK(std::count(world.apns.sent.begin(), world.apns.sent.end(), "a") == 1);
    world.pass(11s);
    CHECK(std::count(world.apns.sent.begin(), world.apns.sent.end(), "a") == 2);
}

TEST_CASE("dispatcher: Retry-After beyond its time ends a job", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put("a");
    world.settle();
    world.answer(world.apns, with_retry_after(PushVerdict::later, 503, 25h));
    REQUIRE(world.queue.results.size() == 1);
    CHECK(world.queue.results[0].fate == Fate::void_);
}

TEST_CASE("dispatcher: a service that never answers has its time", "[delivery][push]") {
    PushWorld world;
    world.options.deadline = 30s;
    world.start();
    world.put("a");
    world.settle();
    const auto late = world.apns.calls.front().done;
    world.pass(29s);
    CHECK(world.queue.results.empty());
    world.pass(1'100ms);
    REQUIRE(world.queue.results.size() == 1);
    CHECK(world.queue.results[0].fate == Fate::again);
    CHECK(world.queue.results[0].outcome.reason == "no answer in time");
    world.apns.calls.clear();
    // Its answer comes after all, before and during the next attempt: it is that one's no more.
    world.run([&] { late(taken); });
    world.pass(21s);
    CHECK(world.apns.sent.size() == 2);
    world.run([&] { late(taken); });
    CHECK(world.queue.results.size() == 1);
    world.answer(world.apns, taken);
    CHECK(world.queue.results.size() == 2);
}

TEST_CASE("dispatcher: what the service never saw comes again soon, but does not spin",
          "[delivery][push]") {
    PushWorld world;
    world.apns.script = [](const auto&) { return unseen(); };
    world.start();
    const std::int64_t id = world.put("a");
    world.settle();
    CHECK(world.apns.sent.size() == 1);
    world.pass(300ms);
    CHECK(world.apns.sent.size() == 2);
    world.pass(60s);
    CHECK(world.apns.sent.size() >= 6);
    CHECK(world.apns.sent.size() <= 13);
    CHECK(world.queue.results.empty());
    CHECK(world.queue.find(id)->attempts == 0);
    world.apns.script = [](const auto&) { return taken; };
    world.pass(31s);
    CHECK(world.queue.ends[id] == 1);
}

TEST_CASE("dispatcher: jobs of a device that is dead are not sent", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 1;
    world.start();
    for (const char* const title : {"a", "b", "c"}) {
        PushJob job = world.job(title, Priority::critical);
        job.device.token = "one";
        world.queue.put(job);
    }
    world.put("d", Priority::critical);
    world.settle();
    world.queue.settle_fails = true;
    world.answer(world.apns, outcome(PushVerdict::drop_device, 410));
    CHECK(world.apns.sent == std::vector<std::string>{"a", "d"});
    // Nor while that cannot be written down.
    world.apns.script = [](const auto&) { return taken; };
    world.answer(world.apns, taken);
    world.queue.tell();
    world.pass(5s);
    CHECK(world.apns.sent == std::vector<std::string>{"a", "d"});
    world.queue.settle_fails = false;
    world.pass(10s);
    CHECK(world.apns.sent == std::vector<std::string>{"a", "d"});
    CHECK(world.queue.size() == 0);
}

TEST_CASE("dispatcher: a device that came back since it was dead is sent to", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 1;
    world.start();
    PushJob job = world.job("a");
    job.device.token = "one";
    job.device.registered = 1'000;
    world.queue.put(job);
    job = world.job("b");
    job.device.token = "one";
    job.device.registered = 3'000;
    world.queue.put(job);
    world.settle();
    PushOutcome dead = outcome(PushVerdict::drop_device, 410);
    dead.dead_since = 2'000;
    world.answer(world.apns, dead);
    CHECK(world.apns.sent == std::vector<std::string>{"a", "b"});
}

TEST_CASE("dispatcher: a breaker opens for its provider alone, and closes by one that succeeds",
          "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 20;
    world.options.attempts = 100;
    world.start();
    world.put_many(200, Priority::critical, Platform::ios);
    world.settle();
    REQUIRE(world.apns.calls.size() == 20);
    world.answer_all(world.apns, failing);
    CHECK(world.apns.calls.empty());
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 2);
    const std::size_t settled = world.queue.results.size();
    world.put_many(50, Priority::normal, Platform::android);
    world.settle();
    CHECK(world.fcm.sent.size() == 50);
    CHECK(metric(world, R"(push_breaker{provider="fcm"})") == 0);
    world.answer_all(world.fcm, taken);
    world.pass(59'900ms);
    CHECK(world.apns.calls.empty());
    // Nothing of those that wait was counted.
    CHECK(world.queue.results.size() == settled + 50);

    // One goes, and no other until it has ended.
    world.pass(200ms);
    REQUIRE(world.apns.calls.size() == 1);
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 1);
    world.pass(10s);
    CHECK(world.apns.calls.size() == 1);
    world.answer(world.apns, failing);
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 2);
    world.pass(59'900ms);
    CHECK(world.apns.calls.empty());
    world.pass(200ms);
    REQUIRE(world.apns.calls.size() == 1);
    world.answer(world.apns, taken);
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 0);
    // More and more, not all at once.
    CHECK(world.apns.calls.size() == 1);
    world.answer(world.apns, taken);
    CHECK(world.apns.calls.size() == 2);
    world.answer_all(world.apns, taken);
    CHECK(world.apns.calls.size() == 4);
    world.apns.script = [](const auto&) { return taken; };
    world.answer_all(world.apns, taken);
    world.pass(20min, 1s);
    CHECK(world.queue.size() == 0);
}

TEST_CASE("dispatcher: what ends with one connection is one failure", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 100;
    world.options.attempts = 100;
    world.start();
    world.put_many(100, Priority::critical, Platform::ios);
    world.settle();
    REQUIRE(world.apns.calls.size() == 100);
    PushOutcome torn = failing;
    torn.torn = true;
    world.answer_all(world.apns, torn);
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 0);
    // Connection after connection: the service fails.
    world.pass(40s, 1s);
    for (int i = 0; i < 19; ++i) {
        REQUIRE_FALSE(world.apns.calls.empty());
        world.answer(world.apns, torn);
        world.pass(1ms, 1ms);
    }
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 0);
    world.answer(world.apns, torn);
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 2);
}

TEST_CASE("dispatcher: a credential that is refused is left alone", "[delivery][push]") {
    PushWorld world;
    world.start();
    const std::int64_t first = world.put("a");
    world.settle();
    world.answer(world.apns, outcome(PushVerdict::stop, 403));
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 2);
    REQUIRE(world.queue.results.size() == 1);
    CHECK(world.queue.results[0].fate == Fate::again);
    CHECK_FALSE(world.queue.results[0].counts);
    CHECK(world.queue.results[0].again_at == world.clock.wall() + 60'000);
    world.put("b");
    world.put("other", Priority::normal, Platform::android);
    world.pass(59'900ms);
    CHECK(world.apns.sent == std::vector<std::string>{"a"});
    CHECK(world.fcm.sent == std::vector<std::string>{"other"});
    for (int i = 0; i < 5; ++i) {
        world.pass(61s);
        REQUIRE(world.apns.calls.size() == 1);
        world.answer(world.apns, outcome(PushVerdict::stop, 403));
    }
    CHECK(world.queue.find(first)->attempts == 0);
    world.apns.script = [](const auto&) { return taken; };
    world.pass(122s);
    CHECK(world.apns.calls.empty());
    CHECK(world.queue.ends[first] == 1);
}

TEST_CASE("dispatcher: a provider that asks for a pause has one", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 10;
    world.start();
    world.put_many(200, Priority::critical);
    world.settle();
    REQUIRE(world.apns.calls.size() == 10);
    std::chrono::milliseconds pause{};
    SECTION("for so long as it says") {
        pause = 7s;
        world.answer_all(world.apns, with_retry_after(PushVerdict::pause, 429, pause));
    }
    SECTION("for a minute if it does not say") {
        pause = 60s;
        world.answer_all(world.apns, outcome(PushVerdict::pause, 429));
    }
    world.put("other", Priority::normal, Platform::android);
    world.settle();
    CHECK(world.fcm.sent.size() == 1);
    world.pass(pause - 100ms);
    CHECK(world.apns.calls.empty());
    CHECK(metric(world, R"(push_breaker{provider="apns"})") == 0);
    world.pass(200ms);
    CHECK(world.apns.calls.size() == 1); // then more and more
    for (const PushResult& result : world.queue.results) {
        CHECK(result.fate == Fate::again);
        CHECK_FALSE(result.counts);
    }
    world.apns.script = [](const auto&) { return taken; };
    world.answer(world.apns, taken);
    world.pass(20s);
    CHECK(world.queue.size() == 1); // the other provider's
}

TEST_CASE("dispatcher: results that the store did not take are kept, and nothing is sent again",
          "[delivery][push]") {
    PushWorld world;
    world.apns.script = [](const auto&) { return taken; };
    world.start();
    world.queue.settle_fails = true;
    world.put_many(100);
    world.settle();
    CHECK(world.apns.sent.size() == 100);
    world.queue.tell();
    world.pass(6min, 250ms); // read again and again
    CHECK(world.apns.sent.size() == 100);
    CHECK(world.queue.settles < 70); // not in a loop
    world.put("new");
    world.settle();
    CHECK(world.apns.sent.size() == 101);
    world.queue.settle_fails = false;
    world.pass(10s);
    CHECK(world.queue.size() == 0);
    CHECK(world.queue.results.size() == 101);
    CHECK(world.changes.size() == 101);
    CHECK(world.apns.sent.size() == 101);
}

TEST_CASE("dispatcher: with too many results unwritten nothing more is sent", "[delivery][push]") {
    PushWorld world;
    world.apns.script = [](const auto&) { return taken; };
    world.start();
    world.queue.settle_fails = true;
    world.put_many(10'000);
    world.pass(30s);
    CHECK(world.apns.sent.size() == 2'000);
    world.queue.settle_fails = false;
    world.pass(10s);
    world.settle_until([&] { return world.queue.size() == 0; });
    CHECK(world.apns.sent.size() == 10'000);
    CHECK(world.queue.results.size() == 10'000);
}

TEST_CASE("dispatcher: a job whose result was written late is still found when it is due",
          "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put("a");
    world.settle();
    world.queue.settles_held.emplace(); // written, and told a minute later
    world.answer(world.apns, failing);
    for (int i = 0; i < 6; ++i) {
        world.pass(10s);
        world.put("x");
        world.settle();
    }
    CHECK(std::count(world.apns.sent.begin(), world.apns.sent.end(), "a") == 1);
    world.queue.release(world.queue.settles_held);
    world.settle();
    CHECK(std::count(world.apns.sent.begin(), world.apns.sent.end(), "a") == 2);
}

TEST_CASE("dispatcher: the orderly end waits for what is in flight", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 2;
    world.start();
    world.put_many(10, Priority::critical);
    world.settle();
    int done = 0;
    world.run([&] { world.dispatcher->drain([&] { ++done; }); });
    CHECK(done == 0);
    world.queue.settles_held.emplace();
    world.answer(world.apns, taken);
    world.put("new", Priority::critical);
    world.answer(world.apns, taken);
    CHECK(done == 0); // not written down yet
    world.queue.release(world.queue.settles_held);
    world.settle();
    CHECK(done == 1);
    CHECK(world.apns.sent.size() == 2);
    CHECK(world.queue.results.size() == 2);
    CHECK(world.queue.size() == 9);
    world.pass(1min, 1s);
    CHECK(done == 1);
    CHECK(world.apns.sent.size() == 2);
}

TEST_CASE("dispatcher: the orderly end comes at once if there is nothing, and after a time anyhow",
          "[delivery][push]") {
    PushWorld world;
    world.start();
    int done = 0;
    const auto drain = [&] {
        world.run([&] {
            world.dispatcher->drain([&] {
                ++done;
                world.dispatcher.reset(); // may be done there
            });
        });
    };
    SECTION("nothing") {
        drain();
    }
    SECTION("a service that does not answer") {
        world.put("a");
        world.settle();
        drain();
        world.pass(9'900ms);
        CHECK(done == 0);
        world.pass(200ms);
        // What comes late finds nobody.
        world.answer(world.apns, taken);
        world.queue.tell();
        world.settle();
        CHECK(world.queue.results.empty());
    }
    SECTION("a store that does not write") {
        world.put("a");
        world.settle();
        world.queue.settle_fails = true;
        world.answer(world.apns, taken);
        drain();
        world.pass(10'100ms);
    }
    CHECK(done == 1);
}

TEST_CASE("dispatcher: after a crash what was in flight is sent again, and nothing else",
          "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 20;
    world.start();
    world.put_many(100, Priority::critical);
    world.settle();
    for (int i = 0; i < 10; ++i) world.answer(world.apns, taken);
    CHECK(world.apns.sent.size() == 30);
    std::set<std::string> flying;
    for (const auto& call : world.apns.calls) flying.insert(call.id.text());
    world.dispatcher.reset();
    const auto before = std::exchange(world.apns.calls, {});
    world.apns.sent.clear();
    world.apns.script = [&](const ScriptedProvider::Call& call) {
        flying.erase(call.id.text()); // the service is given the same id
        return taken;
    };
    world.start();
    for (const auto& call : before) world.run([&] { call.done(taken); }); // into the void
    world.pass(1s);
    CHECK(flying.empty());
    CHECK(world.apns.sent.size() == 90);
    CHECK(world.queue.size() == 0);
    for (const auto& [job, ends] : world.queue.ends) CHECK(ends == 1);
}

TEST_CASE("dispatcher: new options and routes hold from now on", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 2;
    world.start();
    world.put_many(10, Priority::critical);
    world.settle();
    CHECK(world.apns.calls.size() == 2);
    {
        ScriptedProvider anew{"apns"};
        world.ios = &anew;
        world.options.attempts = 1;
        world.run([&] { world.dispatcher->reload(world.options); });
        CHECK(anew.calls.size() == 8);
        CHECK(world.apns.sent.size() == 2);
        SECTION("what is in flight at the old one ends there") {
            world.answer(world.apns, failing);
            REQUIRE(world.queue.results.size() == 1);
            CHECK(world.queue.results[0].fate == Fate::dead);
        }
        SECTION("what the old one never sent goes to the new one") {
            world.answer(world.apns, unseen());
            world.pass(300ms);
            CHECK(anew.calls.size() == 9);
            CHECK(world.apns.sent.size() == 2);
        }
        world.answer_all(world.apns, taken);
        world.answer_all(anew, taken);
        world.pass(1s);
        CHECK(world.queue.size() == 0);
        CHECK(metric(world, R"(push_in_flight{provider="apns"})") == 0);
    }
    // None serves the platform any more, and the old ones may be gone.
    world.ios = nullptr;
    world.run([&] { world.dispatcher->reload(world.options); });
    world.put("a");
    world.settle();
    CHECK(world.queue.results.back().fate == Fate::dead);
}

/// One turn's answers of a service in a bad mood.
PushOutcome random_outcome(std::mt19937& random) {
    const auto roll = random() % 1'000;
    if (roll < 550) return taken;
    if (roll < 600) return outcome(PushVerdict::drop_device, 410);
    if (roll < 650) return outcome(PushVerdict::fix, 400);
    if (roll < 850) return outcome(PushVerdict::later, roll % 2 == 0 ? 503 : 429);
    if (roll < 985) return unseen();
    if (roll < 998) return with_retry_after(PushVerdict::pause, 429, 3s);
    return outcome(PushVerdict::stop, 403);
}

/// Providers and a store in a bad mood, a clock that jumps, and a process that may die.
struct Chaos {
    explicit Chaos(unsigned seed) : random(seed) {
        world.options.window = 40 + random() % 100;
        world.options.user_rate_per_minute = random() % 2 == 0 ? 0 : 600;
        for (ScriptedProvider* const provider : {&world.apns, &world.fcm}) {
            provider->capacity = 1 + random() % 50;
            provider->script = [this](const ScriptedProvider::Call& call) {
                if (over.contains(call.title)) FAIL_CHECK("sent again: " << call.title);
                return std::nullopt;
            };
        }
        world.start();
    }
    void put() {
        PushJob job = world.job(std::to_string(++jobs), static_cast<Priority>(random() % 4),
                                random() % 3 == 0 ? Platform::android : Platform::ios);
        job.device.user = "u" + std::to_string(random() % 20);
        job.device.token = "token-" + std::to_string(random() % 300);
        if (random() % 10 == 0) job.notification.expires = world.clock.wall() + 20'000;
        job.due -= static_cast<WallMillis>(random() % 5'000); // committed late
        world.queue.put(job);
    }
    void answer_some(ScriptedProvider& provider) {
        for (auto count = random() % 20; count != 0 && !provider.calls.empty(); --count) {
            const auto at = provider.calls.begin() +
                            static_cast<std::ptrdiff_t>(random() % provider.calls.size());
            const auto call = *at;
            provider.calls.erase(at);
            const PushOutcome answer = random_outcome(random);
            const PushVerdict verdict = answer.verdict;
            if (verdict == PushVerdict::later && !answer.not_attempted) ++failures[call.title];
            if (verdict == PushVerdict::done || verdict == PushVerdict::fix)
                over.insert(call.title);
            world.run([&] { call.done(answer); });
        }
    }
    void cancel_one() {
        if (world.apns.calls.empty()) return;
        const auto& call = world.apns.calls[random() % world.apns.calls.size()];
        const NotificationId id = call.id;
        over.insert(call.title);
        world.queue.remove(id);
        world.run([&] { world.dispatcher->cancel({id}); });
    }
    void hold_or_release(std::optional<std::deque<std::function<void()>>>& held) {
        if (held)
            world.queue.release(held);
        else
            held.emplace();
    }
    void crash() {
        world.dispatcher.reset();
        world.apns.calls.clear();
        world.fcm.calls.clear();
        // What was not written down may be repeated.
        over.clear();
        failures.clear();
        world.start();
    }
    void step(bool may_crash) {
        for (auto count = random() % 6; count != 0; --count) put();
        if (random() % 10 == 0) world.queue.settle_fails = !world.queue.settle_fails;
        if (random() % 20 == 0) world.queue.read_fails = !world.queue.read_fails;
        if (random() % 10 == 0) hold_or_release(world.queue.reads_held);
        if (random() % 10 == 0) hold_or_release(world.queue.settles_held);
        if (random() % 10 == 0) cancel_one();
        if (random() % 50 == 0)
            world.clock.set_wall(world.clock.wall() - static_cast<WallMillis>(random() % 60'000));
        if (random() % 50 == 0) world.run([this] { world.dispatcher->reload(world.options); });
        if (may_crash && random() % 50 == 0) crash();
        answer_some(world.apns);
        answer_some(world.fcm);
        world.pass(std::chrono::milliseconds{random() % 2'000}, 100ms);
    }
    void calm_down() {
        world.queue.settle_fails = world.queue.read_fails = false;
        if (world.queue.reads_held) world.queue.release(world.queue.reads_held);
        if (world.queue.settles_held) world.queue.release(world.queue.settles_held);
        for (int step = 0; step < 4'000 && world.queue.size() != 0; ++step) {
            answer_some(world.apns);
            answer_some(world.fcm);
            world.pass(1s, 250ms);
        }
    }

    std::mt19937 random;
    PushWorld world;
    std::size_t jobs = 0;
    std::set<std::string> over;                  // not to be sent again
    std::map<std::string, std::size_t> failures; // attempts that count, by job
};

TEST_CASE("dispatcher: whatever happens, each job ends once, within its attempts",
          "[delivery][push][property]") {
    const unsigned seed = GENERATE(range(1U, 17U));
    CAPTURE(seed);
    Chaos chaos{seed};
    const bool crashes = seed % 4 == 0;
    for (int step = 0; step < 400; ++step) chaos.step(crashes);
    chaos.calm_down();
    const MemoryQueue& queue = chaos.world.queue;
    CHECK(chaos.jobs > 500);
    CHECK(queue.size() == 0);
    for (const auto& [job, ends] : queue.ends)
        if (ends != 1) FAIL_CHECK("job " << job << " ended " << ends << " times");
    for (const auto& [title, failures] : chaos.failures)
        if (failures > chaos.world.options.attempts)
            FAIL_CHECK("job " << title << " was tried " << failures << " times");
    CHECK(queue.largest_batch <= 500);
    // One that died cannot know whether its last batch was written.
    if (!crashes) CHECK(queue.under_way_max == 1);
}

} // namespace
} // namespace fanfare::delivery
