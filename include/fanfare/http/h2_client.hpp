#pragma once
// An HTTP/2 client for mass push (APNs, FCM, Web Push): a pool of connections to one origin with
// one credential, on one reactor. Many requests share a connection, and all that one turn of the
// loop brings leaves in one write.
//
// The pool keeps no queue worth the name: `room` says how many requests it takes now, and the
// caller keeps the rest, where it can still be moved or given up. What becomes of a request is told
// exactly once, in words that decide whether it may be sent again (H2Answer::Kind).

#include <fanfare/net/poll_set.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct sockaddr;

namespace fanfare {
class Metrics;
}
namespace fanfare::net {
class BlockingThread;
class Reactor;
} // namespace fanfare::net

namespace fanfare::http {

struct H2Header {
    std::string_view name; // lower case
    std::string_view value;
    bool no_index = false; // differs each time: kept out of the header compression's table
};

/// Views are read during the call only. At most `H2Pool::headers_max` headers; names in lower case,
/// and neither names nor values with control characters: that is the caller's duty.
struct H2Request {
    std::string_view method = "POST";
    std::string_view path;
    std::span<const H2Header> headers;
    std::string_view body;
    std::chrono::milliseconds deadline{15'000}; // from now to the end of the answer
};

/// What became of a request. Views are valid during the call only.
struct H2Answer {
    enum class Kind : std::uint8_t {
        response,    // the peer answered: see status
        refused,     // the peer never processed it: sending it again is safe
        lost,        // sent, and nobody knows whether it was processed
        unreachable, // no connection could be made; never sent
    };
    Kind kind = Kind::lost;
    bool truncated = false; // response: there was more of the body, which was not waited for
    bool torn = false;      // lost: its connection broke, and all that was on it is lost with it
    int status = 0;         // response: 200..999
    std::string_view body;  // response: at most H2Pool::body_bytes_max
    const char* reason =
        ""; // other kinds: what happened, for logs; never anything from the request
    /// The first header of that name (lower case); empty: none.
    [[nodiscard]] std::string_view header(std::string_view name) const noexcept;

    std::string_view packed_headers; // as the client keeps them; read them with `header`
};

/// Who is told. On the pool's reactor, never from within a call of the pool's (but `close`).
class H2Caller {
  public:
    /// `tag`: as given to `send`. May call `send` and `room`; must not destroy the pool.
    virtual void on_answer(std::uint64_t tag, const H2Answer& answer) = 0;

  protected:
    ~H2Caller() = default;
};

/// The pool's owner: told what concerns no single request. Same rules as H2Caller.
class H2PoolOwner {
  public:
    /// There may be room where there was none, though no answer came: a connection got ready, the
    /// peer raised its limit, a wait after failures is over.
    virtual void on_room() {}
    /// The peer wants no more requests on a connection. `debug_data`: its words, at most
    /// `H2Pool::debug_bytes_max` bytes of anything; APNs sends `{"reason":…}`.
    virtual void on_goaway(std::uint32_t /*error*/, std::string_view /*debug_data*/) {}

  protected:
    ~H2PoolOwner() = default;
};

struct H2ProxyOptions {
    std::string host; // empty: no proxy
    std::uint16_t port = 3'128;
    std::string user; // with a password: Basic; empty: none
    std::string password;
};

struct H2Options {
    std::string name = "h2"; // label of the metrics and in the log
    std::string host;        // name or address
    std::uint16_t port = 443;
    bool tls = true;              // false: HTTP/2 at once, without negotiation
    std::string ca_file;          // PEM; empty: those of the system
    std::string certificate_file; // PEM, with its chain; empty: no client certificate
    std::string key_file;         // PEM; empty: in certificate_file
    std::string certificate;      // the same as texts, for who has no files; instead of them
    std::string key;
    H2ProxyOptions proxy; // HTTP CONNECT
    std::size_t connections_max = 4;
    std::size_t waiting_max = 64; // requests taken while the first connection is being made
    /// Streams of a new connection until its first answer; then as many as the peer allows. APNs
    /// with provider tokens wants 1.
    std::uint32_t initial_streams = 1'000;
    /// Streams of a connection at most, whatever the peer allows.
    std::uint32_t streams_max = 1'000;
    std::chrono::milliseconds connect_timeout{10'000}; // from the name to the peer's SETTINGS
    /// A connection without streams is closed after this time; 0: never. `spare`: not the last one.
    std::chrono::milliseconds idle_timeout{0};
    std::chrono::milliseconds spare_idle_timeout{60'000};
    /// PING after a silence of the peer: on a connection without streams; while it owes answers.
    std::chrono::milliseconds ping_idle{60'000};
    std::chrono::milliseconds ping_busy{5'000};
    std::chrono::milliseconds ping_timeout{5'000}; // without an ACK the connection is dead
    /// Wait after a connection that failed before its first answer: doubles up to the cap, each
    /// time between half and the whole of it.
    std::chrono::milliseconds backoff_start{1'000};
    std::chrono::milliseconds backoff_max{60'000};
    /// Asked for each address before it is connected to; false: not to this one. Empty: all. Not
    /// asked about a proxy, which resolves names itself.
    std::function<bool(const sockaddr&)> address_guard;
    std::int32_t first_stream_id = 1; // odd; for tests of what happens when ids run out
};

class H2Pool {
  public:
    static constexpr std::size_t headers_max = 28;
    static constexpr std::size_t head_bytes_max = std::size_t{16} * 1024; // of an answer
    static constexpr std::size_t body_bytes_max = std::size_t{64} * 1024;
    static constexpr std::size_t debug_bytes_max = 512;

    /// `resolver` looks names up; it and `owner` outlive the pool. Throws std::runtime_error that
    /// names the file (or the text) if one of the PEM files cannot be used. Connects when the first
    /// request comes.
    H2Pool(net::Reactor& reactor, net::BlockingThread& resolver, H2PoolOwner& owner,
           H2Options options);
    /// Closes all connections; nobody is told (see `close`).
    ~H2Pool();
    H2Pool(const H2Pool&) = delete;
    H2Pool& operator=(const H2Pool&) = delete;

    /// How many requests it takes now. Not 0 where there is no connection yet, unless the last
    /// attempts failed and the next one must wait.
    [[nodiscard]] std::size_t room() const noexcept;
    /// True: taken, `caller` (who must outlive the request) is told what became of it. False: there
    /// is no room.
    [[nodiscard]] bool send(const H2Request& request, H2Caller& caller, std::uint64_t tag);
    /// The connections that are ready take no more requests: new ones go to new connections. What
    /// is on its way on the old ones goes on.
    void renew_connections();
    /// No more requests from now on; what is on its way ends as lost or refused, within this call.
    void close();

    [[nodiscard]] std::size_t connections() const noexcept; // ready ones, those that drain included
    [[nodiscard]] std::size_t in_flight() const noexcept;   // requests that will be answered

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace fanfare::http
