#include "sequence.hpp"

namespace load {

Arrival Sequence::accept_unexpected(std::uint64_t offset) {
    if (offset > last_) {
        if (missing_.size() < ranges_max) {
            missing_.push_back({last_ + 1, offset - 1});
        } else {
            holes_beyond_ += offset - last_ - 1;
        }
        last_ = offset;
        return Arrival::skipping;
    }
    for (std::size_t i = 0; i < missing_.size(); ++i) {
        Range& range = missing_[i];
        if (offset < range.first || offset > range.last) continue;
        // Cut the range in two, of which either half may be empty.
        const Range above{offset + 1, range.last};
        range.last = offset - 1;
        if (range.first > range.last) missing_.erase(missing_.begin() + static_cast<long>(i));
        if (above.first <= above.last) missing_.push_back(above);
        return Arrival::late;
    }
    return Arrival::duplicate;
}

std::uint64_t Sequence::holes() const {
    std::uint64_t sum = holes_beyond_;
    for (const Range& range : missing_) sum += range.last - range.first + 1;
    return sum;
}

void Sequence::abandon() {
    holes_beyond_ = holes();
    missing_.clear();
}

} // namespace load
