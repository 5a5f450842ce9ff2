#include "options.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <sys/resource.h>

namespace load {
namespace {

const std::map<std::string, Mode> modes{{"idle", Mode::idle},       {"broadcast", Mode::broadcast},
                                        {"publish", Mode::publish}, {"resume", Mode::resume},
                                        {"slow", Mode::slow},       {"churn", Mode::churn},
                                        {"storm", Mode::storm}};

const std::map<std::string, Dialect> dialects{{"fanfare", Dialect::fanfare},
                                              {"nchan", Dialect::nchan}};

void declare(CLI::App& app, Options& o) {
    app.option_defaults()->always_capture_default();
    const auto positive = CLI::PositiveNumber;
    const auto not_negative = CLI::NonNegativeNumber;
    app.add_option("--url", o.url, "server, http://host:port");
    app.add_option("--mode", o.mode, "idle, broadcast, publish, resume, slow, churn or storm")
        ->transform(CLI::CheckedTransformer(modes, CLI::ignore_case));
    app.add_option("--dialect", o.dialect, "fanfare or nchan; nchan: --ws, one publisher")
        ->transform(CLI::CheckedTransformer(dialects, CLI::ignore_case));
    app.add_option("--ws", o.ws, "WebSocket clients");
    app.add_option("--sse", o.sse, "Server-Sent Events clients");
    app.add_option("--rooms", o.rooms, "rooms; clients and messages go round")->check(positive);
    app.add_flag("--all-rooms", o.all_rooms, "idle: every WebSocket client is in all rooms");
    app.add_option("--room-prefix", o.room_prefix, "rooms are named by prefix and index");
    app.add_option("--token", o.token, "the clients' token, sent as ?token=");
    app.add_option("--api-key", o.api_key, "the publishers' key, sent as X-API-Key");
    app.add_option("--source-addresses", o.source_addresses, "bind client sockets, in turn")
        ->delimiter(',');
    app.add_flag("--deflate", o.deflate, "offer permessage-deflate");

    app.add_option("--publishers", o.publishers, "keep-alive connections that publish")
        ->check(positive);
    app.add_option("--rate", o.rate, "messages/s in total; 0: as fast as answers come")
        ->check(not_negative);
    app.add_option("--messages", o.messages, "stop publishing after so many");
    app.add_option("--duration", o.duration_s,
                   "stop publishing after so many seconds; 5 if --messages is not given either")
        ->check(not_negative);
    app.add_option("--notify", o.notify,
                   "publish: notifications over this channel instead, to as many users as --rooms "
                   "says, in turn")
        ->check(CLI::IsMember({"realtime", "push"}));
    app.add_option("--payload", o.payload_bytes, "bytes of each message's data, as JSON")
        ->check(CLI::Range(64, 16 * 1024 * 1024));
    app.add_option("--data-file", o.data_file,
                   "one line of JSON to send in each message instead of a text of --payload bytes");
    app.add_option("--batch", o.batch,
                   "mode publish: messages per request to publish/batch; 0: each by publish");
    app.add_flag("--ndjson", o.ndjson, "a batch is lines of JSON instead of an array");
    app.add_flag("--allow-publish-failures", o.allow_publish_failures,
                 "count refused and broken publishes without failing");

    app.add_option("--connect-rate", o.connect_rate, "new clients/s; 0: unbounded")
        ->check(not_negative);
    app.add_option("--connect-timeout", o.connect_max_s, "s to connect and subscribe")
        ->check(positive);
    app.add_option("--connecting-max", o.connecting_max, "clients on their way at a time")
        ->check(positive);
    app.add_option("--settle", o.settle_s, "s between connecting and publishing")
        ->check(not_negative);
    app.add_option("--hold", o.hold_s, "idle: s to stay")->check(not_negative);
    app.add_option("--fraction", o.fraction, "resume, slow: part of the clients affected")
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--every", o.every_s, "resume: s between drops")->check(positive);
    app.add_option("--away", o.away_s,
                   "resume, churn: s until a client comes back; storm: s from the last publish to "
                   "the return")
        ->check(not_negative);
    app.add_option("--pause", o.pause_s, "slow: s without reading")->check(not_negative);
    app.add_option("--churn-rate", o.churn_rate, "churn: clients/s that leave")->check(positive);
    app.add_flag("--reconnect", o.reconnect, "resume after unexpected closes in every mode");
    app.add_flag("--allow-unrecovered", o.allow_unrecovered,
                 "a resume that is told of a loss, or a reset, is no failure");
    app.add_option("--drain", o.drain_s, "s without a delivery until messages count as missing")
        ->check(positive);

    app.add_option("--timeout", o.timeout_s, "s that bound the whole run")->check(positive);
    app.add_flag("--spin", o.spin, "poll busily instead of sleeping");
    app.add_flag("--kernel-timestamps", o.kernel_timestamps,
                 "latency ends when the kernel has the message, not when this program reads it");
    app.add_option("--samples", o.samples_file,
                   "write each latency to this file: CLOCK_MONOTONIC ns of the send, ns it took");
    app.add_flag("--quiet", o.quiet, "no progress on stderr");
    app.add_option("--pid", o.pids, "the server's process, to report its memory and CPU time")
        ->delimiter(',');
}

void check_descriptors(const Options& options) {
    constexpr std::size_t spare = 32; // epoll, standard streams, /proc files
    const std::size_t needed = options.ws + options.sse + options.publishers + spare;
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    if (needed <= limit.rlim_cur) return;
    throw std::invalid_argument("needs " + std::to_string(needed) + " descriptors, the limit is " +
                                std::to_string(limit.rlim_cur) +
                                ": use fewer clients or raise ulimit -n");
}

void check(Options& options) {
    constexpr std::string_view room_characters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-/";
    if (options.room_prefix.find_first_not_of(room_characters) != std::string::npos) {
        // Names that need no escaping in JSON keep the receivers' search simple.
        throw std::invalid_argument("--room-prefix: letters, digits and :._-/ only");
    }
    if (options.mode == Mode::publish) {
        if (options.ws + options.sse > 0) {
            throw std::invalid_argument("--mode publish has no clients: leave out --ws and --sse");
        }
    } else if (options.ws + options.sse == 0) {
        throw std::invalid_argument("no clients: give --ws or --sse");
    }
    if (options.batch > 0 && options.mode != Mode::publish) {
        throw std::invalid_argument("--batch is for --mode publish");
    }
    if (!options.notify.empty() && (options.mode != Mode::publish || options.batch > 0)) {
        throw std::invalid_argument("--notify is for --mode publish, without --batch");
    }
    if (options.ndjson && options.batch == 0) {
        throw std::invalid_argument("--ndjson needs --batch");
    }
    if (options.all_rooms && (options.mode != Mode::idle || options.sse > 0)) {
        throw std::invalid_argument("--all-rooms is for --mode idle with --ws");
    }
    if (options.dialect == Dialect::nchan &&
        (options.sse > 0 || options.publishers > 1 ||
         (options.mode != Mode::idle && options.mode != Mode::broadcast))) {
        throw std::invalid_argument(
            "--dialect nchan is for --mode idle and broadcast, with --ws and one publisher");
    }
    if (options.mode == Mode::idle) options.publishers = 0;
    if (options.publishes() && options.messages == 0 && options.duration_s <= 0) {
        options.duration_s = 5;
    }
    check_descriptors(options);
}

} // namespace

const char* to_string(Mode mode) {
    for (const auto& [name, value] : modes) {
        if (value == mode) return name.c_str();
    }
    return "";
}

Parsed parse_options(int argc, char** argv) {
    Options options;
    CLI::App app{"Load generator for Fanfare. JSON result on stdout, progress on stderr.\n"
                 "Exit status: 0 all checks hold, 1 one does not, 2 usage.",
                 "fanfare-load"};
    declare(app, options);
    try {
        app.parse(argc, argv);
        check(options);
    } catch (const CLI::ParseError& error) {
        return {.options = std::nullopt, .exit_status = app.exit(error) == 0 ? 0 : 2};
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "fanfare-load: %s\n", error.what());
        return {.options = std::nullopt, .exit_status = 2};
    }
    return {.options = options, .exit_status = 0};
}

} // namespace load
