#include "history.hpp"

#include <memory>
#include <new>
#include <utility>

namespace fanfare::room {
namespace {
// With its header it is a block of 48 bytes.
constexpr std::uint32_t first_capacity = 4;
} // namespace

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
        move_to_ring(first_capacity);
    } else if (ring_->count == ring_->capacity) {
        move_to_ring(2 * ring_->capacity);
    }
    ring_->at(ring_->count++) = std::move(message);
}

void History::move_to_ring(std::uint32_t capacity) {
    RingRef larger = Ring::make(capacity);
    larger->count = static_cast<std::uint32_t>(size());
    for (std::uint32_t i = 0; i < larger->count; ++i)
        larger->at(i) = std::move(ring_ ? ring_->at(i) : only_);
    ring_ = std::move(larger);
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
    ring_->begin = static_cast<std::uint32_t>((ring_->begin + 1) & (ring_->capacity - 1));
    // An empty history owns no ring: most rooms of a large gateway are quiet.
    if (--ring_->count == 0) ring_.reset();
}

History::RingRef History::Ring::make(std::uint32_t capacity) {
    static_assert(sizeof(Ring) % alignof(MessageRef) == 0);
    void* const at = ::operator new(sizeof(Ring) + capacity * sizeof(MessageRef));
    Ring* const ring = ::new (at) Ring{capacity};
    std::uninitialized_value_construct_n(ring->slots(), capacity);
    return RingRef{ring};
}

void History::DestroyRing::operator()(Ring* ring) const noexcept {
    std::destroy_n(ring->slots(), ring->capacity);
    ring->~Ring();
    ::operator delete(ring);
}

} // namespace fanfare::room
