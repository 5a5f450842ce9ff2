#include "history.hpp"

namespace fanfare::room {

void History::add(MessageRef message, std::size_t size_max) {
    if (size_max == 0) {
        trim(0);
        return;
    }
    trim(size_max - 1);
    if (count_ == ring_.size()) grow();
    ring_[(begin_ + count_) & (ring_.size() - 1)] = std::move(message);
    ++count_;
}

void History::expire(MonoMillis now, std::chrono::milliseconds ttl) {
    while (count_ != 0 && oldest()->born() + ttl.count() <= now) pop_oldest();
}

void History::trim(std::size_t size_max) {
    while (count_ > size_max) pop_oldest();
}

void History::pop_oldest() {
    ring_[begin_].reset();
    begin_ = static_cast<std::uint32_t>((begin_ + 1) & (ring_.size() - 1));
    // An empty history owns no ring: most rooms of a large gateway are quiet.
    if (--count_ == 0) {
        std::vector<MessageRef>{}.swap(ring_);
        begin_ = 0;
    }
}

void History::grow() {
    std::vector<MessageRef> larger(ring_.empty() ? 1 : ring_.size() * 2);
    for (std::uint32_t i = 0; i < count_; ++i)
        larger[i] = std::move(ring_[(begin_ + i) & (ring_.size() - 1)]);
    ring_ = std::move(larger);
    begin_ = 0;
}

} // namespace fanfare::room
