#pragma once
// Real TCP over the loopback device, for tests of what sits on sockets. Ports are the kernel's.

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#include <utility>

namespace fanfare::test {

/// Owns a descriptor; the blocking far end of a connection.
class Descriptor {
  public:
    explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
    Descriptor(Descriptor&& from) noexcept : fd_(from.release()) {}
    Descriptor& operator=(Descriptor&& from) noexcept {
        close();
        fd_ = from.release();
        return *this;
    }
    ~Descriptor() { close(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void close() noexcept {
        if (fd_ >= 0) ::close(release());
    }
    /// The next close sends RST instead of FIN.
    void reset_on_close() const {
        const linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    void send(std::string_view text) const {
        while (!text.empty()) {
            const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
            REQUIRE(n > 0);
            text.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    /// Waits for `size` bytes, the end, or an error.
    [[nodiscard]] std::string receive(std::size_t size) const {
        std::string text;
        std::array<char, 65'536> buffer; // NOLINT: filled below
        while (text.size() < size) {
            pollfd one{fd_, POLLIN, 0};
            REQUIRE(::poll(&one, 1, 20'000) == 1); // a bound for a test that fails
            const ssize_t n =
                ::recv(fd_, buffer.data(), std::min(buffer.size(), size - text.size()), 0);
            if (n <= 0) break;
            text.append(buffer.data(), static_cast<std::size_t>(n));
        }
        return text;
    }
    /// Waits for the end.
    [[nodiscard]] std::string receive_all() const { return receive(~std::size_t{0}); }

  private:
    int fd_;
};

struct LoopbackAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    [[nodiscard]] sockaddr* get() {
        return reinterpret_cast<sockaddr*>(&storage); // NOLINT: the sockets interface
    }
};

[[nodiscard]] inline LoopbackAddress loopback(int family, std::uint16_t port) {
    LoopbackAddress address;
    if (family == AF_INET) {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage); // NOLINT
        v4->sin_family = AF_INET;
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        v4->sin_port = htons(port);
        address.size = sizeof(sockaddr_in);
    } else {
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage); // NOLINT
        v6->sin6_family = AF_INET6;
        v6->sin6_addr = in6addr_loopback;
        v6->sin6_port = htons(port);
        address.size = sizeof(sockaddr_in6);
    }
    return address;
}

/// Connects; the descriptor is -1 if that was refused.
[[nodiscard]] inline Descriptor connect_to(std::uint16_t port, int family = AF_INET) {
    Descriptor client{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    LoopbackAddress address = loopback(family, port);
    if (::connect(client.get(), address.get(), address.size) != 0) client.close();
    return client;
}

struct SocketPair {
    Descriptor server; // non-blocking
    Descriptor client;
};

[[nodiscard]] inline SocketPair connected_pair(int family) {
    const Descriptor listener{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    LoopbackAddress address = loopback(family, 0);
    REQUIRE(::bind(listener.get(), address.get(), address.size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), address.get(), &address.size) == 0);
    SocketPair pair;
    // The port has the same place in both families.
    pair.client = connect_to(
        ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port), family); // NOLINT
    REQUIRE(pair.client.get() >= 0);
    pair.server =
        Descriptor{::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    REQUIRE(pair.server.get() >= 0);
    return pair;
}

[[nodiscard]] inline bool has_ipv6_loopback() {
    const Descriptor probe{::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    LoopbackAddress address = loopback(AF_INET6, 0);
    return probe.get() >= 0 && ::bind(probe.get(), address.get(), address.size) == 0;
}

} // namespace fanfare::test
