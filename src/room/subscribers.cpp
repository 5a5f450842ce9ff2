#include "subscribers.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/room/delivery.hpp>

#include <boost/container/static_vector.hpp>

#include <algorithm>
#include <array>

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
        home->replay(*name, after, bytes_max, [to = origin, who = ticket](ReplayBatch batch) {
            to->reactor().post(
                Replayed{&to->local(), who, std::make_unique<ReplayBatch>(std::move(batch))});
        });
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
    put(static_cast<std::uint32_t>(entries.size() - 1), {nullptr, &subscription});
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
          "pattern_subscriptions", "Pattern subscriptions of connected sessions.")),
      messages_out_(
          rooms.reactor().metrics().counter("messages_out_total", "Messages queued to clients.")),
      bytes_out_(rooms.reactor().metrics().counter("message_bytes_out_total",
                                                   "Bytes of messages queued to clients.")) {
    rooms_.reactor().add_turn_end(*this);
}

LocalRooms::~LocalRooms() {
    rooms_.reactor().remove_turn_end(*this);
}

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
    subscription.room = &local;
    subscription.state = Subscription::State::joining;
    subscription.ticket = tickets_.insert({&subscription, &subscriber, 0, {}, {}});

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
    const bool failed = request->result.code != Code::ok;
    Subscription* const subscription = ticket.subscription;
    Subscriber* const subscriber = ticket.subscriber;
    if (subscription == nullptr || failed) {
        const std::string identified = tickets_.erase(request->ticket).identified;
        if (request->entered)
            post_leave(room, request->wish.form,
                       identified.empty() ? request->wish.user : identified);
        if (subscription != nullptr) {
            subscriptions_.add(-1);
            subscription->state = Subscription::State::idle;
            // The room's name is still wanted in the answer: release it afterwards.
            subscriber->on_joined(*subscription, request->result);
        }
        release(room);
        return;
    }
    ticket.epoch = request->result.position.epoch;
    ticket.replayed = request->result.replay_after;
    subscription->state = Subscription::State::replaying;
    room.add(*subscription);
    subscriber->on_joined(*subscription, request->result);
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
    const Ticket& ticket = *tickets_.find(subscription.ticket);
    Rooms& home = rooms_.home_of(name->hash());
    home.reactor().post(Pull{
        &home.home(), &rooms_, name, Position{ticket.epoch, ticket.replayed}, subscription.ticket,
        static_cast<std::uint32_t>(std::min<std::size_t>(bytes_max, std::size_t{1} << 30))});
}

void LocalRooms::set_replayed(const Subscription& subscription, std::uint64_t offset) {
    FANFARE_ASSERT(subscription.state == Subscription::State::replaying);
    tickets_.find(subscription.ticket)->replayed = offset;
}

void LocalRooms::replayed(net::Handle handle, const ReplayBatch& batch) {
    Ticket* const ticket = tickets_.find(handle);
    if (ticket == nullptr) return; // it left meanwhile
    ticket->subscriber->on_replay(*ticket->subscription, batch);
}

void LocalRooms::go_live(Subscription& subscription) {
    FANFARE_ASSERT(subscription.state == Subscription::State::replaying);
    LocalRoom& room = *subscription.room;
    // What was gathered came before this moment: it was in the replay.
    hand_out(room);
    Subscriber* const subscriber = tickets_.erase(subscription.ticket).subscriber;
    subscription.state = Subscription::State::live;
    subscription.subscriber = subscriber;
    room.entries[subscription.place].queue = subscriber->direct_queue();
    room.make_live(subscription);
}

void LocalRooms::review_queue(Subscription& subscription) {
    if (subscription.state != Subscription::State::live) return;
    subscription.room->entries[subscription.place].queue = subscription.subscriber->direct_queue();
}

Subscriber& LocalRooms::subscriber_of(const Subscription& subscription) {
    return subscription.state == Subscription::State::live
               ? *subscription.subscriber
               : *tickets_.find(subscription.ticket)->subscriber;
}

