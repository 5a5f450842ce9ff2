#include "fanfare_json.hpp"

#include "json_replies.hpp"

#include <fanfare/protocols/protocols.hpp>
#include <fanfare/room/delivery.hpp>
#include <fanfare/session/sessions.hpp>

#include <utility>

namespace fanfare::protocols {
namespace {

using session::Session;

// A history reply may have half a megabyte; scratch of that size is not kept for the next pong.
constexpr std::size_t kept_bytes_max = std::size_t{64} * 1024;

/// Hands a parsed request to the session.
struct Perform {
    Session& session;
    RequestId id;

    void operator()(const Error& error) const { session.refuse(id, error); }
    void operator()(const AuthRequest& request) const {
        session.authenticate(id, std::string{request.token});
    }
    void operator()(const SubscribeRequest& request) const { session.subscribe(id, request); }
    void operator()(const SubscribePatternRequest& request) const {
        session.subscribe_pattern(id, request.pattern);
    }
    void operator()(const UnsubscribeRequest& request) const {
        if (request.is_pattern)
            session.unsubscribe_pattern(id, request.room);
        else
            session.unsubscribe(id, request.room);
    }
    void operator()(const PublishRequest& request) const { session.publish(id, request); }
    void operator()(const AckRequest& request) const {
        session.acknowledge(id, request.room, request.offset);
    }
    void operator()(const HistoryRequest& request) const { session.history(id, request); }
    void operator()(const PresenceRequest& request) const { session.presence(id, request.room); }
    void operator()(const PingRequest& /*request*/) const { session.ping(id); }
};

} // namespace

template <class Write>
void FanfareJson::send(Session& session, Write&& write) {
    text_.clear();
    write(text_);
    session.outbound().send_text(text_);
    if (text_.capacity() > kept_bytes_max) text_ = std::string{};
}

void FanfareJson::on_text(Session& session, std::string_view padded_text) {
    const ParsedRequest parsed = parser_.parse(padded_text);
    if (parsed.not_an_object) {
        session.close(session::CloseReason::not_an_object, "not a JSON object");
        return;
    }
    // Read before it is counted: the refusal of one too many must carry its id.
    if (!session.admit_message(parsed.id)) return;
    std::visit(Perform{session, parsed.id}, parsed.request);
}

void FanfareJson::welcome(Session& session) {
    const session::Options& options = session.service().options();
    const std::string id = session.id();
    Welcome welcome{id, session.user(), options.node, options.heartbeat, std::nullopt};
    if (session.identity() != nullptr) welcome.expires = session.identity()->expires;
    send(session, [&](std::string& out) { write_welcome(out, welcome); });
}

void FanfareJson::error(Session& session, RequestId id, const Error& error) {
    send(session, [&](std::string& out) { write_error(out, id, error); });
}

void FanfareJson::auth_ok(Session& session, RequestId id) {
    if (!id || session.identity() == nullptr) return;
    send(session, [&](std::string& out) {
        write_auth_ok(out, id, session.user(), session.identity()->expires);
    });
}

void FanfareJson::subscribe_ok(Session& session, RequestId id, const session::SubscribeOk& ok) {
    if (id) send(session, [&](std::string& out) { write_subscribe_ok(out, id, ok); });
}

void FanfareJson::pattern_ok(Session& session, RequestId id, std::string_view pattern) {
    if (id) send(session, [&](std::string& out) { write_pattern_ok(out, id, pattern); });
}

void FanfareJson::unsubscribe_ok(Session& session, RequestId id, std::string_view room,
                                 bool is_pattern) {
    if (id)
        send(session, [&](std::string& out) { write_unsubscribe_ok(out, id, room, is_pattern); });
}

void FanfareJson::publish_ok(Session& session, RequestId id, const session::PublishOk& ok) {
    if (id) send(session, [&](std::string& out) { write_publish_ok(out, id, ok); });
}

void FanfareJson::history_ok(Session& session, RequestId id, const session::HistoryOk& ok) {
    if (id) send(session, [&](std::string& out) { write_history_ok(out, id, ok); });
}

void FanfareJson::presence_ok(Session& session, RequestId id, const session::PresenceOk& ok) {
    if (id) send(session, [&](std::string& out) { write_presence_ok(out, id, ok); });
}

void FanfareJson::ack_ok(Session& session, RequestId id, std::uint64_t offset) {
    if (id)
        send(session,
             [&](std::string& out) { write_ack_ok(out, id, session::inbox_room, offset); });
}

void FanfareJson::pong(Session& session, RequestId id) {
    send(session, [&](std::string& out) { write_pong(out, id); });
}

void FanfareJson::message(Session& session, room::Subscription* /*subscription*/,
                          room::Delivery& delivery) {
    // Only asked for while the session is not direct.
    const LocalBytesRef& bytes = delivery.bytes(session.form());
    if (session.make_room(bytes->size())) session.outbound().send(bytes);
}

void FanfareJson::inbox_message(Session& session, room::Delivery& delivery, bool /*repeat*/) {
    message(session, nullptr, delivery);
}

void FanfareJson::acked(Session& session, std::uint64_t offset) {
    send(session,
         [&](std::string& out) { write_acked(out, Shape::with_op, session::inbox_room, offset); });
}

void FanfareJson::subscribed(Session& session, std::string_view room, const Position& position) {
    send(session, [&](std::string& out) { write_subscribed(out, Shape::with_op, room, position); });
}

void FanfareJson::unsubscribed(Session& session, std::string_view room, const Error& why) {
    send(session, [&](std::string& out) { write_unsubscribed(out, Shape::with_op, room, why); });
}

void FanfareJson::reset(Session& session, std::string_view room, const Position& position) {
    send(session, [&](std::string& out) { write_reset(out, Shape::with_op, room, position); });
}

void FanfareJson::bye(Session& session, std::string_view code, std::string_view message,
                      std::uint64_t reconnect_in) {
    send(session,
         [&](std::string& out) { write_bye(out, Shape::with_op, code, message, reconnect_in); });
}

std::unique_ptr<ws::TextProtocol> make_fanfare_json() {
    return std::make_unique<FanfareJson>();
}

} // namespace fanfare::protocols
