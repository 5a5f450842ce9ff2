#include "top_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace fanfare::app {
namespace {

constexpr std::string_view prefix = "fanfare_";

/// "{…}" of a series, empty if it has none.
std::string_view labels_of(std::string_view series) {
    const std::size_t brace = series.find('{');
    return brace == std::string_view::npos ? std::string_view{} : series.substr(brace);
}

/// The value of a label in "{a=\"1\",b=\"2\"}". The gateway's own values hold no escapes.
std::string_view label_of(std::string_view labels, std::string_view name) {
    const std::string key = std::string{name} + "=\"";
    std::size_t at = labels.find(key);
    while (at != std::string_view::npos && at != 0 && labels[at - 1] != '{' &&
           labels[at - 1] != ',')
        at = labels.find(key, at + 1);
    if (at == std::string_view::npos) return {};
    labels.remove_prefix(at + key.size());
    return labels.substr(0, labels.find('"'));
}

std::string count_text(double value) {
    static constexpr std::array<const char*, 5> units{"", " k", " M", " G", " T"};
    std::size_t unit = 0;
    while (std::abs(value) >= 9'999.5 && unit + 1 < units.size()) {
        value /= 1'000;
        ++unit;
    }
    const int digits = unit == 0 || std::abs(value) >= 99.95 ? 0 : 1;
    return fmt::format("{:.{}f}{}", value, digits, units[unit]);
}

std::string bytes_text(double value) {
    static constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (std::abs(value) >= 1'023.5 && unit + 1 < units.size()) {
        value /= 1'024;
        ++unit;
    }
    return fmt::format("{:.{}f} {}", value, unit == 0 || value >= 99.95 ? 0 : 1, units[unit]);
}

std::string time_text(std::optional<double> seconds) {
    if (!seconds) return "–";
    if (*seconds < 0.001) return fmt::format("{:.0f} µs", *seconds * 1e6);
    if (*seconds < 1) return fmt::format("{:.{}f} ms", *seconds * 1e3, *seconds < 0.01 ? 1 : 0);
    return fmt::format("{:.1f} s", *seconds);
}

std::string age_text(double seconds) {
    const auto total = static_cast<long long>(std::max(seconds, 0.0));
    const long long days = total / 86'400;
    const long long hours = total / 3'600 % 24;
    const long long minutes = total / 60 % 60;
    if (days > 0) return fmt::format("{}d {}h", days, hours);
    if (hours > 0) return fmt::format("{}h {}m", hours, minutes);
    return fmt::format("{}m {}s", minutes, total % 60);
}

/// The width on a screen: characters, not bytes.
std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (c & '\xc0') != '\x80'; }));
}

std::string left(std::string text, std::size_t width) {
    const std::size_t has = columns(text);
    if (has < width) text.append(width - has, ' ');
    return text;
}

std::string right(const std::string& text, std::size_t width) {
    const std::size_t has = columns(text);
    return has < width ? std::string(width - has, ' ') + text : text;
}

/// The first `width` characters.
std::string cut(std::string_view text, std::size_t width) {
    std::size_t seen = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
        if ((text[i] & '\xc0') != '\x80' && seen++ == width) return std::string{text.substr(0, i)};
    return std::string{text};
}

/// Builds the lines; knows both scrapes.
class Screen {
  public:
    Screen(const Sample* before, const Sample& now, const View& view)
        : before_(before), now_(now), view_(view),
          seconds_(before != nullptr ? now.at() - before->at() : 0) {}

    std::vector<std::string> draw() {
        head();
        trouble(); // above what a small window cuts off
        clients();
        flow();
        latency();
        queues();
        routes();
        if (lines_.size() > view_.height) lines_.resize(view_.height);
        return std::move(lines_);
    }

