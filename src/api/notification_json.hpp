#pragma once
// How notifications, timelines and read positions are shown to backends. No I/O.

#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/inbox_log.hpp>
#include <fanfare/delivery/notification.hpp>

#include <vector>

namespace fanfare::api {

/// The members of a notification. What became of it on each device is read from its timeline.
/// `served`: the channels that there is a provider for.
void write_notification(JsonWriter& json, const delivery::Notification& notification,
                        const std::vector<delivery::TimelineEntry>& timeline,
                        delivery::Channels served);

/// An array: what happened, oldest first.
void write_events(JsonWriter& json, const std::vector<delivery::TimelineEntry>& timeline);

/// The member `epoch` of an inbox that there is, then `offset` and `acked`.
void write_position(JsonWriter& json, const delivery::InboxView& view);

/// The member `devices`: who has read how far.
void write_devices(JsonWriter& json, const std::vector<delivery::Device>& devices);

} // namespace fanfare::api
