// What is sent, when and in which order: lanes, places, the window, limits.

#include "push_world.hpp"

#include <thread>

namespace fanfare::delivery {
namespace {

using namespace test;

std::vector<std::string> numbers(std::size_t from, std::size_t to) {
    std::vector<std::string> made;
    for (; from < to; ++from) made.push_back(std::to_string(from));
    return made;
}

TEST_CASE("dispatcher: a job is sent, written down and told", "[delivery][push]") {
    PushWorld world;
    world.start();
    const std::int64_t id = world.put("hello");
    world.settle();
    REQUIRE(world.apns.calls.size() == 1);
    CHECK(world.apns.calls[0].title == "hello");
    CHECK(world.apns.calls[0].token == "token-1");
    const NotificationId notification = world.apns.calls[0].id;
    CHECK(notification == world.queue.find(id)->notification.id);

    world.answer(world.apns, taken);
    REQUIRE(world.queue.results.size() == 1);
    const PushResult& result = world.queue.results[0];
    CHECK(result.job == id);
    CHECK(result.fate == Fate::sent);
    CHECK(result.counts);
    CHECK(result.provider == "apns");
    CHECK(result.outcome.status == 200);
    REQUIRE(world.changes.size() == 1);
    CHECK(world.changes[0].id == notification);
    CHECK(world.changes[0].status == Status::sent);
}

TEST_CASE("dispatcher: what was there before the start is found, and nothing before it",
          "[delivery][push]") {
    PushWorld world;
    world.put_many(3);
    world.settle();
    CHECK(world.queue.reads == 0);
    world.start();
    CHECK(world.apns.sent == numbers(0, 3));
}

TEST_CASE("dispatcher: one critical job does not wait behind 100,000 low ones",
          "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 10;
    world.put_many(100'000, Priority::low);
    world.start();
    world.settle_until([&] { return world.queue.jobs_read >= 100'000; });
    CHECK(world.apns.calls.size() == 5);
    world.put("now", Priority::critical);
    world.settle();
    REQUIRE(world.apns.calls.size() == 6);
    CHECK(world.apns.calls.back().title == "now");
    // All others come, in their order and once.
    world.apns.script = [](const auto&) { return taken; };
    world.answer_all(world.apns, taken);
    world.settle_until([&] { return world.queue.size() == 0; });
    std::erase(world.apns.sent, "now");
    CHECK(world.apns.sent == numbers(0, 100'000));
    // They were not read over and over again for it.
    CHECK(world.queue.jobs_read < 500'000);
}

TEST_CASE("dispatcher: lanes share a provider's room, and the urgent ones find a place",
          "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 100;
    world.start();
    struct Step {
        Priority lane;
        std::size_t in_flight;
    };
    for (const Step& step : {Step{Priority::low, 50}, Step{Priority::normal, 75},
                             Step{Priority::high, 90}, Step{Priority::critical, 100}}) {
        world.put_many(200, step.lane);
        world.settle();
        CHECK(world.apns.calls.size() == step.in_flight);
    }
    // A place that gets free is the most urgent one's, but for one in twenty.
    for (int i = 0; i < 15; ++i) world.answer(world.apns, taken);
    CHECK(world.apns.calls.size() == 100);
    CHECK(world.apns.in_flight(Priority::critical) >= 20);
}

TEST_CASE("dispatcher: where there is one place, every lane uses it", "[delivery][push]") {
    const Priority lane = GENERATE(from_range(std::vector<Priority>{
        Priority::critical, Priority::high, Priority::normal, Priority::low}));
    PushWorld world;
    world.apns.capacity = 1;
    world.start();
    world.put("a", lane);
    world.put("b", lane);
    world.settle();
    CHECK(world.apns.sent == std::vector<std::string>{"a"});
    world.answer(world.apns, taken);
    CHECK(world.apns.sent == std::vector<std::string>{"a", "b"});
}

TEST_CASE("dispatcher: a lane that always finds others before it is not starved",
          "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 4;
    world.start();
    world.put_many(400, Priority::normal);
    world.put_many(400, Priority::low);
    world.settle();
    for (int i = 0; i < 210; ++i) world.answer(world.apns, taken);
    const auto low = std::count_if(world.queue.results.begin(), world.queue.results.end(),
                                   [](const PushResult& result) { return result.job > 400; });
    CHECK(low >= 8);
    CHECK(low <= 12);
}

TEST_CASE("dispatcher: a provider without room blocks nobody else", "[delivery][push]") {
    PushWorld world;
    world.options.window = 100;
    world.apns.capacity = 0;
    world.start();
    world.put_many(10'000, Priority::normal, Platform::ios);
    world.put("other", Priority::normal, Platform::android);
    world.settle_until([&] { return !world.fcm.sent.empty(); });
    CHECK(world.fcm.sent == std::vector<std::string>{"other"});
    CHECK(world.apns.sent.empty());
    world.answer_all(world.fcm, taken);

    SECTION("its jobs go in their order when it has room again") {
        world.apns.capacity = 7;
        world.apns.script = [](const auto&) { return taken; };
        world.settle_until([&] { return world.queue.size() == 0; });
        CHECK(world.apns.sent == numbers(0, 10'000));
    }
    SECTION("while it answers slowly, the others are as fast as before") {
        world.apns.capacity = 4;
        world.fcm.script = [](const auto&) { return taken; };
        world.put_many(5'000, Priority::normal, Platform::android);
        world.settle_until([&] { return world.fcm.sent.size() == 5'001; });
        world.answer_all(world.apns, taken);
        CHECK(world.apns.sent == numbers(0, 6));
    }
}

TEST_CASE("dispatcher: only so much of a lane waits in memory", "[delivery][push]") {
    PushWorld world;
    world.options.window = 100;
    world.apns.capacity = 0;
    world.put_many(5'000);
    world.start();
    world.settle_until([&] { return world.queue.jobs_read >= 5'000; });
    // What it holds, it sends without reading: the store answers no more.
    world.queue.reads_held.emplace();
    world.apns.capacity = 5'000;
    world.settle();
    CHECK(world.apns.sent.size() >= 25);
    CHECK(world.apns.sent.size() <= 100);
    world.queue.release(world.queue.reads_held);
    world.settle_until([&] { return world.apns.sent.size() == 3'750; }); // three quarters
    CHECK(world.apns.sent == numbers(0, 3'750));
}

TEST_CASE("dispatcher: more is read when half of what waits is gone", "[delivery][push]") {
    PushWorld world;
    world.options.window = 80;
    world.apns.capacity = 0;
    world.put_many(1'000);
    world.start();
    world.settle_until([&] { return world.queue.jobs_read >= 1'000; });
    const std::size_t before = world.queue.reads;
    world.apns.capacity = 20; // 15 places of this lane, of 40 that are held
    world.settle();
    CHECK(world.apns.calls.size() == 15);
    CHECK(world.queue.reads == before);
    world.answer_all(world.apns, taken);
    CHECK(world.apns.calls.size() == 15);
    CHECK(world.queue.reads > before);
}

TEST_CASE("dispatcher: a job that is known is not taken again", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put_many(20);
    world.settle();
    CHECK(world.apns.sent.size() == 20);
    // News, and the passes that they bring; then everything is read again.
    for (int i = 0; i < 10; ++i) {
        world.queue.tell();
        world.pass(3s);
    }
    world.pass(6min, 1s);
    CHECK(world.apns.sent.size() == 20);
    CHECK(world.queue.jobs_read >= 220); // it was read again
}

TEST_CASE("dispatcher: a page that is older than what happened meanwhile is no news",
          "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 1;
    world.start();
    const std::int64_t id = world.put("a");
    world.settle();
    world.queue.reads_held.emplace();
    world.queue.tell();
    world.pass(2s); // the last seconds are asked for, and the answer is on its way

    SECTION("the job was settled") {
        world.answer(world.apns, taken);
    }
    SECTION("the job was cancelled before it was seen") {
        const PushJob waiting = world.job("b");
        world.queue.put(waiting);
        world.queue.release(world.queue.reads_held);
        world.queue.reads_held.emplace();
        world.settle();
        REQUIRE(world.queue.reads_held->size() != 0);
        world.queue.remove(waiting.notification.id);
        world.run([&] { world.dispatcher->cancel({waiting.notification.id}); });
        world.answer(world.apns, taken);
    }
    CHECK(world.queue.find(id) == nullptr);
    world.queue.release(world.queue.reads_held);
    world.settle();
    world.pass(5s);
    CHECK(world.apns.sent == std::vector<std::string>{"a"});
}

TEST_CASE("dispatcher: a job that was committed late is found", "[delivery][push]") {
    PushWorld world;
    world.start();
    PushJob late = world.job("late");
    world.pass(2s);
    world.put("early");
    world.settle();
    CHECK(world.apns.sent == std::vector<std::string>{"early"});
    world.queue.put(late); // due before what was read already
    world.pass(1'100ms);
    CHECK(world.apns.sent == std::vector<std::string>{"early", "late"});
}

TEST_CASE("dispatcher: a job for later goes when it is due", "[delivery][push]") {
    PushWorld world;
    world.start();
    PushJob later = world.job("later");
    later.due += 30'000;
    world.queue.put(later);
    world.pass(29s);
    CHECK(world.apns.sent.empty());
    world.pass(1'100ms);
    CHECK(world.apns.sent == std::vector<std::string>{"later"});
}

TEST_CASE("dispatcher: a clock that is set back loses nothing", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put("before");
    world.settle();
    world.clock.set_wall(world.clock.wall() - 3'600'000);
    world.put("after"); // due an hour before what was read
    world.pass(1s);
    CHECK(world.apns.sent == std::vector<std::string>{"before", "after"});
}

TEST_CASE("dispatcher: from time to time everything is read again", "[delivery][push]") {
    PushWorld world;
    world.apns.script = [](const auto&) { return taken; };
    world.start();
    PushJob old = world.job("old");
    world.pass(1min);
    world.put("new");
    world.pass(5s);
    world.queue.put(old, false); // nobody told, and it is due long before
    world.pass(6min, 250ms);
    CHECK(std::count(world.apns.sent.begin(), world.apns.sent.end(), "old") == 1);
}

TEST_CASE("dispatcher: a store that cannot be read is asked again, not at once",
          "[delivery][push]") {
    PushWorld world;
    world.queue.read_fails = true;
    world.start();
    world.put("a");
    for (int i = 0; i < 100; ++i) world.settle();
    CHECK(world.queue.reads == 4); // one per lane
    world.queue.read_fails = false;
    world.pass(1'100ms);
    CHECK(world.apns.sent == std::vector<std::string>{"a"});
}

TEST_CASE("dispatcher: it is woken from another thread", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.queue.put(world.job("a"), false);
    world.settle();
    CHECK(world.apns.sent.empty());
    std::thread{[&] {
        for (int i = 0; i < 100; ++i) world.dispatcher->wake();
    }}.join();
    const std::size_t reads = world.queue.reads;
    world.settle();
    CHECK(world.apns.sent == std::vector<std::string>{"a"});
    CHECK(world.queue.reads <= reads + 8);
}

TEST_CASE("dispatcher: what is cancelled is not sent", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 1;
    world.start();
    const PushJob flying = world.job("flying");
    const PushJob waiting = world.job("waiting");
    world.queue.put(flying);
    world.queue.put(waiting);
    world.put("other");
    world.settle();
    const auto cancel = [&](const PushJob& job) {
        world.queue.remove(job.notification.id);
        world.run([&] { world.dispatcher->cancel({job.notification.id}); });
    };
    cancel(waiting);
    cancel(flying);

    SECTION("what is in flight goes on, and is settled as any other") {
        world.answer(world.apns, taken);
        REQUIRE(world.queue.results.size() == 1);
        CHECK(world.queue.results[0].fate == Fate::sent);
        CHECK(world.queue.unknown == 1);
    }
    SECTION("but is not sent again") {
        world.answer(world.apns, unseen());
        CHECK(world.queue.results.empty());
    }
    CHECK(world.apns.sent == std::vector<std::string>{"flying", "other"});
    world.pass(1min, 100ms);
    CHECK(std::count(world.apns.sent.begin(), world.apns.sent.end(), "waiting") == 0);
    CHECK(std::count(world.apns.sent.begin(), world.apns.sent.end(), "flying") == 1);
}

TEST_CASE("dispatcher: a user is sent so many a minute, and nobody waits for it",
          "[delivery][push]") {
    PushWorld world;
    world.options.user_rate_per_minute = 100;
    world.apns.script = [](const auto&) { return taken; };
    world.start();
    world.put_many(150, Priority::normal);
    PushJob other = world.job("other");
    other.device.user = "v";
    world.queue.put(other);
    world.settle();
    CHECK(world.apns.sent.size() == 101);
    CHECK(world.apns.sent.back() == "other");
    // The next one is the most urgent.
    world.put("urgent", Priority::critical);
    world.pass(650ms);
    CHECK(world.apns.sent.size() == 102);
    CHECK(world.apns.sent.back() == "urgent");
    world.pass(30s);
    CHECK(world.apns.sent.size() == 152);
    std::erase(world.apns.sent, "other");
    std::erase(world.apns.sent, "urgent");
    CHECK(world.apns.sent == numbers(0, 150));
}

TEST_CASE("dispatcher: so many a second begin", "[delivery][push]") {
    PushWorld world;
    SECTION("of all") {
        world.options.rate_per_second = 20;
    }
    SECTION("of one provider") {
        world.options.provider_rates = {{"apns", "", 10}, {"fcm", "", 10}};
    }
    world.apns.script = world.fcm.script = [](const auto&) { return taken; };
    world.start();
    world.put_many(500, Priority::normal, Platform::ios);
    world.put_many(500, Priority::normal, Platform::android);
    world.pass(10s);
    const std::size_t sent = world.apns.sent.size() + world.fcm.sent.size();
    CHECK(sent >= 195);
    CHECK(sent <= 205);
    CHECK(world.apns.sent.size() > 50);
    CHECK(world.fcm.sent.size() > 50);
}

TEST_CASE("dispatcher: without a provider a job is a dead letter", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put("a", Priority::normal, Platform::web);
    world.settle();
    REQUIRE(world.queue.results.size() == 1);
    CHECK(world.queue.results[0].fate == Fate::dead);
    CHECK_FALSE(world.queue.results[0].counts);
    CHECK(world.queue.results[0].outcome.reason == "no provider is configured for web");
    CHECK(world.queue.size() == 0);
}

TEST_CASE("dispatcher: what a provider can never send is a dead letter", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put("too large");
    world.settle();
    CHECK(world.apns.sent.empty());
    REQUIRE(world.queue.results.size() == 1);
    CHECK(world.queue.results[0].fate == Fate::dead);
    CHECK(world.queue.results[0].outcome.reason == "4,097 bytes of 4,096");
}

TEST_CASE("dispatcher: what has expired is not sent", "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 0;
    world.start();
    PushJob brief = world.job("brief");
    brief.notification.expires = world.clock.wall() + 5'000;
    world.queue.put(brief);
    world.put("long");
    world.pass(4s);
    CHECK(world.queue.results.empty());
    world.pass(2s);
    REQUIRE(world.queue.results.size() == 1);
    CHECK(world.queue.results[0].fate == Fate::void_);
    CHECK_FALSE(world.queue.results[0].counts);
    world.apns.capacity = 10;
    world.settle();
    CHECK(world.apns.sent == std::vector<std::string>{"long"});
}

TEST_CASE("dispatcher: results are written once a turn, 250 at a time, one batch after the other",
          "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put_many(700);
    world.settle_until([&] { return world.apns.calls.size() == 700; });
    world.queue.settles_held.emplace();
    world.answer(world.apns, taken);
    world.answer(world.apns, taken);
    CHECK(world.queue.settles == 1);
    world.answer_all(world.apns, taken);
    CHECK(world.queue.settles == 1);
    world.queue.release(world.queue.settles_held);
    world.settle_until([&] { return world.queue.size() == 0; });
    CHECK(world.queue.settles == 4);
    CHECK(world.queue.largest_batch == 250);
    CHECK(world.queue.under_way_max == 1);
}

TEST_CASE("dispatcher: what it does is counted", "[delivery][push]") {
    PushWorld world;
    world.start();
    world.put("a");
    world.put("b");
    PushJob later = world.job("c", Priority::low);
    later.due += 60'000;
    world.queue.put(later);
    world.pass(10s);
    const auto shows = [&](const std::string& line) {
        return world.text().find("fanfare_" + line + "\n") != std::string::npos;
    };
    CHECK(shows(R"(push_in_flight{provider="apns"} 2)"));
    CHECK(shows(R"(push_breaker{provider="apns"} 0)"));
    CHECK(shows(R"(push_queue{lane="normal"} 2)"));
    CHECK(shows(R"(push_queue{lane="low"} 1)"));
    CHECK(shows(R"(push_queue_oldest_seconds{lane="low"} 10)"));
    CHECK(shows(R"(push_queue_oldest_seconds{lane="critical"} 0)"));
    world.answer(world.apns, taken);
    world.answer(world.apns, outcome(PushVerdict::fix, 400));
    CHECK(shows(R"(push_in_flight{provider="apns"} 0)"));
    CHECK(shows(R"(push_attempts_total{outcome="sent",provider="apns"} 1)"));
    CHECK(shows(R"(push_attempts_total{outcome="refused",provider="apns"} 1)"));
    CHECK(shows(R"(push_seconds_count{provider="apns"} 2)"));
}

TEST_CASE("dispatcher: each app has its own credential, breaker, rate and figures",
          "[delivery][push]") {
    PushWorld world;
    world.options.provider_rates = {{"apns", "shop", 10}};
    world.start();
    const auto put = [&](const std::string& title, Platform platform = Platform::ios) {
        PushJob job = world.job(title, Priority::normal, platform);
        job.device.app = "shop";
        world.queue.put(job);
    };
    world.put("default");
    for (int i = 0; i < 5; ++i) put("shop");
    world.settle();
    CHECK(world.apns.sent == std::vector<std::string>{"default"});
    CHECK(world.shop.sent.size() == 1); // its rate, not the other's
    // The refused one waits, and the other goes on.
    world.answer(world.shop, outcome(PushVerdict::stop, 403));
    world.answer(world.apns, taken);
    world.pass(2s);
    CHECK(world.shop.sent.size() == 1);
    world.put("default");
    world.settle();
    world.answer(world.apns, taken);
    REQUIRE(world.queue.results.size() == 3);
    CHECK(world.queue.results[0].provider == "apns");
    CHECK(world.queue.results[0].app == "shop");
    CHECK(world.queue.results[1].app.empty());
    const std::string text = world.text();
    CHECK(text.find(R"(push_breaker{provider="apns"} 0)") != std::string::npos);
    CHECK(text.find(R"(push_breaker{app="shop",provider="apns"} 2)") != std::string::npos);
    // A platform that the app has no credential for.
    put("android", Platform::android);
    world.settle();
    CHECK(world.fcm.sent.empty());
    CHECK(world.queue.results.back().fate == Fate::dead);
    CHECK(world.queue.results.back().outcome.reason ==
          "no provider is configured for android of app shop");
}

TEST_CASE("dispatcher: what has not left for a device that is no more does not leave",
          "[delivery][push]") {
    PushWorld world;
    world.apns.capacity = 1;
    const auto put = [&](const std::string& title, const std::string& user) {
        PushJob job = world.job(title);
        job.device.user = user;
        return world.queue.put(job);
    };
    const auto gone = [](const PushDevice& device) { return device.user == "gone"; };
    const auto fates = [&] {
        std::vector<std::pair<std::int64_t, Fate>> all;
        for (const PushResult& result : world.queue.results)
            all.emplace_back(result.job, result.fate);
        return all;
    };
    using Fates = std::vector<std::pair<std::int64_t, Fate>>;
    SECTION("waiting") {
        world.start();
        put("first", "stays");
        const auto id = put("second", "gone");
        const auto other = put("third", "stays");
        world.settle();
        world.run([&] { world.dispatcher->forget_devices(gone); });
        world.answer(world.apns, taken);
        world.answer(world.apns, taken);
        CHECK(world.apns.sent == std::vector<std::string>{"first", "third"});
        CHECK(fates() == Fates{{id, Fate::void_}, {1, Fate::sent}, {other, Fate::sent}});
    }
    SECTION("read before, and answered afterwards") {
        world.queue.reads_held.emplace();
        const auto id = put("second", "gone");
        const auto other = put("third", "stays");
        world.start();
        REQUIRE(world.queue.reads_held->size() == 4);
        world.run([&] { world.dispatcher->forget_devices(gone); });
        world.queue.release(world.queue.reads_held);
        world.settle();
        world.answer(world.apns, taken);
        CHECK(world.apns.sent == std::vector<std::string>{"third"});
        CHECK(fates() == Fates{{id, Fate::void_}, {other, Fate::sent}});
        // Registered anew, it is sent to.
        put("fourth", "gone");
        world.settle();
        CHECK(world.apns.sent.back() == "fourth");
    }
    SECTION("in flight: it goes on, and not again") {
        world.start();
        const auto id = put("second", "gone");
        world.settle();
        world.run([&] { world.dispatcher->forget_devices(gone); });
        CHECK(world.queue.results.empty());
        world.answer(world.apns, unseen());
        CHECK(fates() == Fates{{id, Fate::void_}});
        world.pass(60s);
        CHECK(world.apns.sent.size() == 1);
    }
}

} // namespace
} // namespace fanfare::delivery
