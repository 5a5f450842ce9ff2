// Resume under load: join, replay, live, without a hole or a duplicate, whatever the moment.
//
// That these tests see the classic bug (history is read first, the join comes afterwards) was
// checked by hand, with src/room changed so: Room::join answers with its snapshot but does not
// register the reactor's interest; LocalRooms::go_live posts that registration to the home reactor,
// and calls make_live when it comes back. Both cases then fail within their first few tries, at the
// first one on another reactor than the room's home ("hole: 1056 came after 1054").

#include "gateway.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <iostream>
#include <random>

namespace fanfare::test {
namespace {

constexpr std::uint64_t history_size = 1'000;

std::string subscribe_since(const std::string& room, const Gateway::Position& since) {
    return R"({"id":1,"op":"subscribe","room":")" + room + R"(","since":{"epoch":")" + since.epoch +
           R"(","offset":)" + std::to_string(since.offset) + "}}";
}

/// What many tries added up to.
struct Outcome {
    std::uint64_t tries = 0;    // that were resumed
    std::uint64_t other = 0;    // on another reactor than the room's home
    std::uint64_t not_kept = 0; // `since` was older than the history by the time of the join
    std::uint64_t resets = 0;   // the history was cut under the replay
    std::uint64_t replayed = 0; // messages up to the position of the join
    std::uint64_t live = 0;     // messages after it
    std::string fault;
};

/// One try: subscribes after `since`, reads the replay and `live_wanted` messages beyond it,
/// leaves.
void resume_once(WsClient& client, const std::string& room, const Gateway::Position& since,
                 std::uint64_t live_wanted, Outcome& outcome) {
    client.send(subscribe_since(room, since));
    const std::string ok = client.next().value();
    if (json_string(ok, "op") != "ok") throw std::runtime_error(ok);
    const std::uint64_t joined = json_number(ok, "offset").value();
    const bool recovered = json_is_true(ok, "recovered");
    // The contract is exact: recovered if and only if everything later is still kept.
    if (recovered != (since.offset + history_size >= joined))
        throw std::runtime_error("since " + std::to_string(since.offset) + ", but " + ok);
    OffsetCheck offsets;
    offsets.begin_after(recovered ? since.offset : joined);
    bool leaving = false;
    bool reset = false;
    while (true) {
        const std::string message = client.next().value();
        const std::string_view op = json_string(message, "op");
        if (op == "message") {
            offsets.take(json_number(message, "offset").value());
            ++(offsets.last() <= joined ? outcome.replayed : outcome.live);
        } else if (op == "reset") {
            offsets.begin_after(json_number(message, "offset").value());
            reset = true;
        } else if (op == "ok" && leaving) {
            break;
        } else {
            throw std::runtime_error(message);
        }
        if (!leaving && offsets.last() >= joined + live_wanted) {
            client.send(R"({"id":2,"op":"unsubscribe","room":")" + room + "\"}");
            leaving = true;
        }
    }
    if (!offsets.fault().empty())
        throw std::runtime_error(offsets.fault() + "; since " + std::to_string(since.offset) +
                                 ", joined at " + std::to_string(joined));
    outcome.resets += reset ? 1 : 0;
    outcome.not_kept += recovered ? 0 : 1;
    outcome.tries += recovered && !reset ? 1 : 0;
}

} // namespace

