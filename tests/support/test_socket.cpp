#include "test_socket.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace fanfare::test {
namespace {

[[noreturn]] void fail(const char* what) {
    if (errno == ECONNRESET || errno == EPIPE) throw ConnectionReset{what};
    throw std::system_error(errno, std::generic_category(), what);
}

/// False: `wait` is over.
bool wait_for(int fd, short events, std::chrono::milliseconds wait) {
    const auto end = TestClock::now() + wait;
    while (true) {
        pollfd waiting{fd, events, 0};
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - TestClock::now());
        const int ready =
            ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (ready > 0) return true;
        if (ready == 0) return false;
        if (errno != EINTR) fail("poll");
    }
}

} // namespace

TestSocket::TestSocket(std::uint16_t port, int receive_buffer)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) fail("socket");
    // Before the connect: the window that is announced depends on it.
    if (receive_buffer != 0)
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // NOLINTNEXTLINE: the sockets interface.
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int why = errno;
        ::close(fd_);
        errno = why;
        fail("connect");
    }
}

TestSocket::~TestSocket() {
    close();
}

TestSocket::TestSocket(TestSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), timed_out_(other.timed_out_) {}

TestSocket& TestSocket::operator=(TestSocket&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        timed_out_ = other.timed_out_;
    }
    return *this;
}

void TestSocket::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(n));
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) fail("send");
        if (!wait_for(fd_, POLLOUT, patience)) throw std::runtime_error("the peer reads nothing");
    }
}

std::size_t TestSocket::receive(std::string& to, std::chrono::milliseconds wait,
                                std::size_t bytes_max) {
    timed_out_ = !wait_for(fd_, POLLIN, wait);
    if (timed_out_) return 0;
    // Not read into the string itself: growing that would first fill it with zeros.
    thread_local std::array<char, std::size_t{256} * 1024> buffer;
    ssize_t n = 0;
    do {
        n = ::recv(fd_, buffer.data(), std::min(bytes_max, buffer.size()), 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) fail("recv");
    to.append(buffer.data(), static_cast<std::size_t>(n));
    return static_cast<std::size_t>(n);
}

void TestSocket::shutdown_send() {
    ::shutdown(fd_, SHUT_WR);
}

void TestSocket::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

void TestSocket::abort() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
}

std::size_t TestSocket::unread() const {
    int bytes = 0;
    if (::ioctl(fd_, FIONREAD, &bytes) != 0) fail("FIONREAD");
    return static_cast<std::size_t>(bytes);
}

} // namespace fanfare::test
