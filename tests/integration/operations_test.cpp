// Reload and drain, with clients connected and messages on their way.

#include "gateway.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>

namespace fanfare::test {
namespace {

constexpr const char* all_open = R"([
    {match: "open:*", subscribe: anyone, history: {size: 1000, ttl: 1h}},
    {match: "shut:*", subscribe: anyone, history: {size: 1000, ttl: 1h}}])";
constexpr const char* one_shut = R"([
    {match: "open:*", subscribe: anyone, history: {size: 10, ttl: 1h}},
    {match: "shut:*", subscribe: token, history: {size: 1000, ttl: 1h}}])";

GatewayOptions with_rooms(const char* rooms) {
    GatewayOptions options;
    options.rooms = rooms;
    return options;
}

/// Reads on until the push of `op`; messages on the way must be in order, each in its room.
std::string read_until(WsClient& client, std::string_view op, std::string_view open_room,
                       OffsetCheck& open, OffsetCheck& shut) {
    while (true) {
        const auto message = client.next();
        if (!message)
            throw std::runtime_error("closed with " + std::to_string(client.close_code()));
        if (json_string(*message, "op") == op) return *message;
        if (json_string(*message, "op") != "message") throw std::runtime_error(*message);
        (json_string(*message, "room") == open_room ? open : shut)
            .take(json_number(*message, "offset").value());
    }
}

} // namespace

TEST_CASE("reload under load: what is no longer allowed ends, everything else goes on",
          "[integration][reload]") {
    Gateway gateway{with_rooms(all_open)};
    const std::vector<std::string> rooms{gateway.room_on(0, "open"), gateway.room_on(1, "shut")};
    // At full speed the one thread of this test, which reads for all, would never catch up.
    Publisher publisher{gateway.port(), rooms, 1'000};
    REQUIRE(eventually([&] { return publisher.newest(1) > 100; }));
    SseClient stream{gateway.port(), "/sse?room=" + rooms[0] + "&room=" + rooms[1]};
    REQUIRE(stream.next()->type == "ready");
    std::vector<WsClient> clients;
    for (const unsigned reactor : {0U, 1U, 0U, 1U}) clients.push_back(gateway.ws_on(reactor));
    std::vector<OffsetCheck> open(clients.size());
    std::vector<OffsetCheck> shut(clients.size());
    const auto subscribe = [&](std::size_t i, const std::string& room, OffsetCheck& check) {
        clients[i].send(R"({"id":1,"op":"subscribe","room":")" + room + "\"}");
        const std::string ok = read_until(clients[i], "ok", rooms[0], open[i], shut[i]);
        check.begin_after(json_number(ok, "offset").value());
    };
    for (std::size_t i = 0; i < clients.size(); ++i) subscribe(i, rooms[0], open[i]);

    const int rounds = instrumented ? 5 : 20;
    for (int round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < clients.size(); ++i) subscribe(i, rooms[1], shut[i]);
        gateway.reload(with_rooms(one_shut));
        for (std::size_t i = 0; i < clients.size(); ++i) {
            const std::string push =
                read_until(clients[i], "unsubscribed", rooms[0], open[i], shut[i]);
            CHECK(json_string(push, "room") == rooms[1]);
            CHECK(json_string(push, "code") == "unauthorized");
            clients[i].send(R"({"id":2,"op":"subscribe","room":")" + rooms[1] + "\"}");
            const std::string refused = read_until(clients[i], "error", rooms[0], open[i], shut[i]);
            CHECK(json_string(refused, "code") == "unauthorized");
        }
        // The history follows its new bound.
        const std::string kept = gateway.api("GET", "/api/v1/rooms/" + rooms[0] + "/history").body;
        CHECK(std::count(kept.begin(), kept.end(), '{') <= 1 + 10);
        gateway.reload(with_rooms(all_open));
    }
    publisher.stop();
    // All that was published has come; the sockets are the first ones.
    for (std::size_t i = 0; i < clients.size(); ++i) {
        clients[i].send(R"({"id":3,"op":"ping"})");
        read_until(clients[i], "pong", rooms[0], open[i], shut[i]);
        while (open[i].last() < publisher.newest(0)) {
            const std::string message = clients[i].next().value();
            open[i].take(json_number(message, "offset").value());
        }
        CHECK(open[i].fault() == "");
        CHECK(shut[i].fault() == "");
    }
    std::size_t unsubscribed = 0;
    OffsetCheck streamed;
    while (streamed.last() < publisher.newest(0)) {
        const SseEvent event = stream.next().value();
        if (event.type == "unsubscribed") ++unsubscribed;
        if (event.type != "message" || json_string(event.data, "room") != rooms[0]) continue;
        const std::uint64_t offset = json_number(event.data, "offset").value();
        if (streamed.last() == 0) streamed.begin_after(offset - 1);
        streamed.take(offset);
    }
    CHECK(streamed.fault() == "");
    CHECK(unsubscribed == 1); // it does not come back by itself
}

TEST_CASE("reload: settings that cannot be used leave everything as it was",
          "[integration][reload]") {
    Gateway gateway{with_rooms(all_open)};
    WsClient client{gateway.port()};
    client.request(R"("op":"subscribe","room":"shut:1")");
    CHECK_THROWS(gateway.reload(with_rooms("[{match: 7}]")));
    gateway.publish("shut:1", "1");
    CHECK(json_number(client.next().value(), "offset") == 1);
}

