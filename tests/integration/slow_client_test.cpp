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

        // Small live messages come in between, and have to wait their turn.
        OffsetCheck offsets;
        std::uint64_t newest = messages;
        const Pace pace{link_rate};
        while (offsets.last() < newest) {
            const std::optional<std::string> message = client.next();
            REQUIRE(message);
            REQUIRE(json_string(*message, "op") == "message");
            offsets.take(json_number(*message, "offset").value());
            if (offsets.last() % 20 == 0 && offsets.last() <= messages)
                newest = gateway.publish(room, "1");
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
    for (const std::string& room : rooms) gateway.publish(room, "1");

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

TEST_CASE("slow consumer: cut off with 4408, resumes, costs others nothing",
          "[integration][slow]") {
    GatewayOptions options;
    options.send_queue = "256KiB";
    Gateway gateway{options};
    const std::string room = gateway.room_on(1);
    constexpr std::uint64_t messages = 900; // of 16 KiB: above what two kernel buffers hold
    WsOptions slow;
    slow.receive_buffer = 64 * 1024;
    WsClient idle_socket = gateway.ws_on(0, slow);
    WsClient dead_socket = gateway.ws_on(1, slow);
    for (WsClient* const client : {&idle_socket, &dead_socket})
        client->request(R"("op":"subscribe","room":")" + room + '"');
    SseClient idle_stream{gateway.port(), "/sse?room=" + room, {}, slow.receive_buffer};
    REQUIRE(idle_stream.next()->type == "ready");
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
    CHECK(gateway.metric("slow_consumers_total") == 3);
    // The history is 14 MiB; queues of those cut off are gone.
    if (!instrumented)
        CHECK(::mallinfo2().uordblks - memory_before < messages * 17 * kib + 1'024 * kib);

    // Whoever reads on finds everything up to the cut, in order, and why it was cut.
    OffsetCheck offsets;
    std::uint16_t code = 0;
    while (const auto message = idle_socket.next())
        offsets.take(json_number(*message, "offset").value());
    code = idle_socket.close_code();
    CHECK(code == 4408);
    CHECK(offsets.fault() == "");
    CHECK(offsets.last() > 0);
    CHECK(offsets.last() < messages);

    OffsetCheck streamed;
    std::string last_type;
    while (const auto event = idle_stream.next()) {
        last_type = event->type;
        if (event->type == "message") streamed.take(json_number(event->data, "offset").value());
        if (event->type == "bye") CHECK(json_string(event->data, "code") == "slow_consumer");
    }
    CHECK(last_type == "bye");
    CHECK(streamed.fault() == "");
    CHECK(streamed.last() < messages);
    SseClient again{gateway.port(), "/sse?room=" + room, idle_stream.last_id()};
    CHECK(json_is_true(again.next().value().data, "recovered"));
    while (streamed.last() < messages)
        streamed.take(json_number(again.next().value().data, "offset").value());
    CHECK(streamed.fault() == "");

    // The one that never reads is closed in the end, whether it hears of it or not.
    const auto sockets = [&] { return gateway.metric("connections"); };
    again.socket().close();
    idle_socket.socket().close();
    idle_stream.socket().close();
    CHECK(eventually([&] { return sockets() == 0; }));
}

} // namespace fanfare::test
