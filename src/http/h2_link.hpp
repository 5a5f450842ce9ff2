#pragma once
// One connection of the HTTP/2 client: name, TCP, proxy, TLS, then a session; deadlines and PINGs
// by one timer. Owned by its reactor, so that it outlives the turn in which it ends; the pool
// knows it until it tells that it has ended.

#include "h2_session.hpp"
#include "out_bytes.hpp"
#include "proxy_connect.hpp"
#include "resolve.hpp"
#include "tls_client.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/http/h2_client.hpp>
#include <fanfare/net/timer_wheel.hpp>
#include <fanfare/net/transport.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fanfare::http {

class H2Link;

/// Why a connection is over. The names of those that it failed at are labels of a metric.
enum class H2LinkEnd : std::uint8_t {
    lost,    // it was ready, and the peer or the network ended it
    idle,    // it was ready, and nobody needed it
    closed,  // by the pool's owner
    dns,     // not ready: no address
    guard,   // no address that is allowed
    tcp,     // no connection to any address
    proxy,   // the proxy did not open it
    tls,     // handshake, certificate, ALPN
    http2,   // no SETTINGS
    timeout, // not in time
};
[[nodiscard]] std::string_view name_of(H2LinkEnd end) noexcept;

/// Who is told about the links of a pool. From events only, never from within a call of the
/// link's but `close`.
class H2LinkHost {
  public:
    /// Settled: takes requests.
    virtual void on_link_ready(H2Link& link) = 0;
    /// The first answer came.
    virtual void on_link_answered(H2Link& link) = 0;
    /// The peer changed its settings.
    virtual void on_link_settings(H2Link& link) = 0;
    virtual void on_link_goaway(H2Link& link, unsigned times, std::uint32_t error,
                                std::string_view debug_data) = 0;
    virtual void on_link_ping_lost(H2Link& link) = 0;
    /// It is over, before or after it was ready; its requests are told after this. `reason`: in
    /// words.
    virtual void on_link_ended(H2Link& link, H2LinkEnd how, const std::string& reason) = 0;
    /// After how long without streams it is to close; 0: never.
    [[nodiscard]] virtual std::chrono::milliseconds
    idle_timeout(const H2Link& link) const noexcept = 0;
    /// Its reactor destroys it before it has ended.
    virtual void on_link_destroyed(H2Link& link) = 0;

  protected:
    ~H2LinkHost() = default;
};

/// What the links of a pool share.
struct H2LinkShared {
    net::Reactor& reactor;
    net::BlockingThread& resolver;
    H2LinkHost& host;
    const H2Options& options;
    H2Streams& streams;
    TlsContext* tls; // null: none
    std::string authority;
    std::size_t address_turn = 0; // where the next connection begins in the list of addresses
};

class H2Link final : public ResolveHandler,
                     net::TransportHandler,
                     net::TimerWheel::Timer,
                     TlsClient::Sink {
  public:
    explicit H2Link(H2LinkShared& shared);
    ~H2Link() override;

    /// Once, after the reactor has adopted it. What comes of it is told in a later event.
    void start();
    [[nodiscard]] bool ready() const noexcept { return state_ == State::ready; }
    [[nodiscard]] bool was_ready() const noexcept { return was_ready_; }
    [[nodiscard]] bool ended() const noexcept { return state_ == State::ended; }
    [[nodiscard]] bool connecting() const noexcept { return !ready() && !ended(); }
    [[nodiscard]] bool draining() const noexcept { return session_ && session_->draining(); }
    [[nodiscard]] bool full() const noexcept { return session_->full(); }
    [[nodiscard]] bool answered() const noexcept { return session_ && session_->answered(); }
    [[nodiscard]] std::size_t room() const noexcept { return ready() ? session_->room() : 0; }
    [[nodiscard]] std::size_t open() const noexcept { return session_ ? session_->open() : 0; }
    /// Only with room.
    void send(const H2Request& request, H2Caller& caller, std::uint64_t tag, MonoMillis due);
    [[nodiscard]] bool touched() const noexcept { return touched_; } // `flush` has something to do
    /// Takes no more requests if it is ready, and ends when it has none.
    void renew();
    [[nodiscard]] bool renewed() const noexcept { return renewed_; }
    /// Writes what this turn brought. At its end.
    void flush();
    /// Ends it from this side: its requests are told unless `silently`.
    void close(H2LinkEnd how, bool silently);

  private:
    enum class State : std::uint8_t {
        resolving,  // waits for addresses
        connecting, // waits for TCP
        proxy,      // CONNECT is on its way
        tls,        // handshake
        settling,   // waits for the peer's SETTINGS
        ready,
        ended,
    };
    void on_resolved(SocketAddresses addresses, const std::string& error) override;
    void on_readable() override;
    void on_writable() override;
    void on_timer() override;
    bool on_plain(std::span<const std::byte> bytes) override;

    void connect_next();
    [[nodiscard]] bool connect_to(const SocketAddress& address);
    void drop_transport();
    void on_connected();
    void begin_tls();
    void begin_session();
    void receive(std::span<const std::byte> bytes);
    void after_events();
    void tell_news();
    void tell_goaway(const H2Session::News& news);
    void deliver();
    [[nodiscard]] OutBytes& wire() noexcept;
    [[nodiscard]] bool fill_wire();
    void write();
    void end(H2LinkEnd how, const std::string& text, const char* reason);
    void fail(H2LinkEnd how, const std::string& text);
    void lose(const char* reason);
    void check_ping();
    void note_idle();
    [[nodiscard]] bool idle_too_long() const noexcept;
    void retime();
    void wake_by(MonoMillis time);
    [[nodiscard]] MonoMillis now() const noexcept;

    // constant after construction
    H2LinkShared& shared_;
    const H2Options& options_;
    // its reactor only
    State state_ = State::resolving;
    bool was_ready_ = false;
    bool touched_ = false; // something may wait to be written
    bool blocked_ = false; // the kernel refused bytes
    bool told_answered_ = false;
    bool silent_ = false; // the pool is gone
    bool renewed_ = false;
    bool busy_ = false; // had streams when last looked at
    MonoMillis connect_due_ = 0;
    MonoMillis address_due_ = 0;
    MonoMillis heard_ = 0; // when bytes came last, or streams began after none
    MonoMillis pinged_ = 0;
    MonoMillis idle_since_ = 0;
    MonoMillis timer_due_ = 0; // 0: not set
    SocketAddresses addresses_;
    std::size_t tried_ = 0;
    std::size_t first_ = 0;
    std::string last_error_;
    int fd_ = -1; // the transport's
    std::unique_ptr<net::Transport> transport_;
    std::vector<std::unique_ptr<net::Transport>> dropped_; // events of this turn may be for them
    OutBytes proxy_output_;
    std::unique_ptr<ProxyConnectAnswer> proxy_answer_;
    std::unique_ptr<TlsClient> tls_;
    std::unique_ptr<H2Session> session_;
};

} // namespace fanfare::http
