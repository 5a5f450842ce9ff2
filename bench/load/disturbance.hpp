// What a mode does to the clients while messages are published: drop them, stop them reading,
// exchange them, or send them all away and let them return at once.
#pragma once

#include "clock.hpp"

#include <memory>

namespace load {

class Fleet;
struct Options;

class Disturbance {
  public:
    virtual ~Disturbance() = default;
    virtual void tick(Instant now) = 0;
    /// Publishing is over: disturb nobody any more.
    virtual void stop() = 0;
    /// After stop(): whether what was begun is at its end, so that messages can be accounted for.
    [[nodiscard]] virtual bool is_settled() const = 0;
};

/// The disturbance of the mode that `options` name, beginning at `now`. Never null.
[[nodiscard]] std::unique_ptr<Disturbance> make_disturbance(const Options& options, Fleet& fleet,
                                                            Instant now);

} // namespace load
