#include "send_json.hpp"

#include <fanfare/base/clock.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace fanfare::api {
namespace {

using delivery::Audience;
using delivery::SendView;
using delivery::Status;

void write_target(JsonWriter& json, const SendView& send) {
    json.key("target").begin_object();
    switch (send.audience.kind) {
    case Audience::Kind::users:
        json.field("user_ids", send.accepted);
        break;
    case Audience::Kind::topic:
        json.field("topic", send.audience.topic);
        break;
    case Audience::Kind::broadcast:
        json.field_bool("broadcast", true);
        break;
    }
    json.end_object();
}

void write_counts(JsonWriter& json, const SendView& send) {
    json.field("accepted", send.accepted)
        .field("sent", send.sent())
        .field("failed", send.count(Status::failed))
        .field("remaining", send.remaining());
}

void write_event(JsonWriter& json, WallMillis time, std::string_view event,
                 std::optional<Status> status) {
    json.begin_object().field("time", rfc3339(time)).field("event", event);
    if (status) json.field("status", delivery::status_name(*status));
    json.end_object();
}

} // namespace

void write_send(JsonWriter& json, const SendView& send) {
    json.field("id", send.id.text()).field("status", delivery::status_name(send.status()));
    write_target(json, send);
    json.field("priority", delivery::priority_name(send.priority));
    if (!send.category.empty()) json.field("category", send.category);
    if (!send.collapse_key.empty()) json.field("collapse_key", send.collapse_key);
    json.key("channels").begin_array();
    for (const delivery::Channel channel : delivery::all_channels)
        if ((send.channels & channel) != 0) json.string(delivery::channel_name(channel));
    json.end_array();
    json.field("created", rfc3339(send.created))
        .field("updated", rfc3339(send.updated))
        .field("expires", rfc3339(send.expires))
        .key("data")
        .raw(send.data)
        .field_bool("expanded", send.expanded != 0);
    write_counts(json, send);
    json.field("delivered", send.count(Status::delivered))
        .field("suppressed", send.count(Status::suppressed))
        .field("expired", send.count(Status::expired));
}

void write_send_status(JsonWriter& json, const SendView& send) {
    json.field("id", send.id.text())
        .field("status", delivery::status_name(send.status()))
        .field("updated", rfc3339(send.updated));
    write_counts(json, send);
}

void write_send_timeline(JsonWriter& json, const SendView& send) {
    json.field("id", send.id.text())
        .field("status", delivery::status_name(send.status()))
        .key("events")
        .begin_array();
    write_event(json, send.created, "accepted", Status::pending);
    if (send.began != 0) write_event(json, send.began, "expanding", Status::processing);
    if (send.expanded != 0)
        write_event(json, send.expanded, send.cut ? "expired" : "expanded", std::nullopt);
    json.end_array();
}

} // namespace fanfare::api
