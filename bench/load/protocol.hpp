// The contract between a subscriber and the protocol it speaks. A protocol is a codec: bytes in,
// events and bytes out; sockets, clocks and counting are the subscriber's.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace load {

struct Room;

/// Where a subscription stands. SSE resumes by `cursor`, WebSocket by the other two.
struct Position {
    std::string epoch;
    std::uint64_t offset = 0;
    std::string cursor; // SSE's Last-Event-ID
};

/// A subscription that was granted.
struct Start {
    std::string_view epoch;
    std::uint64_t offset = 0; // the room's newest
    bool recovered = false;   // only meaningful after a resume
};

/// One numbered message.
struct Delivery {
    std::uint64_t offset = 0;
    std::optional<std::uint64_t> sent_ns; // the publisher's CLOCK_MONOTONIC; absent if not ours
};

/// A connection's end, as the peer announced it.
struct Ending {
    std::string code;                                        // "1000", "sse_end", "sse_bye_drain"
    std::optional<std::chrono::milliseconds> reconnect_in{}; // from `bye`
    bool await_fin = false; // the server ends TCP first (RFC 6455 §7.1.1); else the client may
};

/// What a protocol found in the bytes. Views are valid during the call.
class ProtocolEvents {
  public:
    virtual ~ProtocolEvents() = default;
    /// The HTTP status of the answer to the request that opened the stream.
    virtual void on_status(int status) = 0;
    virtual void on_live(const Start& start) = 0;
    virtual void on_message(const Delivery& delivery) = 0;
    /// Continuity is lost, live goes on behind `start.offset`.
    virtual void on_reset(const Start& start) = 0;
    /// The server refused: `reason` is "http_403", "error_not_found" or the like.
    virtual void on_refused(std::string reason) = 0;
    virtual void on_ending(Ending ending) = 0;
    /// The server broke the protocol. Counted by `what`; the connection goes on if it can.
    virtual void on_fault(const std::string& what) = 0;
    /// Something that is counted only: "ping", "join", "heartbeat".
    virtual void on_other(std::string_view what) = 0;
    /// A message that came compressed, and its size when inflated.
    virtual void on_inflated(std::size_t bytes) = 0;
    /// Bytes for the server.
    virtual void send(std::string_view bytes) = 0;
};

class Protocol {
  public:
    virtual ~Protocol() = default;

    /// Starts afresh on a new connection and returns the request to send. `resume`: the position
    /// to go on from; null: live only.
    [[nodiscard]] virtual std::string open(const Position* resume) = 0;

    /// Reads what `in` begins with. Returns how many bytes are done with.
    [[nodiscard]] virtual std::size_t read(std::string_view in, ProtocolEvents& events) = 0;

    /// The cursor to resume from, for protocols that have one.
    [[nodiscard]] virtual std::string_view cursor() const = 0;

    /// The bytes that ask for an orderly end; empty when ending TCP is the orderly end.
    [[nodiscard]] virtual std::string goodbye() = 0;
};

/// What the requests of all subscribers have in common.
struct ProtocolSettings {
    std::string host;
    std::string token; // empty: anonymous
    bool deflate = false;
    bool nchan = false; // no subprotocol, no welcome: who is upgraded is subscribed
};

} // namespace load
