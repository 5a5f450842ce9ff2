#include <fanfare/base/log.hpp>
#include <fanfare/net/acceptor.hpp>
#include <fanfare/net/reactor.hpp>

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fanfare::net {
namespace {

error_code system_error(int value) {
    return {value, boost::system::system_category()};
}

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

bool resolve(const ListenAddress& address, SocketAddress& out) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);  // NOLINT: the sockets interface
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage); // NOLINT
    if (::inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address.port);
        out.size = sizeof(sockaddr_in);
        return true;
    }
    out.storage = {};
    if (::inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(address.port);
        out.size = sizeof(sockaddr_in6);
        return true;
    }
    return false;
}

/// The port has the same place in both families.
std::uint16_t port_of(const SocketAddress& at) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(&at.storage)->sin_port); // NOLINT
}

Result<int> socket_option(int fd, int option) {
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return system_error(errno);
    return value;
}

// More connections a wake-up than this would starve the connections that are open.
constexpr int accepts_at_once = 16;
constexpr int backlog = 4096;

} // namespace

Result<ListenAddress> parse_listen_address(const std::string& text) {
    const auto invalid = system_error(EINVAL);
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) return invalid;
    ListenAddress address;
    address.host = text.substr(0, colon);
    const bool bracketed =
        address.host.size() >= 2 && address.host.front() == '[' && address.host.back() == ']';
    if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
    // Brackets are for IPv6 addresses, and these need them.
    if (bracketed != (address.host.find(':') != std::string::npos)) return invalid;
    if (address.host.empty() || address.host == "*") address.host = "0.0.0.0";
    if (address.host == "localhost") address.host = "127.0.0.1";
    const char* const begin = text.data() + colon + 1;
    const char* const end = text.data() + text.size();
    const auto [rest, fault] = std::from_chars(begin, end, address.port);
    if (begin == end || rest != end || fault != std::errc{}) return invalid;
    SocketAddress probe;
    if (!resolve(address, probe)) return invalid;
    return address;
}

Result<ListenAddress> listening_address(int fd) {
    const Result<int> family = socket_option(fd, SO_DOMAIN);
    if (!family) return family.error();
    if (*family != AF_INET && *family != AF_INET6) return system_error(EAFNOSUPPORT);
    const Result<int> protocol = socket_option(fd, SO_PROTOCOL);
    if (!protocol) return protocol.error();
    // MPTCP is TCP for whoever accepts.
    if (*protocol != IPPROTO_TCP && *protocol != IPPROTO_MPTCP)
        return system_error(EPROTONOSUPPORT);
    const Result<int> listens = socket_option(fd, SO_ACCEPTCONN);
    if (!listens) return listens.error();
    if (*listens == 0) return system_error(ENOTCONN);
    SocketAddress at;
    at.size = sizeof at.storage;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&at.storage), &at.size) != 0) // NOLINT
        return system_error(errno);
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* const host =
        *family == AF_INET
            ? static_cast<const void*>(
                  &reinterpret_cast<const sockaddr_in*>(&at.storage)->sin_addr) // NOLINT
            : &reinterpret_cast<const sockaddr_in6*>(&at.storage)->sin6_addr;   // NOLINT
    if (::inet_ntop(*family, host, text.data(), text.size()) == nullptr) return system_error(errno);
    return ListenAddress{text.data(), port_of(at)};
}

Acceptor::Acceptor(Reactor& reactor, Admission& admission, OnAccept on_accept)
    : reactor_(reactor), admission_(admission), on_accept_(std::move(on_accept)) {}

Acceptor::~Acceptor() {
    close();
}

error_code Acceptor::listen(ListenAddress& address) {
    SocketAddress at;
    if (!resolve(address, at)) return system_error(EINVAL);
    fd_ = ::socket(at.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return system_error(errno);
    const int one = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (at.storage.ss_family == AF_INET6)
        ::setsockopt(fd_, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    const auto fail = [this] {
        const int why = errno;
        close();
        return system_error(why);
    };
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&at.storage), at.size) != 0) // NOLINT
        return fail();
    if (::listen(fd_, backlog) != 0) return fail();
    at.size = sizeof at.storage;
    if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&at.storage), &at.size) != 0) // NOLINT
        return fail();
    address.port = port_of(at);
    return begin();
}

error_code Acceptor::adopt(int fd) {
    fd_ = fd;
    // Whoever opened it need not have made it so, and accept must never wait.
    const int flags = ::fcntl(fd_, F_GETFL);
    if (flags < 0 || ::fcntl(fd_, F_SETFL, flags | O_NONBLOCK) != 0 ||
        ::fcntl(fd_, F_SETFD, FD_CLOEXEC) != 0) {
        const int why = errno;
        close();
        return system_error(why);
    }
    return begin();
}

error_code Acceptor::begin() {
    spare_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (reactor_.newcomers().add(fd_, *this, EPOLLIN)) return {};
    const int why = errno;
    close();
    return system_error(why);
}

void Acceptor::close() {
    cancel();
    if (fd_ >= 0) ::close(fd_);
    if (spare_fd_ >= 0) ::close(spare_fd_);
    fd_ = spare_fd_ = -1;
}

void Acceptor::on_events(std::uint32_t /*events*/) {
    for (int i = 0; i < accepts_at_once && fd_ >= 0; ++i) {
        const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                out_of_descriptors();
            // Everything else is the peer's trouble (ECONNABORTED …) or nothing left to accept.
            if (errno == ECONNABORTED || errno == EINTR) continue;
            return;
        }
        const Admission::Verdict verdict = admission_.enter();
        if (verdict == Admission::Verdict::refuse) {
            ::close(fd);
            continue;
        }
        on_accept_(fd, verdict);
    }
}

void Acceptor::out_of_descriptors() {
    // The listening socket would report the waiting peer for ever. Give up the spare descriptor,
    // take the peer in and close it, then rest for a moment.
    if (spare_fd_ >= 0) {
        ::close(spare_fd_);
        spare_fd_ = -1;
        const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) ::close(fd);
        spare_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (!armed()) log::warn("accept_refused", {{"reason", "out of descriptors or memory"}});
    reactor_.newcomers().modify(fd_, *this, 0);
    reactor_.timers().set(*this, std::chrono::milliseconds{100});
    errno = EMFILE;
}

void Acceptor::on_timer() {
    if (fd_ >= 0) reactor_.newcomers().modify(fd_, *this, EPOLLIN);
}

} // namespace fanfare::net
