// The registry, and what reaches a user's sessions on all reactors.

#include "support/session_client.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace fanfare;
using namespace fanfare::session;
using namespace fanfare::session::test;

namespace {

Options anonymous() {
    Options options;
    options.anonymous = true;
    return options;
}

struct Lasting : World {
    explicit Lasting(unsigned count = 1, const Options& given = anonymous()) : World(given, count) {
        tokens.grants.closes = 4'000'000'000;
    }

    std::set<std::string> ids_of(const std::string& user) {
        std::set<std::string> ids;
        int calls = 0;
        run([&] {
            sessions[0]->find_user(user, [&](const std::vector<SessionInfo>& found) {
                ++calls;
                for (const SessionInfo& info : found) ids.insert(info.id);
            });
        });
        CHECK(calls == 1);
        return ids;
    }
};

using Clients = std::vector<std::unique_ptr<Client>>;

} // namespace

TEST_CASE("sessions: the user index follows who comes and goes", "[session]") {
    Lasting world;
    Clients clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(std::make_unique<Client>(world));
        clients.back()->open("u1");
    }
    Client other{world};
    other.open("u2");
    std::set<std::string> expected;
    for (const auto& client : clients) expected.insert(client->session->id());
    REQUIRE(expected.size() == 4);
    CHECK(world.ids_of("u1") == expected);
    // In every order: the first is the one whose text is the table's key.
    const auto order = GENERATE(values<std::array<std::size_t, 4>>(
        {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 0, 1, 3}, {0, 3, 1, 2}}));
    for (const std::size_t i : order) {
        expected.erase(clients[i]->session->id());
        clients[i].reset();
        CHECK(world.ids_of("u1") == expected);
    }
    CHECK(world.ids_of("u2").size() == 1);
    CHECK(world.ids_of("nobody").empty());
}

TEST_CASE("sessions: a refreshed token keeps a session in its user's list", "[session]") {
    Lasting world;
    Client first{world};
    Client second{world};
    first.open("u1");
    second.open("u1");
    const auto refreshed = GENERATE(0, 1);
    (refreshed == 0 ? first : second).auth("u1"); // another identity object, the old one is gone
    CHECK(world.ids_of("u1") == std::set{first.session->id(), second.session->id()});
    first.run([](Session& s) { s.end(); });
    CHECK(world.ids_of("u1") == std::set{second.session->id()});
}

TEST_CASE("sessions: found by the public id, and only by the whole of it", "[session]") {
    Lasting world{2};
    Client here{world};
    Client there{world, {.reactor = 1}};
    here.open("u1");
    there.open("u1");
    const std::string id = here.session->id();
    CHECK(id.size() == 16);
    Sessions& sessions = *world.sessions[0];
    CHECK(sessions.find_id(id) == here.session.get());
    CHECK(sessions.find_id(there.session->id()) == nullptr);
    CHECK(world.sessions[1]->find_id(there.session->id()) == there.session.get());
    for (std::size_t i = 0; i < id.size(); ++i) {
        std::string wrong = id;
        wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
        CHECK(sessions.find_id(wrong) == nullptr);
    }
    CHECK(sessions.find_id("") == nullptr);
    CHECK(sessions.find_id(id + "AAAA") == nullptr);
    CHECK(sessions.find_id("not base64url!!!") == nullptr);
    here.run([](Session& s) { s.end(); });
    CHECK(sessions.find_id(id) == nullptr);
    Client next{world}; // in the same slot, with another secret
    next.open("u1");
    CHECK(sessions.find_id(id) == nullptr);
}

