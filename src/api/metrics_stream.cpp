#include "metrics_stream.hpp"

#include "context.hpp"

#include <fanfare/base/json_writer.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>

namespace fanfare::api {
namespace {

// A reader that is this far behind has snapshots enough to read.
constexpr std::size_t unread_bytes_max = std::size_t{256} * 1024;
// How soon a stream ends when the gateway drains.
constexpr MonoMillis look_ms = 500;
// Proxies cut what is silent for longer, and only a write finds out that the reader left.
constexpr MonoMillis silence_ms_max = 10'000;

http::Response stream_head() {
    http::Response head;
    head.content_type = "text/event-stream";
    head.headers = "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n";
    return head;
}

} // namespace

std::string series_json(std::string_view exposition, std::string_view prefix) {
    std::string json = "{";
    while (!exposition.empty()) {
        const std::size_t end = std::min(exposition.find('\n'), exposition.size());
        const std::string_view line = exposition.substr(0, end);
        exposition.remove_prefix(std::min(end + 1, exposition.size()));
        if (line.empty() || line.front() == '#' || !line.starts_with(prefix)) continue;
        // Label values may hold spaces, the value holds none.
        const std::size_t space = line.rfind(' ');
        if (space == std::string_view::npos) continue;
        const std::string_view value = line.substr(space + 1);
        if (json.size() > 1) json += ',';
        append_json_string(json, line.substr(0, space));
        json += ':';
        json += value.find_first_not_of("0123456789.eE+-") == std::string_view::npos &&
                        value.front() != '+'
                    ? value
                    : "null";
    }
    return json += '}';
}

void MetricsStreams::open(http::Exchange& exchange) {
    const http::RequestHead& head = exchange.head();
    const auto seconds = query_number(head.query, "interval", 1);
    if (!seconds || *seconds < 1 || *seconds > 60) {
        exchange.respond(http::problem(
            Error{Code::bad_request, "`interval` must be 1 to 60 seconds", "interval"}));
        return;
    }
    if (streams_.size() >= streams_max) {
        exchange.respond(http::problem(Code::unavailable, "too many streams of metrics are open"));
        return;
    }
    if (head.method == http::Method::head) return exchange.respond(stream_head());
    Stream stream;
    stream.exchange = exchange.handle();
    stream.prefix = http::query_value(head.query, "prefix").value_or("");
    stream.interval = static_cast<MonoMillis>(*seconds) * 1'000;
    stream.due = reactor_.now() + stream.interval;
    exchange.begin_response(stream_head());
    exchange.write_body("retry: 3000\n\n");
    send(exchange, stream, metrics_.text());
    streams_.push_back(std::move(stream));
    if (!armed()) reactor_.timers().set(*this, std::chrono::milliseconds{look_ms});
}

void MetricsStreams::send(http::Exchange& exchange, Stream& stream, std::string_view exposition) {
    stream.wrote = reactor_.now();
    if (exchange.queued_bytes() > unread_bytes_max) return;
    std::string event = "event: metrics\ndata: ";
    JsonWriter{event}
        .begin_object()
        .field("time", rfc3339(reactor_.clock().wall()))
        .key("series")
        .raw(series_json(exposition, stream.prefix))
        .end_object();
    event += "\n\n";
    exchange.write_body(event);
}

void MetricsStreams::on_timer() {
    const std::string reason = status_.not_ready();
    const bool ending = reason == "draining";
    const MonoMillis now = reactor_.now();
    std::string exposition; // read when the first stream is due
    std::erase_if(streams_, [&](Stream& stream) {
        http::Exchange* const exchange = http::find_exchange(reactor_, stream.exchange);
        if (exchange == nullptr) return true; // the client left
        if (ending) {
            exchange->write_body("event: bye\ndata: {\"code\":\"drain\","
                                 "\"message\":\"the gateway is shutting down\"}\n\n");
            exchange->end_body();
            return true;
        }
        if (now < stream.due) {
            if (now - stream.wrote < silence_ms_max) return false;
            exchange->write_body(":\n\n");
            stream.wrote = now;
            return false;
        }
        if (exposition.empty()) exposition = metrics_.text();
        send(*exchange, stream, exposition);
        stream.due = std::max(stream.due + stream.interval, now + 1);
        return false;
    });
    if (!streams_.empty()) reactor_.timers().set(*this, std::chrono::milliseconds{look_ms});
}

} // namespace fanfare::api
