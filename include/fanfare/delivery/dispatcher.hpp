#pragma once
// Hands the jobs of the push queue to providers and writes down what became of them: one per
// process, on one reactor. Design: docs/decisions/0014-push-queue.md.

#include <fanfare/delivery/options.hpp>
#include <fanfare/delivery/provider.hpp>
#include <fanfare/delivery/push_queue.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace fanfare::net {
class Reactor;
}

namespace fanfare::delivery {

/// Who serves a device; null: no provider is configured for it, and its jobs are dead letters.
/// Called on the dispatcher's reactor.
using PushRoutes = std::function<Provider*(const PushDevice&)>;

/// Everything on the reactor, but for `wake`.
class Dispatcher {
  public:
    /// `changed` is told which statuses moved. The queue and the providers live longer; a provider
    /// that the routes lead to no more lives until `reload`, and until its pushes in flight have
    /// ended.
    Dispatcher(net::Reactor& reactor, PushQueue& queue, PushRoutes routes,
               const PushOptions& options,
               std::function<void(const std::vector<StatusChange>&)> changed);
    /// What is in flight stays a job: whoever reads the queue next sends it again.
    ~Dispatcher();
    Dispatcher(const Dispatcher&) = delete;
    Dispatcher& operator=(const Dispatcher&) = delete;

    void start();
    /// There may be new jobs. Any thread.
    void wake();
    /// These have no jobs any more (acknowledged, cancelled, collapsed). What of them is in flight
    /// goes on, and its outcome is written down as any other.
    void cancel(const std::vector<NotificationId>& notifications);
    /// These devices are no more (unregistered, their token another's). What is on its way to them
    /// goes on; nothing is sent to them any more, whatever is still being read of the time before.
    void forget_devices(const std::function<bool(const PushDevice&)>& gone);
    /// The orderly end: nothing more is sent. `done` when what is in flight has ended and is
    /// written down, at the latest after `options.drain`; never in the call. Once.
    void drain(std::function<void()> done);
    /// From now on; the routes are asked again for all that waits.
    void reload(const PushOptions& options);

  private:
    class Work;
    std::unique_ptr<Work> work_;
};

} // namespace fanfare::delivery
