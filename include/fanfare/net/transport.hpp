#pragma once
// The contract of a byte pipe to one peer: plain TCP today, TLS and HTTP/2 streams later.

#include <fanfare/base/result.hpp>
#include <fanfare/net/poll_set.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>

namespace fanfare::net {

class Admission;
class Reactor;

/// Whoever reads and writes a transport. Called on the transport's reactor.
class TransportHandler {
  public:
    /// Bytes, the end, or an error are waiting: read.
    virtual void on_readable() = 0;
    /// After want_writable(true): the kernel takes bytes again.
    virtual void on_writable() = 0;

  protected:
    ~TransportHandler() = default;
};

/// Used and destroyed on its reactor's thread. It is a PollHandler so that one that sits in a poll
/// set needs no second table pointer: there is one per connection.
class Transport : public PollHandler {
  public:
    virtual ~Transport() = default;
    /// For those in a poll set; others are told by whatever they sit on.
    void on_events(std::uint32_t /*events*/) override {}
    /// Who is told from now on. Never null while the transport is in the poll set.
    virtual void set_handler(TransportHandler& handler) = 0;
    /// Bytes read; 0 at the peer's orderly end; boost::asio::error::would_block if none wait.
    [[nodiscard]] virtual Result<std::size_t> read(std::span<std::byte> to) = 0;
    /// Bytes taken, possibly fewer than given; would_block if none. Never raises SIGPIPE.
    [[nodiscard]] virtual Result<std::size_t> write(std::span<const iovec> pieces) = 0;
    /// Ask for on_readable (default on) or on_writable (default off).
    virtual void want_readable(bool on) = 0;
    virtual void want_writable(bool on) = 0;
    /// The peer is no newcomer any more: it is served before those that are (Reactor::newcomers).
    virtual void set_established() {}
    /// No more bytes from us (FIN); the peer may go on sending.
    virtual void shutdown_send() = 0;
    /// Ends both directions; no handler call follows. Unread input makes the kernel send RST, so
    /// read to the end first where the last bytes sent matter.
    virtual void close() = 0;
    /// The peer's address without port, for logs and limits.
    [[nodiscard]] virtual std::string peer() const = 0;
    /// The peer is this machine (127.0.0.0/8 or ::1).
    [[nodiscard]] virtual bool peer_is_loopback() const = 0;
};

/// A connected TCP socket; takes the descriptor, sets it up (non-blocking is expected, TCP_NODELAY
/// is set here) and joins the reactor's poll set. Leaves `admission` (may be null) when destroyed;
/// all transports of a reactor that have one have the same. Null if the kernel refused; the
/// descriptor is closed then.
[[nodiscard]] std::unique_ptr<Transport>
make_plain_transport(Reactor& reactor, int fd, TransportHandler& handler, Admission* admission);

} // namespace fanfare::net
