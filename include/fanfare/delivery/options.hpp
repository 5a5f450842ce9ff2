#pragma once
// Bounds and habits of inboxes; app/config fills them.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace fanfare::delivery {

struct InboxOptions {
    std::chrono::milliseconds ttl{
        std::chrono::hours{24 * 7}};              // unacknowledged ones are kept so long
    std::chrono::milliseconds ack_timeout{5'000}; // between two attempts
    std::size_t attempts = 3;                     // in all, at most 100
    /// Records and timelines are kept so long after a notification's time is over.
    std::chrono::milliseconds keep{std::chrono::hours{24 * 7}};
    /// For whose devices there is a provider (delivery::Platforms). None: nothing is pushed.
    std::uint8_t pushes_to = 0;
};

} // namespace fanfare::delivery
