// The exchange as handlers use it: later answers, streams, body sinks, and the way out of HTTP.

#include "http_fixture.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::http;
using namespace fanfare::http::test;
using namespace std::chrono_literals;

namespace {

/// Tells the test what it got; answers at the end, or at once when told to refuse.
struct RecordingSink final : BodySink {
    RecordingSink(World& w, Exchange& x) : world(w), exchange(x) {}
    ~RecordingSink() override { world.events.emplace_back("destroyed"); }
    void on_body(std::string_view piece) override {
        got += piece;
        world.events.push_back("piece " + std::string{piece});
        if (piece.find("pause") != std::string_view::npos) exchange.pause_body();
        if (piece.find("throw") != std::string_view::npos) throw std::runtime_error("sink");
        if (piece.find("refuse") != std::string_view::npos)
            exchange.respond(problem(Code::bad_request, "no"));
    }
    void on_body_end() override {
        world.events.emplace_back("end");
        if (got.find("later") != std::string::npos) {
            world.waiting = exchange.handle();
        } else {
            exchange.respond(text(got));
        }
    }
    World& world;
    Exchange& exchange;
    std::string got;
};

void add_sink(World& world) {
    Route route;
    route.method = Method::post;
    route.pattern = "/sink";
    route.open_body = [&world](Exchange& x) {
        world.waiting = x.handle();
        return std::make_unique<RecordingSink>(world, x);
    };
    world.router.add(std::move(route));
}

std::string sink_request(std::string_view body) {
    return request("POST /sink", "Content-Length: " + std::to_string(body.size()) + "\r\n", body);
}

} // namespace

TEST_CASE("exchange: an answer may come later", "[http]") {
    World world;
    Client client{world};
    CHECK(client.send(request("GET /later")).empty());
    REQUIRE(world.waiting != 0);
    CHECK(client.send(request("GET /hello")).empty()); // waits for its turn
    world.answer(text("late"));
    const std::string answers = client.pipe.take_output();
    CHECK(answers.find("late") < answers.find("hello"));
    CHECK(times(answers, "200 OK") == 2);
}

TEST_CASE("exchange: a handle names one request, not its connection", "[http]") {
    World world;
    Client client{world};
    client.send(request("GET /later"));
    const net::Handle first = world.waiting;
    world.answer(text("one"));
    CHECK(find_exchange(world.reactor, first) == nullptr);
    client.send(request("GET /later"));
    CHECK(world.waiting != first);
    CHECK(find_exchange(world.reactor, first) == nullptr);
    CHECK(find_exchange(world.reactor, world.waiting) != nullptr);
    CHECK(find_exchange(world.reactor, 0) == nullptr);
    world.answer(text("two"));
    CHECK(body_of(client.pipe.output) == "two");
}

TEST_CASE("exchange: what is named may be something else", "[http]") {
    World world;
    struct Other final : net::Owned {};
    const net::Handle other = world.reactor.adopt(std::make_unique<Other>());
    CHECK(find_exchange(world.reactor, other) == nullptr);
}

TEST_CASE("exchange: a client that left is not found", "[http]") {
    World world;
    Client client{world};
    client.send(request("GET /later"));
    client.pipe.reset = true;
    client.send({});
    CHECK(client.pipe.destroyed);
    world.answer(text("late"));
    CHECK(world.events.back() == "gone");
}

TEST_CASE("exchange: a client that half-closes still gets its answer", "[http]") {
    World world;
    Client client{world};
    SECTION("from a handler that answers at once") {
        client.pipe.input = request("GET /hello") + request("GET /hello");
        CHECK(times(client.end(), "200 OK") == 2);
    }
    SECTION("from one that answers later, pipelined requests included") {
        client.pipe.input = request("GET /later") + request("GET /hello");
        CHECK(client.end().empty());
        CHECK_FALSE(client.pipe.closed);
        CHECK_FALSE(client.pipe.wants_readable); // or the end would be reported for ever
        world.answer(text("late"));
        CHECK(times(client.pipe.output, "200 OK") == 2);
    }
    SECTION("and a reset after the end is noticed") {
        client.pipe.input = request("GET /later");
        client.end();
        world.turn([&] { client.pipe.handler->on_readable(); });
        CHECK(client.pipe.destroyed);
    }
    CHECK(client.pipe.destroyed);
}

