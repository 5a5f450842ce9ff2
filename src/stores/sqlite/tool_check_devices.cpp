#include "tool_check_devices.hpp"

#include <fanfare/delivery/devices.hpp>

#include <fmt/format.h>

#include <cstdint>
#include <utility>

namespace fanfare::stores {
namespace {

delivery::PushDevice device_of(const Statement& row) {
    delivery::PushDevice device;
    device.user = row.text(0);
    device.name = row.text(1);
    device.platform = static_cast<delivery::Platform>(row.integer(2));
    device.token = row.text(3);
    device.p256dh = row.blob(4);
    device.auth = row.blob(5);
    device.app = row.text(6);
    device.locale = row.text(7);
    device.timezone = row.text(8);
    return device;
}

} // namespace

void check_devices(Database& database, SqliteCheck& check,
                   const std::function<void(std::string)>& fault) {
    Statement rows{database, "SELECT user, name, platform, token, p256dh, auth, app, locale, "
                             "timezone FROM devices ORDER BY id"};
    while (rows.step()) {
        ++check.devices;
        const std::string name = fmt::format("device {} of {}", rows.text(1), rows.text(0));
        const std::int64_t platform = rows.integer(2);
        if (platform < 0 || platform > static_cast<std::int64_t>(delivery::Platform::web)) {
            fault(fmt::format("{}: {} is no platform", name, platform));
            continue;
        }
        // As it was checked when it was registered.
        delivery::PushDevice device = device_of(rows);
        if (const Error error = check_device(device))
            fault(fmt::format("{}: {}", name, error.message));
    }
    Statement topics{database, "SELECT t.topic, t.device FROM device_topics t LEFT JOIN devices d "
                               "ON d.id = t.device WHERE d.id IS NULL"};
    while (topics.step())
        fault(fmt::format("the device with id {} is missing, and its topic {} is there",
                          topics.integer(1), topics.text(0)));
}

} // namespace fanfare::stores