// --- deliveries ---

/// One walk over a room's live subscribers, with all messages that it brings them.
class LocalRooms::Walk {
  public:
    Walk(LocalRooms& local, std::span<const MessageRef> messages) : local_(local) {
        for (const MessageRef& message : messages)
            deliveries_.emplace_back(*message, local.rooms_.encoders());
    }

    void over(LocalRoom& room) {
        const bool ask_all = deliveries_.front().message().ephemeral();
        // From the end: a subscriber that leaves in the call is replaced by one already served.
        for (std::uint32_t i = room.live; i-- > 0;) {
            constexpr std::uint32_t far = 8;
            constexpr std::uint32_t near = 3;
            if (i >= far) __builtin_prefetch(room.entries[i - far].queue);
            if (i >= near && room.entries[i - near].queue != nullptr)
                __builtin_prefetch(room.entries[i - near].queue->transport());
            net::OutQueue* const queue = room.entries[i].queue;
            if (queue == nullptr || ask_all || !write(*queue)) ask(room, i);
        }
        count();
    }

  private:
    /// False: the queue has no room.
    bool write(net::OutQueue& queue) {
        const std::uint8_t label = queue.label();
        const auto form = static_cast<std::size_t>(QueueLabel::form(label));
        if (!joined_[form]) [[unlikely]]
            join(form);
        const LocalBytesRef& bytes = joined_[form];
        if (!queue.has_room(bytes->size(), local_.queue_bytes_max_)) return false;
        ++written_[form];
        if ((label & QueueLabel::sole) != 0)
            queue.write(*bytes);
        else
            queue.push(bytes);
        return true;
    }

    void join(std::size_t form) {
        if (deliveries_.size() == 1) {
            joined_[form] = deliveries_.front().bytes(static_cast<Form>(form));
        } else {
            std::array<std::string_view, gathered_messages_max> pieces;
            for (std::size_t i = 0; i < deliveries_.size(); ++i)
                pieces[i] = deliveries_[i].bytes(static_cast<Form>(form))->view();
            joined_[form] = LocalBytes::join({pieces.data(), deliveries_.size()});
        }
        local_.rooms_.reactor().instruments().queue_high_water.saw(joined_[form]->size());
    }

    /// The subscriber decides, message by message; it may leave.
    void ask(LocalRoom& room, std::uint32_t i) {
        Subscription* const subscription = room.entries[i].subscription;
        Subscriber* const subscriber = subscription->subscriber;
        for (Delivery& delivery : deliveries_) {
            subscriber->on_message(delivery, subscription);
            if (i >= room.live || room.entries[i].subscription != subscription) return;
        }
    }

    void count() {
        for (std::size_t form = 0; form < form_count; ++form) {
            if (written_[form] == 0) continue;
            local_.messages_out_.add(written_[form] * deliveries_.size());
            local_.bytes_out_.add(written_[form] * joined_[form]->size());
        }
    }

    LocalRooms& local_;
    boost::container::static_vector<Delivery, gathered_messages_max> deliveries_;
    std::array<LocalBytesRef, form_count> joined_; // all messages as one piece
    std::array<std::uint64_t, form_count> written_{};
};

void LocalRooms::deliver(MessageRef message, net::Handle local_room, bool patterns,
                         unsigned batch_ms) {
    if (patterns) {
        Delivery delivery{*message, rooms_.encoders()};
        note(*message, deliver_patterns(delivery));
    }
    LocalRoom** const found = local_room != 0 ? handles_.find(local_room) : nullptr;
    if (found == nullptr || (*found)->live == 0) return;
    LocalRoom& room = **found;
    if (!message->ephemeral()) return gather(room, std::move(message), batch_ms);
    // Each subscriber is asked about it: it is not for everyone. Its place is behind what came
    // before it.
    ++room.references;
    hand_out(room);
    note(*message, room.live);
    if (room.live != 0) Walk{*this, {&message, 1}}.over(room);
    release(room);
}

