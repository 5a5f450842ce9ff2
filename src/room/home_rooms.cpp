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

void answer_join(std::unique_ptr<JoinRequest> request) {
    Rooms& origin = *request->origin;
    origin.reactor().post(Joined{&origin.local(), std::move(request)});
}

constexpr const char* too_many_rooms = "the gateway holds as many rooms as `rooms_max` allows";

} // namespace

void answer(const PublishReply& reply, const PublishResult& result) {
    if (reply.client == nullptr) return;
    // One pointer in the mailbox entry would do, but an answer is as frequent as a publish: it
    // travels by value. Position 16, detail 8, four bytes and the reply's three words fit.
    reply.reactor->post([client = reply.client, who = reply.who, request = reply.request,
                         position = result.position, detail = result.detail, code = result.code,
                         duplicate = result.duplicate, ephemeral = result.ephemeral,
                         durable = result.durable] {
        client->on_published(who, request,
                             PublishResult{code, duplicate, ephemeral, durable, detail, position});
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

bool HomeRooms::occupied(std::string_view text, std::uint64_t hash) const noexcept {
    const auto at = table_.find(RoomKey{text, hash});
    return at != table_.end() && at->room->subscribers() != 0;
}

void HomeRooms::refresh(Room& room) {
    if (room.rules_generation() == rules_generation_) return;
    const Rule* const rule = rooms_.rule(room.name().text());
    // Without a rule it stays what it is: nobody can reach it.
    const bool durable = rule != nullptr ? rule->history.durable : room.durable();
    if (durable_ && durable != room.durable() && !durable_->convert(room, durable)) {
        room.follow(rule, rules_generation_ - 1); // again at its next use
        return;
    }
    room.follow(rule, rules_generation_);
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
    if (durable_ && room->rule() != nullptr && room->rule()->history.durable) durable_->open(*room);
    return room;
}

bool HomeRooms::make_place() {
    Room* oldest = idle_first_;
    while (oldest != nullptr && busy(*oldest)) oldest = oldest->idle_next_;
    if (oldest == nullptr) return false;
    evicted_.add();
    forget(*oldest);
    return true;
}

void HomeRooms::forget(Room& room) {
    became_busy(room); // takes it off the idle list
    if (room.durable()) durable_->forget(room);
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
    if (message->ephemeral() || message->room().front() == '@') {
        // Nobody to hear it by name is no reason to make a room.
        room = find(message->room(), message->room_hash());
    } else {
        room = find_or_create(message->room(), message->room_hash(), nullptr);
        if (room == nullptr) {
            result.code = Code::limit_reached;
            result.detail = too_many_rooms;
            answer(reply, result);
            return;
        }
    }
    published_.add();
    published_bytes_.add(message->data().size());
    if (room != nullptr && room->durable() && !message->ephemeral())
        return durable_->commit(*room, message, reply);
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

void HomeRooms::with_room(const RoomName& name, const RoomNameRef& shared,
                          std::function<void(Room* room, Refusal refused)> then) {
    Room* const room = find_or_create(name.text(), name.hash(), shared);
    if (room == nullptr) return then(nullptr, {Code::limit_reached, too_many_rooms});
    if (!room->durable()) return then(room, {});
    durable_->when_open(*room, [room, then = std::move(then)](const char* refused) {
        if (refused == nullptr)
            then(room, {});
        else
            then(nullptr, {Code::unavailable, refused});
    });
}

void HomeRooms::join(std::unique_ptr<JoinRequest> request) {
    const RoomName& name = *request->name;
    Room* const room = find_or_create(name.text(), name.hash(), request->name);
    if (room == nullptr) {
        request->result.code = Code::limit_reached;
        request->result.detail = too_many_rooms;
        return answer_join(std::move(request));
    }
    if (!room->durable()) {
        request->entered = true;
        request->result =
            room->join(request->origin->reactor().index(), request->local_room, request->wish);
        return answer_join(std::move(request));
    }
    // std::function wants to be copied; the request is not.
    const auto waiting = std::make_shared<std::unique_ptr<JoinRequest>>(std::move(request));
    durable_->when_open(*room, [this, room, waiting](const char* refused) {
        JoinRequest& asked = **waiting;
        if (refused != nullptr) {
            asked.result.code = Code::unavailable;
            asked.result.detail = refused;
            return answer_join(std::move(*waiting));
        }
        asked.entered = true;
        durable_->complete_join(
            *room, asked.wish,
            room->join(asked.origin->reactor().index(), asked.local_room, asked.wish),
            [waiting](JoinResult result) {
                (*waiting)->result = std::move(result);
                answer_join(std::move(*waiting));
            });
    });
}

void HomeRooms::leave(const RoomName& name, unsigned reactor, Form form, std::string_view user) {
    if (Room* const room = find(name.text(), name.hash())) room->leave(reactor, form, user);
}

void HomeRooms::identify(const RoomName& name, std::string_view user, std::string_view info) {
    if (Room* const room = find(name.text(), name.hash())) room->identify(user, info);
}

void HomeRooms::replay(const RoomName& name, const Position& after, std::size_t bytes_max,
                       std::function<void(ReplayBatch)> done) {
    Room* const room = find(name.text(), name.hash());
    if (room != nullptr && room->durable()) {
        // Whoever replays has joined, so the room was read.
        durable_->replay(*room, after, bytes_max, std::move(done));
        return;
    }
    if (room != nullptr) return done(room->replay(after, bytes_max));
    ReplayBatch none;
    none.trimmed = true;
    done(std::move(none));
}

void HomeRooms::history(const RoomName& name, const HistoryQuery& query,
                        std::function<void(HistoryResult)> done) {
    with_room(name, nullptr, [this, query, done = std::move(done)](Room* room, Refusal why) {
        if (room == nullptr) {
            HistoryResult none;
            none.code = why.code;
            none.detail = why.detail;
            return done(std::move(none));
        }
        if (room->durable())
            durable_->history(*room, query, done);
        else
            done(room->history(query));
    });
}

void HomeRooms::info(const RoomName& name, std::function<void(RoomInfo)> done) {
    with_room(name, nullptr,
              [text = std::string{name.text()}, done = std::move(done)](Room* room, Refusal why) {
                  RoomInfo info{why.code, why.detail, text, 0, {}};
                  if (room != nullptr) {
                      info.subscribers = room->subscribers();
                      info.position = room->newest();
                  }
                  done(std::move(info));
              });
}

PresenceResult HomeRooms::presence(const RoomName& name) {
    if (Room* const room = find(name.text(), name.hash())) return room->presence();
    return {};
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
        found.push_back({Code::ok, nullptr, std::string{name}, room.subscribers(), room.newest()});
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
