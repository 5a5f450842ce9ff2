// The order check of one subscription: offsets rise by exactly one. What came late is told apart
// from what came twice by keeping the ranges that were skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace load {

enum class Arrival {
    expected,  // one above the last
    skipping,  // further above: those between are missing, so far
    late,      // fills a hole: the order was wrong, nothing is lost
    duplicate, // was here already
};

class Sequence {
  public:
    /// Begins behind `offset`, with nothing missing. Holes found before are kept in holes().
    void start(std::uint64_t offset) {
        abandon();
        last_ = offset;
    }

    /// Checks one message's offset.
    [[nodiscard]] Arrival accept(std::uint64_t offset) {
        if (offset == last_ + 1) {
            last_ = offset;
            return Arrival::expected;
        }
        return accept_unexpected(offset);
    }

    /// The highest offset received, or where the subscription began.
    [[nodiscard]] std::uint64_t last() const { return last_; }

    /// Offsets that were skipped and have not come since.
    [[nodiscard]] std::uint64_t holes() const;

  private:
    struct Range {
        std::uint64_t first;
        std::uint64_t last;
    };
    // A subscription with more gaps than this is broken beyond detail; its late messages count as
    // duplicates from there on.
    static constexpr std::size_t ranges_max = 256;

    Arrival accept_unexpected(std::uint64_t offset);
    void abandon();

    std::uint64_t last_ = 0;
    std::uint64_t holes_beyond_ = 0; // of earlier lives, and beyond ranges_max
    std::vector<Range> missing_;
};

} // namespace load
