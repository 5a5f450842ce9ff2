// The HTTP/2 client and a server that does what each test says: requests, limits, and what becomes
// of requests when the peer gives up, breaks or disappears. Connecting: h2_client_connect_test.

#include <fanfare/http/h2_client.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <nghttp2/nghttp2.h>
#include <set>
#include <string>
#include <support/h2_server.hpp>
#include <support/h2_world.hpp>

using namespace fanfare;
using namespace std::chrono_literals;
using test::H2Server;
using test::H2ServerOptions;
using test::H2World;
using Kind = http::H2Answer::Kind;

namespace {

/// A server that keeps requests until the test decides.
H2ServerOptions patient(std::uint32_t streams_max = 100) {
    H2ServerOptions options;
    options.answer = false;
    options.streams_max = streams_max;
    return options;
}

/// A world with a warm connection to a server that from now on keeps its requests.
struct Warm {
    explicit Warm(H2ServerOptions how = {}, http::H2Options client = H2World::plain(0))
        : server(how), world([&] {
              client.port = server.port();
              return client;
          }()) {
        REQUIRE(world.warm_up());
        server.set_answer(false);
    }
    /// `count` more requests, all of which the server has.
    void send(std::size_t count) {
        REQUIRE(world.send_many(count) == count);
        REQUIRE(world.wait([&] { return server.request_count() == world.sent; }));
    }
    H2Server server;
    H2World world;
};

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                  const std::string& payload) {
    std::string out;
    const auto size = static_cast<std::uint32_t>(payload.size());
    for (const int shift : {16, 8, 0}) out.push_back(static_cast<char>(size >> shift));
    out.push_back(static_cast<char>(type));
    out.push_back(static_cast<char>(flags));
    for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
    return out + payload;
}

} // namespace

TEST_CASE("h2 client: a request arrives whole, its answer too", "[http][h2_client]") {
    H2Server server{patient()};
    H2World world{H2World::plain(server.port())};
    CHECK(world.pool->room() == 64);
    REQUIRE(world.send(R"({"aps":{}})"));
    REQUIRE(world.wait([&] { return server.request_count() == 1; }));
    const H2Server::Request got = server.requests()[0];
    CHECK(got.headers.at(":method") == "POST");
    CHECK(got.headers.at(":path") == "/3/device/0");
    CHECK(got.headers.at(":scheme") == "http");
    CHECK(got.headers.at(":authority") == "127.0.0.1:" + std::to_string(server.port()));
    CHECK(got.headers.at("apns-topic") == "app");
    CHECK(got.headers.at("apns-id") == "0");
    CHECK(got.body == R"({"aps":{}})");
    server.answer(got, 400, R"({"reason":"BadDeviceToken"})", {{"content-type", "text/x"}});
    REQUIRE(world.wait_answers(1));
    CHECK(world.results[0].kind == Kind::response);
    CHECK(world.results[0].status == 400);
    CHECK(world.results[0].body == R"({"reason":"BadDeviceToken"})");
    CHECK(world.results[0].content_type == "text/x");
    CHECK(world.each_once());
}

TEST_CASE("h2 client: a request without a body and an answer without one", "[http][h2_client]") {
    H2Server server;
    H2World world{H2World::plain(server.port())};
    REQUIRE(world.send(""));
    REQUIRE(world.wait_answers(1));
    CHECK(world.results[0].status == 200);
    CHECK(world.results[0].body.empty());
}

TEST_CASE("h2 client: answers come in any order, in pieces of a few bytes", "[http][h2_client]") {
    H2ServerOptions how = patient();
    how.write_bytes_max = GENERATE(std::size_t{1}, 7U, 0U);
    H2Server server{how};
    H2World world{H2World::plain(server.port())};
    REQUIRE(world.send_many(20) == 20);
    REQUIRE(world.wait([&] { return server.request_count() == 20; }));
    auto requests = server.requests();
    std::reverse(requests.begin(), requests.end());
    for (const auto& request : requests)
        server.answer(request, 200, request.headers.at(":path"), {{"content-type", "a/b"}});
    REQUIRE(world.wait_answers(20));
    CHECK(world.each_once());
    for (const auto& [tag, result] : world.results)
        CHECK(result.body == "/3/device/" + std::to_string(tag));
}

