#include "subscribers.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/delivery.hpp>

#include <algorithm>

namespace fanfare::room {
namespace {

struct Join {
    HomeRooms* home;
    std::unique_ptr<JoinRequest> request;
    void operator()() { home->join(std::move(request)); }
};

struct Leave {
    HomeRooms* home;
    RoomNameRef name;
    std::string user;
    std::uint16_t reactor;
    Form form;
    void operator()() const { home->leave(*name, reactor, form, user); }
};

struct Replayed {
    LocalRooms* local;
    net::Handle ticket;
    std::unique_ptr<ReplayBatch> batch;
    void operator()() const { local->replayed(ticket, *batch); }
};

struct Pull {
    HomeRooms* home;
    Rooms* origin;
    RoomNameRef name;
    Position after;
    net::Handle ticket;
    std::uint32_t bytes_max;
    void operator()() const {
        auto batch = std::make_unique<ReplayBatch>(home->replay(*name, after, bytes_max));
        origin->reactor().post(Replayed{&origin->local(), ticket, std::move(batch)});
    }
};
static_assert(sizeof(Pull) <= net::MailEntry::command_bytes_max);

} // namespace

std::string_view Subscription::name() const noexcept {
    return room->name->text();
}
std::uint64_t Subscription::hash() const noexcept {
    return room->name->hash();
}

void LocalRoom::put(std::uint32_t place, const Entry& entry) {
    entries[place] = entry;
    entry.subscription->place = place;
}

void LocalRoom::add(Subscription& subscription) {
    entries.push_back({});
    put(static_cast<std::uint32_t>(entries.size() - 1), {subscription.subscriber, &subscription});
}

void LocalRoom::make_live(Subscription& subscription) {
    const std::uint32_t place = subscription.place;
    const Entry self = entries[place];
    put(place, entries[live]);
    put(live, self);
    ++live;
}

void LocalRoom::remove(Subscription& subscription) {
    std::uint32_t hole = subscription.place;
    if (hole < live) {
        --live;
        if (hole != live) put(hole, entries[live]);
        hole = live;
    }
    const auto end = static_cast<std::uint32_t>(entries.size() - 1);
    if (hole != end) put(hole, entries[end]);
    entries.pop_back();
    if (entries.capacity() > 64 && entries.size() < entries.capacity() / 4) {
        std::vector<Entry> smaller;
        smaller.reserve(entries.size() * 2);
        smaller.assign(entries.begin(), entries.end());
        entries.swap(smaller);
    }
}

LocalRooms::LocalRooms(Rooms& rooms)
    : rooms_(rooms), subscriptions_(rooms.reactor().metrics().gauge(
                         "subscriptions", "Room subscriptions of connected sessions.")),
      pattern_subscriptions_(rooms.reactor().metrics().gauge(
          "pattern_subscriptions", "Pattern subscriptions of connected sessions.")) {}

LocalRooms::~LocalRooms() = default;

LocalRoom& LocalRooms::find_or_create(std::string_view room) {
    const std::uint64_t hash = hash_bytes(room);
    const auto at = table_.find(RoomKey{room, hash});
    if (at != table_.end()) return *at->second;
    auto fresh = std::make_unique<LocalRoom>();
    LocalRoom& created = *fresh;
    created.name = RoomName::make(room, hash);
    created.handle = handles_.insert(&created);
    table_.emplace(RoomKey{created.name->text(), hash}, std::move(fresh));
    return created;
}

void LocalRooms::release(LocalRoom& room) {
    if (--room.references != 0) return;
    handles_.erase(room.handle);
    const auto at = table_.find(RoomKey{room.name->text(), room.name->hash()});
    const std::unique_ptr<LocalRoom> doomed = std::move(at->second); // owns the key's text
    table_.erase(at);
}

void LocalRooms::subscribe(Subscription& subscription, Subscriber& subscriber,
                           std::string_view room, JoinWish wish) {
    FANFARE_ASSERT(subscription.state == Subscription::State::idle);
    LocalRoom& local = find_or_create(room);
    ++local.references;
    subscriptions_.add(1);
    subscription.subscriber = &subscriber;
    subscription.room = &local;
    subscription.state = Subscription::State::joining;
    subscription.ticket = tickets_.insert({&subscription, {}, {}});

    auto request = std::make_unique<JoinRequest>();
    request->origin = &rooms_;
    request->name = local.name;
    request->local_room = local.handle;
    request->ticket = subscription.ticket;
    request->wish = std::move(wish);
    Rooms& home = rooms_.home_of(local.name->hash());
    home.reactor().post(Join{&home.home(), std::move(request)});
}

void LocalRooms::post_leave(const LocalRoom& room, Form form, std::string_view user) {
    Rooms& home = rooms_.home_of(room.name->hash());
    home.reactor().post(Leave{&home.home(), room.name, std::string{user},
                              static_cast<std::uint16_t>(rooms_.reactor().index()), form});
}

void LocalRooms::unsubscribe(Subscription& subscription, Form form, std::string_view user) {
    const Subscription::State state = std::exchange(subscription.state, Subscription::State::idle);
    // A subscriber that ends in `on_joined` of a refusal leaves a room that it is not in.
    if (state == Subscription::State::idle) return;
    LocalRoom& room = *subscription.room;
    subscriptions_.add(-1);
    if (state == Subscription::State::joining) {
        // Whether it has joined is known when the answer comes; only then it can leave.
        tickets_.find(subscription.ticket)->subscription = nullptr;
        return;
    }
    if (state == Subscription::State::replaying) tickets_.erase(subscription.ticket);
    room.remove(subscription);
    post_leave(room, form, user);
    release(room);
}

void LocalRooms::joined(std::unique_ptr<JoinRequest> request) {
    Ticket& ticket = *tickets_.find(request->ticket);
    LocalRoom& room = **handles_.find(request->local_room);
    const bool failed = request->outcome.result.code != Code::ok;
    Subscription* const subscription = ticket.subscription;
    if (subscription == nullptr || failed) {
        const std::string identified = tickets_.erase(request->ticket).identified;
        if (!failed)
            post_leave(room, request->wish.form,
                       identified.empty() ? request->wish.user : identified);
        if (subscription != nullptr) {
            subscriptions_.add(-1);
            subscription->state = Subscription::State::idle;
            // The room's name is still wanted in the answer: release it afterwards.
            subscription->subscriber->on_joined(*subscription, request->outcome.result);
        }
        release(room);
        return;
    }
    ticket.epoch = request->outcome.result.position.epoch;
    subscription->state = Subscription::State::replaying;
    subscription->offset = request->outcome.replay_after;
    room.add(*subscription);
    subscription->subscriber->on_joined(*subscription, request->outcome.result);
}

void LocalRooms::identify(Subscription& subscription, std::string_view user,
                          std::string_view info) {
    if (subscription.state == Subscription::State::joining)
        tickets_.find(subscription.ticket)->identified = user;
    // Once per session at most: the command may be boxed.
    const RoomNameRef name = subscription.room->name;
    HomeRooms* const home = &rooms_.home_of(name->hash()).home();
    home->reactor().post(
        std::function<void()>{[home, name, who = std::string{user}, info = std::string{info}] {
            home->identify(*name, who, info);
        }});
}

void LocalRooms::pull(Subscription& subscription, std::size_t bytes_max) {
    FANFARE_ASSERT(subscription.state == Subscription::State::replaying);
    const RoomNameRef& name = subscription.room->name;
    const Epoch epoch = tickets_.find(subscription.ticket)->epoch;
    Rooms& home = rooms_.home_of(name->hash());
    home.reactor().post(
        Pull{&home.home(), &rooms_, name, Position{epoch, subscription.offset}, subscription.ticket,
             static_cast<std::uint32_t>(std::min<std::size_t>(bytes_max, std::size_t{1} << 30))});
}

void LocalRooms::replayed(net::Handle handle, const ReplayBatch& batch) {
    Ticket* const ticket = tickets_.find(handle);
    if (ticket == nullptr) return; // it left meanwhile
    Subscription& subscription = *ticket->subscription;
    subscription.subscriber->on_replay(subscription, batch);
}

void LocalRooms::go_live(Subscription& subscription) {
    FANFARE_ASSERT(subscription.state == Subscription::State::replaying);
    tickets_.erase(std::exchange(subscription.ticket, 0));
    subscription.state = Subscription::State::live;
    subscription.room->make_live(subscription);
}

void LocalRooms::deliver(const Message& message, net::Handle local_room, bool patterns) {
    Delivery delivery{message, rooms_.encoders(), ++serial_};
    LocalRoom** const found = local_room != 0 ? handles_.find(local_room) : nullptr;
    std::size_t deliveries = 0;
    if (found != nullptr) {
        LocalRoom& room = **found;
        ++room.references;
        deliveries = room.live;
        // From the end: a subscriber that leaves in the call is replaced by one already served.
        for (std::uint32_t i = room.live; i-- > 0;) {
            if (i >= 8) __builtin_prefetch(room.entries[i - 8].subscriber);
            const LocalRoom::Entry& entry = room.entries[i];
            entry.subscriber->on_message(delivery, entry.subscription);
        }
        release(room);
    }
    if (patterns) deliveries += deliver_patterns(delivery);
    if (message.received() != 0)
        rooms_.reactor().instruments().publish_latency.note(message.received(), deliveries);
}

void LocalRooms::announce(const PresenceNote& note, net::Handle local_room) {
    LocalRoom** const found = handles_.find(local_room);
    if (found == nullptr) return;
    LocalRoom& room = **found;
    const PresenceChange change{note.room, note.user, note.joined};
    PresenceDelivery delivery{change, rooms_.encoders()};
    ++room.references;
    for (auto i = static_cast<std::uint32_t>(room.entries.size()); i-- > 0;) {
        // One that left from the replaying part moved the last entry here: it was served already.
        if (i >= room.entries.size()) continue;
        const LocalRoom::Entry& entry = room.entries[i];
        entry.subscriber->on_presence(delivery, *entry.subscription);
    }
    release(room);
}

void LocalRooms::subscribe_pattern(Subscriber& subscriber, std::string_view text) {
    auto at = patterns_.find(text);
    pattern_subscriptions_.add(1);
    if (at == patterns_.end()) {
        at = patterns_.emplace(std::string{text}, Pattern{}).first;
        Pattern& pattern = at->second;
        pattern.generation = ++pattern_generation_;
        pattern.unknown_to = rooms_.all().size();
        Rooms* const origin = &rooms_;
        for (Rooms* const home : rooms_.all()) {
            // A first subscriber of a pattern is rare: the command may be boxed.
            home->reactor().post(std::function<void()>{
                [home, origin, name = std::string{text}, generation = pattern.generation] {
                    home->home().add_pattern(name, origin->reactor().index());
                    origin->reactor().post(std::function<void()>{[origin, name, generation] {
                        origin->local().pattern_known(name, generation);
                    }});
                }});
        }
    }
    Pattern& pattern = at->second;
    pattern.subscribers.push_back(&subscriber);
    if (pattern.unknown_to == 0)
        subscriber.on_pattern_ready(text);
    else
        pattern.waiting.push_back(&subscriber);
}

void LocalRooms::pattern_known(const std::string& text, std::uint64_t generation) {
    const auto at = patterns_.find(text);
    if (at == patterns_.end() || at->second.generation != generation) return;
    if (--at->second.unknown_to != 0) return;
    // A subscriber may leave in the call: it leaves `waiting` too, so take one at a time.
    while (true) {
        const auto again = patterns_.find(text);
        if (again == patterns_.end() || again->second.waiting.empty()) return;
        Subscriber* const next = again->second.waiting.back();
        again->second.waiting.pop_back();
        next->on_pattern_ready(text);
    }
}

void LocalRooms::unsubscribe_pattern(Subscriber& subscriber, std::string_view text) {
    const auto at = patterns_.find(text);
    if (at == patterns_.end()) return;
    Pattern& pattern = at->second;
    const auto drop = [&](std::vector<Subscriber*>& from) {
        const auto found = std::find(from.begin(), from.end(), &subscriber);
        if (found == from.end()) return false;
        *found = from.back();
        from.pop_back();
        return true;
    };
    if (!drop(pattern.subscribers)) return;
    drop(pattern.waiting);
    pattern_subscriptions_.add(-1);
    if (!pattern.subscribers.empty()) return;
    const unsigned index = rooms_.reactor().index();
    for (Rooms* const home : rooms_.all())
        home->reactor().post(std::function<void()>{
            [home, index, name = at->first] { home->home().remove_pattern(name, index); }});
    patterns_.erase(at);
}

std::size_t LocalRooms::deliver_patterns(Delivery& delivery) {
    matched_.clear();
    for (const auto& [text, pattern] : patterns_)
        if (glob_match(text, delivery.message().room()))
            matched_.insert(matched_.end(), pattern.subscribers.begin(), pattern.subscribers.end());
    // One session may match several times; and a session that leaves in the call must not upset
    // the walk, so the walk is over a copy.
    std::sort(matched_.begin(), matched_.end());
    matched_.erase(std::unique(matched_.begin(), matched_.end()), matched_.end());
    for (Subscriber* const subscriber : matched_) subscriber->on_message(delivery, nullptr);
    return matched_.size();
}

} // namespace fanfare::room