TEST_CASE("resume: since, while a publisher runs at full speed: no hole, no duplicate",
          "[integration][resume]") {
    Gateway gateway;
    const std::uint64_t wanted = setting("FANFARE_TRIES", instrumented ? 300 : 2'000);
    const std::uint64_t seed = test_seed();
    std::mt19937_64 random{seed};
    const std::vector<std::string> rooms{gateway.room_on(0), gateway.room_on(1)};
    std::vector<std::string> epochs;
    for (const std::string& room : rooms) epochs.push_back(gateway.position(room).epoch);
    std::vector<WsClient> clients;
    for (unsigned reactor = 0; reactor < Gateway::reactors; ++reactor)
        clients.push_back(gateway.ws_on(reactor));

    Publisher publisher{gateway.port(), rooms};
    REQUIRE(eventually([&] { return publisher.newest(1) > history_size; }));
    Outcome outcome;
    for (std::uint64_t i = 0; outcome.tries < wanted && i < 3 * wanted; ++i) {
        const std::size_t room = i % 2;
        const std::size_t reactor = i / 2 % 2;
        // Every fourth try asks from the newest message on, the others from anywhere in the
        // history but its old end, which is being cut while we ask.
        const std::uint64_t back = random() % 4 == 0 ? 0 : random() % (history_size * 8 / 10);
        const Gateway::Position since{epochs[room], publisher.newest(room) - back};
        const std::uint64_t before = outcome.tries;
        try {
            resume_once(clients[reactor], rooms[room], since, 1 + random() % 30, outcome);
        } catch (const std::exception& error) {
            outcome.fault = "try " + std::to_string(i) + " on reactor " + std::to_string(reactor) +
                            ", home " + std::to_string(Gateway::home_of(rooms[room])) + ": " +
                            error.what();
            break;
        }
        if (reactor != room) outcome.other += outcome.tries - before;
    }
    const double rate = publisher.rate();
    publisher.stop();
    std::cout << "resume: " << outcome.tries << " tries (" << outcome.other
              << " on another reactor than the home), seed " << seed << ", "
              << static_cast<std::uint64_t>(rate) << " publishes/s; " << outcome.replayed
              << " messages replayed, " << outcome.live << " live; " << outcome.not_kept
              << " not kept any more, " << outcome.resets << " reset\n";
    CAPTURE(seed);
    CHECK(outcome.fault == "");
    CHECK(outcome.tries == wanted);
    CHECK(outcome.other >= wanted * 2 / 5);
    CHECK(outcome.replayed > 0);
    CHECK(outcome.live > 0);
}

namespace {

/// Where an SSE client is in each of its rooms.
struct SsePosition {
    std::string cursor; // empty: it has not begun
    std::vector<OffsetCheck> rooms;
};

std::size_t room_of(const std::vector<std::string>& rooms, std::string_view data) {
    const auto at = std::find(rooms.begin(), rooms.end(), json_string(data, "room"));
    if (at == rooms.end()) throw std::runtime_error("a message of another room");
    return static_cast<std::size_t>(at - rooms.begin());
}

/// One connection of an SSE client: resumes (or begins, without a cursor), reads `wanted` messages,
/// is cut off.
std::uint64_t read_stream(std::uint16_t port, const std::string& target,
                          const std::vector<std::string>& rooms, std::uint64_t wanted,
                          SsePosition& position) {
    SseClient client{port, target, position.cursor};
    const auto ready = client.next();
    if (!ready || ready->type != "ready") throw std::runtime_error("no `ready`");
    if (position.cursor.empty()) {
        position.rooms.assign(rooms.size(), {});
        for (std::size_t i = 0; i < rooms.size(); ++i)
            position.rooms[i].begin_after(
                json_number(json_value(ready->data, rooms[i]), "offset").value());
    }
    if (ready->data.find(R"("recovered":false)") != std::string::npos)
        throw std::runtime_error("not recovered: " + ready->data);
    std::uint64_t got = 0;
    for (; got < wanted; ++got) {
        const auto event = client.next();
        if (!event) throw std::runtime_error("the stream ended");
        if (event->type != "message") throw std::runtime_error(event->type + ' ' + event->data);
        OffsetCheck& offsets = position.rooms[room_of(rooms, event->data)];
        offsets.take(json_number(event->data, "offset").value());
        if (!offsets.fault().empty())
            throw std::runtime_error(offsets.fault() + " in " + event->data);
    }
    // An EventSource that loses its connection has what it dispatched, and that event's id.
    position.cursor = client.last_id();
    return got;
}

} // namespace

TEST_CASE("resume: SSE, several rooms by one cursor under a running publisher",
          "[integration][resume][sse]") {
    GatewayOptions options;
    options.rooms = R"([{match: "*", subscribe: anyone, history: {size: 20000, ttl: 1h}}])";
    Gateway gateway{options};
    const std::uint64_t wanted = setting("FANFARE_SSE_TRIES", instrumented ? 200 : 400);
    const std::uint64_t seed = test_seed();
    std::mt19937_64 random{seed};
    const std::vector<std::string> rooms{gateway.room_on(0, "a"), gateway.room_on(1, "b"),
                                         gateway.room_on(0, "c")};
    std::string target = "/sse";
    for (const std::string& room : rooms)
        target += (target.size() == 4 ? "?room=" : "&room=") + room;
    Publisher publisher{gateway.port(), rooms};
    std::uint64_t tries = 0;
    std::uint64_t messages = 0;
    SsePosition position;
    std::string fault;
    try {
        while (tries < wanted) {
            const bool resumes = !position.cursor.empty();
            messages += read_stream(gateway.port(), target, rooms, 1 + random() % 300, position);
            tries += resumes ? 1 : 0;
            // Now and then from the beginning: publishing is faster than one client of this test.
            if (random() % 4 == 0) position = {};
        }
    } catch (const std::exception& error) {
        fault = "try " + std::to_string(tries) + ": " + error.what();
    }
    const double rate = publisher.rate();
    publisher.stop();
    std::cout << "SSE resume: " << tries << " tries, seed " << seed << ", "
              << static_cast<std::uint64_t>(rate) << " publishes/s, " << messages << " messages\n";
    CAPTURE(seed);
    CHECK(fault == "");
    CHECK(tries == wanted);
}

} // namespace fanfare::test
