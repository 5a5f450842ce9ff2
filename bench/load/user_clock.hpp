// How long the server's threads ran in user mode. /proc does not know: the kernel splits a
// process's time by looking at each tick of 4 ms, scales both parts to the exact sum, and never
// lets either shrink, so that a difference of two readings shows the start-up's share for seconds.
// A sampling clock of perf events (perf_event_open(2)) at about 1 kHz does, at a cost of some 0.3 %
// of a core, and a little per context switch.
#pragma once

#include <optional>
#include <sys/types.h>
#include <vector>

namespace load {

class UserClock {
  public:
    /// Watches the threads that the processes have now, until destruction.
    explicit UserClock(const std::vector<pid_t>& pids);
    ~UserClock();
    UserClock(const UserClock&) = delete;
    UserClock& operator=(const UserClock&) = delete;

    /// Since the construction, over all threads; of n samples the standard error is √n × 1 ms.
    /// Empty where perf events are not allowed, or the samples did not fit (half a minute in user
    /// mode).
    [[nodiscard]] std::optional<double> seconds() const;

  private:
    struct Counter {
        int fd;
        void* ring;
    };
    void watch(pid_t thread);

    std::vector<Counter> counters_;
    bool available_ = true;
};

} // namespace load
