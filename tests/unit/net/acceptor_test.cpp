#include <fanfare/base/clock.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/net/acceptor.hpp>
#include <fanfare/net/reactor.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <memory>
#include <string>
#include <support/loopback.hpp>
#include <support/manual_clock.hpp>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

using namespace fanfare;
using net::Acceptor;
using net::Admission;
using net::ListenAddress;
using net::parse_listen_address;

TEST_CASE("listen address: host and port", "[net][acceptor]") {
    struct Case {
        const char* text;
        const char* host;
        std::uint16_t port;
    };
    const auto c = GENERATE(values<Case>({
        {"127.0.0.1:8080", "127.0.0.1", 8'080},
        {"0.0.0.0:0", "0.0.0.0", 0},
        {":9000", "0.0.0.0", 9'000},
        {"*:80", "0.0.0.0", 80},
        {"localhost:65535", "127.0.0.1", 65'535},
        {"[::1]:8080", "::1", 8'080},
        {"[::]:80", "::", 80},
        {"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80},
    }));
    CAPTURE(c.text);
    const auto address = parse_listen_address(c.text);
    REQUIRE(address.has_value());
    CHECK(address->host == c.host);
    CHECK(address->port == c.port);
}

TEST_CASE("listen address: everything else is refused", "[net][acceptor]") {
    const std::string text = GENERATE(
        "", ":", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:+1", "127.0.0.1: 80", "127.0.0.1:80 ", "127.0.0.1:8o", "::1:80", "[::1]",
        "[::1]80", "[::1:80", "::1]:80", "example.com:80", "256.0.0.1:80", "1.2.3:80", "[]:80",
        "[*]:80", "[localhost]:80", "[127.0.0.1]:80", " :80", "[::1%lo]:80");
    CAPTURE(text);
    CHECK_FALSE(parse_listen_address(text).has_value());
}

namespace {

struct Accepted {
    test::Descriptor fd;
    Admission::Verdict verdict;
};

/// A reactor with an acceptor that keeps what it is given.
struct Listener {
    explicit Listener(Admission& admission, unsigned index = 0)
        : reactor(index, clock, metrics),
          acceptor(std::make_unique<Acceptor>(
              reactor, admission, [this](int fd, Admission::Verdict verdict) {
                  accepted.push_back({test::Descriptor{fd}, verdict});
                  if (when_accepted) when_accepted();
              })) {}
    [[nodiscard]] bool turn_until_accepted(std::size_t count) {
        for (int i = 0; i < 10'000 && accepted.size() < count; ++i) reactor.run_turn();
        return accepted.size() >= count;
    }
    test::ManualClock clock;
    Metrics metrics;
    net::Reactor reactor;
    std::vector<Accepted> accepted;
    std::function<void()> when_accepted;
    std::unique_ptr<Acceptor> acceptor;
};

/// Another descriptor limit while it lives.
class DescriptorLimit {
  public:
    explicit DescriptorLimit(rlim_t limit) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit changed = before_;
        changed.rlim_cur = limit;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &changed) == 0);
    }
    ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    DescriptorLimit(const DescriptorLimit&) = delete;
    DescriptorLimit& operator=(const DescriptorLimit&) = delete;

  private:
    rlimit before_{};
};

} // namespace

TEST_CASE("acceptor: gives every connection away, non-blocking and close-on-exec",
          "[net][acceptor]") {
    Admission admission{0};
    Listener listener{admission};
    ListenAddress address{"127.0.0.1", 0};
    REQUIRE_FALSE(listener.acceptor->listen(address));
    REQUIRE(address.port != 0);
    std::vector<test::Descriptor> clients;
    for (int i = 0; i < 70; ++i) { // more than it takes in one turn
        clients.push_back(test::connect_to(address.port));
        REQUIRE(clients.back().get() >= 0);
    }
    REQUIRE(listener.turn_until_accepted(70));
    CHECK(admission.open() == 70);
    for (const Accepted& one : listener.accepted) {
        CHECK(one.verdict == Admission::Verdict::accept);
        CHECK((::fcntl(one.fd.get(), F_GETFL) & O_NONBLOCK) != 0);
        CHECK((::fcntl(one.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    }
    clients[0].send("hello");
    std::size_t heard = 0;
    for (const Accepted& one : listener.accepted) {
        std::array<char, 8> buffer{};
        if (::recv(one.fd.get(), buffer.data(), buffer.size(), 0) == 5) ++heard;
    }
    CHECK(heard == 1);
}

TEST_CASE("acceptor: listens on IPv6 beside IPv4", "[net][acceptor]") {
    if (!test::has_ipv6_loopback()) return;
    Admission admission{0};
    Listener listener{admission};
    ListenAddress address{"::1", 0};
    REQUIRE_FALSE(listener.acceptor->listen(address));
    const auto client = test::connect_to(address.port, AF_INET6);
    REQUIRE(listener.turn_until_accepted(1));
}

TEST_CASE("acceptor: reactors share one port", "[net][acceptor]") {
    Admission admission{0};
    Listener a{admission, 0};
    Listener b{admission, 1};
    ListenAddress address{"127.0.0.1", 0};
    REQUIRE_FALSE(a.acceptor->listen(address));
    const std::uint16_t port = address.port;
    REQUIRE_FALSE(b.acceptor->listen(address));
    CHECK(address.port == port);
    std::vector<test::Descriptor> clients;
    for (int i = 0; i < 64; ++i) clients.push_back(test::connect_to(port));
    for (int i = 0; i < 10'000 && a.accepted.size() + b.accepted.size() < 64; ++i) {
        a.reactor.run_turn();
        b.reactor.run_turn();
    }
    CHECK(a.accepted.size() + b.accepted.size() == 64);
    // The kernel spreads by a hash of the ports: all on one side is a matter of 2⁻⁶³.
    CHECK_FALSE(a.accepted.empty());
    CHECK_FALSE(b.accepted.empty());
}

TEST_CASE("acceptor: says why it cannot listen", "[net][acceptor]") {
    Admission admission{0};
    Listener listener{admission};
    ListenAddress no_address{"nonsense", 0};
    CHECK(listener.acceptor->listen(no_address).value() == EINVAL);
    ListenAddress elsewhere{"192.0.2.1", 0}; // TEST-NET-1: nobody's
    CHECK(listener.acceptor->listen(elsewhere).value() == EADDRNOTAVAIL);
    // A socket that does not share its port.
    const test::Descriptor alone{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    test::LoopbackAddress taken = test::loopback(AF_INET, 0);
    REQUIRE(::bind(alone.get(), taken.get(), taken.size) == 0);
    REQUIRE(::listen(alone.get(), 1) == 0);
    REQUIRE(::getsockname(alone.get(), taken.get(), &taken.size) == 0);
    ListenAddress in_use{
        "127.0.0.1",
        ntohs(reinterpret_cast<const sockaddr_in*>(&taken.storage)->sin_port)}; // NOLINT
    CHECK(listener.acceptor->listen(in_use).value() == EADDRINUSE);
    ListenAddress works{"127.0.0.1", 0};
    CHECK_FALSE(listener.acceptor->listen(works)); // a failure left nothing behind
}

TEST_CASE("acceptor: above the limit connections are shed, then closed without a word",
          "[net][acceptor]") {
    const DescriptorLimit limit{300};
    Admission admission{1};
    Listener listener{admission};
    ListenAddress address{"127.0.0.1", 0};
    REQUIRE_FALSE(listener.acceptor->listen(address));
    // Fill the slice between the limits without descriptors.
    while (admission.enter() != Admission::Verdict::refuse) {
    }
    admission.leave();
    const auto shed = test::connect_to(address.port);
    REQUIRE(listener.turn_until_accepted(1));
    CHECK(listener.accepted[0].verdict == Admission::Verdict::shed);
    const auto refused = test::connect_to(address.port);
    const std::size_t open = admission.open();
    for (int i = 0; i < 3; ++i) listener.reactor.run_turn();
    CHECK(refused.receive_all().empty());
    CHECK(listener.accepted.size() == 1);
    CHECK(admission.open() == open);
}

TEST_CASE("acceptor: closed, it takes nobody, even in the middle of a batch", "[net][acceptor]") {
    Admission admission{0};
    Listener listener{admission};
    ListenAddress address{"127.0.0.1", 0};
    REQUIRE_FALSE(listener.acceptor->listen(address));
    listener.when_accepted = [&] { listener.acceptor->close(); };
    const auto first = test::connect_to(address.port);
    const auto second = test::connect_to(address.port);
    REQUIRE(listener.turn_until_accepted(1));
    for (int i = 0; i < 3; ++i) listener.reactor.run_turn();
    CHECK(listener.accepted.size() == 1);
    CHECK(test::connect_to(address.port).get() == -1);
    listener.acceptor->close();
}

TEST_CASE("acceptor: out of descriptors it sends one away, rests, and recovers",
          "[net][acceptor]") {
    Admission admission{0};
    Listener listener{admission};
    ListenAddress address{"127.0.0.1", 0};
    REQUIRE_FALSE(listener.acceptor->listen(address));
    const auto first = test::connect_to(address.port);
    auto second = test::connect_to(address.port);
    // The sanitizer looks at an object through a pipe when it sees its type for the first time,
    // and takes the want of descriptors for a bad object: it must have seen the log's clock.
    REQUIRE(system_clock().wall() > 0);
    {
        // The lowest free descriptor is the limit: not one more can be opened.
        const int free = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        REQUIRE(free >= 0);
        ::close(free);
        const DescriptorLimit none{static_cast<rlim_t>(free)};
        listener.reactor.run_turn();
        CHECK(listener.accepted.empty());
        CHECK(first.receive_all().empty()); // the oldest was taken in and closed
        // It rests: the one that waits is not reported for ever.
        for (int i = 0; i < 3; ++i) listener.reactor.run_turn();
        second.send("x");
    }
    for (int i = 0; i < 3; ++i) listener.reactor.run_turn();
    CHECK(listener.accepted.empty());
    listener.clock.advance(std::chrono::milliseconds{150});
    REQUIRE(listener.turn_until_accepted(1));
    std::array<char, 8> buffer{};
    CHECK(::recv(listener.accepted[0].fd.get(), buffer.data(), buffer.size(), 0) == 1);
}

namespace {

/// As a service manager opens it: blocking, and kept by exec.
test::Descriptor opened(int family, int type, int protocol = 0) {
    test::Descriptor fd{::socket(family, type, protocol)};
    REQUIRE(fd.get() >= 0);
    return fd;
}

test::Descriptor listening(int family) {
    test::Descriptor fd = opened(family, SOCK_STREAM);
    test::LoopbackAddress address = test::loopback(family, 0);
    REQUIRE(::bind(fd.get(), address.get(), address.size) == 0);
    REQUIRE(::listen(fd.get(), 16) == 0);
    return fd;
}

} // namespace

TEST_CASE("inherited listener: its address is read from it", "[net][acceptor]") {
    const test::Descriptor v4 = listening(AF_INET);
    const auto address = net::listening_address(v4.get());
    REQUIRE(address.has_value());
    CHECK(address->host == "127.0.0.1");
    CHECK(test::connect_to(address->port).get() >= 0);
    if (!test::has_ipv6_loopback()) return;
    const test::Descriptor v6 = listening(AF_INET6);
    const auto address6 = net::listening_address(v6.get());
    REQUIRE(address6.has_value());
    CHECK(address6->host == "::1");
    CHECK(test::connect_to(address6->port, AF_INET6).get() >= 0);
}

TEST_CASE("inherited listener: everything else is refused with its reason", "[net][acceptor]") {
    CHECK(net::listening_address(-1).error().value() == EBADF);
    const test::Descriptor file{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    CHECK(net::listening_address(file.get()).error().value() == ENOTSOCK);
    CHECK(net::listening_address(opened(AF_UNIX, SOCK_STREAM).get()).error().value() ==
          EAFNOSUPPORT);
    CHECK(net::listening_address(opened(AF_INET, SOCK_DGRAM).get()).error().value() ==
          EPROTONOSUPPORT);
    CHECK(net::listening_address(opened(AF_INET, SOCK_STREAM).get()).error().value() == ENOTCONN);
    const test::SocketPair pair = test::connected_pair(AF_INET);
    CHECK(net::listening_address(pair.server.get()).error().value() == ENOTCONN);
}

TEST_CASE("inherited listener: accepts without ever waiting, and is closed in the end",
          "[net][acceptor]") {
    Admission admission{0};
    Listener listener{admission};
    test::Descriptor inherited = listening(AF_INET);
    const int fd = inherited.get();
    const std::uint16_t port = net::listening_address(fd)->port;
    const auto early = test::connect_to(port); // before anyone accepts
    REQUIRE_FALSE(listener.acceptor->adopt(inherited.release()));
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    REQUIRE(listener.turn_until_accepted(1));
    listener.reactor.run_turn();
    listener.acceptor->close();
    CHECK(::fcntl(fd, F_GETFD) == -1);
    CHECK(test::connect_to(port).get() == -1);
    CHECK(listener.acceptor->adopt(-1).value() == EBADF);
}
