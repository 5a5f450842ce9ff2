// The rooms of the run, and the newest position that anyone has heard of in each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace load {

struct Room {
    std::string name;
    std::string epoch;
    std::uint64_t newest = 0;       // the offset that every subscriber must end at
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
