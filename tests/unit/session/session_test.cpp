// Identity, clocks, limits, publishing and questions. Rooms: session_rooms_test.cpp.

#include "support/session_client.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::session;
using namespace fanfare::session::test;

namespace {

Options anonymous() {
    Options options;
    options.anonymous = true;
    return options;
}
Options heartbeat(std::chrono::milliseconds beat) {
    Options options = anonymous();
    options.heartbeat = beat;
    return options;
}

} // namespace

// --- identity ---

TEST_CASE("session: without a token nothing but auth and ping is done", "[session][protocol-2]") {
    World world;
    Client client{world};
    client.open();
    const Lines refused{"error 1 unauthorized"};
    const SubscribeRequest room{"open:1", std::nullopt, 0, {}};
    CHECK(client.run([&](Session& s) { s.subscribe(1, room); }) == refused);
    CHECK(client.run([](Session& s) { s.subscribe_pattern(1, "open:*"); }) == refused);
    CHECK(client.run([](Session& s) { s.unsubscribe(1, "open:1"); }) == refused);
    CHECK(client.run([](Session& s) { s.unsubscribe_pattern(1, "open:*"); }) == refused);
    CHECK(client.run([](Session& s) { s.publish(1, {"open:1", "1", {}, {}, true}); }) == refused);
    CHECK(client.run([](Session& s) { s.acknowledge(1, "@me", 1); }) == refused);
    CHECK(client.run([](Session& s) { s.history(1, {"open:1", {}, {}, false}); }) == refused);
    CHECK(client.run([](Session& s) { s.presence(1, "chat:1"); }) == refused);
    CHECK(client.run([](Session& s) { s.ping(1); }) == Lines{"pong 1 "});
    CHECK(client.auth("u1") == Lines{"auth 6 u1"});
    CHECK(client.subscribe("open:1") == Lines{"ok 1 open:1 @0"});
    CHECK_FALSE(client.closed);
}

TEST_CASE("session: where anonymous clients are allowed they need no token", "[session]") {
    World world{anonymous()};
    Client client{world};
    client.open();
    CHECK(client.session->identity() == nullptr);
    CHECK(client.session->user().empty());
    CHECK(client.subscribe("open:1") == Lines{"ok 1 open:1 @0"});
    CHECK(client.subscribe("user:1") == Lines{"error 1 unauthorized"});
    CHECK(client.subscribe("grant:1") == Lines{"error 1 unauthorized"});
}

TEST_CASE("session: a bad token in-band is told and ends the session", "[session][close-4401]") {
    World world;
    Client client{world};
    client.open("u1");
    CHECK(client.auth("bad") == Lines{"error 6 unauthorized"});
    CHECK(client.closed == CloseReason::unauthorized);
}

TEST_CASE("session: another user's token changes nothing", "[session][protocol-2]") {
    World world;
    Client client{world};
    client.open("u1");
    client.subscribe("user:1");
    CHECK(client.auth("u2") == Lines{"error 6 forbidden"});
    CHECK(client.session->user() == "u1");
    CHECK(client.unsubscribe("user:1") == Lines{"left 2 user:1"});
    CHECK_FALSE(client.closed);
}

TEST_CASE("session: a refresh puts off the end and takes the new grants", "[session]") {
    World world;
    const std::int64_t now = world.clock.wall() / 1000;
    world.tokens.grants.closes = now + 10;
    world.tokens.grants.subscribe = {"grant:*"};
    Client client{world};
    client.open("u1");
    client.subscribe("grant:1");
    client.subscribe("user:1");
    world.tokens.grants.closes = now + 20;
    world.tokens.grants.subscribe = {"grant:2"};
    CHECK(client.auth("u1") == Lines{"auth 6 u1", "unsubscribed grant:1 forbidden"});
    world.pass(15s);
    CHECK_FALSE(client.closed);
    CHECK(client.unsubscribe("user:1") == Lines{"left 2 user:1"});
    world.pass(6s);
    CHECK(client.closed == CloseReason::unauthorized);
}

TEST_CASE("session: one auth at a time", "[session]") {
    World world;
    Client client{world};
    client.open();
    world.tokens.hold = true;
    CHECK(client.auth("u1", 1).empty());
    CHECK(client.auth("u1", 2) == Lines{"error 2 conflict"});
    CHECK(client.run([&](Session&) { world.tokens.release(); }) == Lines{"auth 1 u1"});
    client.auth("u1", 3);
    CHECK(client.run([&](Session&) { world.tokens.release(); }) == Lines{"auth 3 u1"});
}

