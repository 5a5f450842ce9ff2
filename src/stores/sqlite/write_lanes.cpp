#include "write_lanes.hpp"

#include <algorithm>
#include <utility>

namespace fanfare::stores {
namespace {

WriteTask& as_write(net::BlockingTask& task) {
    return static_cast<WriteTask&>(task);
}

} // namespace

void WriteLanes::put(net::BlockingTasks& tasks) {
    size_ += tasks.size();
    for (std::unique_ptr<net::BlockingTask>& task : tasks) {
        const auto lane = static_cast<std::size_t>(as_write(*task).lane());
        lanes_[lane].tasks.push_back(std::move(task));
    }
    tasks.clear();
}

WriteLanes::Batch WriteLanes::compose(std::size_t cost_max, std::size_t bytes_max) {
    Batch batch;
    const bool urgent = !lanes_[static_cast<std::size_t>(Lane::critical)].tasks.empty();
    if (urgent)
        watchful_ = watchful_batches;
    else if (watchful_ != 0)
        --watchful_;
    auto behind = static_cast<std::size_t>(std::count_if(
        lanes_.begin(), lanes_.end(), [](const Waiting& lane) { return !lane.tasks.empty(); }));
    Budget budget;
    budget.operation = std::max<std::size_t>(bytes_max / cost_max, 1);
    budget.left = budget.operation * cost_max;
    const std::size_t share = budget.left / shares;
    if (watchful_ != 0 && !urgent) budget.left /= watchful_part;
    for (Waiting& lane : lanes_) {
        if (lane.tasks.empty()) {
            lane.credit = 0;
            continue;
        }
        lane.credit += share;
        // Who has waited for the batch before need not wait for others in its own.
        budget.shares_only = urgent && &lane != &lanes_.front();
        fill(batch, lane, budget, --behind * share);
        // Who waits for nothing saves nothing up.
        if (lane.tasks.empty()) lane.credit = 0;
    }
    size_ -= batch.tasks.size();
    return batch;
}

/// `kept`: for the lanes below.
void WriteLanes::fill(Batch& batch, Waiting& lane, Budget& budget, std::size_t kept) {
    while (!lane.tasks.empty()) {
        const WriteTask& next = as_write(*lane.tasks.front());
        const std::size_t cost = std::max(next.bytes(), next.cost() * budget.operation);
        const bool fits = !budget.shares_only && cost + kept <= budget.left;
        if (!fits && cost > lane.credit && !batch.tasks.empty()) return;
        batch.operations += next.operations();
        batch.bytes += next.bytes();
        budget.left -= std::min(budget.left, cost);
        lane.credit -= std::min(lane.credit, cost);
        batch.tasks.push_back(std::move(lane.tasks.front()));
        lane.tasks.pop_front();
    }
}

} // namespace fanfare::stores
