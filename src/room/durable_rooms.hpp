#pragma once
// The durable rooms of a home reactor: what the store must be asked for, and what waits for it.
//
// A durable room is first read from the store; until then its commands wait. A publish is handed to
// the store and goes on when it was kept: numbered, remembered, answered and delivered, in the
// store's order. Questions that go behind the window in memory are the store's to answer.
// Design: docs/decisions/0012-durable-store.md.

#include "room.hpp"

#include <fanfare/room/durable_log.hpp>
#include <fanfare/room/rooms.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace fanfare::room {

class HomeRooms;

class DurableRooms {
  public:
    DurableRooms(HomeRooms& rooms, DurableLog& log) : rooms_(rooms), log_(log) {}

    /// A room that was just made: it is read from the store.
    void open(Room& room);
    /// A room in memory whose rule became durable, or is no longer. False: not now, something of
    /// it is under way.
    [[nodiscard]] bool convert(Room& room, bool durable);
    /// It is wanted as it is: by commands that wait, or messages under way.
    [[nodiscard]] bool busy(const Room& room) const;
    /// It leaves memory. Not while it is busy.
    void forget(const Room& room) { places_.erase(&room); }

    /// Runs `then` when the room is there: now, or after it was read. `refused` null, or why it
    /// could not be read; then the room is about to be forgotten.
    using Then = std::function<void(const char* refused)>;
    void when_open(Room& room, Then then);

    void commit(Room& room, DraftRef message, const PublishReply& reply);
    /// What a join is told may depend on the store. `room.join` was called.
    void complete_join(Room& room, const JoinWish& wish, JoinResult result,
                       std::function<void(JoinResult)> done);
    void replay(Room& room, const Position& after, std::size_t bytes_max,
                std::function<void(ReplayBatch)> done);
    void history(Room& room, const HistoryQuery& query, std::function<void(HistoryResult)> done);

  private:
    struct Place {
        LoggedRoomRef logged;        // null: being read
        std::vector<Then> waiting;   // until it was read
        std::uint32_t under_way = 0; // appends and questions that the store has not answered
        std::uint64_t trimmed = 0;   // the store was told to drop what is below
    };

    void opened(Room& room, OpenedRoom opened);
    void appended(Room& room, const DraftRef& message, const PublishReply& reply,
                  const Appended& result);
    void trim(Room& room, Place& place);
    /// `done` is called with the room still there.
    void read(Room& room, const LogRange& range, std::function<void(LoggedMessages)> done);
    [[nodiscard]] WallMillis not_before(const Room& room) const;

    HomeRooms& rooms_;
    DurableLog& log_;
    boost::unordered_flat_map<const Room*, std::unique_ptr<Place>> places_;
};

} // namespace fanfare::room
