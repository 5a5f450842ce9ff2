// A histogram with logarithmic buckets: a power of two is cut into 64 equal parts, so that every
// quantile is exact to 1.6 % from nanoseconds to minutes in 18 KiB, and recording is a shift and an
// increment. Kept samples would need gigabytes at the rates of a saturating run.
#pragma once

#include "clock.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace load {

class Histogram {
  public:
    /// Counts one duration. Negative ones count as zero, ones above 18 minutes as 18 minutes.
    void record(Duration value);

    /// Upper edge of the bucket that holds the `q` quantile, 0 < q <= 1; zero without samples.
    [[nodiscard]] Duration quantile(double q) const;

    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] Duration max() const { return Duration{static_cast<std::int64_t>(max_)}; }
    [[nodiscard]] Duration mean() const;

  private:
    static constexpr unsigned part_bits = 6;   // 64 parts per power of two
    static constexpr unsigned value_bits = 40; // 2^40 ns are 18 minutes
    static constexpr std::uint64_t value_max = (std::uint64_t{1} << value_bits) - 1;
    static constexpr std::size_t buckets = ((value_bits - part_bits - 1) << part_bits) + 128;

    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t count_ = 0;
    std::uint64_t sum_ = 0;
    std::uint64_t max_ = 0;
};

} // namespace load