  private:
    [[nodiscard]] std::optional<double> rate(std::string_view name,
                                             std::string_view label = {}) const {
        if (before_ == nullptr || seconds_ <= 0) return std::nullopt;
        const double now = now_.sum(name, label);
        const double was = before_->sum(name, label);
        // Lower than before: another process. It has counted this much since it started.
        return (now < was ? now : now - was) / seconds_;
    }
    [[nodiscard]] std::string rate_text(std::string_view name, std::string_view label = {}) const {
        const auto value = rate(name, label);
        if (!value) return "–";
        return *value != 0 && *value < 10 ? fmt::format("{:.1f}", *value) : count_text(*value);
    }
    [[nodiscard]] std::string byte_rate(std::string_view name) const {
        const auto value = rate(name);
        return value ? bytes_text(*value) + "/s" : "–";
    }

    void add(std::string_view line) { lines_.push_back(cut(line, view_.width)); }
    void title(std::string_view text) {
        const std::string line = cut(text, view_.width);
        lines_.push_back(view_.colours ? "\x1b[1m" + line + "\x1b[0m" : line);
    }
    void warn(std::string_view text) {
        const std::string line = cut(text, view_.width);
        lines_.push_back(view_.colours ? "\x1b[1;31m" + line + "\x1b[0m" : line);
    }

    void head() {
        title(fmt::format("Fanfare {}  {}  up {}", now_.label("build_info", "version"), view_.url,
                          age_text(now_.sum("process_uptime_seconds"))));
        if (!view_.fault.empty()) warn("no answer: " + view_.fault);
        const auto cpu = rate("process_cpu_seconds_total");
        add(fmt::format("cpu {}   memory {}   descriptors {} / {}   reactors {}, busy {}",
                        cpu ? fmt::format("{:.0f} %", *cpu * 100) : "–",
                        bytes_text(now_.sum("process_resident_memory_bytes")),
                        count_text(now_.sum("process_open_fds")),
                        count_text(now_.sum("process_max_fds")), now_.sum("reactors"), busy()));
    }
    /// Share of their time that the event loops were not asleep.
    [[nodiscard]] std::string busy() const {
        const auto turns = rate("reactor_turn_seconds_sum");
        const double reactors = now_.sum("reactors");
        if (!turns || reactors == 0) return "–";
        return fmt::format("{:.0f} %", *turns / reactors * 100);
    }

    void clients() {
        add("");
        title("clients");
        add(fmt::format("connections {} / {}   websocket {}   sse {}   http {}",
                        count_text(now_.sum("connections")),
                        count_text(now_.sum("connections_max")),
                        count_text(now_.sum("connections", "transport=\"websocket\"")),
                        count_text(now_.sum("connections", "transport=\"sse\"")),
                        count_text(now_.sum("connections", "transport=\"http\""))));
        add(fmt::format("rooms {}   subscriptions {}   patterns {}", count_text(now_.sum("rooms")),
                        count_text(now_.sum("subscriptions")),
                        count_text(now_.sum("pattern_subscriptions"))));
        const auto refused = [&](std::string_view name, std::string_view good) {
            const auto all = rate(name);
            const auto fine = rate(name, good);
            return all && fine ? fmt::format("{:.1f}", *all - *fine) : std::string{"–"};
        };
        add(fmt::format("opened/s: websocket {} (refused {})   sse {} (refused {})",
                        rate_text("websocket_handshakes_total", "outcome=\"accepted\""),
                        refused("websocket_handshakes_total", "outcome=\"accepted\""),
                        rate_text("sse_streams_total", "outcome=\"opened\""),
                        refused("sse_streams_total", "outcome=\"opened\"")));
    }

    void row(std::string_view what, std::string_view name, std::string_view bytes = {}) {
        add(left(std::string{what}, 22) + right(rate_text(name), 12) +
            right(count_text(now_.sum(name)), 12) +
            (bytes.empty() ? std::string{} : right(byte_rate(bytes), 16)));
    }
    void flow() {
        add("");
        title(left("messages", 22) + right("per second", 12) + right("total", 12));
        row("published", "messages_published_total", "published_bytes_total");
        row("delivered", "messages_out_total", "message_bytes_out_total");
        row("of these replayed", "replayed_messages_total");
        row("client requests", "client_messages_total");
        row("HTTP answers", "http_requests_total");
        add(fmt::format("network in {}   out {}", byte_rate("network_bytes_in_total"),
                        byte_rate("network_bytes_out_total")));
    }

