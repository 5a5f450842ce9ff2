// Slow links and clients that do not read: what a client may cost, and that nobody else notices.

#include "gateway.hpp"
#include "support/json_text.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <iostream>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace fanfare::test {
namespace {

sockaddr_in address_of(int fd, bool peer) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    auto* const to = reinterpret_cast<sockaddr*>(&address); // NOLINT: the sockets interface
    const int failed = peer ? ::getpeername(fd, to, &size) : ::getsockname(fd, to, &size);
    if (failed != 0 || address.sin_family != AF_INET) address = {};
    return address;
}

/// The gateway's end of a client's connection. Both are in this process, so it can be found, and
/// the kernel be asked what it still holds for it.
int server_end(const TestSocket& client) {
    const in_port_t port = address_of(client.fd(), false).sin_port;
    constexpr int descriptors = 4'096;
    for (int fd = 0; fd < descriptors; ++fd)
        if (fd != client.fd() && address_of(fd, true).sin_port == port) return fd;
    throw std::runtime_error("the gateway's end is not in this process");
}

/// Bytes that were given to a socket and not acknowledged by its peer.
std::size_t unsent(int fd) {
    int bytes = 0;
    if (::ioctl(fd, TIOCOUTQ, &bytes) != 0) throw std::runtime_error("TIOCOUTQ");
    return static_cast<std::size_t>(bytes);
}

/// What the gateway itself has queued for one client that replays, from outside: what it has handed
/// to the session, less what is in the kernel or has been read. Never more than the truth, if
/// `handed` was asked for before the rest.
class QueueGauge {
  public:
    explicit QueueGauge(const WsClient& client, const TestSocket& socket)
        : client_(client), socket_(socket), server_fd_(server_end(socket)),
          begin_(client.bytes_read()) {}
    void sample(std::uint64_t handed) {
        const std::uint64_t elsewhere =
            unsent(server_fd_) + socket_.unread() + client_.bytes_read() - begin_;
        most_ = std::max(most_, handed - std::min(handed, elsewhere));
    }
    [[nodiscard]] std::uint64_t most() const noexcept { return most_; }

  private:
    const WsClient& client_;
    const TestSocket& socket_;
    int server_fd_;
    std::uint64_t begin_;
    std::uint64_t most_ = 0;
};

constexpr std::size_t kib = 1024;

std::string payload(std::size_t bytes) {
    return '"' + std::string(bytes - 2, 'x') + '"';
}

/// Reads no faster than `bytes_per_second`: the link's rate is what these tests are about.
class Pace {
  public:
    explicit Pace(double bytes_per_second) : rate_(bytes_per_second) {}
    void wait(std::uint64_t bytes_so_far) const {
        std::this_thread::sleep_until(
            begin_ + std::chrono::duration_cast<TestClock::duration>(
                         std::chrono::duration<double>(static_cast<double>(bytes_so_far) / rate_)));
    }

  private:
    double rate_;
    TestClock::time_point begin_ = TestClock::now();
};

constexpr double link_rate = 25e6; // bytes per second

} // namespace

TEST_CASE("slow link: 50 MB of history come through, in order, and it goes on live",
          "[integration][slow]") {
    Gateway gateway;
    constexpr std::uint64_t messages = 800;
    for (const unsigned home : {0U, 1U}) {
        const std::string room = gateway.room_on(home);
        HttpClient publisher{gateway.port()};
        const std::string body = R"({"room":")" + room + R"(","data":)" + payload(64 * kib) + '}';
        std::string epoch;
        for (std::uint64_t i = 0; i < messages; ++i) {
            const HttpResponse response =
                publisher.request("POST", "/api/v1/publish", body, Gateway::api_key_line);
            REQUIRE(response.status == 200);
            epoch = json_string(response.body, "epoch");
        }
        WsOptions options;
        options.receive_buffer = 64 * 1024;
        WsClient client = gateway.ws_on(0, options);
        client.set_read_max(64 * kib);
        QueueGauge queue{client, client.socket()};
        const double replayed_before = gateway.metric("replayed_messages_total");
        const std::uint64_t read_before = client.bytes_read();

        client.send(R"({"id":1,"op":"subscribe","room":")" + room + R"(","since":{"epoch":")" +
                    epoch + R"(","offset":0}})");
        const std::string ok = client.next().value();
        REQUIRE(json_is_true(ok, "recovered"));
        REQUIRE(json_number(ok, "offset") == messages);

        // Live messages come in between, and have to wait their turn.
        OffsetCheck offsets;
        std::uint64_t newest = messages;
        const Pace pace{link_rate};
        while (offsets.last() < newest) {
            const std::optional<std::string> message = client.next();
            REQUIRE(message);
            REQUIRE(json_string(*message, "op") == "message");
            offsets.take(json_number(*message, "offset").value());
            if (offsets.last() % 20 == 0 && offsets.last() <= messages)
                newest = gateway.publish(room, payload(64 * kib));
            queue.sample(static_cast<std::uint64_t>(gateway.metric("replayed_messages_total") -
                                                    replayed_before) *
                         64 * kib);
            pace.wait(client.bytes_read() - read_before);
        }
        CHECK(offsets.fault() == "");
        CHECK(newest == messages + messages / 20);
        // Half of send_queue, and one message that did not fit any more.
        CHECK(queue.most() <= 512 * kib + 65 * kib);
        std::cout << "slow link: home " << home << ", "
                  << (client.bytes_read() - read_before) / 1'000'000
                  << " MB, the gateway queued at most " << queue.most() / kib << " KiB\n";

        CHECK(gateway.publish(room, "2") == newest + 1);
        CHECK(json_number(client.next().value(), "offset") == newest + 1);
        CHECK(client.close_code() == 0);
        CHECK(gateway.metric("slow_consumers_total") == 0);
    }
}

