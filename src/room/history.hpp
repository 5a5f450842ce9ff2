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
#include <vector>

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
    struct Ring {
        std::vector<MessageRef> slots; // a power of two long
        std::uint32_t begin = 0;
        std::uint32_t count = 0; // never 0
        [[nodiscard]] MessageRef& at(std::size_t i) noexcept {
            return slots[(begin + i) & (slots.size() - 1)];
        }
        void grow();
    };
    void pop_oldest();

    MessageRef only_; // while one message is kept and there is no ring
    std::unique_ptr<Ring> ring_;
};

} // namespace fanfare::room
