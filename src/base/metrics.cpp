#include <fanfare/base/assert.hpp>
#include <fanfare/base/metrics.hpp>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>

namespace fanfare {
namespace {

enum class Kind : std::uint8_t { counter, gauge, histogram };

// A cache line per cell: the cells of a series belong to different reactors, and two of them in one
// line would make each count on one core a cache miss on the other.
template <class Instrument>
struct alignas(64) Cell {
    Cell() = default;
    explicit Cell(const Histogram::Bounds& bounds) : instrument(bounds) {}
    Instrument instrument;
};
// Deques, because references to cells live as long as the registry.
template <class Instrument>
using Cells = std::deque<Cell<Instrument>>;

/// All cells of one name and label set. Only the kind's own member is used.
struct Series {
    Cells<Counter> counters;
    Cells<Gauge> gauges;
    Cells<Gauge> maxima;
    Cells<Histogram> histograms;
    std::vector<std::function<double()>> readers;
};

struct Family {
    Kind kind = Kind::counter;
    std::string help;
    std::map<Labels, Series> series; // by label set, each sorted by label name
};

double counter_value(const Series& series) {
    // Summed as integers: cells are exact, doubles are so up to 2^53 only.
    std::uint64_t total = 0;
    for (const auto& cell : series.counters) total += cell.instrument.value();
    double value = static_cast<double>(total);
    for (const auto& read : series.readers) value += read();
    return value;
}

double gauge_value(const Series& series) {
    std::int64_t total = 0;
    for (const auto& cell : series.gauges) total += cell.instrument.value();
    double value = static_cast<double>(total);
    for (const auto& read : series.readers) value += read();
    std::int64_t largest = 0;
    for (const auto& cell : series.maxima) largest = std::max(largest, cell.instrument.value());
    return value + static_cast<double>(largest);
}

prometheus::ClientMetric::Histogram histogram_value(const Series& series) {
    prometheus::ClientMetric::Histogram out;
    // The count is the sum of the buckets read here, not a counter of its own: otherwise a scrape
    // between two stores could show a bucket above the count.
    const Histogram::Bounds& bounds = series.histograms.front().instrument.bounds();
    for (std::size_t i = 0; i <= bounds.size(); ++i) {
        for (const auto& cell : series.histograms) out.sample_count += cell.instrument.count(i);
        // The serializer writes the last bucket, +Inf, from the count.
        if (i < bounds.size()) out.bucket.push_back({out.sample_count, bounds[i]});
    }
    for (const auto& cell : series.histograms) out.sample_sum += cell.instrument.sum();
    return out;
}

/// One number for a series: what `sum` adds up.
double plain_value(Kind kind, const Series& series) {
    switch (kind) {
    case Kind::counter:
        return counter_value(series);
    case Kind::gauge:
        return gauge_value(series);
    case Kind::histogram:
        return static_cast<double>(histogram_value(series).sample_count);
    }
    return 0;
}

prometheus::ClientMetric client_metric(Kind kind, const Labels& labels, const Series& series) {
    prometheus::ClientMetric out;
    for (const auto& [name, value] : labels) out.label.push_back({name, value});
    switch (kind) {
    case Kind::counter:
        out.counter.value = counter_value(series);
        break;
    case Kind::gauge:
        out.gauge.value = gauge_value(series);
        break;
    case Kind::histogram:
        out.histogram = histogram_value(series);
        break;
    }
    return out;
}

prometheus::MetricType metric_type(Kind kind) {
    switch (kind) {
    case Kind::counter:
        return prometheus::MetricType::Counter;
    case Kind::gauge:
        return prometheus::MetricType::Gauge;
    case Kind::histogram:
        return prometheus::MetricType::Histogram;
    }
    return prometheus::MetricType::Untyped;
}

/// Names and labels are our own words, so a wrong one is our own bug.
bool is_name(std::string_view text) {
    const auto word = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    };
    return !text.empty() && !(text[0] >= '0' && text[0] <= '9') && std::ranges::all_of(text, word);
}

} // namespace

void Histogram::observe(double value, std::uint64_t n) noexcept {
    const auto bucket = std::ranges::lower_bound(*bounds_, value) - bounds_->begin();
    auto& count = counts_[static_cast<std::size_t>(bucket)];
    count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    sum_.store(sum_.load(std::memory_order_relaxed) + value * static_cast<double>(n),
               std::memory_order_relaxed);
}

