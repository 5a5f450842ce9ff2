#include "histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace load {

void Histogram::record(Duration value) {
    const auto ns =
        std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(value.count(), 0)), value_max);
    // Up to 127 the bucket is the value itself; above, its seven leading bits are kept.
    const auto width = static_cast<unsigned>(std::bit_width(ns));
    const unsigned shift = width > part_bits + 1 ? width - part_bits - 1 : 0;
    ++counts_[(std::size_t{shift} << part_bits) + (ns >> shift)];
    ++count_;
    sum_ += ns;
    max_ = std::max(max_, ns);
}

Duration Histogram::quantile(double q) const {
    const auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
        seen += counts_[bucket];
        if (seen < rank || counts_[bucket] == 0) continue;
        const std::size_t shift = bucket < 128 ? 0 : (bucket >> part_bits) - 1;
        const std::uint64_t leading = bucket - (shift << part_bits);
        const std::uint64_t upper = ((leading + 1) << shift) - 1;
        return Duration{static_cast<std::int64_t>(std::min(upper, max_))};
    }
    return Duration{0};
}

Duration Histogram::mean() const {
    return Duration{count_ == 0 ? 0 : static_cast<std::int64_t>(sum_ / count_)};
}

} // namespace load
