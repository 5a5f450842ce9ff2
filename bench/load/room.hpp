// The rooms of the run, and the newest position that anyone has heard of in each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace load {

/// Counts who has each message, to know when the last one has it.
class Arrivals {
  public:
    /// One of `receivers` got the message at `offset`. Returns whether it was the last of them.
    [[nodiscard]] bool add(std::uint64_t offset, std::size_t receivers) {
        if (counts_.empty()) first_ = std::max(first_, offset);
        if (offset < first_ || offset - first_ >= window) return false;
        if (offset - first_ >= counts_.size()) counts_.resize(offset - first_ + 1);
        if (++counts_[offset - first_] != receivers) return false;
        while (!counts_.empty() && counts_.front() >= receivers) {
            counts_.pop_front();
            ++first_;
        }
        return true;
    }

  private:
    // A message that somebody lacks stops the count here, long after it is a failure elsewhere.
    static constexpr std::uint64_t window = 65'536;
    std::deque<std::uint32_t> counts_;
    std::uint64_t first_ = 0; // offset of the first count
};

/// The epoch of rooms whose messages the publisher numbers itself.
inline constexpr std::string_view nchan_epoch = "nchan";

struct Room {
    std::string name;
    std::string epoch;
    std::uint64_t newest = 0;  // the offset that every subscriber must end at
    std::size_t receivers = 0; // live subscribers
    // Only where everybody stays, so that "the last of all" means something.
    std::optional<Arrivals> arrivals{};
    std::uint64_t epochs_seen = 0;  // more than one: the server forgot its numbering
    std::string ws_message_prefix;  // how a push of this room usually begins, up to the offset
    std::string sse_message_prefix; // the same for the data line of an event

    explicit Room(std::string room_name) : name(std::move(room_name)) {
        sse_message_prefix = "{\"room\":\"" + name + "\",\"offset\":";
        ws_message_prefix = "{\"op\":\"message\",\"room\":\"" + name + "\",\"offset\":";
    }

    /// Somebody was told that the room stands at `offset`.
    void note(std::string_view its_epoch, std::uint64_t offset) {
        if (its_epoch != epoch) {
            epoch = its_epoch;
            newest = 0;
            ++epochs_seen;
        }
        newest = std::max(newest, offset);
    }
};

using Rooms = std::vector<Room>;

} // namespace load
