#pragma once
// Bounds and habits of client sessions; app/config fills them.

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace fanfare::session {

struct Options {
    std::string node;                         // this process's name
    bool anonymous = false;                   // sessions without a token may act
    std::vector<std::string> allowed_origins; // "*": any; empty: the request's own host
    std::chrono::milliseconds heartbeat{30'000};
    std::size_t message_bytes_max = std::size_t{64} * 1024; // of a client's message
    std::size_t send_queue_max =
        std::size_t{1024} * 1024; // bytes waiting for one client; above: 4408
    std::size_t rooms_max = 128;  // subscriptions of one session
    std::size_t patterns_max = 8;
    std::size_t rate_messages = 100; // client messages per window; above: rate_limited
    std::chrono::milliseconds rate_window{1'000};
    std::size_t rate_strikes_max = 10;              // windows in a row above the limit; then 4429
    std::size_t deflate_min = 256;                  // shorter messages are not compressed
    std::chrono::milliseconds auth_timeout{10'000}; // to send a token where one is needed
    std::chrono::milliseconds close_timeout{5'000}; // for the peer to answer a close
    std::size_t sse_rooms_max = 32;
    std::size_t history_limit_default = 100;
    std::size_t history_limit_max = 1'000;
    std::size_t history_bytes_max = std::size_t{512} * 1024; // of one reply; then "more": true
};

} // namespace fanfare::session
