#pragma once
// A WebSocket: frames in, messages to a client protocol, a queue out; ping, and the close
// handshake.

#include <fanfare/http/exchange.hpp>
#include <fanfare/session/sessions.hpp>
#include <fanfare/ws/deflate.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::ws {

/// What speaks on top of text frames: turns a client's message into calls of its session.
class TextProtocol : public session::ClientProtocol {
  public:
    virtual ~TextProtocol() = default;
    /// `text` is valid UTF-8 with at least 64 readable bytes behind it; valid during the call.
    virtual void on_text(session::Session& session, std::string_view text) = 0;
    /// The subprotocol's name, e.g. "fanfare.json.v1".
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
};

/// A reactor's WebSockets: what they share, and the way from an HTTP request to a connection.
class Service {
  public:
    /// `protocols`: the first is spoken with clients that offer no subprotocol.
    Service(session::Sessions& sessions, std::vector<TextProtocol*> protocols);
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// Handler of `GET /ws`: refuses with an HTTP answer, or upgrades.
    void handle(http::Exchange& exchange);
    /// Answers 503, for a gateway that is full or draining, and closes the connection.
    void turn_away(http::Exchange& exchange, std::string_view why);

  private:
    friend class Connection;
    struct Shared;
    std::unique_ptr<Shared> shared_;
};

} // namespace fanfare::ws
