#include "notification_json.hpp"

#include <fanfare/base/clock.hpp>

#include <algorithm>
#include <string_view>
#include <vector>

namespace fanfare::api {
namespace {

using delivery::Channel;
using delivery::Event;
using delivery::Notification;
using delivery::TimelineEntry;

using Timeline = std::vector<TimelineEntry>;

constexpr bool is_about_push(Event event) noexcept {
    return event == Event::push_sent || event == Event::push_retry || event == Event::push_failed ||
           event == Event::device_dropped || event == Event::redriven || event == Event::discarded;
}

std::string_view push_status(Event event) noexcept {
    using delivery::Status;
    switch (event) {
    case Event::push_sent:
        return delivery::status_name(Status::sent);
    case Event::push_retry:
        return delivery::status_name(Status::retry);
    case Event::redriven:
        return delivery::status_name(Status::processing);
    default:
        return delivery::status_name(Status::failed);
    }
}

/// The value of `"device":` that a detail begins with, as it stands there: it tells devices apart.
std::string_view device_of(std::string_view detail) noexcept {
    return detail.substr(0, detail.find(R"(,"provider":)"));
}

void write_device(JsonWriter& json, const TimelineEntry& entry) {
    json.begin_object()
        .field("status", push_status(entry.event))
        .field("attempts", std::uint64_t{entry.attempt})
        .field("last_attempt", rfc3339(entry.time))
        .key("push")
        .raw(entry.detail)
        .end_object();
}

void write_push(JsonWriter& json, const Notification& notification, const Timeline& timeline) {
    std::vector<const TimelineEntry*> last; // of each device
    bool begun = false;
    for (const TimelineEntry& entry : timeline) {
        begun |= entry.event == Event::processing && !entry.detail.empty();
        if (!is_about_push(entry.event) || entry.detail.empty()) continue;
        const auto at = std::find_if(last.begin(), last.end(), [&](const TimelineEntry* other) {
            return device_of(other->detail) == device_of(entry.detail);
        });
        if (at == last.end())
            last.push_back(&entry);
        else
            *at = &entry;
    }
    const bool sent = std::any_of(last.begin(), last.end(), [](const TimelineEntry* entry) {
        return entry->event == Event::push_sent;
    });
    const bool failed = notification.status == delivery::Status::failed;
    json.field("status", sent     ? delivery::status_name(delivery::Status::sent)
                         : failed ? delivery::status_name(delivery::Status::failed)
                         : begun  ? delivery::status_name(delivery::Status::processing)
                                  : delivery::status_name(delivery::Status::pending));
    json.key("devices").begin_array();
    for (const TimelineEntry* const entry : last) write_device(json, *entry);
    json.end_array();
}

void write_outcome(JsonWriter& json, const Notification& notification, const Timeline& timeline,
                   Channel channel, delivery::Channels served) {
    json.begin_object().field("channel", delivery::channel_name(channel));
    if ((served & channel) == 0) {
        json.field("status", delivery::status_name(delivery::Status::failed))
            .field("attempts", std::uint64_t{0})
            .field("reason", "no provider is configured");
    } else if (channel == delivery::push) {
        write_push(json, notification, timeline);
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
    case Event::push_sent:
    case Event::push_retry:
    case Event::push_failed:
    case Event::device_dropped:
    case Event::redriven:
    case Event::discarded:
        json.key("push").raw(entry.detail);
        return;
    default:
        json.field("reason", entry.detail);
    }
}

} // namespace

void write_notification(JsonWriter& json, const Notification& notification,
                        const Timeline& timeline, delivery::Channels served) {
    json.field("id", notification.id.text()).field("user_id", notification.user);
    if (notification.send) json.field("send", notification.send->text());
    json.field("status", delivery::status_name(notification.status))
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
        if ((notification.channels & channel) != 0)
            write_outcome(json, notification, timeline, channel, served);
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
        if (is_about_push(entry.event))
            json.field("channel", delivery::channel_name(delivery::push));
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