struct Metrics::Impl {
    // Held to register a cell and to scrape; counting never takes it. A reader of `gauge_from` runs
    // under it and so must not come back here.
    mutable std::mutex mutex;
    std::map<std::string, Family, std::less<>> families; // by name without prefix

    /// The series, made if new. Call with the mutex held.
    Series& series(Kind kind, std::string_view name, std::string_view help, Labels labels) {
        FANFARE_ASSERT(is_name(name));
        // The conventions that dashboards and recording rules rely on.
        FANFARE_ASSERT(name.ends_with("_total") == (kind == Kind::counter));
        FANFARE_ASSERT(kind != Kind::histogram || name.ends_with("_seconds") ||
                       name.ends_with("_entries"));
        std::ranges::sort(labels);
        for (const auto& [label, value] : labels) FANFARE_ASSERT(is_name(label) && label != "le");
        auto found = families.find(name);
        if (found == families.end())
            found = families.emplace(std::string{name}, Family{kind, std::string{help}, {}}).first;
        FANFARE_ASSERT(found->second.kind == kind);
        return found->second.series[std::move(labels)];
    }
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
    const std::lock_guard lock{impl_->mutex};
    return impl_->series(Kind::counter, name, help, std::move(labels))
        .counters.emplace_back()
        .instrument;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
    const std::lock_guard lock{impl_->mutex};
    return impl_->series(Kind::gauge, name, help, std::move(labels))
        .gauges.emplace_back()
        .instrument;
}

Gauge& Metrics::gauge_max(std::string_view name, std::string_view help, Labels labels) {
    const std::lock_guard lock{impl_->mutex};
    return impl_->series(Kind::gauge, name, help, std::move(labels))
        .maxima.emplace_back()
        .instrument;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, Labels labels) {
    const std::lock_guard lock{impl_->mutex};
    return impl_->series(Kind::histogram, name, help, std::move(labels))
        .histograms
        .emplace_back(name.ends_with("_entries") ? Histogram::entries : Histogram::seconds)
        .instrument;
}

void Metrics::gauge_from(std::string_view name, std::string_view help, std::function<double()> read,
                         Labels labels) {
    FANFARE_ASSERT(read != nullptr);
    const std::lock_guard lock{impl_->mutex};
    impl_->series(Kind::gauge, name, help, std::move(labels)).readers.push_back(std::move(read));
}

void Metrics::counter_from(std::string_view name, std::string_view help,
                           std::function<double()> read, Labels labels) {
    FANFARE_ASSERT(read != nullptr);
    const std::lock_guard lock{impl_->mutex};
    impl_->series(Kind::counter, name, help, std::move(labels)).readers.push_back(std::move(read));
}

std::string Metrics::text() const {
    std::vector<prometheus::MetricFamily> families;
    {
        const std::lock_guard lock{impl_->mutex};
        families.reserve(impl_->families.size());
        for (const auto& [name, family] : impl_->families) {
            auto& out = families.emplace_back();
            out.name = "fanfare_" + name;
            out.help = family.help;
            out.type = metric_type(family.kind);
            for (const auto& [labels, series] : family.series)
                out.metric.push_back(client_metric(family.kind, labels, series));
        }
    }
    return prometheus::TextSerializer{}.Serialize(families);
}

double Metrics::sum(std::string_view name) const {
    const std::lock_guard lock{impl_->mutex};
    const auto found = impl_->families.find(name);
    if (found == impl_->families.end()) return 0;
    double total = 0;
    for (const auto& [labels, series] : found->second.series)
        total += plain_value(found->second.kind, series);
    return total;
}

CounterFamily::CounterFamily(Metrics& metrics, std::string_view name, std::string_view help,
                             std::string_view label, Labels others)
    : metrics_(metrics), name_(name), help_(help), label_(label), others_(std::move(others)) {}

Counter& CounterFamily::operator[](std::string_view value) {
    for (const auto& [known, counter] : cells_)
        if (known == value) return *counter;
    Labels labels = others_;
    labels.emplace_back(label_, value);
    Counter& fresh = metrics_.counter(name_, help_, std::move(labels));
    cells_.emplace_back(value, &fresh);
    return fresh;
}

} // namespace fanfare
