// How a service behaves beside judging requests: its speed, and its standing faults. Each worker
// has a copy of its own; the control API replaces them all.
#pragma once

#include "clock.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace sim {

/// How long an answer takes: `5ms` or `fixed:5ms`, `uniform:10-50ms`, `exponential:20ms` (its
/// mean).
struct Latency {
    enum class Shape : std::uint8_t { none, fixed, uniform, exponential };
    Shape shape = Shape::none;
    double from_ms = 0; // fixed: the value; exponential: the mean
    double to_ms = 0;

    /// Throws std::invalid_argument that repeats the text.
    [[nodiscard]] static Latency parse(std::string_view text);
    [[nodiscard]] Duration draw(Dice& dice) const;
};

/// What a newcomer meets.
enum class Handshake : std::uint8_t {
    normal,
    hang,       // accepted, then silence
    no_alpn,    // TLS without a protocol chosen
    expired,    // a certificate that ended yesterday
    wrong_name, // a certificate for another host
};

/// Where the TCP connection is dropped.
enum class DropAt : std::uint8_t {
    never,
    accept,   // at once
    settings, // after the TLS handshake, before our SETTINGS
    headers,  // with the request's header, before its body
    body,     // with the whole request, before the answer
};

/// Which HTTP versions ALPN may choose.
enum class Versions : std::uint8_t { both, http1, http2 };

struct Settings {
    std::uint32_t streams_max = 100;
    bool ramp = false; // one stream until a request was accepted (APNs with tokens)
    bool dip = false;  // one stream after an error, streams_max again after a success
    std::uint32_t window = 65'535;
    Versions versions = Versions::both;
    Latency latency;
    double error_rate = 0; // share of the good requests that are answered 500, 503 or 429
    bool ignore_ping = false;
    bool split = false;    // answers in many small frames and TCP segments, END_STREAM on its own
    unsigned reversed = 0; // answers wait for so many and go out last first; 0: in order
    Duration reversed_wait = milliseconds(50); // ... but no longer than this
    Handshake handshake = Handshake::normal;
    Duration handshake_delay{};
    DropAt drop_at = DropAt::never;
    bool blocked = false;             // connections end as they are accepted
    unsigned connects_per_second = 0; // above it a worker is blocked for a second; 0: no limit
    unsigned token_requests = 0;      // requests per token and window, above: 429; 0: no limit
    Duration token_window = milliseconds(1000);
    unsigned project_requests = 0;   // FCM: requests per minute of simulated time; 0: no limit
    unsigned bad_tokens = 100;       // APNs: BadDeviceToken answers until GOAWAY; 0: no limit
    std::string expires_in = "3600"; // OAuth: as it stands in the JSON; empty: left out
    std::int64_t ttl_max = std::numeric_limits<std::int64_t>::max(); // Web Push shortens to this
};

[[nodiscard]] Handshake parse_handshake(std::string_view text);
[[nodiscard]] DropAt parse_drop_at(std::string_view text);
[[nodiscard]] Versions parse_versions(std::string_view text);

} // namespace sim
