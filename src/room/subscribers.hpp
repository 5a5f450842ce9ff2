#pragma once
// The local side: this reactor's subscribers of any room, and of patterns. One walk per message.

#include "home_rooms.hpp"
#include "room_name.hpp"

#include <fanfare/net/reactor.hpp>
#include <fanfare/room/rooms.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace fanfare::room {

/// A presence change on its way from the home reactor.
struct PresenceNote {
    std::string room;
    std::string user;
    bool joined = false;
};

/// One room's subscribers on this reactor, as a dense list: the live ones first, so that a message
/// walks a prefix, then those that still replay.
class LocalRoom {
  public:
    struct Entry {
        net::OutQueue* queue; // where live messages are written; null: the subscriber is asked
        Subscription* subscription;
    };

    RoomNameRef name;
    net::Handle handle = 0;
    std::vector<Entry> entries;
    std::uint32_t live = 0;       // entries[0 .. live) are live
    std::uint32_t references = 0; // subscriptions in any state, and joins whose answer is awaited
    std::uint32_t gathered = 0;   // 1 + index of the messages that wait to be handed out; 0: none

    void add(Subscription& subscription);
    void remove(Subscription& subscription);
    void make_live(Subscription& subscription);

  private:
    void put(std::uint32_t place, const Entry& entry);
};

/// Messages are not handed out one by one: those that a turn brought for a room are gathered, and
/// at the turn's end (or when the rule's `batch` is over) the room's subscribers are walked once.
/// With several messages each subscriber is given the bytes of all of them as one piece, joined
/// once per form. A subscriber that is in one room only is written to in that walk; others are
/// queued to, since other rooms of theirs may have gathered messages too, and flushed when all
/// rooms have been walked.
class LocalRooms final : net::TurnEnd {
  public:
    explicit LocalRooms(Rooms& rooms);
    ~LocalRooms();

    void subscribe(Subscription& subscription, Subscriber& subscriber, std::string_view room,
                   JoinWish wish);
    void unsubscribe(Subscription& subscription, Form form, std::string_view user);
    void identify(Subscription& subscription, std::string_view user, std::string_view info);
    void pull(Subscription& subscription, std::size_t bytes_max);
    void set_replayed(const Subscription& subscription, std::uint64_t offset);
    void go_live(Subscription& subscription);
    void review_queue(Subscription& subscription);
    void set_queue_bytes_max(std::size_t bytes_max) noexcept { queue_bytes_max_ = bytes_max; }
    void subscribe_pattern(Subscriber& subscriber, std::string_view pattern);
    void unsubscribe_pattern(Subscriber& subscriber, std::string_view pattern);

    // from home reactors
    void joined(std::unique_ptr<JoinRequest> request);
    void replayed(net::Handle ticket, const ReplayBatch& batch);
    void deliver(MessageRef message, net::Handle local_room, bool patterns, unsigned batch_ms);
    void announce(const PresenceNote& note, net::Handle local_room);
    void pattern_known(const std::string& pattern, std::uint64_t generation);

  private:
    /// A subscription that the home reactor may still answer to.
    struct Ticket {
        Subscription* subscription = nullptr; // null: it left while joining
        Subscriber* subscriber = nullptr;
        std::uint64_t replayed = 0; // handed on up to this offset
        Epoch epoch;
        std::string identified; // who an anonymous subscriber became while joining
    };
    struct Pattern {
        std::vector<Subscriber*> subscribers;
        std::vector<Subscriber*> waiting; // of these, those not told yet that it is ready
        std::uint64_t generation = 0;
        std::size_t unknown_to = 0; // reactors that have not confirmed
    };

    /// What waits to be handed out in one room.
    struct Gathered {
        LocalRoom* room = nullptr; // null: nothing, this one is free
        std::vector<MessageRef> messages;
        std::size_t bytes = 0;
        MonoMicros due = 0; // 0: at the end of this turn
    };
    struct Waiting {
        std::uint32_t index; // in gathered_
        MonoMicros due;      // what it waits for; void once the place has another one
    };
    /// Bounds of what is joined into one piece; at them the messages are handed out at once.
    static constexpr std::size_t gathered_messages_max = 64;
    static constexpr std::size_t gathered_bytes_max = std::size_t{64} * 1024;
    class Walk;

    void on_turn_end() override;
    void gather(LocalRoom& room, MessageRef message, unsigned batch_ms);
    [[nodiscard]] std::uint32_t begin_gathering(LocalRoom& room, unsigned batch_ms);
    /// For the latency of publishes.
    void note(const Message& message, std::size_t deliveries);
    /// Hands out what was gathered for a room: before its live subscribers, or anything else that
    /// must keep its order, change.
    void hand_out(LocalRoom& room);
    [[nodiscard]] Subscriber& subscriber_of(const Subscription& subscription);

    LocalRoom& find_or_create(std::string_view room);
    void release(LocalRoom& room);
    void post_leave(const LocalRoom& room, Form form, std::string_view user);
    /// Returns how many subscribers it was shown to.
    std::size_t deliver_patterns(Delivery& delivery);

    Rooms& rooms_;
    boost::unordered_flat_map<RoomKey, std::unique_ptr<LocalRoom>, RoomKeyHash> table_;
    net::SlotMap<LocalRoom*> handles_;
    net::SlotMap<Ticket> tickets_;
    std::map<std::string, Pattern, std::less<>> patterns_;
    std::vector<Subscriber*> matched_; // scratch of deliver_patterns
    std::vector<Gathered> gathered_;
    std::vector<std::uint32_t> free_gathered_;
    std::vector<Waiting> waiting_;        // in no order
    std::vector<MessageRef> handing_out_; // scratch of hand_out
    std::size_t queue_bytes_max_ = std::size_t{1024} * 1024;
    std::uint64_t pattern_generation_ = 0;
    Gauge& subscriptions_;
    Gauge& pattern_subscriptions_;
    Counter& messages_out_;
    Counter& bytes_out_;
};

} // namespace fanfare::room
