#include "home_rooms.hpp"

#include "subscribers.hpp"

#include <fanfare/net/reactor.hpp>

#include <algorithm>

namespace fanfare::room {
namespace {

struct Joined {
    LocalRooms* local;
    std::unique_ptr<JoinRequest> request;
    void operator()() { local->joined(std::move(request)); }
};

} // namespace

void answer(const PublishReply& reply, const PublishResult& result) {
    if (reply.client == nullptr) return;
    // One pointer in the mailbox entry would do, but an answer is as frequent as a publish: it
    // travels by value. Position 16, detail 8, three bytes and the reply's three words fit.
    reply.reactor->post([client = reply.client, who = reply.who, request = reply.request,
                         position = result.position, detail = result.detail, code = result.code,
                         duplicate = result.duplicate, ephemeral = result.ephemeral] {
        client->on_published(who, request,
                             PublishResult{code, duplicate, ephemeral, detail, position});
    });
}

HomeRooms::HomeRooms(Rooms& rooms, unsigned reactors)
    : rooms_(rooms), rooms_max_(std::max<std::size_t>(1, rooms.options().rooms_max / reactors)),
      reactors_(reactors),
      published_(rooms.reactor().metrics().counter("messages_published_total",
                                                   "Messages numbered or sent on by rooms.")),
      published_bytes_(rooms.reactor().metrics().counter("published_bytes_total",
                                                         "Payload bytes of published messages.")),
      evicted_(rooms.reactor().metrics().counter(
          "rooms_evicted_total", "Idle rooms forgotten before their time because of rooms_max.")),
      rooms_gauge_(rooms.reactor().metrics().gauge("rooms", "Rooms with a position in memory.")) {}

HomeRooms::~HomeRooms() = default;

Room* HomeRooms::find(std::string_view text, std::uint64_t hash) {
    const auto at = table_.find(RoomKey{text, hash});
    if (at == table_.end()) return nullptr;
    refresh(*at->room);
    return at->room.get();
}

void HomeRooms::refresh(Room& room) {
    if (room.rules_generation() != rules_generation_)
        room.follow(rooms_.rule(room.name().text()), rules_generation_);
}

Room* HomeRooms::find_or_create(std::string_view text, std::uint64_t hash,
                                const RoomNameRef& name) {
    if (Room* const room = find(text, hash)) return room;
    if (table_.size() >= rooms_max_ && !make_place()) return nullptr;
    auto fresh = std::make_unique<Room>(*this, name ? name : RoomName::make(text, hash),
                                        rooms_.rule(text), rules_generation_);
    Room* const room = fresh.get();
    table_.insert(Entry{hash, std::move(fresh)});
    rooms_gauge_.set(static_cast<std::int64_t>(table_.size()));
    became_idle(*room);
    room->schedule();
    return room;
}

bool HomeRooms::make_place() {
    if (idle_first_ == nullptr) return false;
    evicted_.add();
    forget(*idle_first_);
    return true;
}

void HomeRooms::forget(Room& room) {
    became_busy(room); // takes it off the idle list
    table_.erase(table_.find(RoomKey{room.name().text(), room.name().hash()}));
    rooms_gauge_.set(static_cast<std::int64_t>(table_.size()));
}

void HomeRooms::became_busy(Room& room) noexcept {
    if (room.idle_previous_ != nullptr) room.idle_previous_->idle_next_ = room.idle_next_;
    if (room.idle_next_ != nullptr) room.idle_next_->idle_previous_ = room.idle_previous_;
    if (idle_first_ == &room) idle_first_ = room.idle_next_;
    if (idle_last_ == &room) idle_last_ = room.idle_previous_;
    room.idle_next_ = room.idle_previous_ = nullptr;
}

void HomeRooms::became_idle(Room& room) noexcept {
    became_busy(room);
    room.idle_previous_ = idle_last_;
    if (idle_last_ != nullptr) idle_last_->idle_next_ = &room;
    idle_last_ = &room;
    if (idle_first_ == nullptr) idle_first_ = &room;
}

void HomeRooms::commit(const DraftRef& message, const PublishReply& reply) {
    PublishResult result;
    result.ephemeral = message->ephemeral();
    Room* room = nullptr;
    if (message->ephemeral()) {
        // Nobody to hear it by name is no reason to make a room.
        room = find(message->room(), message->room_hash());
    } else {
        room = find_or_create(message->room(), message->room_hash(), nullptr);
        if (room == nullptr) {
            result.code = Code::limit_reached;
            result.detail = "the gateway holds as many rooms as `rooms_max` allows";
            answer(reply, result);
            return;
        }
    }
    published_.add();
    published_bytes_.add(message->data().size());
    if (room != nullptr) {
        room->append(*message);
        result.position = message->position();
        // The answer leaves first, so that the publisher's ok comes before its own message.
        answer(reply, result);
        room->distribute(message);
        return;
    }
    number(*message, {});
    answer(reply, result);
    const Rule* const rule = rooms_.rule(message->room());
    if (rule == nullptr || !rule->patterns) return;
    Room passing{*this, RoomName::make(message->room(), message->room_hash()), rule,
                 rules_generation_};
    passing.distribute(message);
}

void HomeRooms::join(std::unique_ptr<JoinRequest> request) {
    Rooms& origin = *request->origin;
    const RoomName& name = *request->name;
    if (Room* const room = find_or_create(name.text(), name.hash(), request->name)) {
        request->result = room->join(origin.reactor().index(), request->local_room, request->wish);
    } else {
        request->result.code = Code::limit_reached;
        request->result.detail = "the gateway holds as many rooms as `rooms_max` allows";
    }
    origin.reactor().post(Joined{&origin.local(), std::move(request)});
}

void HomeRooms::leave(const RoomName& name, unsigned reactor, Form form, std::string_view user) {
    if (Room* const room = find(name.text(), name.hash())) room->leave(reactor, form, user);
}

void HomeRooms::identify(const RoomName& name, std::string_view user, std::string_view info) {
    if (Room* const room = find(name.text(), name.hash())) room->identify(user, info);
}

ReplayBatch HomeRooms::replay(const RoomName& name, const Position& after, std::size_t bytes_max) {
    if (Room* const room = find(name.text(), name.hash())) return room->replay(after, bytes_max);
    ReplayBatch none;
    none.trimmed = true;
    return none;
}

HistoryResult HomeRooms::history(const RoomName& name, const HistoryQuery& query) {
    if (Room* const room = find_or_create(name.text(), name.hash(), nullptr))
        return room->history(query);
    HistoryResult none;
    none.code = Code::limit_reached;
    none.detail = "the gateway holds as many rooms as `rooms_max` allows";
    return none;
}

PresenceResult HomeRooms::presence(const RoomName& name) {
    if (Room* const room = find(name.text(), name.hash())) return room->presence();
    return {};
}

RoomInfo HomeRooms::info(const RoomName& name) {
    RoomInfo info;
    info.room = name.text();
    if (Room* const room = find_or_create(name.text(), name.hash(), nullptr)) {
        info.subscribers = room->subscribers();
        info.position = room->newest();
    }
    return info;
}

std::vector<RoomInfo> HomeRooms::list(std::string_view prefix, std::string_view after,
                                      std::size_t limit) const {
    std::vector<RoomInfo> found;
    const auto by_name = [](const RoomInfo& a, const RoomInfo& b) { return a.room < b.room; };
    for (const Entry& entry : table_) {
        const Room& room = *entry.room;
        const std::string_view name = room.name().text();
        if (room.subscribers() == 0 || !name.starts_with(prefix) || name <= after) continue;
        // A heap of the `limit` smallest names: the table is walked once, whatever the page.
        if (found.size() == limit) {
            if (limit == 0 || name >= found.front().room) continue;
            std::pop_heap(found.begin(), found.end(), by_name);
            found.pop_back();
        }
        found.push_back({std::string{name}, room.subscribers(), room.newest()});
        std::push_heap(found.begin(), found.end(), by_name);
    }
    std::sort_heap(found.begin(), found.end(), by_name);
    return found;
}

void HomeRooms::add_pattern(const std::string& pattern, unsigned reactor) {
    patterns_[pattern].set(reactor);
}

void HomeRooms::remove_pattern(const std::string& pattern, unsigned reactor) {
    const auto at = patterns_.find(pattern);
    if (at == patterns_.end()) return;
    at->second.reset(reactor);
    if (at->second.none()) patterns_.erase(at);
}

ReactorSet HomeRooms::pattern_reactors(std::string_view room) const {
    ReactorSet reactors;
    for (const auto& [pattern, interested] : patterns_)
        if (glob_match(pattern, room)) reactors |= interested;
    return reactors;
}

} // namespace fanfare::room
