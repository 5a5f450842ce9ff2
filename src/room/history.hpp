#pragma once
// The newest messages of a room, bounded by count and age; answers "since".
//
// Offsets have no holes, so a ring and the newest offset say everything: the oldest kept is
// `newest - count + 1`. Time comes from outside; expiry is the caller's call. Most rooms of a large
// gateway keep no message or one: a ring exists from the second one on.

#include <fanfare/base/clock.hpp>
#include <fanfare/room/message.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace fanfare::room {

class History {
  public:
    /// Appends the message with the next offset; drops the oldest beyond `size_max`.
    void add(MessageRef message, std::size_t size_max);
    /// Drops what is older than `ttl`.
    void expire(MonoMillis now, std::chrono::milliseconds ttl);
    /// Drops the oldest beyond `size_max`.
    void trim(std::size_t size_max);

    [[nodiscard]] std::size_t size() const noexcept {
        if (ring_) return ring_->count;
        return only_ ? 1 : 0;
    }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /// The i-th oldest.
    [[nodiscard]] const MessageRef& operator[](std::size_t i) const noexcept {
        return ring_ ? ring_->at(i) : only_;
    }
    [[nodiscard]] const MessageRef& oldest() const noexcept { return (*this)[0]; }
    /// Offset of the oldest kept message; `newest + 1` if none is kept.
    [[nodiscard]] std::uint64_t oldest_offset(std::uint64_t newest) const noexcept {
        return newest - size() + 1;
    }
    /// Everything after `offset` is still kept.
    [[nodiscard]] bool covers(std::uint64_t offset, std::uint64_t newest) const noexcept {
        return offset <= newest && offset + 1 >= oldest_offset(newest);
    }

  private:
    /// One block of memory: `capacity` slots follow the header.
    class Ring;
    struct DestroyRing {
        void operator()(Ring* ring) const noexcept;
    };
    using RingRef = std::unique_ptr<Ring, DestroyRing>;
    class alignas(MessageRef) Ring {
      public:
        /// `capacity`: a power of two.
        [[nodiscard]] static RingRef make(std::uint32_t capacity);
        [[nodiscard]] MessageRef& at(std::size_t i) noexcept {
            return slots()[(begin + i) & (capacity - 1)];
        }
        const std::uint32_t capacity;
        std::uint32_t begin = 0;
        std::uint32_t count = 0; // never 0 once it is in use

      private:
        friend struct DestroyRing;
        explicit Ring(std::uint32_t places) : capacity(places) {}
        [[nodiscard]] MessageRef* slots() noexcept {
            return reinterpret_cast<MessageRef*>(this + 1); // NOLINT: they follow the header
        }
    };
    void pop_oldest();
    void move_to_ring(std::uint32_t capacity);

    MessageRef only_; // while one message is kept and there is no ring
    RingRef ring_;
};

} // namespace fanfare::room
