// Joining, replay, live, patterns and leaving.

#include "support/session_client.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace fanfare;
using namespace fanfare::session;
using namespace fanfare::session::test;

namespace {

Options anonymous() {
    Options options;
    options.anonymous = true;
    return options;
}

/// A world in which tokens do not expire.
struct Lasting : World {
    explicit Lasting(const Options& given = anonymous(), unsigned count = 1,
                     const room::Options& room_options = {})
        : World(given, count, room_options) {
        tokens.grants.closes = 4'000'000'000;
    }
};

Lines resume(Client& client, const char* room, const Position& since) {
    return client.run([&](Session& s) { s.subscribe(1, {room, since, 0, {}}); });
}
Lines newest(Client& client, const char* room, std::uint32_t last) {
    return client.run([&](Session& s) { s.subscribe(1, {room, std::nullopt, last, {}}); });
}

} // namespace

// --- subscribing ---

TEST_CASE("session rooms: what a subscribe is refused for", "[session][protocol-2]") {
    Lasting world;
    world.tokens.grants.subscribe = {"grant:1"};
    struct Case {
        const char* user;
        const char* room;
        const char* answer;
    };
    const auto c = GENERATE(values<Case>({
        {"", "open:1", "ok 1 open:1 @0"},
        {"", "user:1", "error 1 unauthorized"},
        {"u1", "user:1", "ok 1 user:1 @0"},
        {"", "grant:1", "error 1 unauthorized"},
        {"u1", "grant:1", "ok 1 grant:1 @0"},
        {"u1", "grant:2", "error 1 forbidden"},
        {"u1", "nowhere", "error 1 not_found"},
        {"u1", "@all", "error 1 not_found"},
        {"", "@me", "error 1 unauthorized"},
        {"u1", "@me", "error 1 unavailable"},
    }));
    CAPTURE(c.user, c.room);
    Client client{world};
    CHECK(client.open(c.user).subscribe(c.room) == Lines{c.answer});
}

TEST_CASE("session rooms: once per room, and as many rooms as allowed", "[session][protocol-2]") {
    Options options = anonymous();
    options.rooms_max = 2;
    Lasting world{options};
    Client client{world};
    client.open();
    CHECK(client.subscribe("open:1") == Lines{"ok 1 open:1 @0"});
    CHECK(client.subscribe("open:1") == Lines{"error 1 already_subscribed"});
    CHECK(client.subscribe("open:2") == Lines{"ok 1 open:2 @0"});
    CHECK(client.subscribe("open:3") == Lines{"error 1 limit_reached"});
    CHECK(client.unsubscribe("open:1") == Lines{"left 2 open:1"});
    CHECK(client.subscribe("open:3") == Lines{"ok 1 open:3 @0"});
    CHECK(client.unsubscribe("open:1") == Lines{"error 2 not_subscribed"});
}

TEST_CASE("session rooms: nothing comes after leaving", "[session]") {
    Lasting world;
    Client client{world};
    client.open().subscribe("open:1");
    client.unsubscribe("open:1");
    world.publish("open:1", "1");
    CHECK(client.take().empty());
}