    void latency() {
        add("");
        title(left("latency", 22) + right("p50", 12) + right("p99", 12));
        const auto line = [&](std::string_view what, std::string_view histogram) {
            const auto at = [&](double q) {
                return before_ != nullptr ? quantile(*before_, now_, histogram, q) : std::nullopt;
            };
            add(left(std::string{what}, 22) + right(time_text(at(0.5)), 12) +
                right(time_text(at(0.99)), 12));
        };
        line("publish to write", "publish_to_write_seconds");
        line("HTTP answer", "http_request_seconds");
        line("loop lag", "reactor_lag_seconds");
    }

    void queues() {
        const auto batches = rate("mailbox_batch_entries_count");
        const auto entries = rate("mailbox_batch_entries_sum");
        add(fmt::format("queues: slow clients {}, one at most {}   mailboxes {}, {} a batch",
                        bytes_text(now_.sum("send_queue_bytes")),
                        bytes_text(now_.sum("send_queue_high_water_bytes")),
                        count_text(now_.sum("mailbox_backlog")),
                        batches && entries && *batches > 0
                            ? fmt::format("{:.1f}", *entries / *batches)
                            : std::string{"–"}));
    }

    void trouble() {
        struct Item {
            const char* words;
            const char* name;
            const char* label;
        };
        static constexpr std::array<Item, 8> items{{
            {"slow clients cut off", "slow_consumers_total", ""},
            {"silent clients closed", "idle_closed_total", ""},
            {"requests over the rate", "client_rate_limited_total", ""},
            {"ephemeral dropped", "ephemeral_dropped_total", ""},
            {"resumes lost", "resumes_total", "outcome=\"lost\""},
            {"rooms pushed out", "rooms_evicted_total", ""},
            {"malformed HTTP", "http_faults_total", ""},
            {"log lines lost", "log_lines_dropped_total", ""},
        }};
        std::string now;
        std::string past;
        for (const Item& item : items) {
            const double total = now_.sum(item.name, item.label);
            if (total == 0) continue;
            const auto per_second = rate(item.name, item.label);
            if (per_second && *per_second > 0)
                now +=
                    fmt::format("{}{} {:.1f}/s", now.empty() ? "" : ", ", item.words, *per_second);
            else
                past +=
                    fmt::format("{}{} {}", past.empty() ? "" : ", ", item.words, count_text(total));
        }
        if (!now.empty()) warn("trouble now: " + now);
        if (!past.empty()) add("trouble earlier: " + past);
        if (now.empty() && past.empty()) add("no trouble since the start");
    }

    void routes() {
        struct Route {
            std::string text;
            double total;
            double rate;
        };
        std::vector<Route> routes;
        std::map<std::string, double> was;
        if (before_ != nullptr)
            for (const auto& [series, value] : before_->series("http_requests_total"))
                was[series] = value;
        for (const auto& [series, value] : now_.series("http_requests_total")) {
            const std::string_view labels = labels_of(series);
            const std::string_view route = label_of(labels, "route");
            const double delta = value < was[series] ? value : value - was[series];
            routes.push_back(
                {fmt::format("{} {} {}", label_of(labels, "status"), label_of(labels, "method"),
                             route.empty() ? std::string_view{"(no route)"} : route),
                 value, seconds_ > 0 ? delta / seconds_ : 0});
        }
        std::ranges::sort(routes, [](const Route& a, const Route& b) {
            return a.rate != b.rate ? a.rate > b.rate : a.total > b.total;
        });
        if (routes.empty()) return;
        add("");
        title(left("HTTP", 48) + right("per second", 12) + right("total", 12));
        for (const Route& route : routes)
            add(left(cut(route.text, 47), 48) +
                right(before_ != nullptr ? fmt::format("{:.1f}", route.rate) : "–", 12) +
                right(count_text(route.total), 12));
    }

