#pragma once
// The newest messages of a room, bounded by count and age; answers "since".
//
// Offsets have no holes, so a ring and the newest offset say everything: the oldest kept is
// `newest - count + 1`. Time comes from outside; expiry is the caller's call.

#include <fanfare/base/clock.hpp>
#include <fanfare/room/message.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
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

    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    /// The i-th oldest.
    [[nodiscard]] const MessageRef& operator[](std::size_t i) const noexcept {
        return ring_[(begin_ + i) & (ring_.size() - 1)];
    }
    [[nodiscard]] const MessageRef& oldest() const noexcept { return (*this)[0]; }
    /// Offset of the oldest kept message; `newest + 1` if none is kept.
    [[nodiscard]] std::uint64_t oldest_offset(std::uint64_t newest) const noexcept {
        return newest - count_ + 1;
    }
    /// Everything after `offset` is still kept.
    [[nodiscard]] bool covers(std::uint64_t offset, std::uint64_t newest) const noexcept {
        return offset <= newest && offset + 1 >= oldest_offset(newest);
    }

  private:
    void pop_oldest();
    void grow();
    std::vector<MessageRef> ring_; // a power of two long, or empty
    std::uint32_t begin_ = 0;
    std::uint32_t count_ = 0;
};

} // namespace fanfare::room
