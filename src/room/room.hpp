#pragma once
// The home side of one room: numbers, keeps, encodes once per form in use, and posts to each
// reactor that has subscribers. Lives on the room's home reactor.

#include "history.hpp"
#include "presence.hpp"
#include "room_name.hpp"

#include <fanfare/net/timer_wheel.hpp>
#include <fanfare/room/rooms.hpp>

#include <algorithm>
#include <array>
#include <bitset>
#include <memory>
#include <vector>

namespace fanfare::room {

class HomeRooms;

/// Reactors in a process, at most; `server.reactors` allows as many.
inline constexpr std::size_t reactors_max = 1'024;
using ReactorSet = std::bitset<reactors_max>;

/// One reactor's interest in a room.
struct Interest {
    net::Handle local_room = 0; // names the room on that reactor
    std::uint32_t subscribers = 0;
    std::uint16_t reactor = 0;
    std::array<std::uint32_t, form_count> forms{};
};

/// What a room has beyond its numbering and history while somebody is in it.
struct Audience {
    std::vector<Interest> interests;
    std::unique_ptr<Presence> presence; // where the rule says so
    std::uint64_t subscribers = 0;
};

class Room final : public net::TimerWheel::Timer {
  public:
    Room(HomeRooms& rooms, RoomNameRef name, const Rule* rule, std::uint32_t rules_generation);
    ~Room() override;

    [[nodiscard]] const RoomName& name() const noexcept { return *name_; }
    [[nodiscard]] Position newest() const noexcept { return {epoch_, offset_}; }
    [[nodiscard]] std::uint64_t subscribers() const noexcept {
        return audience_ ? audience_->subscribers : 0;
    }
    [[nodiscard]] const Rule* rule() const noexcept { return rule_; }

    /// Numbers and keeps it. Ephemeral messages get no offset and are not kept.
    void append(Message& message);
    /// A durable message that the store has numbered.
    void append_committed(Message& message, std::uint64_t offset, WallMillis time);
    [[nodiscard]] bool durable() const noexcept { return durable_; }
    [[nodiscard]] const History& window() const noexcept { return history_; }
    /// Sends it to all reactors with subscribers, and to those that have a matching pattern.
    void distribute(const DraftRef& message);

    [[nodiscard]] JoinResult join(unsigned reactor, net::Handle local_room, const JoinWish& wish);
    void leave(unsigned reactor, Form form, std::string_view user);

    void identify(std::string_view user, std::string_view info);

    [[nodiscard]] ReplayBatch replay(const Position& after, std::size_t bytes_max);
    [[nodiscard]] HistoryResult history(const HistoryQuery& query);
    [[nodiscard]] PresenceResult presence() const;

    /// Follows new rules.
    void follow(const Rule* rule, std::uint32_t generation);
    [[nodiscard]] std::uint32_t rules_generation() const noexcept { return rules_generation_; }
    /// Messages below it are older than the rule keeps.
    [[nodiscard]] std::uint64_t oldest_wanted() const noexcept {
        const std::uint64_t size = rule_ != nullptr ? rule_->history.size : 0;
        return offset_ - std::min<std::uint64_t>(offset_, size) + 1;
    }

  private:
    friend class HomeRooms;
    friend class DurableRooms;
    void on_timer() override;
    void expire();
    /// Sets the timer for what happens next: a message's age, a lingering user, the room's own end.
    void schedule();
    [[nodiscard]] MonoMillis idle_until() const noexcept;
    /// Messages that memory keeps.
    [[nodiscard]] std::size_t kept_max() const noexcept;
    /// Nothing but its position is left.
    [[nodiscard]] bool is_empty() const noexcept;
    void announce(std::string_view user, bool joined);
    [[nodiscard]] Presence* presence_of_users() const noexcept {
        return audience_ ? audience_->presence.get() : nullptr;
    }
    /// Gives back what an empty room does not need.
    void shed_audience() noexcept;
    [[nodiscard]] Interest& interest_of(unsigned reactor, net::Handle local_room);
    void encode(Message& message);
    void keep(Message& message);

    std::uint32_t rules_generation_ : 31; // first: it fits behind the base's members
    bool durable_ : 1 = false; // the store numbers and keeps: DurableRooms has more of it
    HomeRooms& rooms_;
    RoomNameRef name_;
    const Rule* rule_;
    Epoch epoch_;
    std::uint64_t offset_ = 0;
    // The last publish; before the first one: when the last subscriber left, or it was created.
    MonoMillis last_use_;
    History history_;
    std::unique_ptr<Audience> audience_; // null: nobody is here, nor lingers
    // the list of rooms without subscribers, oldest first
    Room* idle_next_ = nullptr;
    Room* idle_previous_ = nullptr;
};
// A million quiet rooms is what a gateway may have: with the allocator's own this is a block of
// 128.
static_assert(sizeof(Room) <= 120);

} // namespace fanfare::room
