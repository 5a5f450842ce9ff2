#include "connect_proxy.hpp"

#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fanfare::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/// False: it is over.
bool copy(int from, int to) {
    std::array<char, 65'536> bytes; // NOLINT: filled by the kernel
    const ssize_t got = ::recv(from, bytes.data(), bytes.size(), 0);
    return got > 0 && ::send(to, bytes.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
}

} // namespace

ConnectProxy::ConnectProxy(std::string answer, std::uint16_t target)
    : answer_(std::move(answer)), target_(target),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_fd_(::eventfd(0, EFD_CLOEXEC)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address); // NOLINT: what the kernel wants
    if (::bind(listener_, any, size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, any, &size) != 0)
        throw std::runtime_error("the test proxy cannot listen");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread{[this] { run(); }};
}

ConnectProxy::~ConnectProxy() {
    ::eventfd_write(stop_fd_, 1);
    thread_.join();
    ::close(listener_);
    ::close(stop_fd_);
}

std::string ConnectProxy::head() {
    const std::lock_guard lock{mutex_};
    return head_;
}

void ConnectProxy::run() {
    for (;;) {
        std::array<pollfd, 2> waits{pollfd{stop_fd_, POLLIN, 0}, pollfd{listener_, POLLIN, 0}};
        ::poll(waits.data(), waits.size(), -1);
        if (waits[0].revents != 0) return;
        const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) continue;
        serve(client);
        ::close(client);
    }
}

void ConnectProxy::serve(int client) {
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) {
        std::array<pollfd, 2> waits{pollfd{stop_fd_, POLLIN, 0}, pollfd{client, POLLIN, 0}};
        ::poll(waits.data(), waits.size(), -1);
        char byte = 0;
        if (waits[0].revents != 0 || ::recv(client, &byte, 1, 0) != 1) return;
        head.push_back(byte);
    }
    {
        const std::lock_guard lock{mutex_};
        head_ = head;
    }
    ::send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    if (answer_.find(" 2") != 8) return;
    const int origin = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(target_);
    // NOLINTNEXTLINE: what the kernel wants
    if (::connect(origin, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        join(client, origin);
    ::close(origin);
}

void ConnectProxy::join(int client, int origin) const {
    for (;;) {
        std::array<pollfd, 3> waits{pollfd{stop_fd_, POLLIN, 0}, pollfd{client, POLLIN, 0},
                                    pollfd{origin, POLLIN, 0}};
        ::poll(waits.data(), waits.size(), -1);
        if (waits[0].revents != 0) return;
        if (waits[1].revents != 0 && !copy(client, origin)) return;
        if (waits[2].revents != 0 && !copy(origin, client)) return;
    }
}

} // namespace fanfare::test
