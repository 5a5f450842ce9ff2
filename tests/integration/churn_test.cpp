// Clients of all kinds come, do anything and go, from several threads at once. Nothing is expected
// of a single step but that it is answered once; at the end nothing may be left. The sanitizers see
// the rest.

#include "gateway.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <random>

namespace fanfare::test {
namespace {

constexpr std::size_t threads = 4;
constexpr std::size_t clients_max = 8; // of one thread
constexpr std::uint64_t room_count = 6;
constexpr std::uint64_t user_count = 5;

/// One thread's clients and what they do.
class Crowd {
  public:
    Crowd(const Gateway& gateway, const std::vector<std::string>& tokens, std::uint64_t seed)
        : gateway_(gateway), tokens_(tokens), random_(seed), backend_(gateway.port()) {}

    void run(TestClock::time_point end) {
        while (TestClock::now() < end) step();
        while (!sockets_.empty()) leave(0);
    }
    [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

  private:
    struct Member {
        std::unique_ptr<WsClient> client;
        std::map<std::uint64_t, int> waiting; // requests by id; answered ones are gone
        std::uint64_t last_id = 0;
    };

    std::uint64_t pick(std::uint64_t below) { return random_() % below; }
    std::string room() { return "churn:" + std::to_string(pick(room_count)); }
    std::string user() { return "u" + std::to_string(pick(user_count)); }

    void step() {
        ++steps_;
        const std::uint64_t choice = pick(100);
        if (choice < 12 && sockets_.size() < clients_max) return join();
        if (choice < 20 && streams_.size() < clients_max / 2) return open_stream();
        if (choice < 24) return end_stream();
        if (choice < 40) return backend();
        if (sockets_.empty()) return;
        const std::size_t at = pick(sockets_.size());
        if (choice < 46) return leave(at);
        if (choice < 50) {
            sockets_[at].client->socket().abort();
            sockets_.erase(sockets_.begin() + static_cast<std::ptrdiff_t>(at));
            return;
        }
        if (act(sockets_[at])) return;
        sockets_.erase(sockets_.begin() + static_cast<std::ptrdiff_t>(at));
    }

    void join() {
        WsOptions options;
        if (pick(2) == 0) options.token = tokens_[pick(tokens_.size())];
        options.deflate = pick(2) == 0;
        sockets_.push_back({std::make_unique<WsClient>(gateway_.port(), options), {}, 0});
    }

    /// Waits for what is still unanswered, then the close handshake.
    void leave(std::size_t at) {
        Member member = std::move(sockets_[at]);
        sockets_.erase(sockets_.begin() + static_cast<std::ptrdiff_t>(at));
        while (!member.waiting.empty()) {
            const auto message = member.client->next();
            if (!message && member.client->timed_out())
                throw std::runtime_error("a request was not answered");
            if (!message) return; // disconnected by the API
            take(member, *message);
        }
        if (member.client->close_code() == 0) member.client->close();
    }

    void take(Member& member, const std::string& message) {
        const std::string_view op = json_string(message, "op");
        if (op == "error" && json_string(message, "code") == "internal")
            throw std::runtime_error(message);
        if (!message.starts_with("{\"id\":")) return;
        if (member.waiting.erase(json_number(message, "id").value()) != 1)
            throw std::runtime_error("answered twice, or not asked for: " + message);
    }

    /// False: the gateway has ended the connection.
    bool act(Member& member) {
        try {
            for (std::uint64_t n = pick(4); n > 0; --n) ask(member);
        } catch (const ConnectionReset&) {
            return false;
        }
        for (std::uint64_t n = pick(60); n > 0; --n) {
            const auto message = member.client->next(std::chrono::milliseconds{0});
            if (message) {
                take(member, *message);
                continue;
            }
            if (member.client->timed_out()) break;
            const std::uint16_t code = member.client->close_code();
            if (code != 4403 && code != 4408)
                throw std::runtime_error("closed with " + std::to_string(code));
            return false;
        }
        return true;
    }

    void ask(Member& member) {
        const std::uint64_t id = ++member.last_id;
        std::string members;
        const std::string in_room = R"(,"room":")" + room() + '"';
        switch (pick(10)) {
        case 0:
        case 1:
            members = R"("op":"subscribe")" + in_room;
            break;
        case 2:
            members = R"("op":"subscribe","last":)" + std::to_string(1 + pick(50)) + in_room;
            break;
        case 3:
            members = R"("op":"subscribe","since":{"epoch":"abcdefgh","offset":1})" + in_room;
            break;
        case 4:
            members = R"("op":"unsubscribe")" + in_room;
            break;
        case 5:
            members = pick(2) == 0 ? R"("op":"subscribe","pattern":"churn:*")"
                                   : R"("op":"unsubscribe","pattern":"churn:*")";
            break;
        case 6:
            members = R"("op":"presence")" + in_room;
            break;
        case 7:
            members = R"("op":"history","limit":20)" + in_room;
            break;
        case 8:
            members = R"("op":"publish","data":"from a client","ephemeral":true)" + in_room;
            break;
        default:
            members = R"("op":"publish","data":"from a client")" + in_room;
            break;
        }
        member.waiting[id] = 1;
        member.client->send("{\"id\":" + std::to_string(id) + ',' + members + '}');
    }

