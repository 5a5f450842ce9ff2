#pragma once
// Order among publishes of one caller, some of which must first ask whether their key is known.
//
// Without keys, publishes of one reactor to one room keep their order by themselves. A publish with
// a key waits for a verdict that comes from elsewhere, and the next one must not overtake it. A
// lane is the queue behind such a publish; it exists only while somebody waits in it.

#include <fanfare/net/slot_map.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <deque>
#include <functional>

namespace fanfare::room {

class Lanes {
  public:
    /// Returns true if the step is over, false if `release` will say so.
    using Step = std::function<bool()>;

    /// Runs `step` now, or after the steps of this lane that came before. `lane` is a caller's
    /// handle; 0 is no lane: the step runs at once.
    void run(net::Handle lane, Step step);
    /// Whether a step would have to wait.
    [[nodiscard]] bool busy(net::Handle lane) const {
        return !lanes_.empty() && lanes_.contains(lane);
    }
    /// The step that returned false is over: the next ones run.
    void release(net::Handle lane);

  private:
    struct Lane {
        std::deque<Step> steps; // behind the one that waits
        bool running = false;   // a step is being called …
        bool released = false;  // … and was released in the call
    };
    void go_on(net::Handle lane, Step step);

    boost::unordered_flat_map<net::Handle, Lane> lanes_;
};

} // namespace fanfare::room
