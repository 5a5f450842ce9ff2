// What all workers share. Its parts have locks of their own; with --no-record and without scripts,
// no request takes one.
#pragma once

#include "access_tokens.hpp"
#include "options.hpp"
#include "rate_limits.hpp"
#include "recorder.hpp"
#include "scripts.hpp"
#include "subscriptions.hpp"

#include <array>
#include <atomic>
#include <cstdint>

namespace sim {

struct World {
    explicit World(const Options& o)
        : options(o), recorder(o.record, o.record_count_max, o.record_bytes_max) {}

    /// `real` time that passed, as the services see it.
    [[nodiscard]] Duration scaled(Duration real) const {
        return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::nano>(real) *
                                                    options.clock_scale);
    }
    /// How long to wait in real time until the services' clock has gone on by `simulated`.
    [[nodiscard]] Duration unscaled(Duration simulated) const {
        return std::chrono::duration_cast<Duration>(
            std::chrono::duration<double, std::nano>(simulated) / options.clock_scale);
    }

    const Options& options;
    Scripts scripts;
    Recorder recorder;
    AccessTokens access_tokens;
    Subscriptions subscriptions;
    RateLimits limits;
    std::array<std::atomic<std::int64_t>, services_count> drops_left{}; // of Settings::drop_at
    std::atomic<std::uint64_t> connections{0}; // the number of the last one
};

} // namespace sim