namespace {

/// What one client saw of the drain.
struct Farewell {
    std::string bye;
    TestClock::time_point at;
    std::uint16_t code = 0; // of the Close; SSE: 1001 if the stream ended after its bye
};

void read_farewell(WsClient& client, Farewell& farewell) {
    while (const auto message = client.next())
        if (json_string(*message, "op") == "bye") {
            farewell.bye = *message;
            farewell.at = TestClock::now();
        }
    farewell.code = client.close_code();
    client.socket().close(); // or the gateway would wait for our end, for close_timeout
}

void read_farewell(SseClient& client, Farewell& farewell) {
    while (const auto event = client.next())
        if (event->type == "bye") {
            farewell.bye = event->data;
            farewell.at = TestClock::now();
        }
    farewell.code = client.timed_out() ? 0 : 1001;
    client.socket().close();
}

/// What `connect` comes to. A reactor that begins to drain closes who has sent nothing yet without
/// an answer: each reactor does so once, so that many tries more are made.
template <class Connect>
auto as_newcomer(Connect&& connect) {
    for (unsigned cut = 0;; ++cut) try {
            return connect();
        } catch (const ConnectionEnded&) {
            if (cut == Gateway::reactors) throw;
        }
}

} // namespace

TEST_CASE("drain: byes spread over the window, then 1001, then the end", "[integration][drain]") {
    GatewayOptions options;
    options.drain = "2s";
    Gateway gateway{options};
    constexpr std::size_t sockets = 40;
    constexpr std::size_t streams = 20;
    std::vector<WsClient> ws;
    for (std::size_t i = 0; i < sockets; ++i) ws.emplace_back(gateway.port());
    std::vector<SseClient> sse;
    for (std::size_t i = 0; i < streams; ++i) {
        sse.emplace_back(gateway.port(), "/sse?room=a");
        REQUIRE(sse.back().next()->type == "ready");
    }
    HttpClient idle{gateway.port()};
    REQUIRE(idle.request("GET", "/ready").status == 200);
    std::string nothing;

    std::vector<Farewell> farewells(sockets + streams);
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < sockets; ++i)
        threads.emplace_back([&, i] { read_farewell(ws[i], farewells[i]); });
    for (std::size_t i = 0; i < streams; ++i)
        threads.emplace_back([&, i] { read_farewell(sse[i], farewells[sockets + i]); });
    const auto began = TestClock::now();
    std::jthread draining{[&] { gateway.drain(); }};

    // Newcomers are told to come back elsewhere, or later.
    CHECK(eventually([&] {
        return as_newcomer(
            [&] { return HttpClient{gateway.port()}.request("GET", "/ready").status == 503; });
    }));
    CHECK_THROWS_WITH(as_newcomer([&] { return WsClient{gateway.port()}.close_code(); }),
                      Catch::Contains("HTTP/1.1 503"));
    const auto turned_away =
        as_newcomer([&] { return std::make_unique<SseClient>(gateway.port(), "/sse?room=a"); });
    CHECK(turned_away->status() == 200);
    CHECK_FALSE(turned_away->next());
    CHECK_FALSE(turned_away->timed_out());
    turned_away->socket().close();
    // A connection between two requests is closed at once.
    CHECK(idle.socket().receive(nothing) == 0);
    CHECK_FALSE(idle.socket().timed_out());
    idle.socket().close();

    for (std::jthread& thread : threads) thread.join();
    draining.join();
    const std::chrono::duration<double> took = TestClock::now() - began;
    CHECK(took.count() < 2 + 4); // nobody had to be waited for
    CHECK(gateway.metric("sessions") == 0);

    std::vector<double> times;
    for (const Farewell& farewell : farewells) {
        CHECK(json_string(farewell.bye, "code") == "drain");
        CHECK(json_number(farewell.bye, "reconnect_in").value_or(9'999) <= 2'000);
        CHECK(farewell.code == 1001);
        times.push_back(std::chrono::duration<double>(farewell.at - began).count());
    }
    std::sort(times.begin(), times.end());
    // Evenly: neither a crowd at the beginning nor at the end. The bounds leave room for a machine
    // that is busy.
    CHECK(times[times.size() / 4] > 0.2);
    CHECK(times[times.size() / 2] > 0.5);
    CHECK(times.back() - times.front() > 1.0);
}

TEST_CASE("drain: backends go on publishing until the clients are gone", "[integration][drain]") {
    Gateway gateway;
    WsClient client{gateway.port()};
    client.request(R"("op":"subscribe","room":"last")");
    gateway.publish("last", "1");
    std::jthread draining{[&] { gateway.drain(); }};
    std::size_t cut = 0;
    const auto publish = [&] {
        while (true) try {
                return gateway.publish("last", "1");
            } catch (const ConnectionEnded&) { // idle, as seen by the drain's one look
                ++cut;
            }
    };
    OffsetCheck offsets;
    std::size_t published = 0;
    bool bye = false;
    while (const auto message = client.next()) {
        if (json_string(*message, "op") == "message")
            offsets.take(json_number(*message, "offset").value());
        bye = bye || json_string(*message, "op") == "bye";
        if (bye) continue;
        CHECK(publish() == offsets.last() + 1);
        ++published;
    }
    client.socket().close();
    draining.join();
    CHECK(bye);
    CHECK(cut <= Gateway::reactors);
    CHECK(published > 1);
    CHECK(offsets.fault() == "");
    CHECK(client.close_code() == 1001);
}

} // namespace fanfare::test
