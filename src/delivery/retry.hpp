#pragma once
// Whether and when a push is tried again: a pure function, so that the whole schedule is a table in
// a test.

#include <fanfare/delivery/options.hpp>
#include <fanfare/delivery/push_queue.hpp>

#include <cstdint>

namespace fanfare::delivery {

/// What is known of a job when the outcome of an attempt is there.
struct Tried {
    std::uint32_t attempts = 0; // made before this one
    std::uint32_t repeats = 0;  // in a row that the service never saw, before this one
    WallMillis now = 0;
    WallMillis expires = 0;
    double random = 0; // [0, 1)
};

struct NextStep {
    PushResult::Fate fate = PushResult::Fate::again;
    WallMillis again_at = 0; // again
    bool counts = true;      // as an attempt
};

[[nodiscard]] NextStep next_step(const PushOutcome& outcome, const Tried& tried,
                                 const PushOptions& options);

} // namespace fanfare::delivery
