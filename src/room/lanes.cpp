#include <fanfare/room/lanes.hpp>

#include <utility>

namespace fanfare::room {

void Lanes::run(net::Handle lane, Step step) {
    if (lane == 0) {
        step();
        return;
    }
    const auto [at, fresh] = lanes_.try_emplace(lane);
    if (!fresh) {
        at->second.push_back(std::move(step));
        return;
    }
    // The lane is marked busy before the step runs: the step may release it, or run others.
    if (step()) release(lane);
}

void Lanes::release(net::Handle lane) {
    for (;;) {
        const auto at = lanes_.find(lane);
        if (at == lanes_.end()) return;
        if (at->second.empty()) {
            lanes_.erase(at);
            return;
        }
        const Step next = std::move(at->second.front());
        at->second.pop_front();
        if (!next()) return;
    }
}

} // namespace fanfare::room
