#pragma once
// Server-Sent Events: `GET /sse?room=a&room=b` and `POST /sse/ack` (docs/protocol.md §3).

#include <fanfare/http/exchange.hpp>
#include <fanfare/session/sessions.hpp>

#include <memory>

namespace fanfare::protocols {

/// A reactor's SSE streams: what they share, and the way from an HTTP request to a stream.
class SseService {
  public:
    explicit SseService(session::Sessions& sessions);
    ~SseService();
    SseService(const SseService&) = delete;
    SseService& operator=(const SseService&) = delete;

    /// Handler of `GET /sse` (and HEAD): refuses with a problem document, or opens a stream.
    void open(http::Exchange& exchange);
    /// Handler of `OPTIONS /sse` and `/sse/ack`: the preflight of clients that set headers
    /// themselves.
    void preflight(http::Exchange& exchange);
    /// Handler of `POST /sse/ack`: a stream's client acknowledges its inbox.
    void acknowledge(http::Exchange& exchange);
    /// The polite refusal under overload and drain: 200, a `retry:` between 2 and 30 seconds, the
    /// end. An EventSource gives up for good on any error status.
    void turn_away(http::Exchange& exchange);

    struct Shared;

  private:
    std::unique_ptr<Shared> shared_;
};

} // namespace fanfare::protocols