TEST_CASE("slow link: many rooms resumed at once share one half of the queue",
          "[integration][slow]") {
    GatewayOptions options;
    options.send_queue = "512KiB";
    Gateway gateway{options};
    constexpr std::uint64_t messages = 25;
    constexpr std::size_t count = 24;
    std::vector<std::string> rooms;
    HttpClient publisher{gateway.port()};
    for (std::size_t i = 0; i < count; ++i) {
        rooms.push_back("many:" + std::to_string(i));
        for (std::uint64_t n = 0; n < messages; ++n)
            REQUIRE(publisher
                        .request("POST", "/api/v1/publish",
                                 R"({"room":")" + rooms.back() + R"(","data":)" +
                                     payload(16 * kib) + '}',
                                 Gateway::api_key_line)
                        .status == 200);
    }
    WsOptions slow;
    slow.receive_buffer = 64 * 1024;
    WsClient client{gateway.port(), slow};
    client.set_read_max(64 * kib);
    QueueGauge queue{client, client.socket()};
    const std::uint64_t read_before = client.bytes_read();
    const auto sample = [&] {
        queue.sample(static_cast<std::uint64_t>(gateway.metric("replayed_messages_total")) * 16 *
                     kib);
    };
    std::string requests;
    for (const std::string& room : rooms)
        requests +=
            client_frame(R"({"id":1,"op":"subscribe","room":")" + room + R"(","last":1000})");
    client.socket().send(requests);
    // Nothing is read before the gateway has answered all joins and handed out what it will.
    REQUIRE(eventually([&] { return gateway.metric("subscriptions") == count; }));
    for (const std::string& room : rooms) gateway.publish(room, payload(16 * kib));

    std::vector<OffsetCheck> offsets(count);
    std::size_t complete = 0;
    const Pace pace{link_rate};
    while (complete < count) {
        sample();
        const std::optional<std::string> message = client.next();
        CAPTURE(client.close_code());
        REQUIRE(message);
        pace.wait(client.bytes_read() - read_before);
        if (json_string(*message, "op") == "ok") continue;
        REQUIRE(json_string(*message, "op") == "message");
        const auto at = std::find(rooms.begin(), rooms.end(), json_string(*message, "room"));
        REQUIRE(at != rooms.end());
        OffsetCheck& check = offsets[static_cast<std::size_t>(at - rooms.begin())];
        check.take(json_number(*message, "offset").value());
        if (check.last() == messages + 1) ++complete;
    }
    for (const OffsetCheck& check : offsets) CHECK(check.fault() == "");
    CHECK(queue.most() <= 256 * kib + 17 * kib);
    std::cout << "slow link: " << count << " rooms at once, the gateway queued at most "
              << queue.most() / kib << " KiB\n";
    CHECK(gateway.metric("slow_consumers_total") == 0);
}

