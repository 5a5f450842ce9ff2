// The command line.
#pragma once

#include "exchange.hpp"
#include "settings.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace sim {

struct Options {
    std::string listen = "127.0.0.1";
    std::array<int, services_count> ports{-1, -1, -1, -1, -1}; // by ServiceId; -1: not served
    bool h2c = false;                                          // no TLS anywhere
    std::string directory = "push-sim";                        // where ca.pem goes
    unsigned threads = 1;
    bool record = true;
    std::size_t record_count_max = 100'000;
    std::size_t record_bytes_max = 256 << 20;
    double clock_scale = 1;

    std::string apns_key, apns_team, apns_kid;  // PEM file; empty: signatures are not checked
    std::vector<std::string> apns_other_kids;   // known, but unrelated to the key
    std::vector<std::string> apns_foreign_kids; // of the other environment
    std::vector<std::string> apns_topics;       // bundle IDs; empty: any
    std::string apns_client_ca;
    bool apns_sandbox = false;
    double apns_upper_ids = 0.1;

    std::string fcm_project; // empty: any
    bool fcm_any_token = false;
    std::string oauth_key; // PEM file; empty: signatures are not checked
    std::string oauth_issuer;
    std::string oauth_audience; // empty: Google's, or the endpoint itself

    bool webpush_vapid = true; // demand VAPID

    std::array<Settings, services_count> settings;
};

struct Parsed {
    std::optional<Options> options;
    int exit_status = 0; // if there are none
};

[[nodiscard]] Parsed parse_options(int argc, char** argv);

} // namespace sim
