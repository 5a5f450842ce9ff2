#pragma once
// GET /metrics/stream: the metrics as Server-Sent Events, for a dashboard in a browser.
//
// Every event is a whole snapshot, so nothing is queued for a reader that is slow: it misses some.
// One timer serves all streams of a reactor, and the metrics are read once for all that are due.

#include <fanfare/base/clock.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/net/timer_wheel.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare {
class Metrics;
}
namespace fanfare::http {
class Exchange;
}
namespace fanfare::net {
class Reactor;
}

namespace fanfare::api {

struct Status;

/// The exposition text as the members of one JSON object, `"name{labels}":number`, for series whose
/// name begins with `prefix`. What JSON has no number for (NaN, infinities) is null.
[[nodiscard]] std::string series_json(std::string_view exposition, std::string_view prefix);

class MetricsStreams final : net::TimerWheel::Timer {
  public:
    static constexpr std::size_t streams_max = 64; // of a reactor

    MetricsStreams(net::Reactor& reactor, const Metrics& metrics, const Status& status)
        : reactor_(reactor), metrics_(metrics), status_(status) {}

    /// Answers with a stream, or with what is wrong with the query: `interval` in seconds, 1 to 60
    /// (default 1); `prefix` of the names.
    void open(http::Exchange& exchange);

  private:
    struct Stream {
        net::Handle exchange = 0;
        std::string prefix;
        MonoMillis interval = 0;
        MonoMillis due = 0;
        MonoMillis wrote = 0; // something
    };
    void on_timer() override;
    void send(http::Exchange& exchange, Stream& stream, std::string_view exposition);

    net::Reactor& reactor_;
    const Metrics& metrics_;
    const Status& status_;
    std::vector<Stream> streams_;
};

} // namespace fanfare::api
