#pragma once
// Does every reactor still turn? Each is sent a beat through its mailbox; while one is unanswered,
// time is counted against it, and above a limit the reactor is stuck: a loop without end, a lock
// that nobody releases, a call that blocks. Nothing can be done about that from outside, so the
// process is given up: systemd's watchdog is fed no more, and /health fails.
//
// The path of messages knows nothing of this: a beat is a command like any other, one per reactor
// and second or so, and wakes an idle reactor no more often than its own clock does.

#include <fanfare/base/clock.hpp>
#include <fanfare/net/reactor.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

namespace fanfare::app {

class ReactorWatch {
  public:
    explicit ReactorWatch(net::Reactors& reactors);

    /// Looks for answers and sends the next beats; to be called about four times per `limit`,
    /// always from one thread that is no reactor's. Returns the number of stuck reactors, and logs
    /// each once: `reactor_stuck`, `reactor_recovered`.
    [[nodiscard]] std::size_t check(MonoMillis now, std::chrono::milliseconds limit);

  private:
    struct Watched {
        net::Reactor& reactor;
        // Set by the reactor. Counted, because a beat may still wait when this is gone.
        std::shared_ptr<std::atomic<bool>> answered;
        std::chrono::milliseconds waiting{0};
        bool stuck = false;
    };

    std::vector<Watched> watched_;
    MonoMillis checked_ = 0; // 0: never
};

} // namespace fanfare::app
