#include <fanfare/base/clock.hpp>
#include <fanfare/room/rooms.hpp>
#include <fanfare/session/json_answers.hpp>

namespace fanfare::session {
namespace {

void write_past_message(JsonWriter& json, std::string& out, const room::Message& message) {
    json.begin_object().field("offset", message.position().offset).key("data").raw(message.data());
    append_message_tail(out, message);
    json.field("time", rfc3339(message.time())).end_object();
}

} // namespace

void append_message_tail(std::string& out, const room::Message& message) {
    const auto member = [&out](std::string_view start, std::string_view value) {
        if (value.empty()) return;
        out += start;
        append_json_string(out, value);
    };
    member(R"(,"event":)", message.event());
    member(R"(,"id":)", message.id());
    member(R"(,"from":)", message.from());
    if (message.attempt() <= 1) return;
    out += R"(,"attempt":)";
    append_number(out, std::uint64_t{message.attempt()});
}

void write_history(JsonWriter& json, std::string& out, const HistoryOk& ok) {
    json.field("room", ok.room)
        .field("epoch", ok.position.epoch.text())
        .field("offset", ok.position.offset);
    json.key("messages").begin_array();
    for (const room::MessageRef& message : ok.messages) write_past_message(json, out, *message);
    json.end_array().field_bool("more", ok.more);
}

void write_presence(JsonWriter& json, const PresenceOk& ok) {
    json.field("room", ok.room).key("members").begin_array();
    for (const room::MemberInfo& member : ok.members) {
        json.begin_object().field("user", member.user);
        json.field("sessions", std::uint64_t{member.sessions});
        if (!member.info.empty()) json.key("info").raw(member.info);
        json.end_object();
    }
    json.end_array().field("total", ok.total);
}

} // namespace fanfare::session
