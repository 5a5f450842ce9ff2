#include "reactor_watch.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>

namespace fanfare::app {

ReactorWatch::ReactorWatch(net::Reactors& reactors) {
    for (std::size_t i = 0; i < reactors.size(); ++i)
        watched_.push_back({reactors[i], std::make_shared<std::atomic<bool>>(true)});
}

std::size_t ReactorWatch::check(MonoMillis now, std::chrono::milliseconds limit) {
    // A process that was stopped, or starved of processors, finds all beats unanswered when it goes
    // on: what passed since the last check counts for no more than a part of the limit, and the
    // reactors have until the next check.
    const std::chrono::milliseconds passed =
        checked_ == 0 ? std::chrono::milliseconds{0}
                      : std::min(std::chrono::milliseconds{now - checked_}, limit / 2);
    checked_ = now;
    std::size_t stuck = 0;
    for (Watched& one : watched_) {
        if (one.answered->load(std::memory_order_acquire)) {
            if (one.stuck)
                log::warn("reactor_recovered", {{"reactor", one.reactor.index()},
                                                {"for_ms", std::int64_t{one.waiting.count()}}});
            one.stuck = false;
            one.waiting = {};
            one.answered->store(false, std::memory_order_relaxed);
            one.reactor.post(
                [answered = one.answered] { answered->store(true, std::memory_order_release); });
            continue;
        }
        one.waiting += passed;
        if (one.waiting <= limit) continue;
        ++stuck;
        if (one.stuck) continue;
        one.stuck = true;
        log::error("reactor_stuck", {{"reactor", one.reactor.index()},
                                     {"for_ms", std::int64_t{one.waiting.count()}}});
    }
    return stuck;
}

} // namespace fanfare::app
