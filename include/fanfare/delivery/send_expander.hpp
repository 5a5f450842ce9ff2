#pragma once
// Walks the audiences of sends and places their notifications slice by slice: one per process, on
// one reactor. Design: docs/decisions/0015-mass-sends.md.

#include <fanfare/delivery/send_log.hpp>

#include <functional>
#include <memory>

namespace fanfare::net {
class Reactor;
}

namespace fanfare::delivery {

/// Everything on the reactor.
class SendExpander {
  public:
    /// As Inboxes::place.
    using Place = std::function<void(Order, std::function<void(const Placed&)>)>;

    /// The log lives longer; what is on its way when this ends is dropped, and done again by the
    /// next process.
    SendExpander(net::Reactor& reactor, SendLog& log, Place place);
    ~SendExpander();
    SendExpander(const SendExpander&) = delete;
    SendExpander& operator=(const SendExpander&) = delete;

    /// Goes on with what the process before left.
    void start();
    /// The orderly end: no further slice is begun.
    void stop();

  private:
    class Work;
    std::shared_ptr<Work> work_; // outlives this for what is called late
};

} // namespace fanfare::delivery
