#pragma once
// What a reactor's loop, transports and queues measure about themselves. Written on its thread with
// plain stores, once per system call, turn or message, never per subscriber.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/metrics.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fanfare::net {

/// The largest value of the last half to whole minute, kept in a gauge that every scrape may read:
/// a maximum since the last scrape would be wrong for the second scraper.
class HighWater {
  public:
    static constexpr MonoMillis window_ms = 30'000;
    explicit HighWater(Gauge& gauge) noexcept : gauge_(gauge) {}
    void saw(std::size_t value) noexcept {
        if (value > now_) raise(value);
    }
    /// To be told the time now and then.
    void tick(MonoMillis now) noexcept;

  private:
    void raise(std::size_t value) noexcept;
    Gauge& gauge_;
    std::size_t now_ = 0;    // of this window
    std::size_t before_ = 0; // of the one before
    MonoMillis since_ = 0;
};

/// From the reactor that read a publish to the write that took it to its subscribers. A message is
/// noted when it has been handed to its queues, and observed when these have been flushed: one
/// reading of the clock per flush, one observation per message, weighted by its subscribers.
class PublishLatency {
  public:
    explicit PublishLatency(Histogram& histogram) : histogram_(histogram) {}
    void note(MonoMicros received, std::size_t deliveries) {
        if (deliveries != 0) waiting_.push_back({received, deliveries});
    }
    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
    /// The queues have been flushed: what the kernel refused of a slow client counts as written.
    void written(MonoMicros now);

  private:
    struct Noted {
        MonoMicros received;
        std::uint64_t deliveries;
    };
    Histogram& histogram_;
    std::vector<Noted> waiting_;
};

struct Instruments {
    explicit Instruments(Metrics& metrics);

    Counter& bytes_in;                // from peers
    Counter& bytes_out;               // taken by the kernel
    Gauge& waiting_bytes;             // in queues that the kernel has refused
    HighWater queue_high_water;       // of one queue, when it is about to be written
    PublishLatency publish_latency;   //
    Histogram& turn_seconds;          // from waking up to the end of the turn
    Histogram& lag_seconds;           // how late the loop's own timer was
    Histogram& mailbox_batch_entries; // commands run in one go
};

} // namespace fanfare::net
