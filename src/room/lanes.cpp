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
        at->second.steps.push_back(std::move(step));
        return;
    }
    go_on(lane, std::move(step));
}

void Lanes::release(net::Handle lane) {
    const auto at = lanes_.find(lane);
    if (at == lanes_.end()) return;
    if (at->second.running) {
        // By its own step, before that returned: the loop below goes on. Going on here would need
        // a stack as deep as the queue is long.
        at->second.released = true;
        return;
    }
    go_on(lane, nullptr);
}

/// Calls steps until one has to wait; then, or without any left, returns.
void Lanes::go_on(net::Handle lane, Step step) {
    for (;;) {
        // A step may run others and so move the table: it is asked again after each call.
        if (step) {
            Lane& before = lanes_.find(lane)->second;
            before.running = true;
            before.released = false;
            const bool over = step();
            Lane& after = lanes_.find(lane)->second;
            after.running = false;
            if (!over && !after.released) return;
        }
        const auto at = lanes_.find(lane);
        if (at->second.steps.empty()) {
            lanes_.erase(at);
            return;
        }
        step = std::move(at->second.steps.front());
        at->second.steps.pop_front();
    }
}

} // namespace fanfare::room