    void open_stream() {
        std::string target = "/sse?last=5&room=churn:0&room=churn:" + std::to_string(1 + pick(5));
        if (pick(2) == 0) target += "&token=" + tokens_[pick(tokens_.size())];
        streams_.push_back(std::make_unique<SseClient>(gateway_.port(), target));
    }

    void end_stream() {
        if (streams_.empty()) return;
        SseClient& stream = *streams_.back();
        for (std::uint64_t n = pick(20); n > 0; --n)
            if (!stream.next(std::chrono::milliseconds{0})) break;
        if (pick(2) == 0) stream.socket().abort();
        streams_.pop_back();
    }

    void backend() {
        const std::string in_room = R"({"room":")" + room() + '"';
        HttpResponse response;
        const auto post = [&](const std::string& target, const std::string& body) {
            response = backend_.request("POST", "/api/v1/" + target, body, Gateway::api_key_line);
        };
        switch (pick(8)) {
        case 0:
            post("users/" + user() + "/disconnect", "");
            break;
        case 1:
            post("users/" + user() + "/subscribe", in_room + '}');
            break;
        case 2:
            post("users/" + user() + "/unsubscribe", in_room + '}');
            break;
        case 3:
            response = backend_.request("GET", "/api/v1/rooms?limit=10", {}, Gateway::api_key_line);
            break;
        case 4:
            post("publish", in_room + R"(,"data":1,"id":"k)" + std::to_string(pick(20)) + "\"}");
            if (response.status == 409) response.status = 200; // the key was another room's
            break;
        default:
            post("publish", in_room + R"(,"data":")" + std::string(pick(3'000), 'd') + "\"}");
            break;
        }
        if (response.status != 200) throw std::runtime_error(response.head + response.body);
    }

    const Gateway& gateway_;
    const std::vector<std::string>& tokens_;
    std::mt19937_64 random_;
    HttpClient backend_;
    std::vector<Member> sockets_;
    std::vector<std::unique_ptr<SseClient>> streams_;
    std::uint64_t steps_ = 0;
};

} // namespace

TEST_CASE("churn: clients of all kinds come, do anything and go; nothing is left",
          "[integration][churn]") {
    Gateway gateway;
    const std::uint64_t seed = test_seed();
    const std::chrono::seconds duration{setting("FANFARE_CHURN_SECONDS", 4)};
    std::vector<std::string> tokens;
    for (std::uint64_t i = 0; i < user_count; ++i)
        tokens.push_back(gateway.token("u" + std::to_string(i)));
    std::vector<std::string> faults(threads);
    std::atomic<std::uint64_t> steps{0};
    {
        std::vector<std::jthread> running;
        for (std::size_t i = 0; i < threads; ++i)
            running.emplace_back([&, i] {
                try {
                    Crowd crowd{gateway, tokens, seed + i};
                    crowd.run(TestClock::now() + duration);
                    steps += crowd.steps();
                } catch (const std::exception& error) {
                    faults[i] = error.what();
                }
            });
        for (std::jthread& thread : running) thread.join();
    }
    std::cout << "churn: " << steps << " steps, seed " << seed << ", "
              << gateway.metric("messages_published_total") << " published, "
              << gateway.metric("messages_out_total") << " delivered\n";
    CAPTURE(seed);
    for (const std::string& fault : faults) CHECK(fault == "");
    for (const char* const gauge :
         {"connections", "sessions", "subscriptions", "pattern_subscriptions"}) {
        CAPTURE(gauge);
        CHECK(eventually([&] { return gateway.metric(gauge) == 0; }));
    }
    // Every room has lost its subscribers, and everyone has left, after their linger time.
    for (std::uint64_t i = 0; i < room_count; ++i) {
        const std::string room = "/api/v1/rooms/churn:" + std::to_string(i);
        CHECK(eventually([&] {
            return json_number(gateway.api("GET", room).body, "subscribers") == 0 &&
                   json_number(gateway.api("GET", room + "/presence").body, "total") == 0;
        }));
    }
}

} // namespace fanfare::test
