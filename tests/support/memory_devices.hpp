#pragma once
// delivery::Devices that keep everything in this process, in the order of the calls. They answer on
// the reactor that called, refuse when the test wants it to, and fail when the test wants it to.

#include <fanfare/delivery/devices.hpp>
#include <fanfare/net/reactor.hpp>

#include <functional>
#include <map>
#include <string>
#include <utility>

namespace fanfare::test {

class MemoryDevices final : public delivery::Devices {
  public:
    bool put(delivery::PushDevice device, std::size_t devices_max,
             std::function<void(delivery::Registered)> done) override {
        return write([this, device = std::move(device),
                      devices_max] { return registered(device, devices_max); },
                     std::move(done));
    }
    bool remove(const std::string& user, const std::string& name,
                std::function<void(delivery::Unregistered)> done) override {
        return write(
            [this, user, name] {
                delivery::Unregistered removed;
                removed.devices = erase(user, name);
                return removed;
            },
            std::move(done));
    }
    void drop(delivery::Platform platform, const std::string& token,
              WallMillis dead_since) override {
        for (auto& [user, devices] : users)
            std::erase_if(devices, [&](const auto& each) {
                return each.second.platform == platform && each.second.token == token &&
                       (dead_since == 0 || each.second.registered <= dead_since);
            });
    }
    void list(const std::string& user, std::function<void(delivery::DeviceList)> done) override {
        answer(
            [this, user] {
                delivery::DeviceList list;
                for (const auto& [name, device] : users[user]) list.devices.push_back(device);
                return list;
            },
            std::move(done));
    }

    /// Empty `name`: all of them. Returns how many went.
    std::uint64_t erase(const std::string& user, const std::string& name = {}) {
        if (!name.empty()) return users[user].erase(name);
        const std::uint64_t count = users[user].size();
        users.erase(user);
        return count;
    }

    std::map<std::string, std::map<std::string, delivery::PushDevice>> users;
    const char* failing = nullptr; // why the disk does not work
    bool full = false;             // too much waits: writes are refused

  private:
    /// `act` is done in its turn; its answer goes to `done`.
    template <class Act, class Answer>
    void answer(Act act, std::function<void(Answer)> done) {
        net::Reactor::current()->post(
            std::function<void()>{[this, act = std::move(act), done = std::move(done)] {
                if (failing == nullptr) return done(act());
                Answer failure;
                failure.code = Code::unavailable;
                failure.detail = failing;
                done(std::move(failure));
            }});
    }
    template <class Act, class Answer>
    bool write(Act act, std::function<void(Answer)> done) {
        if (full) return false;
        answer(std::move(act), std::move(done));
        return true;
    }

    delivery::Registered registered(const delivery::PushDevice& device, std::size_t devices_max) {
        delivery::Registered answer;
        std::map<std::string, delivery::PushDevice>& own = users[device.user];
        answer.fresh = !own.contains(device.name);
        if (answer.fresh && own.size() >= devices_max) {
            answer = {Code::limit_reached, "the user has as many devices as it may", false};
            return answer;
        }
        drop(device.platform, device.token, 0);
        own[device.name] = device;
        return answer;
    }
};

} // namespace fanfare::test
