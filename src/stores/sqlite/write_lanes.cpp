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

WriteLanes::Batch WriteLanes::compose(std::size_t operations_max, std::size_t bytes_max) {
    Batch batch;
    auto behind = static_cast<std::size_t>(std::count_if(
        lanes_.begin(), lanes_.end(), [](const Waiting& lane) { return !lane.tasks.empty(); }));
    for (Waiting& lane : lanes_) {
        if (lane.tasks.empty()) {
            lane.credit = 0;
            continue;
        }
        --behind; // what is kept for the lanes below
        lane.credit += operations_max / shares;
        fill(batch, lane, operations_max - behind * (operations_max / shares),
             bytes_max - behind * (bytes_max / shares));
    }
    size_ -= batch.tasks.size();
    return batch;
}

void WriteLanes::fill(Batch& batch, Waiting& lane, std::size_t operations_max,
                      std::size_t bytes_max) {
    while (!lane.tasks.empty()) {
        const WriteTask& next = as_write(*lane.tasks.front());
        const std::size_t operations = next.operations();
        const bool fits =
            batch.operations + operations <= operations_max && batch.bytes < bytes_max;
        if (!fits && operations > lane.credit && !batch.tasks.empty()) return;
        batch.operations += operations;
        batch.bytes += next.bytes();
        lane.credit -= std::min(lane.credit, operations);
        batch.tasks.push_back(std::move(lane.tasks.front()));
        lane.tasks.pop_front();
    }
}

} // namespace fanfare::stores
