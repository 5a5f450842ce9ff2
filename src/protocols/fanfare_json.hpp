#pragma once
// Subprotocol `fanfare.json.v1` (docs/protocol.md §2): text frames, one JSON object each. Client
// text becomes calls of Session, a session's events become text on its Outbound.
//
// It has no state per session, only scratch memory: one instance serves all sessions of a reactor.

#include "client_json.hpp"

#include <fanfare/session/client_protocol.hpp>
#include <fanfare/ws/connection.hpp>

#include <string>
#include <string_view>

namespace fanfare::protocols {

class FanfareJson final : public ws::TextProtocol {
  public:
    /// One text message of the client; at least 64 readable bytes follow it. Counts it against
    /// the session's rate. The session may be ended when this returns.
    void on_text(session::Session& session, std::string_view padded_text) override;
    [[nodiscard]] std::string_view name() const noexcept override { return "fanfare.json.v1"; }

    void welcome(session::Session& session) override;
    void error(session::Session& session, session::RequestId id, const Error& error) override;
    void auth_ok(session::Session& session, session::RequestId id) override;
    void subscribe_ok(session::Session& session, session::RequestId id,
                      const session::SubscribeOk& ok) override;
    void pattern_ok(session::Session& session, session::RequestId id,
                    std::string_view pattern) override;
    void unsubscribe_ok(session::Session& session, session::RequestId id, std::string_view room,
                        bool is_pattern) override;
    void publish_ok(session::Session& session, session::RequestId id,
                    const session::PublishOk& ok) override;
    void history_ok(session::Session& session, session::RequestId id,
                    const session::HistoryOk& ok) override;
    void presence_ok(session::Session& session, session::RequestId id,
                     const session::PresenceOk& ok) override;
    void ack_ok(session::Session& session, session::RequestId id, std::uint64_t offset) override;
    /// The one answer that is also given without an id: a client pings to hear that we live.
    void pong(session::Session& session, session::RequestId id) override;

    void message(session::Session& session, room::Subscription* subscription,
                 room::Delivery& delivery) override;
    void inbox_message(session::Session& session, room::Delivery& delivery, bool repeat) override;
    void acked(session::Session& session, std::uint64_t offset) override;
    void subscribed(session::Session& session, std::string_view room,
                    const Position& position) override;
    void unsubscribed(session::Session& session, std::string_view room, const Error& why) override;
    void reset(session::Session& session, std::string_view room, const Position& position) override;
    void bye(session::Session& session, std::string_view code, std::string_view message,
             std::uint64_t reconnect_in) override;

  private:
    template <class Write>
    void send(session::Session& session, Write&& write);

    RequestParser parser_;
    std::string text_; // what is being written
};

} // namespace fanfare::protocols