TEST_CASE("session: an answer about a token finds nobody when the session is gone", "[session]") {
    World world;
    world.tokens.hold = true;
    {
        Client client{world};
        client.open();
        client.auth("u1");
    }
    REQUIRE(world.tokens.waiting.size() == 1);
    Client next{world}; // in the same slot
    next.open();
    CHECK(next.run([&](Session&) { world.tokens.release(); }).empty());
    CHECK(next.session->identity() == nullptr);
}

TEST_CASE("session: an anonymous session in rooms becomes a user's, presence follows",
          "[session][protocol-2]") {
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    Client client{world};
    Client other{world};
    client.open().subscribe("chat:1");
    other.open("u2").subscribe("chat:1");
    const auto presence = [&] { return other.run([](Session& s) { s.presence(1, "chat:1"); }); };
    CHECK(presence() == Lines{"presence 1 1 of 2"});
    CHECK(client.auth("u1") == Lines{"auth 6 u1"});
    CHECK(other.take() == Lines{"bytes +u1;"});
    CHECK(presence() == Lines{"presence 1 2 of 2"});
    client.unsubscribe("chat:1");
    world.pass(6s);
    CHECK(presence() == Lines{"presence 1 1 of 1"});
}

// --- clocks ---

TEST_CASE("session: it ends when its token does", "[session][close-4401]") {
    World world;
    world.tokens.grants.closes = world.clock.wall() / 1000 + 5;
    Client client{world};
    client.open("u1");
    world.pass(4'975ms);
    CHECK_FALSE(client.closed);
    world.pass(75ms);
    CHECK(client.closed == CloseReason::unauthorized);
    CHECK(client.detail == "the token has expired");
}

TEST_CASE("session: a wall clock that was set ahead ends it at the next heartbeat", "[session]") {
    World world{heartbeat(2s)};
    world.tokens.grants.closes = world.clock.wall() / 1000 + 3'600;
    Client client{world};
    client.open("u1");
    world.clock.set_wall(world.clock.wall() + 3'600'000);
    world.pass(2'100ms);
    CHECK(client.closed == CloseReason::unauthorized);
}

TEST_CASE("session: a token must come in time where one is needed", "[session][close-4401]") {
    World world;
    Client silent{world};
    Client prompt{world};
    silent.open();
    prompt.open();
    world.pass(9'900ms);
    CHECK_FALSE(silent.closed);
    prompt.auth("u1");
    world.pass(200ms);
    CHECK(silent.closed == CloseReason::unauthorized);
    CHECK(silent.detail == "no token came in time");
    world.tokens.grants.closes = 4'000'000'000;        // for the next one
    CHECK(prompt.closed == CloseReason::unauthorized); // its own token has expired
    Client good{world};
    good.open().auth("u1");
    world.pass(20s);
    CHECK_FALSE(good.closed);
}

TEST_CASE("session: where anonymous clients are allowed none need come", "[session]") {
    World world{anonymous()};
    Client client{world};
    client.open();
    world.pass(20s);
    CHECK_FALSE(client.closed);
}

TEST_CASE("session: pings come every heartbeat, the first after half to one", "[session]") {
    World world{heartbeat(1s)};
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 40; ++i) clients.push_back(std::make_unique<Client>(world));
    for (auto& client : clients) client->open();
    const auto pinged = [&] {
        return std::count_if(clients.begin(), clients.end(),
                             [](const auto& client) { return client->pings > 0; });
    };
    world.pass(475ms);
    CHECK(pinged() == 0);
    world.pass(275ms);
    // Spread: of 40, neither all nor none in the first half (2^-39 by chance).
    CHECK(pinged() > 0);
    CHECK(pinged() < 40);
    world.pass(325ms);
    CHECK(pinged() == 40);
    const int before = clients[0]->pings;
    world.run([&] { clients[0]->session->heard(); });
    world.pass(1s);
    CHECK(clients[0]->pings == before + 1);
}

TEST_CASE("session: two heartbeats without any answer end it", "[session][close-4409]") {
    World world{heartbeat(1s)};
    Client silent{world};
    Client alive{world};
    Client stream{world, {.sse = true}};
    silent.open();
    alive.open();
    stream.open();
    world.pass(1'900ms);
    CHECK_FALSE(silent.closed);
    alive.run([](Session& s) { s.heard(); });
    world.pass(1'100ms);
    CHECK(silent.closed == CloseReason::idle);
    CHECK(world.sessions[0]->idle_closed.value() == 1);
    CHECK_FALSE(alive.closed);
    world.pass(5s);
    CHECK(alive.closed == CloseReason::idle);
    CHECK_FALSE(stream.closed); // it has no way to answer
    CHECK(stream.pings >= 6);
}

// --- rate ---

namespace {

/// Sends `n` messages; returns how many were admitted.
int send(Client& client, int n) {
    int admitted = 0;
    client.run([&](Session& s) {
        for (int i = 0; i < n && !client.closed; ++i) admitted += s.admit_message(7) ? 1 : 0;
    });
    return admitted;
}

} // namespace

TEST_CASE("session: messages over the limit of a window are refused", "[session][rate]") {
    Options options = anonymous();
    options.rate_messages = 3;
    World world{options};
    Client client{world};
    client.open();
    CHECK(send(client, 3) == 3);
    CHECK(client.run([](Session& s) { CHECK_FALSE(s.admit_message(7)); }) ==
          Lines{"error 7 rate_limited"});
    CHECK(send(client, 5) == 0);
    world.pass(1s);
    CHECK(send(client, 4) == 3);
    CHECK_FALSE(client.closed);
    CHECK(world.sessions[0]->messages_in.value() == 13);
    CHECK(world.sessions[0]->rate_limited.value() == 7);
}

TEST_CASE("session: ten windows in a row over the limit end it", "[session][close-4429]") {
    Options options = anonymous();
    options.rate_messages = 2;
    World world{options};
    Client client{world};
    client.open();
    const auto windows_over = [&](int n) {
        for (int i = 0; i < n; ++i) {
            world.pass(1s);
            send(client, 3);
        }
    };
    windows_over(9);
    REQUIRE_FALSE(client.closed);
    SECTION("the tenth") {
        world.pass(1s);
        CHECK(send(client, 2) == 2);
        CHECK_FALSE(client.closed);
        send(client, 1);
        CHECK(client.closed == CloseReason::rate);
    }
    SECTION("a silent window ends the row") {
        world.pass(1s);
        windows_over(9);
        CHECK_FALSE(client.closed);
        windows_over(1);
        CHECK(client.closed == CloseReason::rate);
    }
    SECTION("a window within the limit ends the row") {
        world.pass(1s);
        send(client, 2);
        windows_over(9);
        CHECK_FALSE(client.closed);
        windows_over(1);
        CHECK(client.closed == CloseReason::rate);
    }
    SECTION("many in one window are one strike") {
        send(client, 50);
        CHECK_FALSE(client.closed);
    }
}

// --- publishing ---

TEST_CASE("session: who may publish where", "[session][protocol-6]") {
    World world{anonymous()};
    world.tokens.grants.subscribe = {"grant:*"};
    world.tokens.grants.publish = {"grant:2"};
    world.tokens.grants.closes = 4'000'000'000;
    Client user{world};
    Client nobody{world};
    user.open("u1");
    nobody.open();
    struct Case {
        const char* room;
        bool join;
        const char* user;
        const char* anonymous;
    };
    const auto c = GENERATE(values<Case>({
        {"news:1", true, "error 4 forbidden", "error 4 forbidden"},
        {"open:1", false, "error 4 forbidden", "error 4 forbidden"},
        {"open:1", true, "published 4 open:1 @1", "published 4 open:1 @2"},
        {"user:1", false, "error 4 forbidden", "error 4 forbidden"},
        {"user:1", true, "published 4 user:1 @1", "error 4 forbidden"},
        {"grant:1", true, "error 4 forbidden", "error 4 unauthorized"},
        {"grant:2", false, "published 4 grant:2 @1", "error 4 unauthorized"},
        {"nowhere", false, "error 4 not_found", "error 4 not_found"},
        {"@me", false, "error 4 forbidden", "error 4 forbidden"},
        {"@all", false, "error 4 not_found", "error 4 not_found"},
    }));
    CAPTURE(c.room, c.join);
    if (c.join) {
        user.subscribe(c.room);
        nobody.subscribe(c.room);
    }
    CHECK(user.publish(c.room, "1").at(0) == c.user);
    CHECK(nobody.publish(c.room, "1").at(0) == c.anonymous);
}

TEST_CASE("session: a publisher gets its own message, after its ok", "[session][protocol-2]") {
    World world{anonymous()};
    Client client{world};
    client.open().subscribe("open:1");
    CHECK(client.publish("open:1", "7") == Lines{"published 4 open:1 @1", "open:1 1:7;"});
    // Without an id there is no ok.
    CHECK(client.run([](Session& s) {
        s.publish({}, {"open:1", "8", {}, {}, false});
    }) == Lines{"open:1 2:8;"});
}

TEST_CASE("session: ephemeral messages are not echoed and not numbered", "[session][protocol-2]") {
    World world{anonymous()};
    Client a{world};
    Client b{world};
    a.open().subscribe("open:1");
    b.open().subscribe("open:1");
    b.take();
    CHECK(a.whisper("open:1", "1") == Lines{"published 5 open:1 @0"});
    CHECK(b.take() == Lines{"open:1 0:1;"});
    CHECK(a.publish("open:1", "2").at(0) == "published 4 open:1 @1");
}

TEST_CASE("session: a key needs a user", "[session][idempotency]") {
    World world{anonymous()};
    Client client{world};
    client.open().subscribe("open:1");
    CHECK(client.publish("open:1", "1", "k1") == Lines{"error 4 bad_request"});
}

TEST_CASE("session: a publish with a key is not overtaken", "[session][idempotency]") {
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    Client client{world};
    client.open("u1").subscribe("open:1");
    world.keys.hold = true;
    CHECK(client.publish("open:1", "1", "k1").empty());
    CHECK(client.publish("open:1", "2").empty());
    CHECK(client.publish("open:1", "3", "k3").empty());
    CHECK(client.publish("open:1", "4").empty());
    REQUIRE(world.keys.waiting.size() == 1); // the second key is not asked for before its turn
    using Verdict = room::IdempotencyLog::Verdict;
    CHECK(client.run([&](Session&) { world.keys.answer(Verdict::first); }) ==
          Lines{"published 4 open:1 @1", "published 4 open:1 @2", "open:1 1:1;", "open:1 2:2;"});
    REQUIRE(world.keys.waiting.size() == 1);
    CHECK(client.run([&](Session&) { world.keys.answer(Verdict::first); }) ==
          Lines{"published 4 open:1 @3", "published 4 open:1 @4", "open:1 3:3;", "open:1 4:4;"});
    CHECK(world.keys.log == Lines{"finish user/u1/publish/k1 1", "finish user/u1/publish/k3 1"});
}

TEST_CASE("session: another session does not wait for a key", "[session][idempotency]") {
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    Client client{world};
    Client other{world};
    client.open("u1").subscribe("open:1");
    other.open("u1").subscribe("open:1");
    world.keys.hold = true;
    client.publish("open:1", "1", "k1");
    CHECK(other.publish("open:1", "2").at(0) == "published 4 open:1 @1");
}

TEST_CASE("session: what a key's verdict is answered with", "[session][idempotency]") {
    using Verdict = room::IdempotencyLog::Verdict;
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    Client client{world};
    client.open("u1").subscribe("open:1");
    world.keys.hold = true;
    client.publish("open:1", "1", "k1");
    room::PublishResult first;
    first.position = {Epoch::fresh(), 17};
    const auto answer = [&](Verdict verdict, const room::PublishResults& results = {}) {
        return client.run([&](Session&) { world.keys.answer(verdict, results); });
    };
    SECTION("duplicate") {
        CHECK(answer(Verdict::duplicate, {first}) == Lines{"published 4 open:1 @17 duplicate"});
    }
    SECTION("conflict") {
        CHECK(answer(Verdict::conflict) == Lines{"error 4 conflict"});
    }
    SECTION("full") {
        CHECK(answer(Verdict::full) == Lines{"error 4 unavailable"});
    }
    // Nothing of it is this publish's to finish, and the lane is free again.
    CHECK(world.keys.log.empty());
    CHECK(client.publish("open:1", "2").at(0) == "published 4 open:1 @1");
}

TEST_CASE("session: a publish that was refused gives its key back", "[session][idempotency]") {
    room::Options bounds;
    bounds.rooms_max = 1;
    World world{anonymous(), 1, bounds};
    world.tokens.grants.closes = 4'000'000'000;
    world.tokens.grants.publish = {"grant:*"};
    Client client{world};
    client.open("u1").subscribe("open:1"); // takes the only place
    CHECK(client.publish("grant:1", "1", "k1") == Lines{"error 4 limit_reached"});
    CHECK(world.keys.log == Lines{"abandon user/u1/publish/k1"});
}

TEST_CASE("session: the same key for another text is another question", "[session][idempotency]") {
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    Client client{world};
    client.open("u1").subscribe("open:1");
    client.subscribe("open:2");
    world.keys.hold = true;
    const auto fingerprint = [&](const PublishRequest& request) {
        client.run([&](Session& s) { s.publish(1, request); });
        const std::uint64_t value = world.keys.waiting.at(0).first.fingerprint;
        client.run([&](Session&) { world.keys.answer(room::IdempotencyLog::Verdict::conflict); });
        return value;
    };
    const std::uint64_t asked = fingerprint({"open:1", "1", {}, "k", false});
    CHECK(fingerprint({"open:1", "1", {}, "k", false}) == asked);
    CHECK(fingerprint({"open:2", "1", {}, "k", false}) != asked);
    CHECK(fingerprint({"open:1", "2", {}, "k", false}) != asked);
    CHECK(fingerprint({"open:1", "1", "e", "k", false}) != asked);
    CHECK(fingerprint({"open:1", "1", {}, "k", true}) != asked);
}

TEST_CASE("session: answers to a publish find nobody when the session is gone", "[session]") {
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    world.keys.hold = true;
    {
        Client client{world};
        client.open("u1").subscribe("open:1");
        client.publish("open:1", "1", "k1");
        client.publish("open:1", "2");
    }
    Client next{world};
    next.open("u1").subscribe("open:1");
    next.take();
    CHECK(next.run([&](Session&) { world.keys.answer(room::IdempotencyLog::Verdict::first); }) ==
          Lines{"open:1 1:1;", "open:1 2:2;"});
}

TEST_CASE("session: acknowledging", "[session][protocol-2]") {
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    Client nobody{world};
    Client user{world};
    nobody.open();
    user.open("u1");
    const auto ack = [](Client& client, const char* room) {
        return client.run([&](Session& s) { s.acknowledge(1, room, 1); });
    };
    CHECK(ack(nobody, "@me") == Lines{"error 1 unauthorized"});
    CHECK(ack(user, "open:1") == Lines{"error 1 bad_request"});
    CHECK(ack(user, "@me") == Lines{"error 1 unavailable"});
}

// --- questions ---

TEST_CASE("session: history and presence need the right to subscribe", "[session][protocol-2]") {
    World world{anonymous()};
    world.tokens.grants.closes = 4'000'000'000;
    Client client{world};
    client.open("u1");
    const auto history = [&](const char* room) {
        return client.run([&](Session& s) { s.history(1, {room, {}, {}, false}); });
    };
    const auto presence = [&](const char* room) {
        return client.run([&](Session& s) { s.presence(1, room); });
    };
    world.publish("open:1", "5");
    CHECK(history("open:1") == Lines{"history 1 5 end"}); // without subscribing
    CHECK(history("grant:1") == Lines{"error 1 forbidden"});
    CHECK(history("nowhere") == Lines{"error 1 not_found"});
    CHECK(history("@me") == Lines{"error 1 unavailable"});
    CHECK(presence("chat:1") == Lines{"presence 1 0 of 0"});
    CHECK(presence("grant:1") == Lines{"error 1 forbidden"});
    CHECK(presence("open:1") == Lines{"error 1 bad_request"}); // its rule has no presence
}

TEST_CASE("session: history keeps to its limits", "[session][protocol-2]") {
    Options options = anonymous();
    options.history_limit_default = 2;
    options.history_limit_max = 3;
    World world{options};
    Client client{world};
    client.open();
    for (const char* data : {"1", "2", "3", "4"}) world.publish("open:1", data);
    const auto ask = [&](std::optional<std::uint64_t> limit, bool reverse) {
        return client.run([&](Session& s) { s.history(1, {"open:1", {}, limit, reverse}); });
    };
    CHECK(ask({}, false) == Lines{"history 1 3 4 more"});
    CHECK(ask(1'000, false) == Lines{"history 1 2 3 4 more"});
    CHECK(ask(1, true) == Lines{"history 1 4 more"});
}

TEST_CASE("session: a client that does not read gets no history piled up",
          "[session][close-4408]") {
    Options options = anonymous();
    options.send_queue_max = 1'000;
    World world{options};
    Client client{world};
    client.open();
    world.publish("open:1", "1");
    client.pipe->room = 0;
    const auto fill = [&](std::size_t bytes) {
        client.run(
            [&](Session&) { client.queue().push(LocalBytes::copy_of(std::string(bytes, '.'))); });
    };
    SECTION("at the bound it is answered") {
        fill(1'000);
        CHECK(client.run([](Session& s) {
            s.history(1, {"open:1", {}, {}, false});
        }) == Lines{"history 1 1 end"});
    }
    SECTION("above it it is cut off") {
        fill(1'001);
        CHECK(client.run([](Session& s) { s.history(1, {"open:1", {}, {}, false}); }).empty());
        CHECK(client.closed == CloseReason::slow_consumer);
        CHECK(world.sessions[0]->slow_consumers.value() == 1);
    }
}

TEST_CASE("session: an answer finds nobody when the session is gone", "[session]") {
    World world{anonymous()};
    Client client{world};
    client.open();
    CHECK(client
              .run([](Session& s) {
                  s.history(1, {"open:1", {}, {}, false});
                  s.presence(2, "chat:1");
                  s.end();
              })
              .empty());
}