namespace {

/// A subscriber that reads, in a thread of its own, until `count` messages have come.
struct Reader {
    Reader(Gateway& gateway, const std::string& room, std::uint64_t wanted)
        : client{gateway.port()}, count(wanted) {
        client.request(R"("op":"subscribe","room":")" + room + '"');
        thread = std::thread{[this] {
            while (offsets.last() < count) {
                const auto message = client.next();
                if (!message) return;
                offsets.take(json_number(*message, "offset").value());
                got = offsets.last();
            }
        }};
    }
    ~Reader() {
        if (thread.joinable()) thread.join();
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    WsClient client;
    std::uint64_t count;
    OffsetCheck offsets;
    std::atomic<std::uint64_t> got{0};
    std::thread thread;
};

} // namespace

TEST_CASE("slow consumer: whoever never reads is cut off and costs others nothing",
          "[integration][slow]") {
    GatewayOptions options;
    options.send_queue = "256KiB";
    options.rooms = "[{match: \"*\", subscribe: anyone, history: {size: 1, ttl: 1h}}]";
    Gateway gateway{options};
    const std::string room = gateway.room_on(1);
    constexpr std::uint64_t messages = 900; // of 16 KiB: far above what the kernel's buffers hold
    WsOptions slow;
    slow.receive_buffer = 64 * 1024;
    std::vector<WsClient> sockets;
    std::vector<SseClient> streams;
    for (const unsigned reactor : {0U, 1U}) {
        sockets.push_back(gateway.ws_on(reactor, slow));
        sockets.back().request(R"("op":"subscribe","room":")" + room + '"');
        streams.emplace_back(gateway.port(), "/sse?room=" + room, "", slow.receive_buffer);
        REQUIRE(streams.back().next()->type == "ready");
    }
    const std::size_t memory_before = ::mallinfo2().uordblks;
    {
        Reader one{gateway, room, messages};
        Reader two{gateway, room, messages};
        const std::string data = payload(16 * kib);
        for (std::uint64_t n = 1; n <= messages; ++n) {
            REQUIRE(gateway.publish(room, data) == n);
            // Those that read keep up: only what does not read at all is slow here.
            REQUIRE(eventually([&] { return one.got + 4 >= n && two.got + 4 >= n; }));
        }
        REQUIRE(eventually([&] { return one.got == messages && two.got == messages; }));
        CHECK(one.offsets.fault() == "");
        CHECK(two.offsets.fault() == "");
    }
    CHECK(gateway.metric("slow_consumers_total") == 4);
    // 14 MiB were published; of each slow client at most a queue was kept, and that is gone too.
    if (!instrumented) CHECK(::mallinfo2().uordblks < memory_before + 2 * 1'024 * kib);
    // Nobody reads the Close and the bye either: in the end the connections are closed without.
    CHECK(eventually([&] { return gateway.metric("connections") == 0; }));
}

TEST_CASE("slow consumer: reads up to the cut in order, hears why, and resumes",
          "[integration][slow]") {
    GatewayOptions options;
    options.send_queue = "256KiB";
    Gateway gateway{options};
    const std::string room = gateway.room_on(1);
    WsOptions slow;
    slow.receive_buffer = 64 * 1024;
    WsClient socket = gateway.ws_on(0, slow);
    socket.request(R"("op":"subscribe","room":")" + room + '"');
    SseClient stream{gateway.port(), "/sse?room=" + room, "", slow.receive_buffer};
    REQUIRE(stream.next()->type == "ready");
    const std::string data = payload(16 * kib);
    std::uint64_t published = 0;
    while (gateway.metric("slow_consumers_total") < 2) {
        REQUIRE(gateway.publish(room, data) == ++published);
        REQUIRE(published < 1'000); // as many as the history keeps
    }

    OffsetCheck offsets;
    while (const auto message = socket.next())
        offsets.take(json_number(*message, "offset").value());
    CHECK(socket.close_code() == 4408);
    CHECK(offsets.fault() == "");
    CHECK(offsets.last() > 0);
    CHECK(offsets.last() < published);
    WsClient back = gateway.ws_on(0);
    const Gateway::Position position = gateway.position(room);
    back.send(R"({"id":1,"op":"subscribe","room":")" + room + R"(","since":{"epoch":")" +
              position.epoch + R"(","offset":)" + std::to_string(offsets.last()) + "}}");
    CHECK(json_is_true(back.next().value(), "recovered"));
    while (offsets.last() < published)
        offsets.take(json_number(back.next().value(), "offset").value());
    CHECK(offsets.fault() == "");

    OffsetCheck streamed;
    std::string reason;
    while (const auto event = stream.next()) {
        REQUIRE(reason.empty()); // `bye` is the last one
        if (event->type == "message") streamed.take(json_number(event->data, "offset").value());
        if (event->type == "bye") reason = json_string(event->data, "code");
    }
    CHECK(reason == "slow_consumer");
    CHECK(streamed.last() > 0);
    CHECK(streamed.last() < published);
    SseClient again{gateway.port(), "/sse?room=" + room, stream.last_id()};
    CHECK(json_is_true(again.next().value().data, "recovered"));
    while (streamed.last() < published)
        streamed.take(json_number(again.next().value().data, "offset").value());
    CHECK(streamed.fault() == "");
}

} // namespace fanfare::test
