// One order for all: publishers and subscribers on all reactors, over both transports.

#include "gateway.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <map>
#include <set>

namespace fanfare::test {
namespace {

constexpr std::uint64_t publishers = 4;
constexpr std::uint64_t each = instrumented ? 250 : 1'500;

/// What one subscriber got: the payloads in the order they came.
struct Seen {
    OffsetCheck offsets;
    std::vector<std::uint64_t> data;
    std::string fault;

    void take(std::string_view message) {
        offsets.take(json_number(message, "offset").value());
        data.push_back(json_number(message, "data").value());
    }
    [[nodiscard]] bool complete() const { return data.size() == publishers * each; }
};

void read_all(WsClient& client, Seen& seen) {
    while (!seen.complete()) {
        const auto message = client.next();
        if (!message) throw std::runtime_error("closed: " + std::to_string(client.close_code()));
        if (json_string(*message, "op") == "message") seen.take(*message);
    }
}

void read_all(SseClient& client, Seen& seen) {
    while (!seen.complete()) {
        const auto event = client.next();
        if (!event) throw std::runtime_error("the stream ended");
        if (event->type == "message") seen.take(event->data);
    }
}

template <class Client>
std::jthread reader(Client& client, Seen& seen) {
    return std::jthread{[&client, &seen] {
        try {
            read_all(client, seen);
        } catch (const std::exception& error) {
            seen.fault = error.what();
        }
    }};
}

void publish_numbers(std::uint16_t port, const std::string& room, std::uint64_t first,
                     std::string& fault) {
    try {
        HttpClient client{port};
        for (std::uint64_t n = first; n < first + each; ++n) {
            const HttpResponse response =
                client.request("POST", "/api/v1/publish",
                               R"({"room":")" + room + R"(","data":)" + std::to_string(n) + '}',
                               Gateway::api_key_line);
            if (response.status != 200) throw std::runtime_error(response.body);
        }
    } catch (const std::exception& error) {
        fault = error.what();
    }
}

} // namespace

TEST_CASE("order: four publishers, subscribers of all kinds on all reactors, one order",
          "[integration][order]") {
    Gateway gateway;
    const std::string room = gateway.room_on(1);
    std::vector<WsClient> sockets;
    std::vector<SseClient> streams;
    // The kernel spreads connections; go on until both reactors have some of each kind.
    std::map<std::string, std::array<std::size_t, Gateway::reactors>> spread;
    const auto enough = [&spread](const std::string& kind) {
        const auto& on = spread[kind];
        REQUIRE(on[0] + on[1] < 100); // a fair coin does not fall so
        return on[0] + on[1] >= 8 && on[0] >= 2 && on[1] >= 2;
    };
    for (const bool deflate : {false, true}) {
        const std::string kind = deflate ? "WebSocket, deflate" : "WebSocket";
        while (!enough(kind)) {
            WsOptions options;
            options.deflate = deflate;
            WsClient client{gateway.port(), options};
            REQUIRE(json_string(client.request(R"("op":"subscribe","room":")" + room + '"'),
                                "op") == "ok");
            ++spread[kind].at(client.reactor());
            sockets.push_back(std::move(client));
        }
    }
    while (!enough("SSE")) {
        SseClient client{gateway.port(), "/sse?room=" + room};
        const auto ready = client.next();
        REQUIRE(ready);
        REQUIRE(ready->type == "ready");
        ++spread["SSE"].at(reactor_of_session(json_string(ready->data, "session")));
        streams.push_back(std::move(client));
    }
    REQUIRE(sockets.size() + streams.size() >= 20);

    std::vector<Seen> seen(sockets.size() + streams.size());
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < sockets.size(); ++i) threads.push_back(reader(sockets[i], seen[i]));
    for (std::size_t i = 0; i < streams.size(); ++i)
        threads.push_back(reader(streams[i], seen[sockets.size() + i]));
    std::array<std::string, publishers> faults;
    for (std::uint64_t i = 0; i < publishers; ++i)
        threads.emplace_back(publish_numbers, gateway.port(), std::cref(room), i * each,
                             std::ref(faults.at(i)));
    for (std::jthread& thread : threads) thread.join();

