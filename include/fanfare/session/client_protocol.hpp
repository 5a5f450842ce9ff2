#pragma once
// The contract between a session and a wire protocol: what a session tells its client, and the byte
// pipe that it tells it through. A protocol turns the client's bytes into calls of Session, and the
// calls below into bytes.

#include <fanfare/base/error.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/base/shared_bytes.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/room/message.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::room {
class Delivery;
struct MemberInfo;
struct Subscription;
} // namespace fanfare::room

namespace fanfare::session {

class ClientProtocol;
class Session;

/// The number that a request carries and its one reply repeats; none: only errors are replied.
using RequestId = std::optional<std::int64_t>;

/// Why a connection ends. The protocol maps it to its close code (docs/protocol.md, "Close codes").
enum class CloseReason : std::uint8_t {
    normal,        // 1000
    drain,         // 1001
    protocol,      // 1002
    binary,        // 1003
    bad_utf8,      // 1007
    too_big,       // 1009
    internal,      // 1011
    overloaded,    // 1013
    not_an_object, // 4400
    unauthorized,  // 4401: token bad, missing or expired
    disconnected,  // 4403: by the API
    slow_consumer, // 4408
    idle,          // 4409
    rate,          // 4429
};

struct SubscribeOk {
    std::string_view room;
    Position position;                    // the room's newest
    std::optional<bool> recovered;        // when `since` was given
    std::uint64_t replay_after = 0;       // messages behind this offset follow; the newest: none do
    std::optional<std::uint64_t> acked{}; // of the inbox: what the user has acknowledged
};
struct HistoryOk {
    std::string_view room;
    Position position;
    const std::vector<room::MessageRef>& messages;
    bool more = false;
};
struct PresenceOk {
    std::string_view room;
    const std::vector<room::MemberInfo>& members;
    std::uint64_t total = 0;
};
struct PublishOk {
    std::string_view room;
    Position position; // offset 0: ephemeral
    bool duplicate = false;
};

/// The byte pipe of one session: a WebSocket, or an SSE stream. It has the connection's queue,
/// which the session and its rooms write messages into that need nothing of their own.
class Outbound : public net::OutQueue::Owner {
  public:
    [[nodiscard]] net::OutQueue& queue() noexcept { return out_; }
    [[nodiscard]] const net::OutQueue& queue() const noexcept { return out_; }
    /// What the session's events are told through.
    [[nodiscard]] virtual ClientProtocol& protocol() noexcept = 0;
    /// Bytes in their wire form, ready to send.
    virtual void send(LocalBytesRef bytes) = 0;
    /// One message of the protocol; the connection frames (and, if agreed, compresses) it.
    virtual void send_text(std::string_view text) = 0;
    [[nodiscard]] virtual std::size_t queued_bytes() const noexcept = 0;
    /// A heartbeat: a WebSocket ping, an SSE comment.
    virtual void ping() = 0;
    /// Whether the peer answers heartbeats (a WebSocket does, an SSE stream cannot).
    [[nodiscard]] virtual bool answers_pings() const noexcept = 0;
    /// Ends the connection: what is queued is sent first, but for slow_consumer, where it is
    /// dropped. The session is closed before this returns.
    virtual void close(CloseReason reason, std::string_view detail) = 0;
    /// "websocket" or "sse".
    [[nodiscard]] virtual std::string_view transport() const noexcept = 0;

  protected:
    ~Outbound() = default;
    net::OutQueue out_{*this};
};

/// How a session's events become bytes on its Outbound. Called on the session's reactor. Instances
/// without state of their own may serve all sessions of a reactor.
class ClientProtocol {
  public:
    virtual void welcome(Session& session) = 0;

    // Replies; without a RequestId an ok is not sent.
    virtual void error(Session& session, RequestId id, const Error& error) = 0;
    virtual void auth_ok(Session& session, RequestId id) = 0;
    virtual void subscribe_ok(Session& session, RequestId id, const SubscribeOk& ok) = 0;
    virtual void pattern_ok(Session& session, RequestId id, std::string_view pattern) = 0;
    virtual void unsubscribe_ok(Session& session, RequestId id, std::string_view room,
                                bool is_pattern) = 0;
    virtual void publish_ok(Session& session, RequestId id, const PublishOk& ok) = 0;
    virtual void history_ok(Session& session, RequestId id, const HistoryOk& ok) = 0;
    virtual void presence_ok(Session& session, RequestId id, const PresenceOk& ok) = 0;
    virtual void ack_ok(Session& session, RequestId id, std::uint64_t offset) = 0;
    virtual void pong(Session& session, RequestId id) = 0;

    // Pushes. `message` is called only if `direct_form` is none: else the session sends the
    // encoded bytes of that form itself.
    virtual void message(Session& session, room::Subscription* subscription,
                         room::Delivery& delivery) = 0;
    /// Of the inbox. `repeat`: this session was sent it, or a later one, before.
    virtual void inbox_message(Session& session, room::Delivery& delivery, bool repeat) = 0;
    /// Another session of the user acknowledged the inbox up to `offset`.
    virtual void acked(Session& session, std::uint64_t offset) = 0;
    virtual void subscribed(Session& session, std::string_view room, const Position& position) = 0;
    virtual void unsubscribed(Session& session, std::string_view room, const Error& why) = 0;
    virtual void reset(Session& session, std::string_view room, const Position& position) = 0;
    /// `reconnect_in` in milliseconds.
    virtual void bye(Session& session, std::string_view code, std::string_view message,
                     std::uint64_t reconnect_in) = 0;

  protected:
    ~ClientProtocol() = default;
};

} // namespace fanfare::session
