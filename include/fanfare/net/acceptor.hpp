#pragma once
// One listening socket per reactor and address, bound with SO_REUSEPORT so that the kernel spreads
// new connections; or a socket that somebody else opened (systemd). Accepts in batches and survives
// running out of descriptors.

#include <fanfare/base/result.hpp>
#include <fanfare/net/admission.hpp>
#include <fanfare/net/poll_set.hpp>
#include <fanfare/net/timer_wheel.hpp>

#include <functional>
#include <memory>
#include <string>

namespace fanfare::net {

class Reactor;

/// "host:port", "[v6]:port" or ":port"; the host is a literal address. Port 0 picks a free one.
struct ListenAddress {
    std::string host;
    std::uint16_t port = 0;
};
[[nodiscard]] Result<ListenAddress> parse_listen_address(const std::string& text);
/// Where an inherited socket listens. Fails with EBADF or ENOTSOCK, EAFNOSUPPORT (neither IPv4 nor
/// IPv6), EPROTONOSUPPORT (not TCP) or ENOTCONN (does not listen).
[[nodiscard]] Result<ListenAddress> listening_address(int fd);

class Acceptor final : PollHandler, TimerWheel::Timer {
  public:
    /// Told of each connection with a non-blocking, close-on-exec descriptor that it then owns.
    using OnAccept = std::function<void(int fd, Admission::Verdict verdict)>;

    Acceptor(Reactor& reactor, Admission& admission, OnAccept on_accept);
    ~Acceptor() override;

    /// Binds and listens; call before the reactor runs, or on its thread. `address.port` 0 is
    /// replaced by the port that was given, so that the other reactors bind the same.
    [[nodiscard]] error_code listen(ListenAddress& address);
    /// Accepts from a listening socket that exists, and owns it from now on, also on failure. When
    /// to call: as above.
    [[nodiscard]] error_code adopt(int fd);
    /// No more connections; on the reactor's thread.
    void close();

  private:
    void on_events(std::uint32_t events) override;
    void on_timer() override;
    void out_of_descriptors();
    [[nodiscard]] error_code begin();

    Reactor& reactor_;
    Admission& admission_;
    OnAccept on_accept_;
    int fd_ = -1;
    int spare_fd_ = -1; // given up to accept and close one connection when descriptors are out
};

} // namespace fanfare::net
