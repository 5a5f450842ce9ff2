#pragma once
// How sends are shown to backends: members of an object. No I/O.

#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/send.hpp>

namespace fanfare::api {

/// All that is known of it.
void write_send(JsonWriter& json, const delivery::SendView& send);
/// The short form: its status and the counts.
void write_send_status(JsonWriter& json, const delivery::SendView& send);
/// What was decided about the whole of it; of each user's notification: its own timeline.
void write_send_timeline(JsonWriter& json, const delivery::SendView& send);

} // namespace fanfare::api