void LocalRooms::note(const Message& message, std::size_t deliveries) {
    if (message.received() != 0)
        rooms_.reactor().instruments().publish_latency.note(message.received(), deliveries);
}

std::uint32_t LocalRooms::begin_gathering(LocalRoom& room, unsigned batch_ms) {
    if (free_gathered_.empty()) {
        free_gathered_.push_back(static_cast<std::uint32_t>(gathered_.size()));
        gathered_.emplace_back();
    }
    const std::uint32_t index = free_gathered_.back();
    free_gathered_.pop_back();
    ++room.references;
    room.gathered = index + 1;
    Gathered& gathered = gathered_[index];
    gathered.room = &room;
    gathered.due = batch_ms == 0 ? 0 : rooms_.reactor().now_micros() + MonoMicros{batch_ms} * 1'000;
    waiting_.push_back({index, gathered.due});
    return index;
}

void LocalRooms::gather(LocalRoom& room, MessageRef message, unsigned batch_ms) {
    const std::uint32_t index =
        room.gathered != 0 ? room.gathered - 1 : begin_gathering(room, batch_ms);
    Gathered& gathered = gathered_[index];
    gathered.bytes += message->data().size();
    gathered.messages.push_back(std::move(message));
    if (gathered.messages.size() == gathered_messages_max || gathered.bytes >= gathered_bytes_max) {
        hand_out(room);
    } else if (batch_ms == 0 && gathered.due != 0) { // a new rule: nothing waits any more
        gathered.due = 0;
        waiting_.push_back({index, 0});
    }
}

void LocalRooms::hand_out(LocalRoom& room) {
    if (room.gathered == 0) return;
    const std::uint32_t index = std::exchange(room.gathered, 0) - 1;
    Gathered& gathered = gathered_[index];
    gathered.room = nullptr;
    gathered.bytes = 0;
    // Nothing that a subscriber does when it is given messages hands out more of them.
    FANFARE_ASSERT(handing_out_.empty());
    handing_out_.swap(gathered.messages);
    free_gathered_.push_back(index);
    for (const MessageRef& message : handing_out_) note(*message, room.live);
    if (room.live != 0) Walk{*this, handing_out_}.over(room);
    handing_out_.clear();
    release(room);
}

void LocalRooms::on_turn_end() {
    net::Reactor& reactor = rooms_.reactor();
    const MonoMicros now = reactor.now_micros();
    MonoMicros next = 0;
    std::size_t kept = 0;
    for (const Waiting one : waiting_) {
        Gathered& gathered = gathered_[one.index];
        // What was handed out before its time has left its place, perhaps to others.
        if (gathered.room == nullptr || gathered.due != one.due) continue;
        if (one.due <= now) {
            hand_out(*gathered.room);
            continue;
        }
        next = next == 0 ? one.due : std::min(next, one.due);
        waiting_[kept++] = one;
    }
    waiting_.resize(kept);
    if (next != 0) reactor.wake_at(next);
    // A storm over many rooms must not leave its lists behind for good.
    constexpr std::size_t kept_max = 4'096;
    if (gathered_.size() > kept_max && free_gathered_.size() == gathered_.size()) {
        gathered_ = {};
        free_gathered_ = {};
    }
}

void LocalRooms::announce(const PresenceNote& note, net::Handle local_room) {
    LocalRoom** const found = handles_.find(local_room);
    if (found == nullptr) return;
    LocalRoom& room = **found;
    const PresenceChange change{note.room, note.user, note.joined};
    PresenceDelivery delivery{change, rooms_.encoders()};
    ++room.references;
    hand_out(room);
    for (auto i = static_cast<std::uint32_t>(room.entries.size()); i-- > 0;) {
        // One that left from the replaying part moved the last entry here: it was served already.
        if (i >= room.entries.size()) continue;
        Subscription& subscription = *room.entries[i].subscription;
        subscriber_of(subscription).on_presence(delivery, subscription);
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
