#pragma once
// The HTTP/2 client on a reactor that the test turns by hand, with a clock that it moves: sockets
// are real, time is not. What becomes of each request is noted.

#include "manual_clock.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/http/h2_client.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fanfare::test {

class H2World final : public http::H2PoolOwner, public http::H2Caller {
  public:
    using Kind = http::H2Answer::Kind;
    struct Result {
        Kind kind = Kind::lost;
        int status = 0;
        bool truncated = false;
        bool torn = false;
        std::string body;
        std::string reason;
        std::string content_type;
        int times = 0;
    };

    explicit H2World(http::H2Options options)
        : reactor(0, clock, metrics), resolver_("resolver"), scope_(reactor),
          pool(std::make_unique<http::H2Pool>(reactor, resolver_, *this, std::move(options))) {}
    ~H2World() {
        pool.reset();
        turn(); // what it retired
    }
    H2World(const H2World&) = delete;
    H2World& operator=(const H2World&) = delete;

    /// Plain HTTP/2 to a port of the loopback.
    [[nodiscard]] static http::H2Options plain(std::uint16_t port) {
        http::H2Options options;
        options.host = "127.0.0.1";
        options.port = port;
        options.tls = false;
        options.connections_max = 1;
        return options;
    }

    void turn() { reactor.run_turn(); }
    /// Turns the reactor until it holds. False: not in time.
    [[nodiscard]] bool wait(const std::function<bool()>& holds) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
        while (!holds()) {
            turn();
            if (std::chrono::steady_clock::now() > end) return false;
            std::this_thread::sleep_for(std::chrono::microseconds{50});
        }
        return true;
    }
    /// Time goes on, in steps that no timer can be jumped over with.
    void pass(std::chrono::milliseconds time) {
        for (auto left = time; left.count() > 0; left -= std::chrono::milliseconds{100}) {
            clock.advance(std::min(left, std::chrono::milliseconds{100}));
            turn();
        }
        turn();
    }

    /// False: no room.
    bool send(std::string body = "{}",
              std::chrono::milliseconds deadline = std::chrono::milliseconds{15'000}) {
        const std::string path = "/3/device/" + std::to_string(sent);
        const std::string id = std::to_string(sent);
        const std::vector<http::H2Header> headers{{"apns-topic", "app"}, {"apns-id", id, true}};
        http::H2Request request;
        request.path = path;
        request.headers = headers;
        request.body = body;
        request.deadline = deadline;
        if (!pool->send(request, *this, sent)) return false;
        ++sent;
        return true;
    }
    /// As many as it takes now, at most `count`.
    std::size_t send_many(std::size_t count) {
        std::size_t taken = 0;
        while (taken < count && pool->room() != 0 && send()) ++taken;
        return taken;
    }
    [[nodiscard]] bool wait_answers(std::size_t count) {
        return wait([&] { return results.size() >= count; });
    }
    /// A connection that has answered: what a test of a running one begins with.
    [[nodiscard]] bool warm_up() {
        return send() && wait_answers(1) && results[0].kind == Kind::response;
    }
    [[nodiscard]] std::size_t count(Kind kind) const {
        std::size_t total = 0;
        for (const auto& [tag, result] : results) total += result.kind == kind ? 1 : 0;
        return total;
    }
    /// Each answered exactly once.
    [[nodiscard]] bool each_once() const {
        if (results.size() != sent) return false;
        for (const auto& [tag, result] : results)
            if (result.times != 1) return false;
        return true;
    }

    ManualClock clock;
    Metrics metrics;
    net::Reactor reactor;

  private:
    net::BlockingThread resolver_;
    net::Reactor::Scope scope_;

  public:
    std::unique_ptr<http::H2Pool> pool;
    std::map<std::uint64_t, Result> results;
    std::vector<std::pair<std::uint32_t, std::string>> goaways;
    std::uint64_t sent = 0;
    int rooms = 0;                                // on_room calls
    std::function<void(std::uint64_t)> on_result; // for what a caller does then

  private:
    void on_answer(std::uint64_t tag, const http::H2Answer& answer) override {
        Result& result = results[tag];
        result.kind = answer.kind;
        result.status = answer.status;
        result.truncated = answer.truncated;
        result.torn = answer.torn;
        result.body = answer.body;
        result.reason = answer.reason;
        result.content_type = answer.header("content-type");
        ++result.times;
        if (on_result) on_result(tag);
    }
    void on_room() override { ++rooms; }
    void on_goaway(std::uint32_t error, std::string_view debug_data) override {
        goaways.emplace_back(error, debug_data);
    }
};

} // namespace fanfare::test
