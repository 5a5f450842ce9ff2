#pragma once
// The home side of a reactor: all rooms whose name hashes to it.

#include "durable_rooms.hpp"
#include "room.hpp"
#include "room_name.hpp"

#include <fanfare/net/reactor.hpp>
#include <fanfare/room/rooms.hpp>

#include <boost/unordered/unordered_flat_set.hpp>

#include <map>
#include <memory>
#include <string>

namespace fanfare::room {

/// A join on its way to the home reactor and back.
struct JoinRequest {
    Rooms* origin = nullptr;
    RoomNameRef name;
    net::Handle local_room = 0;
    net::Handle ticket = 0; // the subscription, on the origin reactor
    JoinWish wish;
    JoinResult result;
    bool entered = false; // the home has counted it, also if it was refused afterwards
};

class HomeRooms {
  public:
    HomeRooms(Rooms& rooms, unsigned reactors);
    ~HomeRooms();

    [[nodiscard]] Rooms& rooms() noexcept { return rooms_; }
    [[nodiscard]] net::Reactor& reactor() noexcept { return rooms_.reactor(); }

    void commit(const DraftRef& message, const PublishReply& reply);
    [[nodiscard]] bool occupied(std::string_view text, std::uint64_t hash) const noexcept;
    /// From now on durable rooms are kept there. Once, before the first call.
    void use_log(DurableLog& log) { durable_ = std::make_unique<DurableRooms>(*this, log); }
    void join(std::unique_ptr<JoinRequest> request);
    void leave(const RoomName& name, unsigned reactor, Form form, std::string_view user);
    void identify(const RoomName& name, std::string_view user, std::string_view info);
    // `done` is called before the call returns, or later if the store must be asked.
    void replay(const RoomName& name, const Position& after, std::size_t bytes_max,
                std::function<void(ReplayBatch)> done);
    void history(const RoomName& name, const HistoryQuery& query,
                 std::function<void(HistoryResult)> done);
    void info(const RoomName& name, std::function<void(RoomInfo)> done);
    [[nodiscard]] PresenceResult presence(const RoomName& name);
    [[nodiscard]] std::vector<RoomInfo> list(std::string_view prefix, std::string_view after,
                                             std::size_t limit) const;

    void add_pattern(const std::string& pattern, unsigned reactor);
    void remove_pattern(const std::string& pattern, unsigned reactor);
    /// Reactors with a pattern that matches.
    [[nodiscard]] ReactorSet pattern_reactors(std::string_view room) const;

    static constexpr std::uint32_t generation_mask = 0x7fff'ffff;
    void rules_changed() noexcept { rules_generation_ = (rules_generation_ + 1) & generation_mask; }

    /// Gives a message its number and the time of this turn.
    void number(Message& message, const Position& position) noexcept {
        message.number(position, reactor().wall(), reactor().now_micros());
    }

    // for Room
    void became_idle(Room& room) noexcept;
    void became_busy(Room& room) noexcept;
    void forget(Room& room);
    /// Something of it is under way: it must not be forgotten now.
    [[nodiscard]] bool busy(const Room& room) const {
        return room.durable() && durable_->busy(room);
    }
    /// Gives the room its rule of now, if rules were replaced since its last use.
    void refresh(Room& room);

  private:
    /// Null: no room for another room.
    Room* find_or_create(std::string_view text, std::uint64_t hash, const RoomNameRef& name);
    Room* find(std::string_view text, std::uint64_t hash);
    [[nodiscard]] bool make_place();
    struct Refusal {
        Code code = Code::ok;
        const char* detail = nullptr;
    };
    /// Runs `then` with the room once it is there; `refused` tells why it will not be.
    void with_room(const RoomName& name, const RoomNameRef& shared,
                   std::function<void(Room* room, Refusal refused)> then);

    Rooms& rooms_;
    std::unique_ptr<DurableRooms> durable_; // null: no store
    std::size_t rooms_max_;
    unsigned reactors_;
    std::uint32_t rules_generation_ = 1;
    /// The hash stands beside the room, so that neither growing nor a miss touches rooms; the name
    /// is the room's own.
    struct Entry {
        std::uint64_t hash;
        std::unique_ptr<Room> room;
    };
    struct EntryHash {
        using is_transparent = void;
        using is_avalanching = void; // the hash is good in all its bits
        std::size_t operator()(const Entry& entry) const noexcept { return entry.hash; }
        std::size_t operator()(const RoomKey& key) const noexcept { return key.hash; }
    };
    struct EntryEqual {
        using is_transparent = void;
        bool operator()(const Entry& a, const Entry& b) const noexcept { return a.room == b.room; }
        bool operator()(const RoomKey& key, const Entry& entry) const noexcept {
            return key.hash == entry.hash && key.text == entry.room->name().text();
        }
        bool operator()(const Entry& entry, const RoomKey& key) const noexcept {
            return (*this)(key, entry);
        }
    };
    boost::unordered_flat_set<Entry, EntryHash, EntryEqual> table_;
    Room* idle_first_ = nullptr;
    Room* idle_last_ = nullptr;
    std::map<std::string, ReactorSet, std::less<>> patterns_;
    // instruments
    Counter& published_;
    Counter& published_bytes_;
    Counter& evicted_;
    Gauge& rooms_gauge_;
    friend class Room;
};

} // namespace fanfare::room