TEST_CASE("exchange: an end inside a request ends the connection", "[http]") {
    World world;
    add_sink(world);
    Client client{world};
    client.send(GENERATE(as<std::string>{}, "", "GE",
                         "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
                         "POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"));
    CHECK(client.end().empty());
    CHECK(client.pipe.destroyed);
    CHECK(times(world.events.empty() ? "" : world.events.back(), "end") == 0);
}

TEST_CASE("exchange: pipelined input is bounded while a handler works", "[http]") {
    World world;
    world.options.head_bytes_max = 1000;
    Client client{world};
    client.send(request("GET /later"));
    client.pipe.read_max = 500;
    client.send(std::string(100'000, 'x'));
    CHECK_FALSE(client.pipe.wants_readable);
    CHECK(client.pipe.input.size() >= 98'000);
    world.answer(text("late"));
    CHECK(status_of(client.pipe.output) == 200);
    CHECK(has(client.pipe.output, "HTTP/1.1 431"));
}

TEST_CASE("exchange: many pipelined requests that all wait are answered in order", "[http]") {
    World world;
    Client client{world};
    std::string input;
    for (int i = 0; i < 100; ++i) input += request("GET /later");
    client.send(input);
    std::string expected;
    for (int i = 0; i < 100; ++i) {
        world.answer(text("n" + std::to_string(i) + ";"));
        expected += "n" + std::to_string(i) + ";";
    }
    std::string got;
    std::string_view rest = client.pipe.output;
    while (!rest.empty()) {
        rest = body_of(rest);
        got += rest.substr(0, rest.find(';') + 1);
        rest.remove_prefix(rest.find(';') + 1);
    }
    CHECK(got == expected);
}

TEST_CASE("exchange: a streamed answer", "[http]") {
    World world;
    world.get("/stream", [&](Exchange& x) {
        x.begin_response(text("first"));
        world.waiting = x.handle();
    });
    world.get("/stream_at_once", [&](Exchange& x) {
        x.begin_response(text(""));
        x.write_body("all");
        x.write_body("");
        x.end_body();
    });
    Client client{world};
    const auto go_on = [&](const std::function<void(Exchange&)>& what) {
        world.turn([&] {
            Exchange* const x = find_exchange(world.reactor, world.waiting);
            REQUIRE(x != nullptr);
            what(*x);
        });
    };
    SECTION("in chunks, and the connection stays") {
        const std::string head = client.send(request("GET /stream"));
        CHECK(has(head, "\r\nTransfer-Encoding: chunked\r\n"));
        CHECK_FALSE(has(head, "Content-Length"));
        CHECK(body_of(head) == "5\r\nfirst\r\n");
        go_on([](Exchange& x) { x.write_body("second"); });
        CHECK(client.pipe.take_output() == "6\r\nsecond\r\n");
        go_on([](Exchange& x) { x.write_body(std::string(20'000, 'z')); });
        CHECK(client.pipe.take_output() == "4e20\r\n" + std::string(20'000, 'z') + "\r\n");
        CHECK(client.send(request("GET /hello")).empty());
        go_on([](Exchange& x) { x.end_body(); });
        const std::string rest = client.pipe.take_output();
        CHECK(rest.starts_with("0\r\n\r\nHTTP/1.1 200 OK"));
        CHECK(find_exchange(world.reactor, world.waiting) == nullptr);
    }
    SECTION("at once") {
        const std::string answers =
            client.send(request("GET /stream_at_once") + request("GET /hello"));
        CHECK(has(answers, "3\r\nall\r\n0\r\n\r\nHTTP/1.1 200"));
    }
    SECTION("until the end of the connection for HTTP/1.0") {
        const std::string head =
            client.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        CHECK_FALSE(has(head, "chunked"));
        CHECK(has(head, "\r\nConnection: close\r\n"));
        CHECK(body_of(head) == "first");
        go_on([](Exchange& x) { x.end_body(); });
        CHECK(client.pipe.output.empty());
        CHECK(client.pipe.output_end);
    }
    SECTION("without a body for HEAD") {
        CHECK(body_of(client.send(request("HEAD /stream_at_once"))).empty());
        CHECK(body_of(client.send(request("GET /hello"))) == "hello");
    }
    SECTION("a peer that takes nothing is given up") {
        client.pipe.room = 0;
        client.send(request("GET /stream"));
        world.turn([&] { CHECK(find_exchange(world.reactor, world.waiting)->queued_bytes() > 0); });
        world.pass(world.options.body_timeout);
        CHECK(client.pipe.destroyed);
        CHECK(find_exchange(world.reactor, world.waiting) == nullptr);
    }
}

TEST_CASE("exchange: an exception in a half-sent answer cuts the connection", "[http]") {
    World world;
    world.get("/half", [](Exchange& x) {
        x.begin_response(text("half"));
        throw std::runtime_error("then nothing");
    });
    Client client{world};
    client.send(request("GET /half"));
    CHECK(client.pipe.destroyed);
    CHECK_FALSE(has(client.pipe.output, "0\r\n\r\n"));
}

TEST_CASE("exchange: a body flows into its sink", "[http]") {
    World world;
    add_sink(world);
    Client client{world};
    SECTION("in pieces, without a limit") {
        client.send(request("POST /sink", "Content-Length: 9\r\n", "abc"));
        client.send("def");
        CHECK(body_of(client.send("ghi")) == "abcdefghi");
        CHECK(world.events ==
              std::vector<std::string>{"piece abc", "piece def", "piece ghi", "end", "destroyed"});
    }
    SECTION("an empty one ends at once") {
        CHECK(status_of(client.send(sink_request(""))) == 200);
        CHECK(world.events == std::vector<std::string>{"end", "destroyed"});
    }
    SECTION("and the next request follows") {
        const std::string answers = client.send(sink_request("abc") + request("GET /hello"));
        CHECK(times(answers, "200 OK") == 2);
    }
    SECTION("paused and resumed") {
        client.send(request("POST /sink", "Content-Length: 9\r\n", "pause"));
        CHECK_FALSE(client.pipe.wants_readable);
        world.pass(world.options.body_timeout * 2); // the pause is ours, not the client's
        CHECK(client.send("abcd").empty());
        CHECK(world.events.size() == 1);
        world.turn([&] { find_exchange(world.reactor, world.waiting)->resume_body(); });
        CHECK(client.pipe.wants_readable);
        CHECK(body_of(client.send("")) == "pauseabcd");
    }
    SECTION("paused with bytes of the body and the next request behind it") {
        client.send(request("POST /sink", "Transfer-Encoding: chunked\r\n",
                            "5\r\npause\r\n3\r\nabc\r\n0\r\n\r\n" + request("GET /hello")));
        CHECK(world.events.size() == 1);
        world.turn([&] { find_exchange(world.reactor, world.waiting)->resume_body(); });
        CHECK(has(client.pipe.output, "pauseabc"));
        CHECK(times(client.pipe.output, "200 OK") == 2);
    }
    SECTION("paused at the very end") {
        client.send(sink_request("pause"));
        CHECK(world.events.size() == 1);
        world.turn([&] { find_exchange(world.reactor, world.waiting)->resume_body(); });
        CHECK(body_of(client.pipe.output) == "pause");
    }
    SECTION("answered later, from inside the sink's reach") {
        client.send(sink_request("later") + request("GET /hello"));
        world.answer(text("done"));
        CHECK(times(client.pipe.output, "200 OK") == 2);
        CHECK(world.events ==
              std::vector<std::string>{"piece later", "end", "answered", "destroyed"});
    }
    SECTION("refused in the middle: the rest is skipped") {
        CHECK(status_of(client.send(request("POST /sink", "Content-Length: 10\r\n", "refuse"))) ==
              400);
        CHECK(world.events == std::vector<std::string>{"piece refuse", "destroyed"});
        CHECK(status_of(client.send("1234" + request("GET /hello"))) == 200);
    }
    SECTION("refused in the middle of a long one") {
        const std::string answer =
            client.send(request("POST /sink", "Content-Length: 1000000\r\n", "refuse"));
        CHECK(has(answer, "\r\nConnection: close\r\n"));
        CHECK(client.pipe.output_end);
    }
    SECTION("an exception in the middle") {
        CHECK(status_of(client.send(request("POST /sink", "Content-Length: 7\r\n", "throw"))) ==
              500);
        CHECK(status_of(client.send("ab" + request("GET /hello"))) == 200);
    }
    SECTION("malformed in the middle") {
        client.send(request("POST /sink", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"));
        CHECK(status_of(client.send("zz\r\n")) == 400);
        CHECK(world.events.back() == "destroyed");
        CHECK(find_exchange(world.reactor, world.waiting) == nullptr);
    }
    SECTION("a reset in the middle") {
        client.send(request("POST /sink", "Content-Length: 7\r\n", "abc"));
        client.pipe.reset = true;
        client.send({});
        CHECK(world.events.back() == "destroyed");
    }
}

TEST_CASE("exchange: detach hands over transport and bytes", "[http]") {
    struct Upgraded final : net::TransportHandler {
        void on_readable() override { ++readable; }
        void on_writable() override {}
        int readable = 0;
    };
    World world;
    Upgraded upgraded;
    Detached detached;
    world.get("/ws", [&](Exchange& x) {
        const std::string_view key = x.head()[Header::sec_websocket_key];
        detached = x.detach();
        detached.transport->set_handler(upgraded);
        world.events.emplace_back(key); // still readable until the handler returns
    });
    Client client{world};
    SECTION("at once, behind an answer that is sent first") {
        const std::string answer = client.send(
            request("GET /hello") + request("GET /ws", "Sec-WebSocket-Key: k\r\n") + "frames");
        CHECK(body_of(answer) == "hello");
        CHECK(detached.leftover == "frames");
        CHECK(detached.chunked);
        CHECK(world.events.back() == "k");
    }
    SECTION("when the head came in pieces") {
        client.send("GET /ws HTTP/1.0\r\nSec-WebS");
        client.send("ocket-Key: k\r\n\r\nfra");
        CHECK(detached.leftover == "fra");
        CHECK_FALSE(detached.chunked);
    }
    SECTION("later") {
        client.send(request("GET /later") + "frames");
        world.turn([&] {
            detached = find_exchange(world.reactor, world.waiting)->detach();
            detached.transport->set_handler(upgraded);
        });
        CHECK(detached.leftover == "frames");
    }
    SECTION("earlier answers that the peer does not take cut the stream") {
        client.pipe.room = 50;
        CHECK(client.send(request("GET /hello") + request("GET /ws")).size() == 50);
        CHECK(client.pipe.output_end);
    }
    REQUIRE(detached.transport);
    CHECK(world.server->connections() == 0);
    CHECK(client.pipe.handler == &upgraded);
    CHECK_FALSE(client.pipe.closed);
    CHECK_FALSE(client.pipe.destroyed);
    client.send("more");
    CHECK(upgraded.readable == 1);
    detached.transport.reset();
}

TEST_CASE("exchange: what the handler is told about its peer", "[http]") {
    World world;
    world.get("/peer", [](Exchange& x) {
        x.respond(text(x.peer() + (x.peer_is_loopback() ? " loopback" : " remote")));
    });
    Client client{world};
    CHECK(body_of(client.send(request("GET /peer"))) == "192.0.2.1 loopback");
    client.pipe.loopback = false;
    CHECK(body_of(client.send(request("GET /peer"))) == "192.0.2.1 remote");
}
