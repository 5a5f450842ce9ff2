#pragma once
// What pushes to devices: the configured services, and the dispatcher that feeds them. All of it
// works on the first reactor.

#include "config.hpp"

#include <fanfare/delivery/dispatcher.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/stores/stores.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace fanfare::app {

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
    void reload(const delivery::PushOptions& options);
    /// Sends nothing more. `done` is called on the reactor.
    void drain(std::function<void()> done);

  private:
    [[nodiscard]] delivery::Provider* route(const delivery::PushDevice& device);

    net::Reactor& reactor_;
    net::BlockingThread resolver_;
    std::unique_ptr<delivery::Provider> apns_;    // null: not configured
    std::unique_ptr<delivery::Provider> fcm_;     // null: not configured
    std::unique_ptr<delivery::Provider> webpush_; // null: not configured
    std::unique_ptr<delivery::Dispatcher> dispatcher_;
};

} // namespace fanfare::app
