// Requests in, answers out: framing, pipelining, limits and the ways a connection ends.

#include "http_fixture.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <sys/socket.h>
#include <unistd.h>

using namespace fanfare;
using namespace fanfare::http;
using namespace fanfare::http::test;
using namespace std::chrono_literals;

TEST_CASE("h1: a request is answered and the connection stays", "[http]") {
    World world;
    Client client{world};
    CHECK_FALSE(client.pipe.established);
    const std::string answer = client.send(request("GET /hello"));
    CHECK(client.pipe.established);
    CHECK(answer == "HTTP/1.1 200 OK\r\n"
                    "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                    "Content-Type: text/plain\r\n"
                    "Content-Length: 5\r\n\r\nhello");
    CHECK(body_of(client.send(request("GET /room/a%2Fb"))) == "a/b");
    CHECK_FALSE(client.pipe.output_end);
    CHECK(world.server->connections() == 1);
    CHECK(world.metrics.sum("http_requests_total") == 2);
}

TEST_CASE("h1: a head that comes again is answered as before", "[http]") {
    World world;
    Client client{world};
    for (const char* const body : {"a", "bb", "", "cccccccccccc"}) {
        const std::string length = "Content-Length: " + std::to_string(std::string{body}.size());
        CHECK(body_of(client.send(request("POST /echo", length + "\r\n", body))) == body);
    }
    // In pieces too, when the head has to be kept while its body comes.
    const std::string last = request("POST /echo", "Content-Length: 3\r\n", "xyz");
    for (std::size_t cut = 1; cut < last.size(); ++cut) {
        std::string answer = client.send(std::string_view{last}.substr(0, cut));
        answer += client.send(std::string_view{last}.substr(cut));
        CHECK(body_of(answer) == "xyz");
    }
    for (int i = 0; i < 3; ++i) CHECK(status_of(client.send(request("GET /nothing"))) == 404);
    for (int i = 0; i < 3; ++i) CHECK(body_of(client.send(request("GET /room/b"))) == "b");
    CHECK(world.events.back() == "echo h");
}

TEST_CASE("h1: any split of the bytes gives the same answers", "[http]") {
    const std::string input =
        request("GET /hello") + request("POST /echo", "Content-Length: 4\r\n", "abcd") + "\r\n" +
        request("POST /echo", "Transfer-Encoding: chunked\r\n",
                "3\r\nxyz\r\n2;e\r\n12\r\n0\r\nT: t\r\n\r\n") +
        request("HEAD /hello") + request("GET /hello", "Connection: close\r\n");
    std::string whole;
    {
        World world;
        Client client{world};
        whole = client.send(input);
        REQUIRE(times(whole, "HTTP/1.1 200 OK") == 5);
        CHECK(has(whole, "abcd"));
        CHECK(has(whole, "xyz12"));
    }
    for (std::size_t step = 1; step < 60; step += step < 5 ? 1 : 11) {
        World world;
        Client client{world};
        std::string answers;
        for (std::size_t at = 0; at < input.size(); at += step)
            answers += client.send(std::string_view{input}.substr(at, step));
        CHECK(answers == whole);
        CHECK(client.pipe.output_end);
    }
    for (std::size_t cut = 1; cut < input.size(); ++cut) {
        World world;
        Client client{world};
        std::string answers = client.send(std::string_view{input}.substr(0, cut));
        answers += client.send(std::string_view{input}.substr(cut));
        CHECK(answers == whole);
    }
}

TEST_CASE("h1: pipelined requests leave in one write", "[http]") {
    World world;
    Client client{world};
    std::string input;
    for (int i = 0; i < 20; ++i) input += request("GET /hello");
    CHECK(times(client.send(input), "200 OK") == 20);
    CHECK(client.pipe.writes == 1);
}

