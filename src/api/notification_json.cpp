#include "notification_json.hpp"

#include <fanfare/base/clock.hpp>

#include <string_view>

namespace fanfare::api {
namespace {

using delivery::Channel;
using delivery::Event;
using delivery::Notification;
using delivery::TimelineEntry;

/// The channels whose messages go through a provider, of which there is none yet.
constexpr bool needs_provider(Channel channel) noexcept {
    return channel != delivery::realtime;
}

void write_outcome(JsonWriter& json, const Notification& notification, Channel channel) {
    json.begin_object().field("channel", delivery::channel_name(channel));
    if (needs_provider(channel)) {
        json.field("status", delivery::status_name(delivery::Status::failed))
            .field("attempts", std::uint64_t{0})
            .field("reason", "no provider is configured");
    } else {
        json.field("status", delivery::status_name(notification.status))
            .field("attempts", std::uint64_t{notification.attempts});
        if (notification.tried != 0) json.field("last_attempt", rfc3339(notification.tried));
    }
    json.end_object();
}

bool is_about_realtime(Event event) noexcept {
    return event == Event::sent || event == Event::not_acknowledged || event == Event::returned ||
           event == Event::waiting;
}

void write_sessions(JsonWriter& json, std::string_view sessions) {
    json.key("sessions").begin_array();
    while (!sessions.empty()) {
        const std::size_t comma = sessions.find(',');
        json.string(sessions.substr(0, comma));
        if (comma == std::string_view::npos) break;
        sessions.remove_prefix(comma + 1);
    }
    json.end_array();
}

void write_detail(JsonWriter& json, const TimelineEntry& entry) {
    switch (entry.event) {
    case Event::sent:
        return write_sessions(json, entry.detail);
    case Event::acknowledged:
        json.field("session", entry.detail);
        return;
    case Event::collapsed:
        json.field("by", entry.detail);
        return;
    default:
        json.field("reason", entry.detail);
    }
}

} // namespace

void write_notification(JsonWriter& json, const Notification& notification) {
    json.field("id", notification.id.text())
        .field("user_id", notification.user)
        .field("status", delivery::status_name(notification.status))
        .field("priority", delivery::priority_name(notification.priority));
    if (!notification.category.empty()) json.field("category", notification.category);
    if (!notification.collapse_key.empty()) json.field("collapse_key", notification.collapse_key);
    json.key("channels").begin_array();
    for (const Channel channel : delivery::all_channels)
        if ((notification.channels & channel) != 0) json.string(delivery::channel_name(channel));
    json.end_array();
    json.field("created", rfc3339(notification.created))
        .field("updated", rfc3339(notification.updated))
        .field("expires", rfc3339(notification.expires))
        .key("data")
        .raw(notification.data)
        .field("attempts", std::uint64_t{notification.attempts});
    json.key("outcomes").begin_array();
    for (const Channel channel : delivery::all_channels)
        if ((notification.channels & channel) != 0) write_outcome(json, notification, channel);
    json.end_array();
}

void write_events(JsonWriter& json, const std::vector<TimelineEntry>& timeline) {
    json.begin_array();
    for (const TimelineEntry& entry : timeline) {
        json.begin_object()
            .field("time", rfc3339(entry.time))
            .field("event", delivery::event_name(entry.event));
        if (entry.status) json.field("status", delivery::status_name(*entry.status));
        if (is_about_realtime(entry.event))
            json.field("channel", delivery::channel_name(delivery::realtime));
        if (entry.attempt != 0) json.field("attempt", std::uint64_t{entry.attempt});
        if (!entry.detail.empty()) write_detail(json, entry);
        json.end_object();
    }
    json.end_array();
}

void write_position(JsonWriter& json, const delivery::InboxView& view) {
    if (!view.newest.epoch.none()) json.field("epoch", view.newest.epoch.text());
    json.field("offset", view.newest.offset).field("acked", view.acked);
}

void write_devices(JsonWriter& json, const std::vector<delivery::Device>& devices) {
    json.key("devices").begin_array();
    for (const delivery::Device& device : devices) {
        json.begin_object().key("device");
        if (device.name.empty())
            json.null();
        else
            json.string(device.name);
        json.field("offset", device.offset).field("seen", rfc3339(device.seen)).end_object();
    }
    json.end_array();
}

} // namespace fanfare::api
