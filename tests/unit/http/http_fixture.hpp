#pragma once
// A server on one reactor with a clock that stands still, and clients that are memory pipes.

#include "h1_connection.hpp"
#include "support/manual_clock.hpp"
#include "support/memory_transport.hpp"

#include <fanfare/http/router.hpp>
#include <fanfare/http/server.hpp>
#include <fanfare/net/reactor.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::http::test {

using fanfare::test::MemoryPipe;
using fanfare::test::MemoryTransport;

inline Response text(std::string body, int status = 200) {
    Response response;
    response.status = status;
    response.content_type = "text/plain";
    response.body = std::move(body);
    return response;
}

struct World {
    fanfare::test::ManualClock clock;
    Metrics metrics;
    net::Reactor reactor{0, clock, metrics};
    Router router{metrics};
    net::Admission admission{100};
    Options options;
    std::unique_ptr<Server> server;
    net::Handle waiting = 0;         // the exchange of "/later"
    std::vector<std::string> events; // what handlers saw

    World() {
        get("/hello", [](Exchange& x) { x.respond(text("hello")); });
        get("/later", [this](Exchange& x) { waiting = x.handle(); });
        get("/throw", [](Exchange&) { throw std::runtime_error("the handler's secret"); });
        get("/big", [](Exchange& x) { x.respond(text(std::string(20'000, 'b'))); });
        get("/room/{room}", [](Exchange& x) { x.respond(text(x.path_parameter(0))); });
        Route echo;
        echo.method = Method::post;
        echo.pattern = "/echo";
        echo.body_bytes_max = 200'000;
        echo.handler = [this](Exchange& x) {
            events.push_back("echo " + std::string{x.head()[Header::host]});
            x.respond(text(std::string{x.body()}));
        };
        router.add(std::move(echo));
    }
    ~World() {
        server.reset();
        reactor.destroy_owned();
    }

    void get(std::string pattern, std::function<void(Exchange&)> handler) {
        Route route;
        route.pattern = std::move(pattern);
        route.handler = std::move(handler);
        router.add(std::move(route));
    }
    void start() { server = std::make_unique<Server>(reactor, router, admission, options); }

    /// Runs `what` on the reactor, and the turns that it causes.
    void turn(std::function<void()> what = {}) {
        if (what) reactor.post([&what] { what(); });
        for (int i = 0; i < 3; ++i) reactor.run_turn();
    }
    /// Time passes and timers fire.
    void pass(std::chrono::milliseconds time) {
        clock.advance(time);
        turn();
        clock.advance(std::chrono::milliseconds{2 * net::TimerWheel::tick_ms});
        turn();
    }
    void answer(const Response& response) {
        turn([&] {
            Exchange* const exchange = find_exchange(reactor, waiting);
            if (exchange != nullptr) exchange->respond(response);
            events.push_back(exchange != nullptr ? "answered" : "gone");
        });
    }
};

struct Client {
    World& world;
    std::shared_ptr<MemoryPipe> far_end = std::make_shared<MemoryPipe>();
    MemoryPipe& pipe = *far_end;

    explicit Client(World& w, net::Admission::Verdict verdict = net::Admission::Verdict::accept)
        : world(w) {
        if (!world.server) world.start();
        world.turn(
            [&] { world.server->accept(std::make_unique<MemoryTransport>(far_end), verdict); });
    }
    /// Sends and returns what came back.
    std::string send(std::string_view bytes) {
        pipe.input += bytes;
        world.turn([&] { pipe.deliver(); });
        return pipe.take_output();
    }
    std::string end() {
        pipe.input_end = true;
        return send({});
    }
};

inline std::string request(std::string_view line, std::string_view headers = {},
                           std::string_view body = {}) {
    return std::string{line} + " HTTP/1.1\r\nHost: h\r\n" + std::string{headers} + "\r\n" +
           std::string{body};
}

inline int status_of(std::string_view answer) {
    return answer.size() > 12 && answer.starts_with("HTTP/1.1 ")
               ? std::stoi(std::string{answer.substr(9, 3)})
               : 0;
}
inline bool has(std::string_view answer, std::string_view part) {
    return answer.find(part) != std::string_view::npos;
}
inline std::string_view body_of(std::string_view answer) {
    const auto at = answer.find("\r\n\r\n");
    return at == std::string_view::npos ? std::string_view{} : answer.substr(at + 4);
}
/// Times that `part` occurs.
inline int times(std::string_view answer, std::string_view part) {
    int n = 0;
    for (auto at = answer.find(part); at != std::string_view::npos; at = answer.find(part, at + 1))
        ++n;
    return n;
}

} // namespace fanfare::http::test
