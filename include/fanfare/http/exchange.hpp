#pragma once
// One request and its answer, on the reactor of its connection.
//
// A handler may answer at once or later: it keeps `handle()` and asks `find_exchange` again when
// the answer is there; a client that left meanwhile is simply not found. Requests of one connection
// are answered in order; the next pipelined request starts after the answer to this one.
//
// An exchange ends with its answer (respond, end_body, detach). A handler that is still running may
// go on reading it; one that answers later must not touch it afterwards.

#include <fanfare/http/message.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/net/transport.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace fanfare::net {
class Reactor;
}

namespace fanfare::http {

/// A connection that left HTTP: an upgraded WebSocket, or a response stream (SSE).
struct Detached {
    std::unique_ptr<net::Transport> transport; // its handler must be set at once
    std::string leftover;                      // bytes that were read after the request
    bool chunked = false; // the response stream uses chunked coding (HTTP/1.1 without length)
};

/// Receives a request body in pieces (NDJSON streams). Destroyed when the exchange ends.
class BodySink {
  public:
    virtual ~BodySink() = default;
    /// `piece` is valid during the call. Call exchange.pause_body() to stop the flow.
    virtual void on_body(std::string_view piece) = 0;
    virtual void on_body_end() = 0;
    /// The peer has taken all that was written of the answer. Where a sink that has paused for the
    /// sake of queued_bytes goes on; nothing else may come that would wake it.
    virtual void on_answer_taken() {}
};

class Exchange {
  public:
    [[nodiscard]] virtual net::Reactor& reactor() noexcept = 0;
    /// Names this exchange, not its connection: stale once answered. Costs nothing until asked for.
    [[nodiscard]] virtual net::Handle handle() const noexcept = 0;
    /// Once the handler has returned, only `method` and `http_1_0` are left of it.
    [[nodiscard]] virtual const RequestHead& head() const noexcept = 0;
    /// The whole body, for routes that collect it. Valid until the handler returns. At least 64
    /// readable bytes follow it (simdjson's padding).
    [[nodiscard]] virtual std::string_view body() const noexcept = 0;
    /// Decoded `{…}` segments of the route, in order.
    [[nodiscard]] virtual const std::string& path_parameter(std::size_t index) const noexcept = 0;
    [[nodiscard]] virtual bool peer_is_loopback() const = 0;
    [[nodiscard]] virtual std::string peer() const = 0;
    /// The connection was admitted only to be told that the gateway is full.
    [[nodiscard]] virtual bool shed() const noexcept = 0;

    /// Answers; exactly once per exchange. HEAD sends no body, X-Request-Id is echoed. Before the
    /// body is whole, the rest of it is read and forgotten, or the connection closes.
    virtual void respond(const Response& response) = 0;

    /// Answers with 200 and a body whose end is not known yet: chunked (HTTP/1.1) or until close.
    /// Then write_body any number of times, end_body once.
    virtual void begin_response(const Response& head) = 0;
    virtual void write_body(std::string_view bytes) = 0;
    virtual void end_body() = 0;
    /// Bytes of the response that the peer has not taken yet.
    [[nodiscard]] virtual std::size_t queued_bytes() const noexcept = 0;

    /// Stops and restarts the flow into the BodySink; the kernel's window does the rest.
    virtual void pause_body() = 0;
    virtual void resume_body() = 0;

    /// Leaves HTTP: hands the transport over and ends the exchange and its connection. Nothing has
    /// been sent of the answer: the new owner sends the response head itself. `chunked` tells
    /// whether an HTTP/1.1 response stream may use chunked coding. Only for a request whose body is
    /// whole. If the peer has not taken earlier pipelined answers, the transport that is handed
    /// over has stopped sending, and the first write fails.
    [[nodiscard]] virtual Detached detach() = 0;

  protected:
    ~Exchange() = default;
};

/// Null if it was answered, or its connection is gone. On the exchange's reactor only.
[[nodiscard]] Exchange* find_exchange(net::Reactor& reactor, net::Handle handle) noexcept;

} // namespace fanfare::http
