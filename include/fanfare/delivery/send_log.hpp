#pragma once
// The contract of where sends wait to be placed (inbox_log.hpp accepts and places them). Design:
// docs/decisions/0015-mass-sends.md.

#include <fanfare/base/error.hpp>
#include <fanfare/delivery/inbox_log.hpp>
#include <fanfare/delivery/send.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace fanfare::delivery {

struct SendSlice {
    Code code = Code::ok;
    const char* detail = nullptr;
    bool none = false; // no send of this priority waits
    /// To be placed (InboxLog::place): its `step` is set, and it may have no users.
    Order order;
};

class SendLog {
  public:
    /// Of a slice, and of a piece of users in the store: so many are placed in a few milliseconds.
    static constexpr std::size_t slice_max = 32;

    virtual ~SendLog() = default;
    /// Called when there may be a new send. Any thread; once, before anything else.
    virtual void on_work(std::function<void()> tell) = 0;
    /// What comes next of the first send behind `after` whose audience has not been walked to the
    /// end, of this priority; behind the last one it begins with the first. On one reactor; `done`
    /// comes later there. A failure of the disk is told in `code` and `detail`.
    virtual void next(Priority priority, std::int64_t after,
                      std::function<void(SendSlice)> done) = 0;
};

} // namespace fanfare::delivery
