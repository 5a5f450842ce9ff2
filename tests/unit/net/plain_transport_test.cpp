#include <fanfare/base/metrics.hpp>
#include <fanfare/net/admission.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/transport.hpp>

#include <boost/asio/error.hpp>
#include <catch2/catch.hpp>

#include <array>
#include <functional>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <support/loopback.hpp>
#include <support/manual_clock.hpp>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

using namespace fanfare;
using net::Transport;

namespace {

struct Handler final : net::TransportHandler {
    int readable = 0;
    int writable = 0;
    std::function<void()> when_readable;
    std::function<void()> when_writable;
    void on_readable() override {
        ++readable;
        if (when_readable) when_readable();
    }
    void on_writable() override {
        ++writable;
        if (when_writable) when_writable();
    }
};

struct World {
    test::ManualClock clock;
    Metrics metrics;
    net::Reactor reactor{0, clock, metrics};
    net::Reactor::Scope scope{reactor};
    net::Admission admission{0};
    Handler handler;

    /// Our side of a connection; the far end is given back.
    std::unique_ptr<Transport> connect(test::Descriptor& peer, int family = AF_INET) {
        test::SocketPair pair = test::connected_pair(family);
        peer = std::move(pair.client);
        REQUIRE(admission.enter() == net::Admission::Verdict::accept);
        auto transport =
            net::make_plain_transport(reactor, pair.server.release(), handler, &admission);
        REQUIRE(transport != nullptr);
        return transport;
    }
    /// Turns until `done`; the kernel's loopback needs no time but may need a turn or two.
    template <class Done>
    bool turn_until(Done done) {
        for (int i = 0; i < 10'000; ++i) {
            if (done()) return true;
            reactor.run_turn();
        }
        return done();
    }
};

std::string read_all(Transport& transport) {
    std::array<std::byte, 4'096> buffer{};
    std::string text;
    while (true) {
        const Result<std::size_t> n = transport.read(buffer);
        if (!n || *n == 0) return text;
        text.append(reinterpret_cast<const char*>(buffer.data()), *n); // NOLINT
    }
}

Result<std::size_t> write(Transport& transport, std::vector<std::string> pieces) {
    std::vector<iovec> gather;
    for (std::string& piece : pieces) gather.push_back({piece.data(), piece.size()});
    return transport.write(gather);
}

std::array<std::byte, 64> small;

} // namespace

TEST_CASE("plain transport: reads what the peer sent, then would block, then its end",
          "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    CHECK(transport->read(small).error() == boost::asio::error::would_block);
    peer.send("hello");
    REQUIRE(world.turn_until([&] { return world.handler.readable > 0; }));
    CHECK(read_all(*transport) == "hello");
    CHECK(transport->read(small).error() == boost::asio::error::would_block);
    ::shutdown(peer.get(), SHUT_WR);
    const int before = world.handler.readable;
    REQUIRE(world.turn_until([&] { return world.handler.readable > before; }));
    REQUIRE(transport->read(small).has_value());
    CHECK(*transport->read(small) == 0);
}

