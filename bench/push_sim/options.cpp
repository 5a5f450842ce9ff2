#include "options.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <stdexcept>

namespace sim {
namespace {

/// What comes as `service=value`.
struct PerService {
    std::vector<std::string> latency, error_rate, streams;
};

void declare_services(CLI::App& app, Options& o) {
    const auto port = CLI::Range(0, 65'535);
    app.add_option("--apns", o.ports[0], "port that plays APNs; 0: any free one")->check(port);
    app.add_option("--fcm", o.ports[1], "port that plays FCM HTTP v1")->check(port);
    app.add_option("--webpush", o.ports[2], "port that plays a Web Push service")->check(port);
    app.add_option("--oauth", o.ports[3], "port that plays Google's token endpoint")->check(port);
    app.add_option("--control", o.ports[4], "port of the control API, on loopback, plain HTTP/1.1")
        ->check(port);
}

void declare_process(CLI::App& app, Options& o, PerService& per) {
    app.add_option("--listen", o.listen, "IPv4 address of the services")
        ->check(CLI::ValidIPV4)
        ->capture_default_str();
    app.add_flag("--h2c", o.h2c, "no TLS: HTTP/2 by prior knowledge, and HTTP/1.1");
    app.add_option("--dir", o.directory, "where ca.pem, the test authority, is written")
        ->capture_default_str();
    app.add_option("--threads", o.threads, "event loops, each with sockets of its own")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_flag("!--no-record", o.record, "do not keep requests: for throughput");
    app.add_option("--record-max", o.record_count_max, "requests kept; the oldest make room")
        ->capture_default_str();
    app.add_option("--record-bytes", o.record_bytes_max, "their memory")->capture_default_str();
    app.add_option("--clock-scale", o.clock_scale,
                   "how much faster the services' time passes: ages of tokens, the 20 minutes "
                   "between two, TTLs, quotas")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--latency", per.latency,
                   "SERVICE=5ms, SERVICE=uniform:10-50ms or SERVICE=exponential:20ms");
    app.add_option("--error-rate", per.error_rate,
                   "SERVICE=0.05: share of good requests answered 500, 503 or 429");
    app.add_option("--streams", per.streams, "SERVICE=N: SETTINGS_MAX_CONCURRENT_STREAMS");
}

void declare_credentials(CLI::App& app, Options& o) {
    app.add_option("--apns-key", o.apns_key, "PEM public key that verifies provider tokens");
    app.add_option("--team", o.apns_team, "their iss; any if not given");
    app.add_option("--kid", o.apns_kid, "their kid; any if not given");
    app.add_option("--apns-other-kid", o.apns_other_kids,
                   "a kid that is known too, but unrelated: UnrelatedKeyIdInToken behind another");
    app.add_option("--apns-foreign-kid", o.apns_foreign_kids,
                   "a kid of the other environment: BadEnvironmentKeyInToken");
    app.add_option("--apns-topic", o.apns_topics, "a bundle ID; any if not given");
    app.add_option("--apns-client-ca", o.apns_client_ca,
                   "PEM authority: APNs demands client certificates instead of tokens");
    app.add_flag("--apns-sandbox", o.apns_sandbox, "the sandbox: answers carry apns-unique-id");
    app.add_option("--apns-upper-ids", o.apns_upper_ids,
                   "share of answers that echo apns-id in upper case")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app.add_option("--fcm-project", o.fcm_project, "project id; any if not given");
    app.add_flag("--fcm-any-token", o.fcm_any_token,
                 "take any bearer token, not only those of --oauth");
    app.add_option("--oauth-key", o.oauth_key, "PEM public key that verifies assertions");
    app.add_option("--oauth-issuer", o.oauth_issuer, "their iss; any if not given");
    app.add_option("--oauth-audience", o.oauth_audience,
                   "their aud; if not given, Google's or this endpoint's own address");
    app.add_flag("!--webpush-no-vapid", o.webpush_vapid, "do not demand VAPID");
}

ServiceId service_named(std::string_view name) {
    for (std::size_t i = 0; i + 1 < services_count; ++i) {
        const auto id = static_cast<ServiceId>(i);
        if (to_string(id) == name) return id;
    }
    throw std::invalid_argument("no service \"" + std::string{name} +
                                "\": one of apns, fcm, webpush, oauth");
}

template <typename Set>
void each(const std::vector<std::string>& pairs, Options& options, const Set& set) {
    for (const std::string& pair : pairs) {
        const std::size_t equals = pair.find('=');
        if (equals == std::string::npos) {
            throw std::invalid_argument("\"" + pair + "\": write SERVICE=VALUE");
        }
        const auto id = service_named(std::string_view{pair}.substr(0, equals));
        set(options.settings[static_cast<std::size_t>(id)], pair.substr(equals + 1));
    }
}

double number(const std::string& text, double max) {
    std::size_t used = 0;
    double value = -1;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != text.size() || value < 0 || value > max) {
        throw std::invalid_argument("\"" + text + "\": not a number from 0 to " +
                                    std::to_string(static_cast<std::int64_t>(max)));
    }
    return value;
}

void finish(Options& o, const PerService& per) {
    Settings& apns = o.settings[static_cast<std::size_t>(ServiceId::apns)];
    apns.streams_max = 1000;
    apns.ramp = o.apns_client_ca.empty();
    apns.versions = Versions::http2;
    each(per.latency, o, [](Settings& s, const std::string& v) { s.latency = Latency::parse(v); });
    each(per.error_rate, o, [](Settings& s, const std::string& v) { s.error_rate = number(v, 1); });
    each(per.streams, o, [](Settings& s, const std::string& v) {
        s.streams_max = static_cast<std::uint32_t>(number(v, 2'147'483'647));
    });
    bool any = false;
    for (std::size_t i = 0; i + 1 < services_count; ++i) any = any || o.ports[i] >= 0;
    if (!any)
        throw std::invalid_argument("nothing to play: give --apns, --fcm, --webpush or --oauth");
    if (o.h2c && !o.apns_client_ca.empty()) {
        throw std::invalid_argument("--apns-client-ca needs TLS: leave out --h2c");
    }
}

} // namespace

Parsed parse_options(int argc, char** argv) {
    Options options;
    PerService per;
    CLI::App app{"Plays APNs, FCM, Web Push services and Google's token endpoint on this machine.\n"
                 "Prints one line of JSON with its ports when it is ready; SIGTERM ends it.\n"
                 "Exit status: 0 ended, 1 failed, 2 usage.",
                 "fanfare-push-sim"};
    declare_services(app, options);
    declare_process(app, options, per);
    declare_credentials(app, options);
    try {
        app.parse(argc, argv);
        finish(options, per);
    } catch (const CLI::ParseError& error) {
        return {.options = std::nullopt, .exit_status = app.exit(error) == 0 ? 0 : 2};
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "fanfare-push-sim: %s\n", error.what());
        return {.options = std::nullopt, .exit_status = 2};
    }
    return {.options = options, .exit_status = 0};
}

} // namespace sim