TEST_CASE("session rooms: a room that cannot be had", "[session]") {
    room::Options bounds;
    bounds.rooms_max = 1;
    Lasting world{anonymous(), 1, bounds};
    Client holder{world};
    Client client{world};
    holder.open().subscribe("open:1");
    client.open();
    SECTION("is told, and the session goes on") {
        CHECK(client.subscribe("open:2") == Lines{"error 1 limit_reached"});
        CHECK(client.session->find("open:2") == nullptr);
        CHECK(client.subscribe("open:1") == Lines{"ok 1 open:1 @0"});
        CHECK(client.unsubscribe("open:2") == Lines{"error 2 not_subscribed"});
    }
    SECTION("an answer that ends the connection ends it cleanly") {
        client.close_on_error = CloseReason::slow_consumer;
        CHECK(client.subscribe("open:2") == Lines{"error 1 limit_reached"});
        CHECK(client.closed == CloseReason::slow_consumer);
    }
    SECTION("both requests are answered if it was to be left again") {
        CHECK(client.run([](Session& s) {
            s.subscribe(1, {"open:2", std::nullopt, 0, {}});
            s.unsubscribe(2, "open:2");
        }) == Lines{"error 1 limit_reached", "error 2 not_subscribed"});
    }
    SECTION("nothing is said after the end") {
        client.close_on_error = CloseReason::slow_consumer;
        CHECK(client.run([](Session& s) {
            s.subscribe(1, {"open:2", std::nullopt, 0, {}});
            s.unsubscribe(2, "open:2");
        }) == Lines{"error 1 limit_reached"});
    }
    SECTION("the API's wish is dropped quietly") {
        CHECK(client.run([](Session& s) { CHECK(s.server_subscribe("open:2")); }).empty());
        CHECK(client.session->find("open:2") == nullptr);
    }
    // The holder's place was not touched.
    world.publish("open:1", "1");
    CHECK(holder.take() == Lines{"open:1 1:1;"});
}

TEST_CASE("session rooms: unsubscribe while joining is answered after the join", "[session]") {
    Lasting world;
    Client client{world};
    client.open();
    CHECK(client.run([](Session& s) {
        s.subscribe(1, {"open:1", std::nullopt, 0, {}});
        s.unsubscribe(2, "open:1");
        s.unsubscribe(3, "open:1");
    }) == Lines{"error 3 not_subscribed", "ok 1 open:1 @0", "left 2 open:1"});
    CHECK(client.session->find("open:1") == nullptr);
    world.publish("open:1", "1");
    CHECK(client.take().empty());
}

TEST_CASE("session rooms: requests in a row mean what they mean one by one", "[session]") {
    Lasting world;
    Client client{world};
    client.open();
    CHECK(client.run([](Session& s) {
        s.subscribe(1, {"open:1", std::nullopt, 0, {}});
        s.unsubscribe(2, "open:1");
        s.publish(3, {"open:1", "1", {}, {}, false});
        s.subscribe(4, {"open:1", std::nullopt, 0, {}});
        s.subscribe(5, {"open:1", std::nullopt, 0, {}});
    }) == Lines{"error 3 forbidden", "error 5 already_subscribed", "ok 1 open:1 @0",
                "left 2 open:1", "ok 4 open:1 @0"});
    world.publish("open:1", "2");
    CHECK(client.take() == Lines{"open:1 1:2;"});
    CHECK(client.unsubscribe("open:1") == Lines{"left 2 open:1"});
    CHECK(client.unsubscribe("open:1") == Lines{"error 2 not_subscribed"});
}

TEST_CASE("session rooms: a session that ends while joining leaves nothing behind", "[session]") {
    Lasting world;
    {
        Client client{world};
        client.open();
        CHECK(client
                  .run([](Session& s) {
                      s.subscribe(1, {"open:1", std::nullopt, 0, {}});
                      s.subscribe_pattern(2, "open:*");
                      s.end();
                  })
                  .empty());
    }
    std::uint64_t subscribers = 7;
    world.run([&] {
        world.rooms[0]->info("open:1",
                             [&](const room::RoomInfo& info) { subscribers = info.subscribers; });
    });
    CHECK(subscribers == 0);
    world.publish("open:1", "1"); // nobody is there to get it
}

// --- resume ---

TEST_CASE("session rooms: resume gives what came meanwhile, then live", "[session][resume]") {
    Lasting world;
    Client client{world, {.direct = GENERATE(false, true)}};
    client.open();
    world.publish("open:1", "1");
    world.publish("open:1", "2");
    client.subscribe("open:1");
    const Position now = client.position;
    client.unsubscribe("open:1");
    world.publish("open:1", "3");
    world.publish("open:1", "4");
    client.pipe->output.clear();
    const auto messages = [&](Lines lines) {
        std::string all = client.pipe->take_output();
        for (const std::string& line : lines)
            if (line.starts_with("open:1 ")) all += line.substr(7);
        return all;
    };
    const Lines answer = resume(client, "open:1", now);
    CHECK(answer.at(0) == "ok 1 open:1 @4 recovered");
    CHECK(messages(answer) == "3:3;4:4;");
    world.publish("open:1", "5");
    CHECK(messages(client.take()) == "5:5;");
    CHECK(world.sessions[0]->resumes_recovered.value() == 1);
    CHECK(world.sessions[0]->replayed_messages.value() == 2);
}