    const Sample* before_;
    const Sample& now_;
    const View& view_;
    double seconds_;
    std::vector<std::string> lines_;
};

} // namespace

std::optional<Sample> Sample::parse(std::string_view exposition, double at) {
    Sample sample;
    sample.at_ = at;
    while (!exposition.empty()) {
        const std::size_t end = std::min(exposition.find('\n'), exposition.size());
        std::string_view line = exposition.substr(0, end);
        exposition.remove_prefix(std::min(end + 1, exposition.size()));
        const std::size_t space = line.rfind(' ');
        if (!line.starts_with(prefix) || space == std::string_view::npos) continue;
        const std::string_view number = line.substr(space + 1);
        double value = 0;
        const auto [rest, fault] =
            std::from_chars(number.data(), number.data() + number.size(), value);
        if (fault != std::errc{} || rest != number.data() + number.size()) continue;
        sample.series_.emplace(line.substr(prefix.size(), space - prefix.size()), value);
    }
    if (sample.series_.empty()) return std::nullopt;
    return sample;
}

std::vector<std::pair<std::string, double>> Sample::series(std::string_view name) const {
    std::vector<std::pair<std::string, double>> found;
    for (auto at = series_.lower_bound(name); at != series_.end(); ++at) {
        if (!at->first.starts_with(name)) break;
        const std::string_view rest = std::string_view{at->first}.substr(name.size());
        if (rest.empty() || rest.front() == '{') found.emplace_back(at->first, at->second);
    }
    return found;
}

double Sample::sum(std::string_view name, std::string_view label) const {
    double total = 0;
    for (const auto& [series, value] : series(name))
        if (label.empty() || labels_of(series).find(label) != std::string_view::npos)
            total += value;
    return total;
}

std::string Sample::label(std::string_view name, std::string_view label) const {
    const auto found = series(name);
    return found.empty() ? std::string{}
                         : std::string{label_of(labels_of(found.front().first), label)};
}

std::map<double, double> Sample::buckets(std::string_view name) const {
    std::map<double, double> buckets;
    for (const auto& [series, value] : series(std::string{name} + "_bucket")) {
        const std::string_view bound = label_of(labels_of(series), "le");
        double upper = std::numeric_limits<double>::infinity();
        if (bound != "+Inf") std::from_chars(bound.data(), bound.data() + bound.size(), upper);
        buckets[upper] += value;
    }
    return buckets;
}

std::optional<double> quantile(const Sample& before, const Sample& now, std::string_view histogram,
                               double q) {
    const std::map<double, double> ends = now.buckets(histogram);
    std::map<double, double> starts = before.buckets(histogram);
    if (ends.empty()) return std::nullopt;
    // A count that fell is another process's: what it has counted is new.
    const double total_now = ends.rbegin()->second;
    if (!starts.empty() && starts.rbegin()->second > total_now) starts.clear();
    const auto count = [&](double bound) { return ends.at(bound) - starts[bound]; };
    const double total = count(ends.rbegin()->first);
    if (total <= 0) return std::nullopt;
    const double wanted = q * total;
    double lower_bound = 0;
    double lower_count = 0;
    for (const auto& [upper, unused] : ends) {
        const double reached = count(upper);
        if (reached >= wanted) {
            // Above the last bound nothing is known but that bound.
            if (std::isinf(upper)) return lower_bound;
            const double inside = reached - lower_count;
            const double share = inside > 0 ? (wanted - lower_count) / inside : 1;
            return lower_bound + (upper - lower_bound) * share;
        }
        lower_bound = upper;
        lower_count = reached;
    }
    return lower_bound;
}

std::vector<std::string> render(const Sample* before, const Sample& now, const View& view) {
    return Screen{before, now, view}.draw();
}

} // namespace fanfare::app
