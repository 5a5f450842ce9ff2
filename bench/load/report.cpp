#include "report.hpp"

#include "json_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

namespace load {
namespace {

double microseconds(Duration value) {
    return static_cast<double>(value.count()) / 1000;
}

double ratio(double numerator, double denominator) {
    return denominator > 0 ? numerator / denominator : 0;
}

void write_settings(JsonWriter& json, const Options& o) {
    json.begin_object("settings");
    json.field("url", o.url);
    json.field("mode", to_string(o.mode));
    json.field("dialect", o.dialect == Dialect::nchan ? "nchan" : "fanfare");
    json.field("ws", o.ws);
    json.field("sse", o.sse);
    json.field("rooms", o.rooms);
    json.field("all_rooms", o.all_rooms);
    json.field("room_prefix", o.room_prefix);
    json.field("token", !o.token.empty());
    json.field("api_key", !o.api_key.empty());
    json.field("source_addresses", o.source_addresses.size());
    json.field("deflate", o.deflate);
    json.field("publishers", o.publishers);
    json.field("rate", o.rate);
    json.field("messages", o.messages);
    json.field("duration_s", o.duration_s);
    json.field("notify", o.notify);
    json.field("payload_bytes", o.payload_bytes);
    json.field("data_file", o.data_file);
    json.field("batch", o.batch);
    json.field("ndjson", o.ndjson);
    json.field("allow_publish_failures", o.allow_publish_failures);
    json.field("connect_rate", o.connect_rate);
    json.field("connect_timeout_s", o.connect_max_s);
    json.field("connecting_max", o.connecting_max);
    json.field("settle_s", o.settle_s);
    json.field("hold_s", o.hold_s);
    json.field("fraction", o.fraction);
    json.field("every_s", o.every_s);
    json.field("away_s", o.away_s);
    json.field("pause_s", o.pause_s);
    json.field("churn_rate", o.churn_rate);
    json.field("reconnect", o.reconnect);
    json.field("allow_unrecovered", o.allow_unrecovered);
    json.field("drain_s", o.drain_s);
    json.field("timeout_s", o.timeout_s);
    json.field("spin", o.spin);
    json.field("kernel_timestamps", o.kernel_timestamps);
    json.end_object();
}

void write_counts(JsonWriter& json, std::string_view key, const Counts& counts) {
    json.begin_object(key);
    for (const auto& [name, count] : counts) json.field(name, count);
    json.end_object();
}

void write_statuses(JsonWriter& json, std::string_view key,
                    const std::map<int, std::uint64_t>& statuses) {
    json.begin_object(key);
    for (const auto& [status, count] : statuses) json.field(std::to_string(status), count);
    json.end_object();
}

void write_histogram(JsonWriter& json, std::string_view key, const Histogram& histogram) {
    json.begin_object(key);
    json.field("count", histogram.count());
    json.field("mean", microseconds(histogram.mean()));
    json.field("p50", microseconds(histogram.quantile(0.5)));
    json.field("p90", microseconds(histogram.quantile(0.9)));
    json.field("p99", microseconds(histogram.quantile(0.99)));
    json.field("p99_9", microseconds(histogram.quantile(0.999)));
    json.field("max", microseconds(histogram.max()));
    json.end_object();
}

void write_connections(JsonWriter& json, const Tally& tally, const Outcome& outcome) {
    json.begin_object("connections");
    json.field("connected", tally.subscribed);
    json.field("live_at_end", outcome.live_at_end);
    json.field("connect_failures", Tally::sum(tally.connect_failures));
    write_counts(json, "connect_failures_by_reason", tally.connect_failures);
    json.field("reconnects", tally.reconnects);
    write_counts(json, "reconnect_failures_by_reason", tally.reconnect_failures);
    json.field("unexpected_closes", tally.unexpected_closes);
    json.field("slow_consumer_closes", tally.slow_consumer_closes);
    write_counts(json, "closes_by_code", tally.closes);
    json.field("close_timeouts", tally.close_timeouts);
    write_statuses(json, "ws_statuses", tally.ws_statuses);
    write_statuses(json, "sse_statuses", tally.sse_statuses);
    write_counts(json, "faults", tally.faults);
    write_counts(json, "others", tally.others);
    json.end_object();
}

void write_messages(JsonWriter& json, const Tally& tally, const Outcome& outcome) {
    json.begin_object("messages");
    json.field("publishes_attempted", tally.attempted);
    json.field("messages_published", tally.published);
    json.field("publish_refused", tally.publish_refused);
    json.field("publish_broken", tally.publish_broken);
    write_statuses(json, "publish_statuses", tally.publish_statuses);
    write_counts(json, "publisher_connect_failures", tally.publisher_connect_failures);
    json.field("deliveries", tally.deliveries);
    json.field("replayed", tally.replayed);
    json.field("holes", outcome.holes);
    json.field("skips", tally.skips);
    json.field("duplicates", tally.duplicates);
    json.field("disorder", tally.disorder);
    json.field("missing", outcome.missing);
    json.field("recovered", tally.recovered);
    json.field("unrecovered", tally.unrecovered);
    json.field("resets", tally.resets);
    json.field("slow_unrecovered", tally.slow_unrecovered);
    json.field("slow_resets", tally.slow_resets);
    json.field("compressed", tally.compressed);
    json.field("inflated_bytes", tally.inflated_bytes);
    json.end_object();
}

void write_rates(JsonWriter& json, const Tally& tally, const Outcome& outcome) {
    const double publishing_s = to_seconds(tally.last_answer - tally.first_publish);
    json.begin_object("rates");
    json.field("publishes_per_s", ratio(static_cast<double>(tally.published), publishing_s));
    json.field("deliveries_per_s",
               ratio(static_cast<double>(tally.deliveries), to_seconds(outcome.active)));
    json.field("connects_per_s",
               ratio(static_cast<double>(tally.subscribed), to_seconds(outcome.connecting)));
    json.end_object();
}

void write_sample(JsonWriter& json, std::string_view key, const ProcessStats& stats) {
    json.begin_object(key);
    json.field("readable", stats.readable);
    json.field("rss_bytes", stats.rss_bytes);
    json.field("rss_bytes_max", stats.rss_bytes_max);
    json.field("anonymous_bytes", stats.anonymous_bytes);
    json.field("user_s", stats.user_s);
    json.field("system_s", stats.system_s);
    json.field("run_s", stats.run_s);
    json.field("user_is_sampled", stats.user_is_sampled);
    json.end_object();
}

void write_storm(JsonWriter& json, const Tally& tally, const Outcome& outcome) {
    json.begin_object("storm");
    json.field("left_ns", tally.first_publish.time_since_epoch().count());
    json.field("begin_ns", tally.returning_since.time_since_epoch().count());
    json.field("seconds_until_live", to_seconds(outcome.back));
    json.field("seconds", to_seconds(outcome.storm));
    json.end_object();
}

void write_server(JsonWriter& json, const Tally& tally, const Outcome& outcome) {
    const ProcessStats& before = outcome.server_before;
    const ProcessStats& plateau = outcome.server_plateau;
    const ProcessStats& after = outcome.server_after;
    const double cpu_s = after.cpu_s() - plateau.cpu_s();
    const auto deliveries = static_cast<double>(tally.deliveries);
    const auto live = static_cast<double>(outcome.live_at_plateau);
    json.begin_object("server");
    write_sample(json, "before", before);
    write_sample(json, "connected", outcome.server_connected);
    write_sample(json, "plateau", plateau);
    write_sample(json, "after", after);
    json.field("user_bytes_per_connection", ratio(static_cast<double>(plateau.anonymous_bytes) -
                                                      static_cast<double>(before.anonymous_bytes),
                                                  live));
    json.field("connects_per_cpu_s",
               ratio(live, outcome.server_connected.cpu_s() - before.cpu_s()));
    json.field("cpu_s", cpu_s);
    json.field("cpu_share", ratio(cpu_s, outcome.measured_s));
    json.field("deliveries_per_cpu_s", ratio(deliveries, cpu_s));
    json.field("publishes_per_cpu_s", ratio(static_cast<double>(tally.published), cpu_s));
    json.field("user_us_per_delivery", ratio((after.user_s - plateau.user_s) * 1e6, deliveries));
    json.end_object();
}

void write_generator(JsonWriter& json, const Outcome& outcome) {
    json.begin_object("generator");
    json.field("user_s", outcome.own.user_s);
    json.field("system_s", outcome.own.system_s);
    json.field("polls", outcome.polls);
    json.field("polls_empty", outcome.polls_empty);
    json.end_object();
}

} // namespace

std::vector<Check> check(const Options& options, const Tally& tally, const Rooms& rooms,
                         const Outcome& outcome) {
    const std::size_t clients = options.ws + options.sse;
    const bool unexpected_allowed = options.reconnect;
    const bool loss_allowed = options.allow_unrecovered;
    std::vector<Check> checks{
        {"finished_in_time", !outcome.timed_out && !outcome.interrupted},
        {"all_connected", tally.subscribed == clients && tally.connect_failures.empty()},
        {"all_live_at_end", outcome.live_at_end == clients},
        {"no_unexpected_close", unexpected_allowed || tally.unexpected_closes == 0},
        {"no_reconnect_failure", unexpected_allowed || tally.reconnect_failures.empty()},
        {"no_protocol_fault", tally.faults.empty()},
        {"closes_answered", tally.close_timeouts == 0},
        {"no_hole", outcome.holes == 0},
        {"no_duplicate", tally.duplicates == 0},
        {"no_disorder", tally.disorder == 0},
        {"none_missing", outcome.missing == 0},
        {"all_recovered", loss_allowed || tally.unrecovered + tally.resets == 0},
        {"one_epoch", loss_allowed || std::all_of(rooms.begin(), rooms.end(), [](const Room& room) {
                          return room.epochs_seen <= 1;
                      })}};
    if (options.publishes()) {
        checks.push_back({"published", tally.published > 0});
        checks.push_back({"all_published",
                          options.allow_publish_failures || tally.published == tally.attempted});
    }
    return checks;
}

void write_samples(const std::string& path, const Tally& tally) {
    std::ofstream file{path};
    for (const auto& [sent_ns, latency] : tally.samples) {
        file << sent_ns << ' ' << latency.count() << '\n';
    }
    file.close();
    if (!file) throw std::system_error(errno, std::generic_category(), path);
}

std::string to_json(const Options& options, const Tally& tally, const Outcome& outcome,
                    const std::vector<Check>& checks) {
    const bool ok =
        std::all_of(checks.begin(), checks.end(), [](const Check& c) { return c.holds; });
    JsonWriter json;
    json.begin_object();
    json.field("ok", ok);
    json.begin_object("checks");
    for (const Check& condition : checks) json.field(condition.name, condition.holds);
    json.end_object();
    write_settings(json, options);
    write_connections(json, tally, outcome);
    write_messages(json, tally, outcome);
    write_rates(json, tally, outcome);
    write_histogram(json, "latency_us", tally.latency);
    write_histogram(json, "last_receive_us", tally.last_receive);
    write_histogram(json, "publish_us", tally.publish_time);
    write_histogram(json, "schedule_lag_us", tally.schedule_lag);
    write_histogram(json, "subscribe_us", tally.subscribe_time);
    json.field("seconds", to_seconds(outcome.elapsed));
    json.field("connect_seconds", to_seconds(outcome.connecting));
    json.field("active_seconds", to_seconds(outcome.active));
    json.field("measured_seconds", outcome.measured_s);
    json.field("bytes_received", outcome.bytes_received);
    if (options.mode == Mode::storm) write_storm(json, tally, outcome);
    if (!options.pids.empty()) write_server(json, tally, outcome);
    write_generator(json, outcome);
    json.end_object();
    return json.text() + "\n";
}

} // namespace load