TEST_CASE("session rooms: a resume that cannot be is told and replays nothing",
          "[session][resume]") {
    Lasting world;
    Client client{world};
    client.open();
    world.publish("open:1", "1");
    client.subscribe("open:1");
    const Epoch epoch = client.position.epoch;
    client.unsubscribe("open:1");
    CHECK(resume(client, "open:1", {Epoch::fresh(), 0}) == Lines{"ok 1 open:1 @1 lost"});
    client.unsubscribe("open:1");
    CHECK(resume(client, "open:1", {epoch, 2}) == Lines{"ok 1 open:1 @1 lost"});
    client.unsubscribe("open:1");
    CHECK(resume(client, "open:1", {epoch, 1}) == Lines{"ok 1 open:1 @1 recovered"});
    client.unsubscribe("open:1");
    CHECK(newest(client, "open:1", 10) == Lines{"ok 1 open:1 @1", "open:1 1:1;"});
    CHECK(world.sessions[0]->resumes_lost.value() == 2);
}

TEST_CASE("session rooms: replay keeps to half of the queue", "[session][resume]") {
    Options options = anonymous();
    options.send_queue_max = 4'000;
    Lasting world{options};
    Client client{world};
    client.open();
    const std::string data = '"' + std::string(98, 'x') + '"';
    const int rooms = GENERATE(1, 3);
    CAPTURE(rooms);
    for (int r = 0; r < rooms; ++r)
        for (int i = 0; i < 60; ++i) world.publish("open:" + std::to_string(r), data);
    client.count_queued = true;
    client.queued = 0;
    // All rooms at once, as a client that reconnects does it.
    std::vector<std::string> got = client.run([&](Session& s) {
        for (int r = 0; r < rooms; ++r)
            s.subscribe(r, {"open:" + std::to_string(r), std::nullopt, 60, {}});
    });
    std::size_t highest = *client.queued;
    for (int turn = 0; turn < 200 && *client.queued != 0; ++turn) {
        highest = std::max(highest, *client.queued);
        client.queued = 0;
        for (std::string& line : client.run([](Session& s) { s.drained(); }))
            got.push_back(std::move(line));
    }
    CHECK_FALSE(client.closed);
    CHECK(highest <= 2'000);
    CHECK(highest > 500); // and uses it
    for (int r = 0; r < rooms; ++r) {
        const std::string room = "open:" + std::to_string(r) + " ";
        Lines of_room;
        std::copy_if(got.begin(), got.end(), std::back_inserter(of_room),
                     [&](const std::string& line) { return line.starts_with(room); });
        REQUIRE(of_room.size() == 60);
        for (int i = 0; i < 60; ++i)
            CHECK(of_room[static_cast<std::size_t>(i)].starts_with(room + std::to_string(i + 1) +
                                                                   ":"));
    }
    // Live again, without a hole.
    client.take();
    world.publish("open:0", "1");
    CHECK(client.take() == Lines{"open:0 61:1;"});
}

TEST_CASE("session rooms: replay waits for a queue that is filled already", "[session][resume]") {
    Options options = anonymous();
    options.send_queue_max = 4'000;
    Lasting world{options};
    Client client{world};
    client.open();
    world.publish("open:1", "1");
    client.queued = 1'500;
    CHECK(newest(client, "open:1", 1) == Lines{"ok 1 open:1 @1"});
    world.publish("open:1", "2"); // while it waits: not live yet
    CHECK(client.take().empty());
    client.queued = 0;
    CHECK(client.run([](Session& s) { s.drained(); }) == Lines{"open:1 1:1;", "open:1 2:2;"});
}

TEST_CASE("session rooms: bytes that the estimate did not see stop a replay", "[session][resume]") {
    // An SSE stream of many rooms writes an id line before each message, which may be longer than
    // the message.
    Options options = anonymous();
    options.send_queue_max = 4'000;
    Lasting world{options};
    Client client{world};
    client.open();
    for (int i = 0; i < 60; ++i) world.publish("open:1", "1");
    client.queued = 0;
    int got = 0;
    const auto count = [&](const Lines& lines) {
        for (const std::string& line : lines) got += line.starts_with("open:1 ") ? 1 : 0;
    };
    client.overhead = 600;
    client.count_queued = true;
    count(newest(client, "open:1", 60));
    for (int turn = 0; turn < 200 && *client.queued != 0; ++turn) {
        CHECK(*client.queued <= 2'000 + 610);
        client.queued = 0;
        count(client.run([](Session& s) { s.drained(); }));
    }
    CHECK_FALSE(client.closed);
    CHECK(got == 60);
}

TEST_CASE("session rooms: history that is cut under a replay is a reset", "[session][resume]") {
    Options options = anonymous();
    options.send_queue_max = 400;
    Lasting world{options};
    Client client{world};
    client.open();
    for (int i = 1; i <= 3; ++i) world.publish("open:1", std::to_string(i));
    client.count_queued = true;
    client.queued = 0;
    CHECK(newest(client, "open:1", 3) ==
          Lines{"ok 1 open:1 @3", "open:1 1:1;", "open:1 2:2;", "open:1 3:3;"});
    client.unsubscribe("open:1");
    client.queued = 150;
    newest(client, "open:1", 3);
    for (int i = 4; i <= 103; ++i) world.publish("open:1", std::to_string(i));
    client.queued = 0;
    CHECK(client.run([](Session& s) { s.drained(); }) == Lines{"reset open:1 @103"});
    world.publish("open:1", "104");
    CHECK(client.take() == Lines{"open:1 104:104;"});
}

TEST_CASE("session rooms: leaving a room in mid-replay lets the others go on",
          "[session][resume]") {
    Options options = anonymous();
    options.send_queue_max = 4'000;
    Lasting world{options};
    Client client{world};
    client.open();
    const std::string data = '"' + std::string(98, 'x') + '"';
    for (int i = 0; i < 30; ++i) {
        world.publish("open:1", data);
        world.publish("open:2", data);
    }
    // Both replay, both are left or go on while a batch may be on its way.
    const Lines got = client.run([&](Session& s) {
        s.subscribe(1, {"open:1", std::nullopt, 30, {}});
        s.subscribe(2, {"open:2", std::nullopt, 30, {}});
    });
    client.run([&](Session& s) { s.unsubscribe(3, "open:1"); });
    for (int turn = 0; turn < 20; ++turn) client.run([](Session& s) { s.drained(); });
    world.publish("open:2", "1");
    const Lines live = client.take();
    CHECK(live == Lines{"open:2 31:1;"});
}

// --- what the server does ---

TEST_CASE("session rooms: the API subscribes and unsubscribes", "[session][protocol-2]") {
    Lasting world;
    Client client{world};
    client.open("u1");
    const Error why{Code::forbidden, "by the API", {}};
    bool done = false;
    const auto add = [&](const char* room) {
        return client.run([&](Session& s) { done = s.server_subscribe(room); });
    };
    const auto remove = [&](const char* room) {
        return client.run([&](Session& s) { done = s.server_unsubscribe(room, why); });
    };
    CHECK(add("grant:1") == Lines{"subscribed grant:1 @0"}); // whatever the token grants
    CHECK(done);
    CHECK(add("grant:1").empty());
    CHECK_FALSE(done);
    world.publish("grant:1", "1");
    CHECK(client.take() == Lines{"grant:1 1:1;"});
    CHECK(client.subscribe("grant:1") == Lines{"error 1 forbidden"});
    CHECK(remove("grant:1") == Lines{"unsubscribed grant:1 forbidden"});
    CHECK(done);
    CHECK(remove("grant:1").empty());
    CHECK_FALSE(done);
    client.subscribe("open:1");
    CHECK(remove("open:1") == Lines{"unsubscribed open:1 forbidden"});
    client.run([](Session& s) { s.end(); });
    CHECK(add("open:1").empty());
    CHECK_FALSE(done);
}

TEST_CASE("session rooms: the API does not pass the session's bound", "[session]") {
    Options options = anonymous();
    options.rooms_max = 1;
    Lasting world{options};
    Client client{world};
    client.open().subscribe("open:1");
    CHECK(client.run([](Session& s) { CHECK_FALSE(s.server_subscribe("open:2")); }).empty());
}

TEST_CASE("session rooms: the API unsubscribes what is still joining", "[session]") {
    Lasting world;
    Client client{world};
    client.open();
    const Error why{Code::forbidden, "by the API", {}};
    SECTION("the client's request gets its one answer") {
        CHECK(client.run([&](Session& s) {
            s.subscribe(1, {"open:1", std::nullopt, 0, {}});
            CHECK(s.server_unsubscribe("open:1", why));
        }) == Lines{"error 1 forbidden"});
    }
    SECTION("both of its requests") {
        CHECK(client.run([&](Session& s) {
            s.subscribe(1, {"open:1", std::nullopt, 0, {}});
            s.unsubscribe(2, "open:1");
            CHECK(s.server_unsubscribe("open:1", why));
        }) == Lines{"error 1 forbidden", "left 2 open:1"});
    }
    SECTION("nobody was told of a join by the API") {
        CHECK(client
                  .run([&](Session& s) {
                      CHECK(s.server_subscribe("open:1"));
                      CHECK(s.server_unsubscribe("open:1", why));
                  })
                  .empty());
    }
    SECTION("nothing is said after the end") {
        client.close_on_error = CloseReason::slow_consumer;
        CHECK(client.run([&](Session& s) {
            s.subscribe(1, {"open:1", std::nullopt, 0, {}});
            s.unsubscribe(2, "open:1");
            CHECK(s.server_unsubscribe("open:1", why));
        }) == Lines{"error 1 forbidden"});
    }
    CHECK(client.session->find("open:1") == nullptr);
    world.publish("open:1", "1");
    CHECK(client.take().empty());
}

TEST_CASE("session rooms: new rules are followed by those who are in", "[session][reload]") {
    Lasting world;
    Client nobody{world};
    Client user{world};
    nobody.open();
    user.open("u1");
    for (Client* client : {&nobody, &user}) {
        client->subscribe("open:1");
        client->subscribe("plain:1");
    }
    nobody.run([](Session& s) { CHECK(s.server_subscribe("open:2")); });
    auto rules = test_rules();
    rules[0].subscribe = room::SubscribeRight::user; // open:*
    rules.erase(rules.begin() + 1);                  // plain:*
    nobody.take();
    user.take();
    world.reload(rules);
    Lines told = nobody.take();
    std::sort(told.begin(), told.end());
    CHECK(told == Lines{"unsubscribed open:1 unauthorized", "unsubscribed plain:1 not_found"});
    CHECK(user.take() == Lines{"unsubscribed plain:1 not_found"});
    world.publish("open:1", "1");
    CHECK(nobody.take().empty());
    CHECK(user.take() == Lines{"open:1 1:1;"});
    world.publish("open:2", "1"); // the API's own is not asked again
    CHECK(nobody.take() == Lines{"open:2 1:1;"});
}

TEST_CASE("session rooms: a reload that leaves rights alone says nothing", "[session][reload]") {
    Lasting world;
    Client client{world};
    client.open().subscribe("open:1");
    world.reload(test_rules());
    CHECK(client.take().empty());
    world.publish("open:1", "1");
    CHECK(client.take() == Lines{"open:1 1:1;"});
}

TEST_CASE("session rooms: new limits hold for sessions that exist", "[session][reload]") {
    Lasting world;
    Client client{world};
    client.open();
    world.options.rooms_max = 0;
    world.options.anonymous = false;
    world.reload(test_rules());
    CHECK(client.subscribe("open:1") == Lines{"error 1 unauthorized"});
    client.auth("u1");
    CHECK(client.subscribe("open:1") == Lines{"error 1 limit_reached"});
}

// --- patterns ---

TEST_CASE("session rooms: patterns", "[session][patterns]") {
    Options options = anonymous();
    options.patterns_max = 2;
    Lasting world{options};
    Client client{world};
    client.open();
    CHECK(client.pattern("open:*") == Lines{"pattern 3 open:*"});
    CHECK(client.pattern("open:*") == Lines{"error 3 already_subscribed"});
    CHECK(client.pattern("*") == Lines{"pattern 3 *"});
    CHECK(client.pattern("x*") == Lines{"error 3 limit_reached"});
    const auto leave = [&](const char* pattern) {
        return client.run([&](Session& s) { s.unsubscribe_pattern(4, pattern); });
    };
    CHECK(leave("x*") == Lines{"error 4 not_subscribed"});
    CHECK(leave("*") == Lines{"left pattern 4 *"});
    CHECK(client.pattern("x*") == Lines{"pattern 3 x*"});
    world.publish("open:1", "1");
    CHECK(client.take() == Lines{"open:1 1:1;"});
    leave("open:*");
    world.publish("open:1", "2");
    CHECK(client.take().empty());
}

TEST_CASE("session rooms: a pattern that is left while it is being asked for", "[session]") {
    Lasting world;
    Client client{world};
    client.open();
    CHECK(client.run([](Session& s) {
        s.subscribe_pattern(1, "open:*");
        s.unsubscribe_pattern(2, "open:*");
        s.subscribe_pattern(3, "open:*");
    }) == Lines{"pattern 1 open:*", "left pattern 2 open:*", "pattern 3 open:*"});
    world.publish("open:1", "1");
    CHECK(client.take() == Lines{"open:1 1:1;"});
}

TEST_CASE("session rooms: a pattern shows what the session might subscribe to",
          "[session][patterns]") {
    Lasting world;
    world.tokens.grants.subscribe = {"grant:1"};
    Client nobody{world};
    Client user{world};
    nobody.open().pattern("*");
    user.open("u1").pattern("*");
    struct Case {
        const char* room;
        bool nobody;
        bool user;
    };
    const auto c = GENERATE(values<Case>({{"open:1", true, true},
                                          {"plain:1", false, false}, // not by pattern
                                          {"user:1", false, false},
                                          {"grant:1", false, true},
                                          {"grant:2", false, false},
                                          {"nowhere", false, false}}));
    CAPTURE(c.room);
    nobody.take();
    user.take();
    world.publish(c.room, "1");
    CHECK(nobody.take().size() == (c.nobody ? 1U : 0U));
    CHECK(user.take().size() == (c.user ? 1U : 0U));
}

TEST_CASE("session rooms: what comes by several ways comes once", "[session][patterns]") {
    Lasting world;
    Client client{world};
    client.open().pattern("open:*");
    client.pattern("*:1");
    world.publish("open:1", "1");
    CHECK(client.take() == Lines{"open:1 1:1;"});
    client.subscribe("open:1");
    world.publish("open:1", "2");
    CHECK(client.take() == Lines{"open:1 2:2;"});
    world.publish("open:1", "3", true);
    CHECK(client.take() == Lines{"open:1 0:3;"});
    client.unsubscribe("open:1");
    world.publish("open:1", "4");
    CHECK(client.take() == Lines{"open:1 3:4;"});
}

TEST_CASE("session rooms: once also around a join", "[session][patterns]") {
    Lasting world;
    Client client{world};
    client.open().pattern("open:*");
    world.publish("open:1", "1");
    client.subscribe("open:1");
    const Position seen = client.position;
    client.unsubscribe("open:1");
    client.take();
    // A message that is under way when the session asks to join: before, the pattern brings it;
    // after, the room does.
    SECTION("without replay") {
        CHECK(client.run([&](Session& s) {
            world.publish_now("open:1", "2");
            s.subscribe(1, {"open:1", std::nullopt, 0, {}});
            world.publish_now("open:1", "3");
        }) == Lines{"open:1 2:2;", "ok 1 open:1 @2", "open:1 3:3;"});
    }
    SECTION("with replay it is the replay's") {
        CHECK(client.run([&](Session& s) {
            world.publish_now("open:1", "2");
            s.subscribe(1, {"open:1", seen, 0, {}});
            world.publish_now("open:1", "3");
        }) == Lines{"ok 1 open:1 @2 recovered", "open:1 2:2;", "open:1 3:3;"});
    }
}

// --- queues ---

TEST_CASE("session rooms: ephemeral messages are the first to be dropped",
          "[session][protocol-2]") {
    Options options = anonymous();
    options.send_queue_max = 1'000;
    Lasting world{options};
    Client client{world};
    client.open().subscribe("open:1");
    client.queued = 500;
    world.publish("open:1", "1", true);
    CHECK(client.take() == Lines{"open:1 0:1;"});
    client.queued = 501;
    world.publish("open:1", "2", true);
    CHECK(client.take().empty());
    CHECK(world.sessions[0]->ephemeral_dropped.value() == 1);
    world.publish("open:1", "3");
    CHECK(client.take() == Lines{"open:1 1:3;"});
}

TEST_CASE("session rooms: a slow consumer is cut off", "[session][close-4408]") {
    Options options = anonymous();
    options.send_queue_max = 100;
    Lasting world{options};
    Client slow{world, {.direct = GENERATE(false, true)}};
    Client other{world};
    slow.open().subscribe("open:1");
    other.open().subscribe("open:1");
    slow.pipe->room = 0;
    const auto fill = [&](std::size_t bytes) {
        slow.run(
            [&](Session&) { slow.queue().push(LocalBytes::copy_of(std::string(bytes, '.'))); });
    };
    fill(96);
    world.publish("open:1", "1"); // "1:1;" just fits
    CHECK_FALSE(slow.closed);
    fill(1);
    world.publish("open:1", "2");
    CHECK(slow.closed == CloseReason::slow_consumer);
    CHECK(world.sessions[0]->slow_consumers.value() == 1);
    world.publish("open:1", "3");
    CHECK(other.take() == Lines{"open:1 1:1;", "open:1 2:2;", "open:1 3:3;"});
}

TEST_CASE("session rooms: one message fits an empty queue, whatever its size", "[session]") {
    Options options = anonymous();
    options.send_queue_max = 10;
    Lasting world{options};
    Client client{world, {.direct = GENERATE(false, true)}};
    client.open().subscribe("open:1");
    world.publish("open:1", '"' + std::string(100, 'x') + '"');
    CHECK_FALSE(client.closed);
}

TEST_CASE("session rooms: joins and leaves are bounded too", "[session][close-4408]") {
    Options options = anonymous();
    options.send_queue_max = 100;
    Lasting world{options};
    Client slow{world};
    slow.open("u1").subscribe("chat:1");
    slow.queued = 96;
    Client second{world};
    second.open("u2").subscribe("chat:1");
    CHECK(slow.take() == Lines{"bytes +u2;"}); // 4 bytes
    CHECK_FALSE(slow.closed);
    slow.queued = 97;
    Client third{world};
    third.open("u3").subscribe("chat:1");
    CHECK(slow.take().empty());
    CHECK(slow.closed == CloseReason::slow_consumer);
    CHECK(second.take() == Lines{"bytes +u3;"});
}

TEST_CASE("session rooms: a user's own sessions hear nothing of it", "[session][presence]") {
    Lasting world;
    Client first{world};
    Client other{world};
    first.open("u1").subscribe("chat:1");
    other.open("u2").subscribe("chat:1");
    first.take();
    {
        Client second{world};
        second.open("u1").subscribe("chat:1");
        CHECK(first.take().empty());
        CHECK(other.take().empty()); // not the user's first session
    }
    world.pass(6s);
    CHECK(other.take().empty()); // nor its last
    first.unsubscribe("chat:1");
    world.pass(6s);
    CHECK(other.take() == Lines{"bytes -u1;"});
}
