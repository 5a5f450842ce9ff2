#pragma once
// What pushes to devices: the configured services, and the dispatcher that feeds them. All of it
// works on the first reactor.

#include "config.hpp"

#include <fanfare/delivery/dispatcher.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/providers/providers.hpp>
#include <fanfare/stores/stores.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fanfare::app {

/// What the dispatcher is to know of a configuration.
[[nodiscard]] delivery::PushOptions push_options(const Config& config);

class ServerPush {
  public:
    /// Before the reactor runs. Throws with one sentence if a credential cannot be used. `changed`
    /// is told on the reactor which statuses moved.
    ServerPush(const Config& config, net::Reactor& reactor, delivery::PushQueue& queue,
               std::function<void(const std::vector<delivery::StatusChange>&)> changed);
    /// After the reactor has ended.
    ~ServerPush();
    ServerPush(const ServerPush&) = delete;
    ServerPush& operator=(const ServerPush&) = delete;

    // Any thread:
    /// Those whose time is over are not sent any more.
    void moved(const std::vector<delivery::StatusChange>& changes);
    /// Nothing is sent to these devices any more; then `done` is called on `caller`.
    void forget_devices(std::function<bool(const delivery::PushDevice&)> gone, net::Reactor& caller,
                        std::function<void()> done);
    void reload(const delivery::PushOptions& options);
    /// Sends nothing more, and closes all connections. `done` is called on the reactor.
    void drain(std::function<void()> done);

  private:
    void tell(std::function<void(delivery::Dispatcher&)> act);
    [[nodiscard]] delivery::Provider* route(const delivery::PushDevice& device);

    net::Reactor& reactor_;
    net::BlockingThread resolver_;
    providers::ApnsTokens apns_tokens_;
    struct App {
        std::unique_ptr<delivery::Provider> apns;    // null: not configured
        std::unique_ptr<delivery::Provider> fcm;     // null: not configured
        std::unique_ptr<delivery::Provider> webpush; // null: not configured
    };
    [[nodiscard]] App make_app(const PushApp& app, const http::H2ProxyOptions& proxy);
    std::map<std::string, App, std::less<>> apps_;     // by name
    std::unique_ptr<delivery::Dispatcher> dispatcher_; // null: it has drained
};

} // namespace fanfare::app