TEST_CASE("plain transport: begins among the newcomers, until it is established",
          "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    peer.send("x");
    const auto ready = [](net::PollSet& set) {
        for (int i = 0; i < 1'000; ++i)
            if (set.dispatch() == 1) return true;
        return false;
    };
    CHECK(ready(world.reactor.newcomers()));
    transport->set_established();
    CHECK(world.reactor.newcomers().dispatch() == 0);
    CHECK(ready(world.reactor.poll_set()));
    transport->set_established(); // nothing more to do
    transport->want_readable(false);
    CHECK(world.reactor.poll_set().dispatch() == 0);
    transport->want_readable(true);
    CHECK(ready(world.reactor.poll_set()));
    transport->close();
    transport->set_established();
    CHECK(world.reactor.poll_set().dispatch() == 0);
}

TEST_CASE("plain transport: a peer's reset is an error, not an end", "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    peer.reset_on_close();
    peer.close();
    REQUIRE(world.turn_until([&] { return world.handler.readable > 0; }));
    const Result<std::size_t> n = transport->read(small);
    REQUIRE_FALSE(n.has_value());
    CHECK(n.error() == boost::asio::error::connection_reset);
}

TEST_CASE("plain transport: writes one piece or many in one call", "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    CHECK(*write(*transport, {"one "}) == 4);
    CHECK(*write(*transport, {"two ", "", "three"}) == 9);
    CHECK(peer.receive(13) == "one two three");
}

TEST_CASE("plain transport: a full socket would block, and says when it takes bytes again",
          "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    const std::string block(64 * 1'024, 'x');
    std::size_t sent = 0;
    while (true) {
        const Result<std::size_t> n = write(*transport, {block, block});
        if (!n) {
            CHECK(n.error() == boost::asio::error::would_block);
            break;
        }
        sent += *n;
        REQUIRE(sent < 100U * 1'024 * 1'024);
    }
    world.reactor.run_turn();
    CHECK(world.handler.writable == 0); // off until asked for
    transport->want_writable(true);
    world.reactor.run_turn();
    CHECK(world.handler.writable == 0);
    CHECK(peer.receive(sent).size() == sent);
    REQUIRE(world.turn_until([&] { return world.handler.writable > 0; }));
    CHECK(write(*transport, {"y"}).has_value());
    // Level-triggered: without this it would be called in every turn.
    transport->want_writable(false);
    const int calls = world.handler.writable;
    world.reactor.run_turn();
    CHECK(world.handler.writable == calls);
}

TEST_CASE("plain transport: writing to a peer that is gone is an error, not a signal",
          "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    peer.reset_on_close();
    peer.close();
    REQUIRE(world.turn_until([&] { return world.handler.readable > 0; }));
    CHECK_FALSE(write(*transport, {"a"}).has_value()); // takes the pending reset
    const Result<std::size_t> single = write(*transport, {"b"});
    const Result<std::size_t> gather = write(*transport, {"b", "c"});
    CHECK(single.error() == boost::asio::error::broken_pipe);
    CHECK(gather.error() == boost::asio::error::broken_pipe);
}

TEST_CASE("plain transport: who does not want to read is not called", "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    transport->want_readable(false);
    peer.send("later");
    ::shutdown(peer.get(), SHUT_WR);
    for (int i = 0; i < 5; ++i) world.reactor.run_turn();
    CHECK(world.handler.readable == 0);
    transport->want_readable(true);
    REQUIRE(world.turn_until([&] { return world.handler.readable > 0; }));
    CHECK(read_all(*transport) == "later");
}

TEST_CASE("plain transport: another handler takes over", "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    Handler other;
    transport->set_handler(other);
    peer.send("x");
    REQUIRE(world.turn_until([&] { return other.readable > 0; }));
    CHECK(world.handler.readable == 0);
}

TEST_CASE("plain transport: shutdown_send ends our direction only", "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    CHECK(write(*transport, {"bye"}).has_value());
    transport->shutdown_send();
    CHECK(peer.receive_all() == "bye");
    peer.send("still here");
    REQUIRE(world.turn_until([&] { return world.handler.readable > 0; }));
    CHECK(read_all(*transport) == "still here");
}

TEST_CASE("plain transport: after close there are no calls, and every use is an error",
          "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto transport = world.connect(peer);
    transport->close();
    CHECK(peer.receive_all().empty());
    transport->close();
    transport->want_readable(false);
    transport->want_writable(true);
    transport->shutdown_send();
    world.reactor.run_turn();
    CHECK(world.handler.readable + world.handler.writable == 0);
    CHECK_FALSE(transport->read(small).has_value());
    CHECK_FALSE(write(*transport, {"x"}).has_value());
    CHECK(transport->peer() == "unknown");
    CHECK_FALSE(transport->peer_is_loopback());
}

TEST_CASE("plain transport: closed by another handler of the same batch, it stays silent",
          "[net][transport]") {
    World world;
    std::array<test::Descriptor, 2> peers;
    std::array<std::unique_ptr<Transport>, 2> transports;
    std::array<Handler, 2> handlers;
    const bool writable = GENERATE(false, true);
    for (std::size_t i = 0; i < 2; ++i) {
        transports[i] = world.connect(peers[i]);
        transports[i]->set_handler(handlers[i]);
        if (writable) {
            transports[i]->want_writable(true);
            handlers[i].when_writable = [&transports, i] { transports[1 - i]->close(); };
        } else {
            peers[i].send("x");
            handlers[i].when_readable = [&transports, i] { transports[1 - i]->close(); };
        }
    }
    for (int i = 0; i < 3; ++i) world.reactor.run_turn();
    // Whichever came first closed the other one before its call.
    const auto silent = [](const Handler& one) { return one.readable + one.writable == 0; };
    CHECK(silent(handlers[0]) != silent(handlers[1]));
}

TEST_CASE("plain transport: leaves the admission once, when it is destroyed", "[net][transport]") {
    World world;
    test::Descriptor peer;
    auto transport = world.connect(peer);
    CHECK(world.admission.open() == 1);
    transport->close();
    CHECK(world.admission.open() == 1);
    transport.reset();
    CHECK(world.admission.open() == 0);
}

TEST_CASE("plain transport: a socket that the kernel refuses is closed and left",
          "[net][transport]") {
    World world;
    REQUIRE(world.admission.enter() == net::Admission::Verdict::accept);
    // A file cannot be polled: epoll refuses it.
    const int file = ::memfd_create("file", MFD_CLOEXEC);
    REQUIRE(file >= 0);
    CHECK(net::make_plain_transport(world.reactor, file, world.handler, &world.admission) ==
          nullptr);
    CHECK(world.admission.open() == 0);
    CHECK(::fcntl(file, F_GETFD) == -1);
}

TEST_CASE("plain transport: small writes are not held back", "[net][transport]") {
    World world;
    test::SocketPair pair = test::connected_pair(AF_INET);
    const int fd = pair.server.release();
    const auto transport = net::make_plain_transport(world.reactor, fd, world.handler, nullptr);
    int on = 0;
    socklen_t size = sizeof on;
    REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
    CHECK(on != 0);
}

TEST_CASE("plain transport: names its peer", "[net][transport]") {
    World world;
    test::Descriptor peer;
    const auto v4 = world.connect(peer);
    CHECK(v4->peer() == "127.0.0.1");
    CHECK(v4->peer_is_loopback());
    if (!test::has_ipv6_loopback()) return;
    test::Descriptor peer6;
    const auto v6 = world.connect(peer6, AF_INET6);
    CHECK(v6->peer() == "::1");
    CHECK(v6->peer_is_loopback());
}
