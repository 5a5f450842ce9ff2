#pragma once
// The local side: this reactor's subscribers of any room, and of patterns. One walk per message.

#include "home_rooms.hpp"
#include "room_name.hpp"

#include <fanfare/room/rooms.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <map>
#include <memory>
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
        Subscriber* subscriber;
        Subscription* subscription;
    };

    RoomNameRef name;
    net::Handle handle = 0;
    std::vector<Entry> entries;
    std::uint32_t live = 0;       // entries[0 .. live) are live
    std::uint32_t references = 0; // subscriptions in any state, and joins whose answer is awaited

    void add(Subscription& subscription);
    void remove(Subscription& subscription);
    void make_live(Subscription& subscription);

  private:
    void put(std::uint32_t place, const Entry& entry);
};

class LocalRooms {
  public:
    explicit LocalRooms(Rooms& rooms);
    ~LocalRooms();

    void subscribe(Subscription& subscription, Subscriber& subscriber, std::string_view room,
                   JoinWish wish);
    void unsubscribe(Subscription& subscription, Form form, std::string_view user);
    void identify(Subscription& subscription, std::string_view user, std::string_view info);
    void pull(Subscription& subscription, std::size_t bytes_max);
    void go_live(Subscription& subscription);
    void subscribe_pattern(Subscriber& subscriber, std::string_view pattern);
    void unsubscribe_pattern(Subscriber& subscriber, std::string_view pattern);

    // from home reactors
    void joined(std::unique_ptr<JoinRequest> request);
    void replayed(net::Handle ticket, const ReplayBatch& batch);
    void deliver(const Message& message, net::Handle local_room, bool patterns);
    void announce(const PresenceNote& note, net::Handle local_room);
    void pattern_known(const std::string& pattern, std::uint64_t generation);

  private:
    /// A subscription that the home reactor may still answer to.
    struct Ticket {
        Subscription* subscription = nullptr; // null: it left while joining
        Epoch epoch;
        std::string identified; // who an anonymous subscriber became while joining
    };
    struct Pattern {
        std::vector<Subscriber*> subscribers;
        std::vector<Subscriber*> waiting; // of these, those not told yet that it is ready
        std::uint64_t generation = 0;
        std::size_t unknown_to = 0; // reactors that have not confirmed
    };

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
    std::uint64_t serial_ = 0;
    std::uint64_t pattern_generation_ = 0;
    Gauge& subscriptions_;
    Gauge& pattern_subscriptions_;
};

} // namespace fanfare::room
