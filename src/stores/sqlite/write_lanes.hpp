#pragma once
// What waits for the writer, by urgency, and what of it is the next transaction. Each batch is
// composed anew, so an urgent task waits for the batch that is being committed and for nothing
// else: with something `critical` in it, a batch takes of the other lanes only their shares, and
// the batches after it are a quarter as large for a while. A lane that waits behind others gets a
// small share of each batch: it is slow then, but it does not starve. Within a lane the order is
// kept. Design: docs/decisions/0013-inbox.md, "Lanes".

#include "write_task.hpp"

#include <array>
#include <cstddef>
#include <deque>
#include <memory>

namespace fanfare::stores {

class WriteLanes {
  public:
    /// A lane's share of a batch is one part in this many.
    static constexpr std::size_t shares = 20;

    /// All are WriteTasks. Leaves `tasks` empty.
    void put(net::BlockingTasks& tasks);
    /// Tasks that wait.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    struct Batch {
        net::BlockingTasks tasks;
        std::size_t operations = 0;
        std::size_t bytes = 0;
    };
    /// Takes up to so much of either, and at least one task if one waits. A task is never divided:
    /// a large one that has waited for its turn may come on top.
    [[nodiscard]] Batch compose(std::size_t cost_max, std::size_t bytes_max);

  private:
    struct Waiting {
        std::deque<std::unique_ptr<net::BlockingTask>> tasks;
        /// Of its shares, what it could not use yet, since its first task is larger.
        std::size_t credit = 0;
    };
    /// Operations and bytes in one measure: a byte, or as many as an operation may have if both
    /// bounds are reached together.
    struct Budget {
        std::size_t operation = 1;
        std::size_t left = 0;
        bool shares_only = false; // there is something urgent in the batch
    };
    void fill(Batch& batch, Waiting& lane, Budget& budget, std::size_t kept);

    /// After something urgent batches are smaller for a while: more of it may come.
    static constexpr std::size_t watchful_batches = 1'000;
    static constexpr std::size_t watchful_part = 4;

    std::array<Waiting, lane_count> lanes_;
    std::size_t watchful_ = 0; // so many more batches are small
    std::size_t size_ = 0;
};

} // namespace fanfare::stores