TEST_CASE("sessions: what is told about a user's sessions", "[session]") {
    Lasting world{2};
    Client here{world};
    Client there{world, {.sse = true, .reactor = 1}};
    here.open("u1");
    world.pass(1s);
    there.open("u1");
    std::vector<SessionInfo> found;
    world.run([&] { world.sessions[0]->find_user("u1", [&](auto infos) { found = infos; }); });
    REQUIRE(found.size() == 2);
    CHECK(found[0].id == here.session->id());
    CHECK(found[0].transport == "websocket");
    CHECK(found[1].id == there.session->id());
    CHECK(found[1].transport == "sse");
    CHECK(found[1].connected_at == found[0].connected_at + 1'000);
}

TEST_CASE("sessions: the API reaches a user on all reactors", "[session][protocol-4]") {
    Lasting world{2};
    Client here{world};
    Client there{world, {.reactor = 1}};
    Client other{world, {.reactor = 1}};
    here.open("u1");
    there.open("u1");
    other.open("u2");
    std::optional<std::uint64_t> n;
    const auto count = [&](std::uint64_t reached) {
        CHECK(net::Reactor::current() == &world.reactors[0]);
        n = reached;
    };
    Sessions& sessions = *world.sessions[0];
    world.run([&] { sessions.subscribe_user("u1", "open:1", count); });
    CHECK(n == 2U);
    CHECK(here.take() == Lines{"subscribed open:1 @0"});
    CHECK(there.take() == Lines{"subscribed open:1 @0"});
    here.unsubscribe("open:1");
    world.run([&] { sessions.unsubscribe_user("u1", "open:1", count); });
    CHECK(n == 1U);
    CHECK(there.take() == Lines{"unsubscribed open:1 forbidden"});
    world.run([&] { sessions.disconnect_user("u1", count); });
    CHECK(n == 2U);
    CHECK(here.closed == CloseReason::disconnected);
    CHECK(there.closed == CloseReason::disconnected);
    CHECK_FALSE(other.closed);
    CHECK(other.take().empty());
    world.run([&] { sessions.disconnect_user("u1", count); });
    CHECK(n == 0U);
}

TEST_CASE("sessions: a drain is spread over its window", "[session][drain]") {
    constexpr std::size_t count = 200;
    Lasting world;
    Clients clients;
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(std::make_unique<Client>(world));
        clients.back()->open();
    }
    CHECK_FALSE(world.sessions[0]->draining());
    world.run([&] { world.sessions[0]->drain(10s); });
    CHECK(world.sessions[0]->draining());
    const auto gone = [&] {
        return std::count_if(clients.begin(), clients.end(),
                             [](const auto& client) { return client->closed.has_value(); });
    };
    // The last one leaves after nine tenths.
    std::int64_t last = 0;
    for (int step = 1; step <= 9; ++step) {
        world.pass(1s);
        CAPTURE(step);
        const std::int64_t now = gone();
        CHECK(now - last >= 20);
        CHECK(now - last <= 24);
        last = now;
    }
    world.pass(100ms);
    CHECK(gone() == count);
    CHECK(world.sessions[0]->size() == 0);
    std::uint64_t lowest = 10'000;
    std::uint64_t highest = 0;
    for (const auto& client : clients) {
        CHECK(client->closed == CloseReason::drain);
        CHECK(client->lines == Lines{"bye drain"});
        lowest = std::min(lowest, client->reconnects.at(0));
        highest = std::max(highest, client->reconnects.at(0));
    }
    CHECK(highest <= 10'000);
    CHECK(highest > 8'000); // 200 numbers drawn from the window: 0.8^200 by chance
    CHECK(lowest < 2'000);
}

TEST_CASE("sessions: a drain skips those who left, and may have no window", "[session][drain]") {
    Lasting world;
    Client stays{world};
    {
        Client leaves{world};
        leaves.open();
        stays.open();
        world.run([&] { world.sessions[0]->drain(0ms); });
    }
    Client late{world}; // takes the free slot: not one of those who are sent away
    late.open();
    world.pass(50ms);
    CHECK(stays.closed == CloseReason::drain);
    CHECK_FALSE(late.closed);
}

TEST_CASE("sessions: the gauge counts by transport", "[session]") {
    Lasting world;
    const auto shown = [&](const char* line) {
        return world.metrics.text().find(line) != std::string::npos;
    };
    {
        Client a{world};
        Client b{world, {.sse = true}};
        a.open();
        b.open("u1");
        CHECK(shown("fanfare_sessions{transport=\"websocket\"} 1\n"));
        CHECK(shown("fanfare_sessions{transport=\"sse\"} 1\n"));
        CHECK(world.sessions[0]->size() == 2);
    }
    CHECK(shown("fanfare_sessions{transport=\"websocket\"} 0\n"));
    CHECK(shown("fanfare_sessions{transport=\"sse\"} 0\n"));
    CHECK(world.sessions[0]->size() == 0);
}
