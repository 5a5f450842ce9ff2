#include <fanfare/net/instruments.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::net {

void HighWater::raise(std::size_t value) noexcept {
    now_ = value;
    gauge_.set(static_cast<std::int64_t>(std::max(now_, before_)));
}

void HighWater::tick(MonoMillis now) noexcept {
    if (now - since_ < window_ms) return;
    since_ = now;
    before_ = std::exchange(now_, 0);
    gauge_.set(static_cast<std::int64_t>(before_));
}

void PublishLatency::written(MonoMicros now) {
    for (const Noted& message : waiting_)
        histogram_.observe(static_cast<double>(std::max<MonoMicros>(now - message.received, 0)) /
                               1e6,
                           message.deliveries);
    waiting_.clear();
    if (waiting_.capacity() > 4'096) waiting_.shrink_to_fit();
}

Instruments::Instruments(Metrics& metrics)
    : bytes_in(metrics.counter("network_bytes_in_total", "Bytes read from connections.")),
      bytes_out(metrics.counter("network_bytes_out_total", "Bytes written to connections.")),
      waiting_bytes(
          metrics.gauge("send_queue_bytes", "Bytes that wait for clients which read too slowly.")),
      queue_high_water(metrics.gauge_max("send_queue_high_water_bytes",
                                         "Most bytes that waited for one client lately.")),
      publish_latency(metrics.histogram(
          "publish_to_write_seconds",
          "From reading a publish to writing it to a subscriber, for each live delivery.")),
      turn_seconds(metrics.histogram("reactor_turn_seconds", "Duration of event loop turns.")),
      lag_seconds(metrics.histogram("reactor_lag_seconds",
                                    "How late the event loops' timers ran, sampled each second.")),
      mailbox_batch_entries(metrics.histogram("mailbox_batch_entries",
                                              "Commands that a mailbox had when it was read.")) {}

} // namespace fanfare::net
