#pragma once
// Outcomes on their way into the store: gathered for a turn, written in batches, one after the
// other. A batch that the store could not write is kept and written again; nothing of it is sent
// again meanwhile, since its jobs are still held.

#include <fanfare/delivery/push_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace fanfare::net {
class Reactor;
}

namespace fanfare::delivery {

/// On one reactor.
class Settlement {
  public:
    /// Results of one batch.
    static constexpr std::size_t batch_max = 250;
    /// With so many on their way nothing is sent any more.
    static constexpr std::size_t results_max = 2'000;

    /// `written`: this is in the store.
    Settlement(net::Reactor& reactor, PushQueue& queue,
               std::function<void(const PushResult&)> written,
               std::function<void(const std::vector<StatusChange>&)> changed);
    ~Settlement();
    Settlement(const Settlement&) = delete;
    Settlement& operator=(const Settlement&) = delete;

    void add(PushResult result);
    /// Writes what there is, unless a batch is under way or it is too early after a failure.
    void flush();
    [[nodiscard]] bool full() const noexcept { return size_ >= results_max; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    /// When time alone makes `flush` do something; 0: it does not.
    [[nodiscard]] MonoMillis wakes_at() const noexcept;

  private:
    struct Link;
    void on_settled(const Settled& settled);

    net::Reactor& reactor_;
    PushQueue& queue_;
    const std::function<void(const PushResult&)> written_;
    const std::function<void(const std::vector<StatusChange>&)> changed_;
    using Batch = std::shared_ptr<std::vector<PushResult>>;
    std::deque<Batch> waiting_; // behind `batch_`; all but the last are full
    Batch batch_;               // under way, or to be written again; null: none
    std::size_t size_ = 0;      // results of all
    bool under_way_ = false;
    MonoMillis again_at_ = 0; // after a failure
    std::uint32_t failures_ = 0;
    std::shared_ptr<Link> link_;
};

} // namespace fanfare::delivery
