// What a worker counted of a service. One thread writes, the control API reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace sim {

enum class Count : std::uint8_t {
    connections,      // accepted
    connections_open, // now
    handshakes,       // TLS handshakes that succeeded
    handshakes_failed,
    requests,           // complete ones
    streams,            // opened, over HTTP/2
    streams_open,       // now
    streams_peak,       // most that one connection had open
    streams_refused,    // above the announced limit: reset with REFUSED_STREAM
    streams_over_limit, // ... and above the limit that the client had acknowledged: its fault
    pings,
    goaways_sent,
    resets_received,
    resets_sent,
    answers_ok,
    answers_4xx,
    answers_5xx,
    unanswered,  // reset, dropped or not processed
    blocked,     // connections that ended as they were accepted
    credentials, // distinct `authorization` values, per thread
};
inline constexpr std::size_t counts = 20;
inline constexpr std::array<std::string_view, counts> count_names{
    "connections", "connections_open", "handshakes",      "handshakes_failed", "requests",
    "streams",     "streams_open",     "streams_peak",    "streams_refused",   "streams_over_limit",
    "pings",       "goaways_sent",     "resets_received", "resets_sent",       "answers_ok",
    "answers_4xx", "answers_5xx",      "unanswered",      "blocked",           "credentials"};

class Counters {
  public:
    // A plain addition: a locked one would cost as much as a small frame.
    void add(Count what, std::int64_t n = 1) {
        auto& value = at(what);
        value.store(value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void raise(Count what, std::int64_t n) {
        if (n > get(what)) at(what).store(n, std::memory_order_relaxed);
    }
    [[nodiscard]] std::int64_t get(Count what) const {
        return values_[static_cast<std::size_t>(what)].load(std::memory_order_relaxed);
    }
    /// Own thread only. What is open stays counted.
    void clear() {
        for (std::size_t i = 0; i < counts; ++i) {
            const auto what = static_cast<Count>(i);
            if (what != Count::connections_open && what != Count::streams_open) at(what) = 0;
        }
    }

  private:
    std::atomic<std::int64_t>& at(Count what) { return values_[static_cast<std::size_t>(what)]; }
    std::array<std::atomic<std::int64_t>, counts> values_{};
};

} // namespace sim
