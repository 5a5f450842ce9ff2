#pragma once
// A gateway's devices with a real store: calls wait for their answers.

#include "inbox_node.hpp"

#include <fanfare/delivery/devices.hpp>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace fanfare::test {

struct DeviceNode : InboxNode {
    using InboxNode::InboxNode;

    [[nodiscard]] delivery::Devices& devices() { return store().devices(); }
    delivery::Registered put(delivery::PushDevice device, std::size_t devices_max = 20) {
        return ask<delivery::Registered>([&](auto done) {
            return devices().put(std::move(device), devices_max, std::move(done));
        });
    }
    delivery::Unregistered unregister(const std::string& user, const std::string& name = {}) {
        return ask<delivery::Unregistered>(
            [&](auto done) { return devices().remove(user, name, std::move(done)); });
    }
    std::uint64_t remove(const std::string& user, const std::string& name = {}) {
        return unregister(user, name).devices;
    }
    void drop(delivery::Platform platform, const std::string& token, WallMillis dead_since) {
        on_reactor([&] { devices().drop(platform, token, dead_since); });
    }
    delivery::DeviceList list_of(const std::string& user) {
        return ask<delivery::DeviceList>([&](auto done) {
            devices().list(user, std::move(done));
            return true;
        });
    }
    std::vector<delivery::PushDevice> list(const std::string& user) {
        delivery::DeviceList list = list_of(user);
        if (list.code != Code::ok) throw std::runtime_error("devices could not be listed");
        return std::move(list.devices);
    }
    /// Names, separated by spaces.
    std::string names(const std::string& user) {
        std::string text;
        for (const delivery::PushDevice& device : list(user))
            text += (text.empty() ? "" : " ") + device.name;
        return text;
    }
    /// `push_devices` of that platform.
    [[nodiscard]] long figure(const std::string& platform) const {
        const std::string text = metrics.text();
        const std::string series = "fanfare_push_devices{platform=\"" + platform + "\"} ";
        const std::size_t at = text.find(series);
        if (at == std::string::npos) throw std::runtime_error("there is no figure of " + platform);
        return std::stol(text.substr(at + series.size()));
    }
};

inline delivery::PushDevice ios_device(const std::string& user, const std::string& name,
                                       const std::string& token) {
    delivery::PushDevice device;
    device.user = user;
    device.name = name;
    device.token = token;
    device.registered = system_clock().wall();
    return device;
}

inline delivery::PushDevice web_device(const std::string& user, const std::string& name,
                                       const std::string& endpoint) {
    delivery::PushDevice device = ios_device(user, name, endpoint);
    device.platform = delivery::Platform::web;
    device.p256dh = "\x04" + std::string(63, '\0') + "x";
    device.auth = std::string(15, '\0') + "y";
    return device;
}

inline delivery::PushDevice expiring(delivery::PushDevice device, WallMillis after) {
    device.expires = device.registered + after;
    return device;
}

} // namespace fanfare::test
