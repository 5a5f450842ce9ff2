#pragma once
// Bounds of the room layer; app/config fills them.

#include <chrono>
#include <cstddef>

namespace fanfare::room {

struct Options {
    std::chrono::milliseconds position_ttl = std::chrono::hours{24}; // after the last publish
    std::size_t rooms_max = 10'000'000; // in the process; the oldest idle room goes first
    std::chrono::milliseconds presence_linger{5'000};
    std::size_t presence_members_max = 1'000; // listed; above, join and leave are not sent
    /// Commands waiting at a reactor above which a publish to its rooms is refused (unavailable).
    std::size_t backlog_max = 100'000;
    /// Of a durable room's newest messages, what is kept in memory; older ones are read from the
    /// store.
    std::size_t window_max = 100;
    std::size_t window_bytes_max = std::size_t{256} * 1024;
};

struct IdempotencyOptions {
    std::chrono::milliseconds window = std::chrono::minutes{10};
    std::size_t keys_max = 1'000'000; // in the process; above, the oldest finished key goes
};

} // namespace fanfare::room