    for (const std::string& fault : faults) CHECK(fault.empty());
    for (const Seen& one : seen) {
        CHECK(one.fault.empty());
        CHECK(one.offsets.fault().empty());
        CHECK(one.offsets.last() == publishers * each);
        CHECK((one.data == seen.front().data));
    }
    // Each publisher waited for its answers, so its own messages kept their order.
    std::array<std::uint64_t, publishers> next{};
    for (const std::uint64_t data : seen.front().data) CHECK(data % each == next.at(data / each)++);
}

TEST_CASE("order: a publisher's ok comes before its own message", "[integration][order]") {
    Gateway gateway;
    for (unsigned home = 0; home < Gateway::reactors; ++home) {
        const std::string room = gateway.room_on(home);
        WsClient client = gateway.ws_on(0);
        client.request(R"("op":"subscribe","room":")" + room + '"');
        for (std::uint64_t n = 1; n <= 200; ++n) {
            client.send(R"({"id":7,"op":"publish","room":")" + room + R"(","data":1})");
            const std::string first = client.next().value();
            const std::string second = client.next().value();
            REQUIRE(json_string(first, "op") == "ok");
            REQUIRE(json_number(first, "offset") == n);
            REQUIRE(json_string(second, "op") == "message");
            REQUIRE(json_number(second, "offset") == n);
        }
    }
}

TEST_CASE("idempotency: 50 publishes at once with one key are one effect",
          "[integration][idempotency]") {
    Gateway gateway;
    for (unsigned home = 0; home < Gateway::reactors; ++home) {
        const std::string room = gateway.room_on(home);
        WsClient subscriber = gateway.ws_on(0);
        subscriber.request(R"("op":"subscribe","room":")" + room + '"');

        std::vector<HttpClient> callers;
        for (int i = 0; i < 50; ++i) callers.emplace_back(gateway.port());
        const std::string body = R"({"room":")" + room + R"(","data":"once"})";
        const std::string headers =
            std::string{Gateway::api_key_line} + "Idempotency-Key: order-" + room + "\r\n";
        for (HttpClient& caller : callers) caller.send("POST", "/api/v1/publish", body, headers);
        std::size_t firsts = 0;
        for (HttpClient& caller : callers) {
            const HttpResponse response = caller.receive();
            REQUIRE(response.status == 200);
            CHECK(json_number(response.body, "offset") == 1);
            if (!json_is_true(response.body, "duplicate")) ++firsts;
        }
        CHECK(firsts == 1);

        const std::string other =
            callers.front()
                .request("POST", "/api/v1/publish", R"({"room":")" + room + R"(","data":"other"})",
                         headers)
                .body;
        CHECK(json_string(other, "code") == "conflict");
        CHECK(gateway.publish(room, R"("later")") == 2);
        CHECK(json_string(subscriber.next().value(), "data") == "once");
        CHECK(json_string(subscriber.next().value(), "data") == "later");
    }
}

TEST_CASE("idempotency: many keys from many connections, each once", "[integration][idempotency]") {
    Gateway gateway;
    const std::string room = gateway.room_on(0);
    constexpr std::uint64_t keys = instrumented ? 60 : 300;
    // Four connections repeat the same keys at the same time, each from another end.
    std::array<std::vector<std::uint64_t>, 4> offsets;
    std::vector<std::jthread> threads;
    for (std::size_t caller = 0; caller < offsets.size(); ++caller)
        threads.emplace_back([&gateway, &room, &mine = offsets.at(caller), caller] {
            HttpClient client{gateway.port()};
            mine.resize(keys);
            for (std::uint64_t i = 0; i < keys; ++i) {
                const std::uint64_t k = (i + caller * keys / 4) % keys;
                const HttpResponse response =
                    client.request("POST", "/api/v1/publish",
                                   R"({"room":")" + room + R"(","id":"k)" + std::to_string(k) +
                                       R"(","data":)" + std::to_string(k) + '}',
                                   Gateway::api_key_line);
                mine[k] = json_number(response.body, "offset").value_or(0);
            }
        });
    for (std::jthread& thread : threads) thread.join();
    for (const auto& mine : offsets) CHECK(mine == offsets.front());
    CHECK(std::set<std::uint64_t>(offsets.front().begin(), offsets.front().end()).size() == keys);
    CHECK(gateway.position(room).offset == keys);
}

} // namespace fanfare::test
