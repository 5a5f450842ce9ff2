#pragma once
// How devices are shown to backends: never their tokens or keys. No I/O.

#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/devices.hpp>

#include <string>
#include <vector>

namespace fanfare::api {

/// An array: what was registered, without what it is reached by. What was not given is not there.
inline void write_push_devices(JsonWriter& json, const std::vector<delivery::PushDevice>& devices) {
    json.begin_array();
    for (const delivery::PushDevice& device : devices) {
        json.begin_object()
            .field("device_id", device.name)
            .field("platform", delivery::platform_name(device.platform));
        if (!device.app.empty()) json.field("app", device.app);
        if (!device.locale.empty()) json.field("locale", device.locale);
        if (!device.timezone.empty()) json.field("timezone", device.timezone);
        json.key("topics").begin_array();
        for (const std::string& topic : device.topics) json.string(topic);
        json.end_array().field("registered", rfc3339(device.registered));
        if (device.expires != 0) json.field("expires", rfc3339(device.expires));
        json.end_object();
    }
    json.end_array();
}

} // namespace fanfare::api
