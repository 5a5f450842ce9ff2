#include "history.hpp"

#include <utility>

namespace fanfare::room {

void History::add(MessageRef message, std::size_t size_max) {
    if (size_max == 0) {
        trim(0);
        return;
    }
    trim(size_max - 1);
    if (!ring_) {
        if (!only_) {
            only_ = std::move(message);
            return;
        }
        ring_ = std::make_unique<Ring>();
        ring_->slots.resize(2);
        ring_->slots[0] = std::move(only_);
        ring_->count = 1;
    } else if (ring_->count == ring_->slots.size()) {
        ring_->grow();
    }
    ring_->at(ring_->count++) = std::move(message);
}

void History::expire(MonoMillis now, std::chrono::milliseconds ttl) {
    while (!empty() && oldest()->born() + ttl.count() <= now) pop_oldest();
}

void History::trim(std::size_t size_max) {
    while (size() > size_max) pop_oldest();
}

void History::pop_oldest() {
    if (!ring_) {
        only_.reset();
        return;
    }
    ring_->at(0).reset();
    ring_->begin = static_cast<std::uint32_t>((ring_->begin + 1) & (ring_->slots.size() - 1));
    // An empty history owns no ring: most rooms of a large gateway are quiet.
    if (--ring_->count == 0) ring_.reset();
}

void History::Ring::grow() {
    std::vector<MessageRef> larger(slots.size() * 2);
    for (std::uint32_t i = 0; i < count; ++i) larger[i] = std::move(at(i));
    slots = std::move(larger);
    begin = 0;
}

} // namespace fanfare::room