TEST_CASE("h1: HEAD has the length and no body", "[http][rfc9110-9.3.2]") {
    World world;
    Client client{world};
    const std::string answer = client.send(request("HEAD /hello"));
    CHECK(has(answer, "Content-Length: 5\r\n"));
    CHECK(body_of(answer).empty());
    CHECK(body_of(client.send(request("GET /hello"))) == "hello");
}

TEST_CASE("h1: unknown paths and methods", "[http]") {
    World world;
    Client client{world};
    const std::string missing = client.send(request("GET /nothing"));
    CHECK(status_of(missing) == 404);
    CHECK(has(missing, "application/problem+json"));
    CHECK(has(missing, "\r\nX-Request-Id: "));
    const std::string refused = client.send(request("PUT /hello"));
    CHECK(status_of(refused) == 405);
    CHECK(has(refused, "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    const std::string options = client.send(request("OPTIONS /hello"));
    CHECK(status_of(options) == 204);
    CHECK_FALSE(has(options, "Content-Length"));
    CHECK(status_of(client.send(request("OPTIONS *"))) == 204);
}

TEST_CASE("h1: the request id is echoed if it is sane", "[http]") {
    World world;
    Client client{world};
    CHECK(has(client.send(request("GET /hello", "X-Request-Id: abc-1\r\n")),
              "\r\nX-Request-Id: abc-1\r\n"));
    CHECK_FALSE(has(client.send(request("GET /hello", "X-Request-Id: a b\r\n")), "X-Request-Id"));
    CHECK_FALSE(
        has(client.send(request("GET /hello", "X-Request-Id: " + std::string(129, 'x') + "\r\n")),
            "X-Request-Id"));
    CHECK_FALSE(has(client.send(request("GET /hello")), "X-Request-Id"));
}

TEST_CASE("h1: HTTP/1.0 closes unless asked to stay", "[http][rfc9112-9.3]") {
    World world;
    Client stays{world};
    CHECK(has(stays.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
              "\r\nConnection: keep-alive\r\n"));
    CHECK_FALSE(stays.pipe.output_end);
    Client leaves{world};
    CHECK(has(leaves.send("GET /hello HTTP/1.0\r\n\r\n"), "\r\nConnection: close\r\n"));
    CHECK(leaves.pipe.output_end);
}

TEST_CASE("h1: Connection: close ends after the answer", "[http]") {
    World world;
    Client client{world};
    const std::string answer =
        client.send(request("GET /hello", "Connection: close\r\n") + request("GET /hello"));
    CHECK(times(answer, "200 OK") == 1);
    CHECK(has(answer, "\r\nConnection: close\r\n"));
    CHECK(client.pipe.output_end);
    CHECK_FALSE(client.pipe.closed); // until the peer closes too
    client.end();
    CHECK(client.pipe.destroyed);
    CHECK(world.server->connections() == 0);
}

TEST_CASE("h1: a malformed request is answered, and the connection ends", "[http]") {
    World world;
    Client client{world};
    const std::string answer =
        client.send(request("GET /hello") + "GET /hello HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n");
    CHECK(times(answer, "HTTP/1.1 ") == 2);
    CHECK(has(answer, "HTTP/1.1 400 Bad Request"));
    CHECK(has(answer, "white space stands between a header name and its colon"));
    CHECK(has(answer, "line 3, header \\\"A\\\""));
    CHECK(has(answer, "\r\nConnection: close\r\n"));
    CHECK(client.pipe.output_end);
    CHECK(world.metrics.sum("http_faults_total") == 1);

    SECTION("what comes afterwards is read and forgotten, within limits") {
        client.send(std::string(100'000, 'x'));
        CHECK_FALSE(client.pipe.closed);
        client.send(std::string(H1Connection::linger_bytes_max, 'x'));
        CHECK(client.pipe.closed);
    }
    SECTION("the wait for the peer's end is bounded") {
        world.pass(H1Connection::linger_time);
        CHECK(client.pipe.destroyed);
    }
}

TEST_CASE("h1: bodies are limited by their route", "[http]") {
    World world;
    world.options.head_bytes_max = 2000;
    Client client{world};
    SECTION("the announced length is enough to refuse") {
        const std::string answer = client.send(request("POST /echo", "Content-Length: 200001\r\n"));
        CHECK(status_of(answer) == 413);
        CHECK(has(answer, "at most 200000 bytes"));
        CHECK(client.pipe.output_end);
    }
    SECTION("chunks are counted") {
        std::string chunk = "10000\r\n" + std::string(65'536, 'x') + "\r\n";
        const std::string answer =
            client.send(request("POST /echo", "Transfer-Encoding: chunked\r\n") + chunk + chunk +
                        chunk + chunk);
        CHECK(status_of(answer) == 413);
    }
    SECTION("a route without a body takes none") {
        CHECK(status_of(client.send(request("GET /hello", "Content-Length: 1\r\n", "x"))) == 413);
    }
    SECTION("but an empty one is no body") {
        CHECK(status_of(client.send(request("GET /hello", "Content-Length: 0\r\n"))) == 200);
    }
    SECTION("the largest one passes, in pieces too") {
        const std::string body(200'000, 'y');
        const std::string answer =
            client.send(request("POST /echo", "Content-Length: 200000\r\n", body));
        CHECK(body_of(answer) == body);
        CHECK(world.events.back() == "echo h"); // the head outlived the first buffer
    }
    SECTION("a head too long is 431") {
        const std::string answer =
            client.send(request("GET /hello", "A: " + std::string(3000, 'x') + "\r\n"));
        CHECK(status_of(answer) == 431);
    }
}

TEST_CASE("h1: a body has readable bytes behind it", "[http]") {
    World world;
    world.get("/padded", [](Exchange&) {});
    Route route;
    route.method = Method::post;
    route.pattern = "/padded";
    route.body_bytes_max = 100'000;
    int sum = 0;
    route.handler = [&](Exchange& x) {
        for (std::size_t i = 0; i < body_slack; ++i) sum += x.body().data()[x.body().size() + i];
        x.respond(text("ok"));
    };
    world.router.add(std::move(route));
    Client client{world};
    // The sanitizers watch.
    CHECK(status_of(client.send(request("POST /padded"))) == 200);
    CHECK(status_of(client.send(request("POST /padded", "Content-Length: 3\r\n", "abc"))) == 200);
    CHECK(status_of(client.send(
              request("POST /padded", "Content-Length: " + std::to_string(65'536 - 60) + "\r\n") +
              std::string(65'536 - 60, 'x'))) == 200);
    CHECK(status_of(client.send(request("POST /padded", "Transfer-Encoding: chunked\r\n",
                                        "3\r\nabc\r\n0\r\n\r\n"))) == 200);
    client.send("POST /padded HTT");
    CHECK(status_of(client.send("P/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")) == 200);
}

TEST_CASE("h1: 100 Continue comes only after the guard has passed", "[http][rfc9110-10.1.1]") {
    World world;
    Route route;
    route.method = Method::post;
    route.pattern = "/guarded";
    route.body_bytes_max = 100;
    route.guard = [](Exchange& x) {
        if (x.head().has(Header::x_api_key)) return true;
        x.respond(problem(Code::unauthorized, "no key"));
        return false;
    };
    route.handler = [](Exchange& x) { x.respond(text(std::string{x.body()})); };
    world.router.add(std::move(route));
    Client client{world};
    const std::string expect = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    SECTION("passed") {
        CHECK(client.send(request("POST /guarded", expect + "X-API-Key: k\r\n")) ==
              "HTTP/1.1 100 Continue\r\n\r\n");
        CHECK(body_of(client.send("abc")) == "abc");
        CHECK_FALSE(client.pipe.output_end);
    }
    SECTION("not asked for by who sends at once") {
        CHECK(status_of(client.send(request("POST /guarded", expect + "X-API-Key: k\r\n", "a"))) ==
              0);
        CHECK(status_of(client.send("bc")) == 200);
    }
    SECTION("refused") {
        const std::string answer = client.send(request("POST /guarded", expect));
        CHECK(status_of(answer) == 401);
        CHECK(has(answer, "\r\nWWW-Authenticate: Bearer"));
        CHECK(has(answer, "\r\nConnection: close\r\n"));
    }
    SECTION("an expectation that is not known") {
        CHECK(status_of(client.send(request("POST /guarded", "Expect: x\r\n"))) == 417);
    }
    SECTION("a short body is skipped and the connection kept") {
        const std::string answer =
            client.send(request("POST /guarded", "Content-Length: 3\r\n", "ab"));
        CHECK(status_of(answer) == 401);
        CHECK_FALSE(has(answer, "Connection: close"));
        CHECK(status_of(client.send("c" + request("GET /hello"))) == 200);
    }
    SECTION("a chunked one too") {
        client.send(request("POST /guarded", "Transfer-Encoding: chunked\r\n", "3\r\nab"));
        CHECK(status_of(client.send("c\r\n0\r\n\r\n" + request("GET /hello"))) == 200);
    }
    SECTION("unless it turns out malformed or long") {
        client.send(request("POST /guarded", "Transfer-Encoding: chunked\r\n", "3\r\nab"));
        CHECK(client.send("cd\r\n").empty());
        CHECK(client.pipe.output_end);
    }
    SECTION("a long body is not waited for") {
        const std::string answer =
            client.send(request("POST /guarded", "Content-Length: 1000000\r\n", "ab"));
        CHECK(status_of(answer) == 401);
        CHECK(has(answer, "\r\nConnection: close\r\n"));
        CHECK(client.pipe.output_end);
    }
}

TEST_CASE("h1: what a handler throws becomes a 500", "[http]") {
    World world;
    Client client{world};
    const std::string answer =
        client.send(request("GET /throw", "X-Request-Id: r7\r\n") + request("GET /hello"));
    CHECK(status_of(answer) == 500);
    CHECK(has(answer, "\"code\":\"internal\""));
    CHECK(has(answer, "X-Request-Id: r7"));
    CHECK_FALSE(has(answer, "secret"));
    CHECK(has(answer, "200 OK")); // the process and the connection live on
}

TEST_CASE("h1: the gate is asked first, and sheds", "[http]") {
    World world;
    SECTION("a gate that answers") {
        world.router.set_gate([](Exchange& x) {
            if (x.head()[Header::host] == "h") return false;
            x.respond(problem(Code::forbidden, "not this host"));
            return true;
        });
        Client client{world};
        CHECK(status_of(client.send("GET /nothing HTTP/1.1\r\nHost: evil\r\n\r\n")) == 403);
        CHECK(status_of(client.send(request("GET /hello"))) == 200);
    }
    SECTION("a head that it refused is routed when it comes again") {
        bool open = false;
        world.router.set_gate([&](Exchange& x) {
            if (open || x.head().path != "/hello") return false;
            x.respond(problem(Code::forbidden, "not now"));
            return true;
        });
        Client client{world};
        CHECK(body_of(client.send(request("GET /room/a"))) == "a");
        CHECK(status_of(client.send(request("GET /hello"))) == 403);
        CHECK(world.metrics.sum("http_requests_total") == 2);
        open = true;
        CHECK(body_of(client.send(request("GET /hello"))) == "hello");
        CHECK(body_of(client.send(request("GET /hello"))) == "hello");
        CHECK(world.metrics.text().find(
                  R"(http_requests_total{method="",route="",status="403"} 1)") !=
              std::string::npos);
    }
    SECTION("a gate that forgets to answer") {
        world.router.set_gate([](Exchange&) { return true; });
        Client client{world};
        CHECK(status_of(client.send(request("GET /hello"))) == 500);
    }
    SECTION("shed connections are told so and closed, without a gate too") {
        Client client{world, net::Admission::Verdict::shed};
        const std::string answer = client.send(request("GET /hello"));
        CHECK(status_of(answer) == 503);
        CHECK(has(answer, "\r\nRetry-After: 1\r\n"));
        CHECK(client.pipe.output_end);
    }
    SECTION("refused connections are closed") {
        Client client{world, net::Admission::Verdict::refuse};
        CHECK(client.pipe.closed);
        CHECK(world.server->connections() == 0);
    }
}

TEST_CASE("h1: a peer that never reads stops being served", "[http]") {
    World world;
    world.options.response_queue_max = 50'000;
    world.options.head_bytes_max = 1000;
    Client client{world};
    client.pipe.room = 1000;
    std::string input;
    for (int i = 0; i < 1000; ++i) input += request("GET /big");
    client.send(input);
    CHECK(world.metrics.sum("http_requests_total") <= 4);
    CHECK_FALSE(client.pipe.wants_readable);

    SECTION("until it does") {
        for (int i = 0; i < 3000 && world.metrics.sum("http_requests_total") < 1000; ++i)
            world.turn([&] {
                client.pipe.drain(100'000);
                client.pipe.deliver();
            });
        world.turn([&] { client.pipe.drain(); });
        CHECK(world.metrics.sum("http_requests_total") == 1000);
        CHECK_FALSE(client.pipe.closed);
        CHECK(client.pipe.wants_readable);
    }
    SECTION("and is closed when nothing moves") {
        world.pass(world.options.body_timeout); // the first 1,000 bytes did move
        CHECK_FALSE(client.pipe.closed);
        world.pass(world.options.body_timeout);
        CHECK(client.pipe.destroyed);
        CHECK(world.server->connections() == 0);
    }
    SECTION("but not while something moves") {
        for (int i = 0; i < 3; ++i) {
            world.turn([&] { client.pipe.drain(10); });
            world.pass(world.options.body_timeout);
        }
        CHECK_FALSE(client.pipe.closed);
    }
}

TEST_CASE("h1: timeouts", "[http]") {
    World world;
    Client client{world};
    SECTION("silence from the start is closed silently") {
        world.pass(world.options.head_timeout - 100ms);
        CHECK_FALSE(client.pipe.closed);
        world.pass(100ms);
        CHECK(client.pipe.closed);
        CHECK(client.pipe.output.empty());
    }
    SECTION("a head that does not become whole is 408") {
        client.send("GET / HT");
        world.pass(world.options.head_timeout / 2);
        client.send("T");
        world.pass(world.options.head_timeout / 2);
        CHECK(status_of(client.pipe.output) == 408);
        CHECK(client.pipe.output_end);
    }
    SECTION("each later head has its own time") {
        client.send(request("GET /hello"));
        world.pass(world.options.head_timeout * 2);
        CHECK(client.send("GET /hello HT").empty());
        world.pass(world.options.head_timeout - 100ms);
        CHECK(status_of(client.send("TP/1.1\r\nHost: h\r\n\r\n")) == 200);
        client.send("G");
        world.pass(world.options.head_timeout);
        CHECK(status_of(client.pipe.output) == 408);
    }
    SECTION("idle between requests is closed without a word") {
        client.send(request("GET /hello"));
        world.pass(world.options.keep_alive - 100ms);
        CHECK_FALSE(client.pipe.closed);
        world.pass(100ms);
        CHECK(client.pipe.closed);
        CHECK(client.pipe.output.empty());
    }
    SECTION("each request moves the end of idling") {
        for (int i = 0; i < 3; ++i) {
            client.send(request("GET /hello"));
            world.pass(world.options.keep_alive - 100ms);
            CHECK_FALSE(client.pipe.closed);
        }
        // Sooner than what the timer was set for last.
        client.send("G");
        world.pass(world.options.head_timeout);
        CHECK(status_of(client.pipe.output) == 408);
    }
    SECTION("a body that moves has time") {
        client.send(request("POST /echo", "Content-Length: 5\r\n"));
        for (const char c : std::string{"abcd"}) {
            world.pass(world.options.body_timeout - 100ms);
            CHECK(client.send({&c, 1}).empty());
        }
        CHECK(status_of(client.send("e")) == 200);
    }
    SECTION("a body that stops is 408") {
        client.send(request("POST /echo", "Content-Length: 5\r\n", "ab"));
        world.pass(world.options.body_timeout);
        CHECK(status_of(client.pipe.output) == 408);
        CHECK(client.pipe.output_end);
    }
    SECTION("a handler that thinks is not hurried") {
        client.send(request("GET /later"));
        world.pass(1h);
        CHECK_FALSE(client.pipe.closed);
        world.answer(text("late"));
        CHECK(body_of(client.pipe.output) == "late");
    }
}

TEST_CASE("h1: drain closes the idle now and the others after their answer", "[http]") {
    World world;
    Client idle{world};
    Client fresh{world};
    Client busy{world};
    Client half{world};
    idle.send(request("GET /hello"));
    busy.send(request("GET /later"));
    half.send("GET /hel");
    world.turn([&] { world.server->drain(); });
    CHECK(idle.pipe.output_end);
    CHECK(fresh.pipe.output_end);
    CHECK_FALSE(busy.pipe.output_end);
    CHECK_FALSE(half.pipe.output_end);
    world.answer(text("late"));
    CHECK(has(busy.pipe.output, "\r\nConnection: close\r\n"));
    CHECK(busy.pipe.output_end);
    CHECK(has(half.send("lo HTTP/1.1\r\nHost: h\r\n\r\n"), "\r\nConnection: close\r\n"));
}

TEST_CASE("h1: a failing write at any place leaks nothing and answers no one", "[http]") {
    for (int n = 1; n <= 6; ++n) {
        World world;
        Client client{world};
        client.pipe.fail_write_at = n;
        client.send(request("GET /hello"));
        client.send(request("POST /echo", "Expect: 100-continue\r\nContent-Length: 2\r\n"));
        client.send("ab");
        client.send(request("GET /later"));
        world.answer(text("late"));
        client.send("BAD\r\n\r\n");
        CHECK(client.pipe.destroyed == (client.pipe.writes >= n));
        client.end();
        CHECK(world.server->connections() == 0);
    }
}

TEST_CASE("h1: descriptors are taken over", "[http]") {
    World world;
    world.start();
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    REQUIRE(world.admission.enter() == net::Admission::Verdict::accept);
    world.turn([&] { world.server->accept(ends[0], net::Admission::Verdict::accept); });
    const std::string input = request("GET /hello", "Connection: close\r\n");
    REQUIRE(::write(ends[1], input.data(), input.size()) == static_cast<ssize_t>(input.size()));
    world.turn();
    std::array<char, 1024> answer{};
    const auto n = ::read(ends[1], answer.data(), answer.size());
    REQUIRE(n > 0);
    CHECK(status_of({answer.data(), static_cast<std::size_t>(n)}) == 200);
    CHECK(::read(ends[1], answer.data(), answer.size()) == 0);
    ::close(ends[1]);
    world.turn();
    CHECK(world.server->connections() == 0);
    CHECK(world.admission.open() == 0);
}

TEST_CASE("h1: the server may go while requests are open", "[http]") {
    World world;
    Client a{world};
    Client b{world};
    a.send(request("GET /later"));
    b.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab");
    world.turn([&] { world.server.reset(); });
    CHECK(a.pipe.destroyed);
    CHECK(b.pipe.destroyed);
    CHECK(find_exchange(world.reactor, world.waiting) == nullptr);
}