TEST_CASE("h2 client: interim answers and trailers are no answers", "[http][h2_client]") {
    Warm warm;
    warm.send(1);
    const auto request = warm.server.requests().back();
    warm.server.answer(request, 103, "", {{"content-type", "early"}});
    warm.server.answer(request, 200, "late", {});
    REQUIRE(warm.world.wait_answers(2));
    CHECK(warm.world.results[1].status == 200);
    CHECK(warm.world.results[1].content_type.empty());
    CHECK(warm.world.results[1].body == "late");
}

TEST_CASE("h2 client: flow control holds bodies back, small windows and all", "[http][h2_client]") {
    H2ServerOptions how;
    how.window = GENERATE(std::uint32_t{1}, 7U, 100U, 65'535U);
    H2Server server{how};
    H2World world{H2World::plain(server.port())};
    const std::string body = [] {
        std::string text;
        for (int i = 0; text.size() < 5'000; ++i) text += std::to_string(i) + ' ';
        return text;
    }();
    for (int i = 0; i < 10; ++i) REQUIRE(world.send(body));
    REQUIRE(world.wait_answers(10));
    CHECK(world.each_once());
    for (const auto& [tag, result] : world.results) CHECK(result.body == body);
    const auto requests = server.requests();
    CHECK(std::all_of(requests.begin(), requests.end(),
                      [&](const auto& request) { return request.body == body; }));
}

TEST_CASE("h2 client: an answer before the end of the request is one", "[http][h2_client]") {
    H2ServerOptions how;
    how.window = 1'000; // and no more of it: the test takes no bytes of the body
    Warm warm{how};
    REQUIRE(warm.world.send(std::string(200'000, 'x')));
    warm.server.stop_reading(0);
    // HEADERS of stream 3, ":status 200" from the static table, END_STREAM.
    warm.server.send_raw(0, frame(NGHTTP2_HEADERS, 5, 3, "\x88"));
    REQUIRE(warm.world.wait_answers(2));
    CHECK(warm.world.results[1].status == 200);
    CHECK(warm.world.pool->in_flight() == 0);
}

TEST_CASE("h2 client: never more streams than the peer allows", "[http][h2_client]") {
    H2Server server{patient(7)};
    http::H2Options options = H2World::plain(server.port());
    H2World world{options};
    REQUIRE(world.send_many(64) == 64); // they wait for the connection
    CHECK(world.pool->room() == 0);
    CHECK_FALSE(world.send());
    REQUIRE(world.wait([&] { return server.request_count() == 7; }));
    REQUIRE(world.wait([&] {
        server.answer_all(200);
        return world.results.size() == 64;
    }));
    CHECK(world.each_once());
    CHECK(world.count(Kind::response) == 64);
    CHECK(server.streams_high() == 7);
}

TEST_CASE("h2 client: one stream until the first answer, if asked to", "[http][h2_client]") {
    H2Server server{patient()};
    http::H2Options options = H2World::plain(server.port());
    options.initial_streams = 1;
    H2World world{options};
    REQUIRE(world.send_many(10) == 10);
    REQUIRE(world.wait([&] { return server.request_count() == 1; }));
    for (int i = 0; i < 20; ++i) world.turn();
    CHECK(server.request_count() == 1);
    CHECK(world.pool->room() == 0);
    server.answer_all(200);
    REQUIRE(world.wait([&] { return server.request_count() == 10; }));
    CHECK(world.pool->room() == 91);
}

TEST_CASE("h2 client: the peer's limit is obeyed as it changes", "[http][h2_client]") {
    Warm warm;
    warm.send(10);
    const auto limit = [&](std::uint32_t value) {
        warm.server.settings(0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, value);
    };
    limit(12);
    REQUIRE(warm.world.wait([&] { return warm.world.pool->room() == 2; }));
    limit(4); // below what is open
    REQUIRE(warm.world.wait([&] { return warm.world.pool->room() == 0; }));
    CHECK_FALSE(warm.world.send());
    auto requests = warm.server.requests();
    for (std::size_t i = 1; i < 8; ++i) warm.server.answer(requests[i], 200);
    REQUIRE(warm.world.wait_answers(8)); // 3 are open
    CHECK(warm.world.pool->room() == 1);
    limit(0);
    REQUIRE(warm.world.wait([&] { return warm.world.pool->room() == 0; }));
    for (std::size_t i = 8; i < requests.size(); ++i) warm.server.answer(requests[i], 200);
    REQUIRE(warm.world.wait_answers(11));
    CHECK(warm.world.pool->room() == 0);
    CHECK_FALSE(warm.world.send());
    const int rooms = warm.world.rooms;
    limit(1);
    REQUIRE(warm.world.wait([&] { return warm.world.rooms > rooms; }));
    CHECK(warm.world.pool->room() == 1);
    warm.send(1);
    warm.server.answer_all(200);
    REQUIRE(warm.world.wait_answers(12));
    CHECK(warm.world.count(Kind::response) == 12);
    CHECK(warm.world.each_once());
}

TEST_CASE("h2 client: a reset tells whether the request may be sent again", "[http][h2_client]") {
    struct Case {
        std::uint32_t error;
        Kind kind;
        const char* reason;
    };
    const auto c = GENERATE(values<Case>({{NGHTTP2_REFUSED_STREAM, Kind::refused, "REFUSED_STREAM"},
                                          {NGHTTP2_INTERNAL_ERROR, Kind::lost, "INTERNAL_ERROR"},
                                          {NGHTTP2_CANCEL, Kind::lost, "CANCEL"},
                                          {NGHTTP2_NO_ERROR, Kind::lost, "NO_ERROR"}}));
    CAPTURE(c.reason);
    Warm warm;
    warm.send(2);
    warm.server.reset(warm.server.requests()[1], c.error);
    REQUIRE(warm.world.wait_answers(2));
    CHECK(warm.world.results[1].kind == c.kind);
    CHECK(warm.world.results[1].reason == c.reason);
    CHECK_FALSE(warm.world.results[1].torn);
    warm.server.answer(warm.server.requests()[2], 200);
    REQUIRE(warm.world.wait_answers(3));
    CHECK(warm.world.results[2].kind == Kind::response);
    CHECK(warm.world.each_once());
    CHECK(warm.server.accepted() == 1);
}

TEST_CASE("h2 client: a GOAWAY amid 200 streams doubles none and loses none", "[http][h2_client]") {
    H2ServerOptions how;
    how.streams_max = 1'000;
    Warm warm{how};
    warm.send(200);
    H2World& world = warm.world;
    const auto requests = warm.server.requests(); // 1, 3, … 401; the first one is answered
    const std::int32_t last = GENERATE(0, 1, 201, 401);
    const bool notice = GENERATE(true, false);
    const bool twice = GENERATE(true, false);
    CAPTURE(last, notice, twice);
    if (notice) warm.server.shutdown_notice(0);
    warm.server.goaway(0, last, NGHTTP2_NO_ERROR, R"({"reason":"Shutdown"})");
    if (twice) warm.server.goaway(0, last, NGHTTP2_NO_ERROR, "");
    const std::size_t processed = last == 0 ? 0 : static_cast<std::size_t>((last - 1) / 2);
    REQUIRE(world.wait([&] {
        return std::any_of(world.goaways.begin(), world.goaways.end(), [](const auto& each) {
            return each.second == R"({"reason":"Shutdown"})";
        });
    }));
    CHECK(world.count(Kind::refused) == 200 - processed);
    CHECK(world.pool->in_flight() == processed);
    // Nothing new goes there; the next one opens a connection.
    warm.server.set_answer(true);
    REQUIRE(world.send());
    REQUIRE(world.wait([&] { return warm.server.accepted() == 2; }));
    for (const auto& request : requests)
        if (request.stream != 1 && request.stream <= last) warm.server.answer(request, 200);
    REQUIRE(world.wait_answers(202));
    CHECK(world.count(Kind::response) == 2 + processed);
    CHECK(world.count(Kind::lost) == 0);
    CHECK(world.each_once());
    for (const auto& [tag, result] : world.results)
        if (tag != 0 && tag != 201)
            CHECK((result.kind == Kind::response) ==
                  (static_cast<std::int32_t>(2 * tag + 1) <= last));
    REQUIRE(world.wait([&] { return warm.server.open() == 1; })); // the old one is closed
    CHECK(world.metrics.sum("h2_client_goaways_total") >= 1);
}

TEST_CASE("h2 client: a GOAWAY and the end at once", "[http][h2_client]") {
    Warm warm;
    warm.send(50);
    warm.server.goaway(0, 51, NGHTTP2_ENHANCE_YOUR_CALM, "slower");
    warm.server.close(0);
    REQUIRE(warm.world.wait_answers(51));
    CHECK(warm.world.count(Kind::refused) == 25);
    CHECK(warm.world.count(Kind::lost) == 25);
    CHECK(warm.world.each_once());
    REQUIRE(warm.world.goaways.size() == 1);
    CHECK(warm.world.goaways[0].first == NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK(warm.world.goaways[0].second == "slower");
}

TEST_CASE("h2 client: a GOAWAY that takes its word back ends the connection", "[http][h2_client]") {
    Warm warm;
    warm.send(10);
    const auto goaway = [](char last) {
        return frame(NGHTTP2_GOAWAY, 0, 0, std::string{"\0\0\0", 3} + last + std::string(4, '\0'));
    };
    warm.server.send_raw(0, goaway(5));
    warm.server.send_raw(0, goaway(9));
    REQUIRE(warm.world.wait_answers(11));
    CHECK(warm.world.count(Kind::refused) == 8);
    CHECK(warm.world.count(Kind::lost) == 2);
    CHECK(warm.world.each_once());
}

TEST_CASE("h2 client: renewed connections end what they have and take nothing more",
          "[http][h2_client]") {
    Warm warm;
    H2World& world = warm.world;
    SECTION("with streams") {
        warm.send(5);
        world.pool->renew_connections();
        CHECK(world.pool->room() == 64); // of the connection to come
        REQUIRE(world.send());
        REQUIRE(world.wait([&] { return warm.server.request_count() == 7; }));
        CHECK(warm.server.requests()[6].connection == 1);
        CHECK(warm.server.open() == 2);
        warm.server.answer_all(200);
        REQUIRE(world.wait_answers(7));
        CHECK(world.count(Kind::response) == 7);
    }
    SECTION("without") {
        world.pool->renew_connections();
        REQUIRE(world.wait([&] { return warm.server.open() == 0; }));
        CHECK(world.pool->connections() == 0);
        warm.server.set_answer(true);
        REQUIRE(world.send()); // at once
        REQUIRE(world.wait_answers(2));
    }
    REQUIRE(world.wait([&] { return warm.server.open() == 1; })); // the old one is closed
    CHECK(warm.server.accepted() == 2);
    CHECK(world.each_once());
}

TEST_CASE("h2 client: a connection that was renewed before it answered has not failed",
          "[http][h2_client]") {
    H2Server server{patient()};
    H2World world{H2World::plain(server.port())};
    REQUIRE(world.send());
    REQUIRE(world.wait([&] { return server.request_count() == 1; }));
    world.pool->renew_connections();
    server.reset(server.requests()[0], NGHTTP2_REFUSED_STREAM);
    REQUIRE(world.wait([&] { return world.pool->connections() == 0; }));
    CHECK(world.pool->room() == 64); // no wait
}

TEST_CASE("h2 client: a connection that breaks loses what was sent", "[http][h2_client]") {
    Warm warm;
    warm.send(20);
    warm.server.close(0);
    REQUIRE(warm.world.wait_answers(21));
    CHECK(warm.world.count(Kind::lost) == 20);
    for (const auto& [tag, result] : warm.world.results)
        CHECK(result.torn == (result.kind == Kind::lost));
    CHECK(warm.world.each_once());
    CHECK(warm.world.pool->connections() == 0);
    warm.server.set_answer(true);
    REQUIRE(warm.world.send()); // at once: it had worked before
    REQUIRE(warm.world.wait_answers(22));
    CHECK(warm.world.count(Kind::response) == 2);
}

TEST_CASE("h2 client: what never left this machine is refused, not lost", "[http][h2_client]") {
    Warm warm;
    warm.send(1);
    warm.server.close(0);
    // Taken before the end is seen: it is in our buffer when the connection goes.
    REQUIRE(warm.world.send());
    warm.world.pool->close();
    CHECK(warm.world.results.size() == 3);
    CHECK(warm.world.results[1].kind == Kind::lost);
    CHECK(warm.world.each_once());
    CHECK_FALSE(warm.world.send());
    CHECK(warm.world.pool->room() == 0);
}

TEST_CASE("h2 client: a half-open connection is found by a PING", "[http][h2_client]") {
    Warm warm;
    http::H2Options defaults;
    warm.send(3);
    warm.server.stop_reading(0);
    warm.world.pass(defaults.ping_busy + 100ms);
    CHECK(warm.world.results.size() == 1);
    warm.world.pass(defaults.ping_timeout + 100ms);
    REQUIRE(warm.world.results.size() == 4);
    CHECK(warm.world.count(Kind::lost) == 3);
    CHECK(warm.world.results[1].reason == "the peer does not answer a PING");
    CHECK(warm.world.metrics.sum("h2_client_pings_lost_total") == 1);
    CHECK(warm.world.pool->connections() == 0);
}

TEST_CASE("h2 client: a slow peer that answers PINGs is left alone", "[http][h2_client]") {
    Warm warm;
    REQUIRE(warm.world.send("{}", 60s));
    REQUIRE(warm.world.wait([&] { return warm.server.request_count() == 2; }));
    for (int i = 0; i < 300; ++i) { // 30 s; each PING has real time to be answered
        warm.world.clock.advance(100ms);
        warm.world.turn();
        warm.server.settings(0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 65'535);
        const int rooms = warm.world.rooms;
        REQUIRE(warm.world.wait([&] { return warm.world.rooms > rooms; }));
    }
    warm.server.answer_all(200);
    REQUIRE(warm.world.wait_answers(2));
    CHECK(warm.world.results[1].kind == Kind::response);
    CHECK(warm.server.accepted() == 1);
}

TEST_CASE("h2 client: an idle connection is PINGed, and replaced if it is dead",
          "[http][h2_client]") {
    Warm warm;
    http::H2Options defaults;
    warm.server.stop_reading(0);
    warm.world.pass(defaults.ping_idle + 100ms);
    CHECK(warm.world.pool->connections() == 1);
    warm.world.pass(defaults.ping_timeout + 100ms);
    CHECK(warm.world.pool->connections() == 0);
    warm.server.set_answer(true);
    REQUIRE(warm.world.send());
    REQUIRE(warm.world.wait_answers(2));
    CHECK(warm.server.accepted() == 2);
}

TEST_CASE("h2 client: a deadline ends the request and resets its stream", "[http][h2_client]") {
    Warm warm;
    REQUIRE(warm.world.send("{}", 3s));
    REQUIRE(warm.world.send("{}", 1s));
    REQUIRE(warm.world.send("{}", 2s));
    REQUIRE(warm.world.wait([&] { return warm.server.request_count() == 4; }));
    warm.world.pass(900ms);
    CHECK(warm.world.results.size() == 1);
    warm.world.pass(200ms);
    CHECK(warm.world.results.size() == 2);
    CHECK(warm.world.results[2].kind == Kind::lost);
    CHECK(warm.world.results[2].reason == "no answer in time");
    REQUIRE(warm.world.wait([&] { return warm.server.reset_by_peer() == 1; }));
    CHECK(warm.world.pool->in_flight() == 2);
    warm.world.pass(1s);
    CHECK(warm.world.results.size() == 3);
    CHECK(warm.world.results.count(3) == 1);
    warm.world.pass(1s);
    CHECK(warm.world.results.size() == 4);
    CHECK(warm.world.each_once());
    CHECK(warm.world.pool->room() == 100);
}

TEST_CASE("h2 client: an answer's body is bounded; its status counts", "[http][h2_client]") {
    Warm warm;
    warm.send(2);
    const auto requests = warm.server.requests();
    warm.server.answer(requests[1], 200, std::string(65'536, 'a'));
    warm.server.answer(requests[2], 500, std::string(65'537, 'b'));
    REQUIRE(warm.world.wait_answers(3));
    CHECK(warm.world.results[1].body == std::string(65'536, 'a'));
    CHECK_FALSE(warm.world.results[1].truncated);
    CHECK(warm.world.results[2].kind == Kind::response);
    CHECK(warm.world.results[2].status == 500);
    CHECK(warm.world.results[2].truncated);
    CHECK(warm.world.results[2].body == std::string(65'536, 'b'));
    REQUIRE(warm.world.wait([&] { return warm.server.reset_by_peer() == 1; }));
}

TEST_CASE("h2 client: an answer's headers are bounded", "[http][h2_client]") {
    Warm warm;
    warm.send(2);
    const auto requests = warm.server.requests();
    std::vector<std::pair<std::string, std::string>> headers;
    for (int i = 0; i < 5; ++i)
        headers.emplace_back("x-" + std::to_string(i), std::string(4'000, 'h'));
    warm.server.answer(requests[1], 200, "", headers);
    warm.server.answer(requests[2], 200);
    REQUIRE(warm.world.wait_answers(3));
    CHECK(warm.world.results[1].kind == Kind::lost);
    CHECK(warm.world.results[1].reason == "the headers of the answer are too large");
    CHECK(warm.world.results[2].kind == Kind::response);
}

TEST_CASE("h2 client: stream ids at their end mean a new connection", "[http][h2_client]") {
    H2Server server;
    http::H2Options options = H2World::plain(server.port());
    options.first_stream_id = 0x7fffffff - 4; // three are left
    H2World world{options};
    for (std::size_t i = 0; i < 7; ++i) {
        REQUIRE(world.send());
        REQUIRE(world.wait_answers(i + 1));
    }
    CHECK(world.count(Kind::response) == 7);
    CHECK(world.each_once());
    REQUIRE(world.wait([&] { return server.accepted() == 3 && server.open() == 1; }));
}

TEST_CASE("h2 client: what breaks the protocol ends the connection, nothing else",
          "[http][h2_client]") {
    struct Case {
        const char* name;
        std::string bytes;
    };
    const std::string garbage(100, '\xff');
    const auto c = GENERATE_COPY(values<Case>(
        {{"garbage", garbage},
         {"DATA on stream 0", frame(NGHTTP2_DATA, 0, 0, "x")},
         {"HEADERS that are no HPACK", frame(NGHTTP2_HEADERS, 4, 3, garbage)},
         {"an answer to no request", frame(NGHTTP2_HEADERS, 5, 99, "\x88")},
         {"a push", frame(NGHTTP2_PUSH_PROMISE, 4, 3, std::string{"\0\0\0\2\x82", 5})},
         {"SETTINGS of 5 bytes", frame(NGHTTP2_SETTINGS, 0, 0, "abcde")},
         {"a window that overflows", frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff")},
         {"a frame that is too large", std::string{"\xff\xff\xff\0\0\0\0\0\3", 9} + garbage}}));
    CAPTURE(c.name);
    Warm warm;
    warm.send(5);
    warm.server.stop_reading(0);
    warm.server.send_raw(0, c.bytes);
    warm.server.send_raw(0, std::string(9, '\0')); // more to read
    REQUIRE(warm.world.wait_answers(6));
    CHECK(warm.world.count(Kind::lost) == 5);
    CHECK(warm.world.each_once());
    CHECK(warm.world.pool->connections() == 0);
}

TEST_CASE("h2 client: a malformed answer costs its stream only", "[http][h2_client]") {
    Warm warm;
    warm.send(2);
    const auto requests = warm.server.requests();
    warm.server.answer(requests[1], 200, "", {{"Content-Type", "upper case is malformed"}});
    warm.server.answer(requests[2], 200);
    REQUIRE(warm.world.wait_answers(3));
    CHECK(warm.world.count(Kind::response) >= 2); // nghttp2's server may have lowered the case
    CHECK(warm.world.each_once());
    CHECK(warm.world.pool->connections() == 1);
}

TEST_CASE("h2 client: a flood of PINGs to a client that cannot write is bounded",
          "[http][h2_client]") {
    Warm warm;
    warm.send(1);
    warm.server.stop_reading(0); // our ACKs pile up in the kernel, then here
    std::string pings;
    for (int i = 0; i < 10'000; ++i) pings += frame(NGHTTP2_PING, 0, 0, "12345678");
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (warm.world.results.size() < 2 && std::chrono::steady_clock::now() < end) {
        warm.server.send_raw(0, pings);
        for (int i = 0; i < 20; ++i) warm.world.turn();
    }
    REQUIRE(warm.world.results.size() == 2);
    CHECK(warm.world.results[1].kind == Kind::lost);
}

TEST_CASE("h2 client: callers may send from an answer", "[http][h2_client]") {
    H2Server server;
    H2World world{H2World::plain(server.port())};
    world.on_result = [&](std::uint64_t /*tag*/) {
        while (world.sent < 2'000 && world.send()) {
        }
    };
    REQUIRE(world.send());
    REQUIRE(world.wait_answers(2'000));
    CHECK(world.each_once());
    CHECK(world.count(Kind::response) == 2'000);
    CHECK(server.streams_high() == 100);
    std::set<std::string> paths;
    for (const auto& request : server.requests()) paths.insert(request.headers.at(":path"));
    CHECK(paths.size() == 2'000); // none twice
}

TEST_CASE("h2 client: destroyed with everything under way", "[http][h2_client]") {
    Warm warm;
    warm.send(30);
    warm.world.pool.reset();
    CHECK(warm.world.results.size() == 1);
    CHECK(warm.world.metrics.sum("h2_client_connections") == 0);
    CHECK(warm.world.metrics.sum("h2_client_streams") == 0);
    REQUIRE(warm.world.wait([&] { return warm.server.open() == 0; }));
}

TEST_CASE("h2 client: destroyed by its reactor before the pool", "[http][h2_client]") {
    Warm warm;
    warm.send(3);
    warm.world.reactor.destroy_owned();
    CHECK(warm.world.pool->connections() == 0);
}
