// Plain TCP: the descriptor sits in the reactor's poll set; reading and writing are one system
// call each, tried at once and reported as would_block if the kernel has no bytes or no room.
//
// There is one per connection, so it is 24 bytes: what it shares with its reactor's others (poll
// set, instruments, admission) it finds through the thread's reactor.
//
// recv, send and sendmsg are asked of the kernel directly: glibc's are cancellation points, which
// in a process of several threads cost two more calls around each. No thread here is ever
// cancelled.

#include <fanfare/net/admission.hpp>
#include <fanfare/net/poll_set.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/transport.hpp>

#include <boost/asio/error.hpp>

#include <arpa/inet.h>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fanfare::net {
namespace {

error_code last_error() {
    if (errno == EAGAIN || errno == EINTR) // EWOULDBLOCK is the same number on Linux
        return boost::asio::error::would_block;
    return {errno, boost::system::system_category()};
}

class PlainTransport final : public Transport {
  public:
    PlainTransport(int fd, TransportHandler& handler, bool admitted)
        : handler_(&handler), fd_(fd), admitted_(admitted) {}
    ~PlainTransport() override {
        close();
        if (admitted_) reactor().admission()->leave();
    }

    [[nodiscard]] bool start(Reactor& reactor) {
        const int one = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return reactor.newcomers().add(fd_, *this, events_);
    }

    void set_handler(TransportHandler& handler) override { handler_ = &handler; }

    Result<std::size_t> read(std::span<std::byte> to) override {
        const long n = ::syscall(SYS_recvfrom, fd_, to.data(), to.size(), 0, nullptr, nullptr);
        if (n < 0) return last_error();
        const auto bytes = static_cast<std::size_t>(n);
        reactor().instruments().bytes_in.add(bytes);
        return bytes;
    }

    Result<std::size_t> write(std::span<const iovec> pieces) override {
        long n = 0;
        if (pieces.size() == 1) {
            n = ::syscall(SYS_sendto, fd_, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL,
                          nullptr, 0);
        } else {
            msghdr message{};
            message.msg_iov = const_cast<iovec*>(pieces.data()); // NOLINT: sendmsg only reads
            message.msg_iovlen = pieces.size();
            n = ::syscall(SYS_sendmsg, fd_, &message, MSG_NOSIGNAL);
        }
        if (n < 0) return last_error();
        const auto bytes = static_cast<std::size_t>(n);
        reactor().instruments().bytes_out.add(bytes);
        return bytes;
    }

    void set_established() override {
        if (established_ || fd_ < 0) return;
        // A refusal of the kernel (memory) leaves it where it is.
        established_ = reactor().poll_set().add(fd_, *this, events_);
        if (established_) reactor().newcomers().remove(fd_);
    }

    void want_readable(bool on) override { want(EPOLLIN | EPOLLRDHUP, on); }
    void want_writable(bool on) override { want(EPOLLOUT, on); }

    void shutdown_send() override {
        if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
    }

    void close() override {
        if (fd_ < 0) return;
        // Closing takes the descriptor out of the set (no one else holds the open file).
        ::close(fd_);
        fd_ = -1;
    }

    [[nodiscard]] std::string peer() const override {
        sockaddr_storage address{};
        if (!peer_address(address)) return "unknown";
        std::array<char, INET6_ADDRSTRLEN> text{};
        if (address.ss_family == AF_INET) {
            const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address); // NOLINT
            ::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
        } else {
            const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address); // NOLINT
            ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
        }
        return text.data();
    }

    [[nodiscard]] bool peer_is_loopback() const override {
        sockaddr_storage address{};
        if (!peer_address(address)) return false;
        if (address.ss_family == AF_INET) {
            const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address); // NOLINT
            return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
        }
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address); // NOLINT
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) return v6->sin6_addr.s6_addr[12] == 127;
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }

  private:
    void on_events(std::uint32_t events) override {
        // An event of this batch may come after the connection closed or moved on: it owns nothing
        // then, and the object lives until the end of the turn.
        if (fd_ < 0) return;
        if ((events & EPOLLOUT) != 0) handler_->on_writable();
        if (fd_ < 0) return;
        if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) handler_->on_readable();
    }

    void want(std::uint32_t bits, bool on) {
        const std::uint32_t events = on ? events_ | bits : events_ & ~bits;
        if (events == events_ || fd_ < 0) return;
        events_ = static_cast<std::uint16_t>(events);
        (established_ ? reactor().poll_set() : reactor().newcomers()).modify(fd_, *this, events_);
    }

    [[nodiscard]] bool peer_address(sockaddr_storage& address) const {
        socklen_t size = sizeof address;
        return fd_ >= 0 &&
               ::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0; // NOLINT
    }

    [[nodiscard]] static Reactor& reactor() noexcept { return *Reactor::current(); }

    TransportHandler* handler_;
    int fd_;
    std::uint16_t events_ = EPOLLIN | EPOLLRDHUP;
    const bool admitted_;      // counted by the reactor's admission
    bool established_ = false; // in the poll set, not among the newcomers
};
static_assert(sizeof(PlainTransport) == 24);
static_assert((EPOLLIN | EPOLLOUT | EPOLLRDHUP) <= 0xffff);

} // namespace

std::unique_ptr<Transport> make_plain_transport(Reactor& reactor, int fd, TransportHandler& handler,
                                                Admission* admission) {
    if (admission != nullptr) reactor.set_admission(*admission);
    auto transport = std::make_unique<PlainTransport>(fd, handler, admission != nullptr);
    if (!transport->start(reactor)) return nullptr;
    return transport;
}

} // namespace fanfare::net
