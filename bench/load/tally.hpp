// Everything the run counts. One plain struct: there is one thread.
#pragma once

#include "clock.hpp"
#include "histogram.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace load {

/// Counts by name, for what is rare: close codes, refusals, faults.
using Counts = std::map<std::string, std::uint64_t, std::less<>>;

/// One message's way to one subscriber.
struct Sample {
    std::uint64_t sent_ns; // CLOCK_MONOTONIC
    Duration latency;
};

struct Tally {
    // connections
    std::uint64_t subscribed = 0; // subscribers that were live at least once
    std::uint64_t reconnects = 0;
    std::uint64_t unexpected_closes = 0;      // of clients that read as they should
    std::uint64_t slow_consumer_closes = 0;   // of clients that were made slow: allowed
    std::uint64_t close_timeouts = 0;         // the server did not finish a close handshake
    Counts connect_failures;                  // first attempts, by reason
    Counts reconnect_failures;                // later attempts, by reason; they are tried again
    Counts closes;                            // by code, of those the client did not ask for
    Counts faults;                            // breaches of protocol by the server
    Counts others;                            // frames and events that are only counted
    std::map<int, std::uint64_t> ws_statuses; // HTTP statuses of handshakes
    std::map<int, std::uint64_t> sse_statuses;
    Histogram subscribe_time;  // from connect() to the granted subscription
    Instant last_live{};       // when a subscription was last granted
    Instant returning_since{}; // mode storm: when the first client came back

    // messages
    std::uint64_t deliveries = 0;
    std::uint64_t replayed = 0; // of those, before the position that a resume was answered with
    std::uint64_t skips = 0;    // times that an offset was above the expected one
    std::uint64_t duplicates = 0;
    std::uint64_t disorder = 0;
    std::uint64_t recovered = 0;        // resumes that were granted in full
    std::uint64_t unrecovered = 0;      // resumes that were told of a loss
    std::uint64_t resets = 0;           // losses announced on a live subscription
    std::uint64_t slow_unrecovered = 0; // the same two of slow clients, to whom it may happen
    std::uint64_t slow_resets = 0;
    std::uint64_t compressed = 0;
    std::uint64_t inflated_bytes = 0;
    Instant last_delivery{};
    Histogram latency; // from the publisher's send to the subscriber's receive, live messages only
    Histogram last_receive; // the same to the last of the room's subscribers, once per message
    bool keeps_samples = false;
    std::vector<Sample> samples; // what `latency` counts, if it is to be kept

    // publishes
    std::uint64_t attempted = 0;
    std::uint64_t published = 0;       // answered with 2xx
    std::uint64_t publish_refused = 0; // answered with something else
    std::uint64_t publish_broken = 0;  // the connection broke first: outcome unknown
    std::map<int, std::uint64_t> publish_statuses;
    Counts publisher_connect_failures;
    Histogram publish_time; // round trip of a request
    Histogram schedule_lag; // how much later than due a publish was sent (with --rate)
    Instant first_publish{};
    Instant last_answer{};

    [[nodiscard]] static std::uint64_t sum(const Counts& counts) {
        std::uint64_t total = 0;
        for (const auto& [name, count] : counts) total += count;
        return total;
    }
};

} // namespace load
