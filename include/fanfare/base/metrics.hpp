#pragma once
// Counters, gauges and histograms, counted where the thing happens and summed when scraped.
//
// Each reactor asks for its own cell of a series (`Metrics::counter` returns a new cell every
// time), writes it without a lock prefix, and the scrape adds the cells of equal name and labels.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace fanfare {

/// Counts up. One writing thread per cell; any thread may read.
class Counter {
  public:
    void add(std::uint64_t n = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t value() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

  private:
    std::atomic<std::uint64_t> value_{0};
};

/// Goes up and down. One writing thread per cell; the series shows the sum of its cells.
class Gauge {
  public:
    void add(std::int64_t n) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void set(std::int64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
    [[nodiscard]] std::int64_t value() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

  private:
    std::atomic<std::int64_t> value_{0};
};

/// Fixed buckets. One writing thread per cell.
class Histogram {
  public:
    using Bounds = std::array<double, 16>;
    /// Durations in seconds, 50 µs to 10 s.
    static constexpr Bounds seconds{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                    0.025,   0.05,   0.1,     0.25,   0.5,   1.0,    2.5,   10.0};
    /// Counts of things that come in batches.
    static constexpr Bounds entries{1,   2,   4,     8,     16,    32,    64,     128,
                                    256, 512, 1'024, 2'048, 4'096, 8'192, 16'384, 32'768};

    explicit Histogram(const Bounds& bounds = seconds) noexcept : bounds_(&bounds) {}
    /// `n` observations of the same value.
    void observe(double value, std::uint64_t n = 1) noexcept;
    [[nodiscard]] const Bounds& bounds() const noexcept { return *bounds_; }
    [[nodiscard]] std::uint64_t count(std::size_t bucket) const noexcept {
        return counts_[bucket].load(std::memory_order_relaxed);
    }
    [[nodiscard]] double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

  private:
    const Bounds* bounds_;
    std::array<std::atomic<std::uint64_t>, std::tuple_size_v<Bounds> + 1> counts_{};
    std::atomic<double> sum_{0};
};

using Labels = std::vector<std::pair<std::string, std::string>>;

/// The process's series. Registration takes a mutex (start-up and first use only); counting does
/// not.
class Metrics {
  public:
    Metrics();
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    /// `name` without the prefix `fanfare_`; `help` one sentence. References live as long as this.
    [[nodiscard]] Counter& counter(std::string_view name, std::string_view help,
                                   Labels labels = {});
    [[nodiscard]] Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
    /// Of several cells the largest counts, not the sum.
    [[nodiscard]] Gauge& gauge_max(std::string_view name, std::string_view help,
                                   Labels labels = {});
    /// A name that ends in `_seconds` has bounds in seconds, one in `_entries` counts.
    [[nodiscard]] Histogram& histogram(std::string_view name, std::string_view help,
                                       Labels labels = {});
    /// A gauge whose value is asked for at scrape; `read` must be callable from any thread.
    void gauge_from(std::string_view name, std::string_view help, std::function<double()> read,
                    Labels labels = {});
    /// The same for a value that only rises.
    void counter_from(std::string_view name, std::string_view help, std::function<double()> read,
                      Labels labels = {});

    /// Prometheus text exposition format 0.0.4 of all series, sorted by name.
    [[nodiscard]] std::string text() const;
    /// Sum of a series' cells over all labels; 0 if unknown. For tests and `/ready`.
    [[nodiscard]] double sum(std::string_view name) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// One reactor's counters of a family by the value of one label, each made when it is first needed.
/// For outcomes that are rare or many; the names and values are our own words.
class CounterFamily {
  public:
    /// `label`: the one whose values differ; `others`: labels that all have.
    CounterFamily(Metrics& metrics, std::string_view name, std::string_view help,
                  std::string_view label, Labels others = {});
    /// The counter of that value. `value` is kept by copy.
    [[nodiscard]] Counter& operator[](std::string_view value);

  private:
    Metrics& metrics_;
    std::string name_;
    std::string help_;
    std::string label_;
    Labels others_;
    std::vector<std::pair<std::string, Counter*>> cells_; // a handful: searched in order
};

} // namespace fanfare
