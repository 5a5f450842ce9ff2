#include "json_replies.hpp"

#include <fanfare/base/json_writer.hpp>

namespace fanfare::protocols {
namespace {

/// `{"id":2,"op":"ok"`, still open.
JsonWriter begin_reply(std::string& out, RequestId id, std::string_view op) {
    JsonWriter json{out};
    json.begin_object();
    if (id) json.key("id").integer(*id);
    json.field("op", op);
    return json;
}

/// `{"op":"reset"` or `{`, still open.
JsonWriter begin_push(std::string& out, Shape shape, std::string_view op) {
    JsonWriter json{out};
    json.begin_object();
    if (shape == Shape::with_op) json.field("op", op);
    return json;
}

void write_position(JsonWriter& json, const Position& position) {
    json.field("epoch", position.epoch.text()).field("offset", position.offset);
}

void write_room_position(JsonWriter& json, std::string_view room, const Position& position) {
    json.field("room", room);
    write_position(json, position);
}

} // namespace

void write_welcome(std::string& out, const Welcome& welcome) {
    JsonWriter json = begin_push(out, Shape::with_op, "welcome");
    json.field("session", welcome.session).key("user");
    if (welcome.user.empty())
        json.null();
    else
        json.string(welcome.user);
    json.field("node", welcome.node);
    json.key("heartbeat").real(std::chrono::duration<double>(welcome.heartbeat).count());
    if (welcome.expires) json.key("expires").integer(*welcome.expires);
    json.end_object();
}

void write_error(std::string& out, RequestId id, const Error& error) {
    begin_reply(out, id, "error")
        .field("code", code_name(error.code))
        .field("message", error.message)
        .end_object();
}

void write_pong(std::string& out, RequestId id) {
    begin_reply(out, id, "pong").end_object();
}

void write_auth_ok(std::string& out, RequestId id, std::string_view user, std::int64_t expires) {
    JsonWriter json = begin_reply(out, id, "ok");
    json.field("user", user).key("expires").integer(expires).end_object();
}

void write_subscribe_ok(std::string& out, RequestId id, const session::SubscribeOk& ok) {
    JsonWriter json = begin_reply(out, id, "ok");
    write_room_position(json, ok.room, ok.position);
    if (ok.recovered) json.field_bool("recovered", *ok.recovered);
    if (ok.acked) json.field("acked", *ok.acked);
    json.end_object();
}

void write_pattern_ok(std::string& out, RequestId id, std::string_view pattern) {
    begin_reply(out, id, "ok").field("pattern", pattern).end_object();
}

void write_unsubscribe_ok(std::string& out, RequestId id, std::string_view room, bool is_pattern) {
    begin_reply(out, id, "ok").field(is_pattern ? "pattern" : "room", room).end_object();
}

void write_publish_ok(std::string& out, RequestId id, const session::PublishOk& ok) {
    JsonWriter json = begin_reply(out, id, "ok");
    json.field("room", ok.room);
    if (ok.position.offset != 0) write_position(json, ok.position);
    if (ok.duplicate) json.field_bool("duplicate", true);
    json.end_object();
}

void write_ack_ok(std::string& out, RequestId id, std::string_view room, std::uint64_t offset) {
    begin_reply(out, id, "ok").field("room", room).field("offset", offset).end_object();
}

void write_history_ok(std::string& out, RequestId id, const session::HistoryOk& ok) {
    JsonWriter json = begin_reply(out, id, "ok");
    session::write_history(json, out, ok);
    json.end_object();
}

void write_presence_ok(std::string& out, RequestId id, const session::PresenceOk& ok) {
    JsonWriter json = begin_reply(out, id, "ok");
    session::write_presence(json, ok);
    json.end_object();
}

void write_message(std::string& out, Shape shape, const room::Message& message) {
    out += shape == Shape::with_op ? R"({"op":"message",)" : "{";
    append_message_head(out, message);
    out += message.data();
    append_message_tail(out, message);
    out += '}';
}

void write_presence_change(std::string& out, Shape shape, const room::PresenceChange& change) {
    begin_push(out, shape, presence_event(change))
        .field("room", change.room)
        .field("user", change.user)
        .end_object();
}

void write_subscribed(std::string& out, Shape shape, std::string_view room,
                      const Position& position) {
    JsonWriter json = begin_push(out, shape, "subscribed");
    write_room_position(json, room, position);
    json.end_object();
}

void write_unsubscribed(std::string& out, Shape shape, std::string_view room, const Error& why) {
    begin_push(out, shape, "unsubscribed")
        .field("room", room)
        .field("code", code_name(why.code))
        .field("message", why.message)
        .end_object();
}

void write_reset(std::string& out, Shape shape, std::string_view room, const Position& position) {
    JsonWriter json = begin_push(out, shape, "reset");
    write_room_position(json, room, position);
    json.end_object();
}

void write_acked(std::string& out, Shape shape, std::string_view room, std::uint64_t offset) {
    begin_push(out, shape, "acked").field("room", room).field("offset", offset).end_object();
}

void write_bye(std::string& out, Shape shape, std::string_view code, std::string_view message,
               std::uint64_t reconnect_in) {
    begin_push(out, shape, "bye")
        .field("code", code)
        .field("message", message)
        .field("reconnect_in", reconnect_in)
        .end_object();
}

void append_message_head(std::string& out, const room::Message& message) {
    out += R"("room":)";
    append_json_string(out, message.room());
    if (!message.ephemeral()) {
        out += R"(,"offset":)";
        append_number(out, message.position().offset);
    }
    out += R"(,"data":)";
}

std::string_view presence_event(const room::PresenceChange& change) noexcept {
    return change.joined ? "join" : "leave";
}

} // namespace fanfare::protocols
