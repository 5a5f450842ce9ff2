#pragma once
// Outcomes on their way into the store: gathered for a turn, written in batches, one after the
// other. A batch that the store could not write is kept and written again; nothing of it is sent
// again meanwhile, since its jobs are still held.

#include <fanfare/delivery/push_queue.hpp>

#include <cstddef>
#include <cstdint>
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
    static constexpr std::size_t batch_max = 500;
    /// With so many on their way nothing is sent any more.
    static constexpr std::size_t results_max = 2'000;

    struct Entry {
        PushResult result;
        std::vector<std::int64_t> siblings; // jobs that go with its device
    };
    /// `written`: this is in the store.
    Settlement(net::Reactor& reactor, PushQueue& queue, std::function<void(const Entry&)> written,
               std::function<void(const std::vector<StatusChange>&)> changed);
    ~Settlement();
    Settlement(const Settlement&) = delete;
    Settlement& operator=(const Settlement&) = delete;

    void add(Entry entry);
    /// Writes what there is, unless a batch is under way or it is too early after a failure.
    void flush();
    [[nodiscard]] bool full() const noexcept {
        return batch_.size() + waiting_.size() >= results_max;
    }
    [[nodiscard]] bool empty() const noexcept { return batch_.empty() && waiting_.empty(); }
    /// When time alone makes `flush` do something; 0: it does not.
    [[nodiscard]] MonoMillis wakes_at() const noexcept;

  private:
    struct Link;
    void on_settled(const Settled& settled);

    net::Reactor& reactor_;
    PushQueue& queue_;
    const std::function<void(const Entry&)> written_;
    const std::function<void(const std::vector<StatusChange>&)> changed_;
    std::vector<Entry> waiting_;
    std::vector<Entry> batch_; // under way, or to be written again
    bool under_way_ = false;
    MonoMillis again_at_ = 0; // after a failure
    std::uint32_t failures_ = 0;
    std::shared_ptr<Link> link_;
};

} // namespace fanfare::delivery
