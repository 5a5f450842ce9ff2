// What the server's processes use, as /proc tells it.
#pragma once

#include <cstdint>
#include <sys/types.h>
#include <vector>

namespace load {

/// Memory in bytes and CPU time in seconds, summed over the processes asked for.
struct ProcessStats {
    std::uint64_t rss_bytes = 0;
    std::uint64_t rss_bytes_max = 0;
    // Private anonymous memory: heap, stacks, and written data. What connections cost in user
    // space; unlike rss it holds no program text or mapped files. Zero where smaps_rollup may not
    // be read.
    std::uint64_t anonymous_bytes = 0;
    // Both parts are as /proc has them, which means little over seconds, unless user_is_sampled:
    // then they are the UserClock's, since it began.
    double user_s = 0;
    double system_s = 0;
    double run_s = 0; // both together, to the nanosecond
    bool user_is_sampled = false;
    bool readable = false; // every process was there

    [[nodiscard]] double cpu_s() const { return run_s; }
};

[[nodiscard]] ProcessStats sample(const std::vector<pid_t>& pids);

/// CPU seconds that this program used itself; its memory is left out.
[[nodiscard]] ProcessStats sample_own();

} // namespace load
