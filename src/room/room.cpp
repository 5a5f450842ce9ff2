#include "room.hpp"

#include "home_rooms.hpp"
#include "subscribers.hpp"

#include <fanfare/net/reactor.hpp>

#include <algorithm>

namespace fanfare::room {
namespace {

// A room that was never published to is forgotten sooner than position_ttl: nothing is lost but
// the name of an empty numbering. Long enough for clients that reconnect.
constexpr std::chrono::milliseconds unpublished_ttl{60'000};

struct Deliver {
    LocalRooms* local;
    MessageRef message;
    net::Handle local_room;
    bool patterns;
    std::uint16_t batch_ms;
    void operator()() { local->deliver(std::move(message), local_room, patterns, batch_ms); }
};

struct Announce {
    LocalRooms* local;
    std::shared_ptr<const PresenceNote> note;
    net::Handle local_room;
    void operator()() const { local->announce(*note, local_room); }
};

} // namespace

Room::Room(HomeRooms& rooms, RoomNameRef name, const Rule* rule, std::uint32_t rules_generation)
    : rules_generation_(rules_generation & HomeRooms::generation_mask), rooms_(rooms),
      name_(std::move(name)), rule_(rule), epoch_(Epoch::fresh()),
      last_use_(rooms.reactor().now()) {}

Room::~Room() = default;

void Room::shed_audience() noexcept {
    if (!audience_ || audience_->subscribers != 0) return;
    if (audience_->presence && !audience_->presence->empty()) return;
    audience_.reset();
}

void Room::follow(const Rule* rule, std::uint32_t generation) {
    rules_generation_ = generation & HomeRooms::generation_mask;
    rule_ = rule;
    // Without a rule it lives out its time, unreachable, with the history it has.
    if (rule_ != nullptr) history_.trim(kept_max());
    if (rule_ != nullptr && !rule_->presence && audience_) audience_->presence.reset();
    shed_audience();
    schedule();
}

void Room::append(Message& message) {
    if (message.ephemeral()) return rooms_.number(message, {});
    rooms_.number(message, {epoch_, ++offset_});
    keep(message);
}

void Room::append_committed(Message& message, std::uint64_t offset, WallMillis time) {
    offset_ = offset;
    message.number({epoch_, offset}, time, rooms_.reactor().now_micros());
    keep(message);
}

std::size_t Room::kept_max() const noexcept {
    // Without a rule nothing is kept, what was kept neither: history has no holes.
    const std::size_t size = rule_ != nullptr ? rule_->history.size : 0;
    return durable_ ? std::min(size, rooms_.rooms().options().window_max) : size;
}

void Room::keep(Message& message) {
    last_use_ = rooms_.reactor().now();
    history_.add(MessageRef{&message}, kept_max());
    if (subscribers() == 0) rooms_.became_idle(*this); // moves it to the young end
    // Behind older messages this one's age brings nothing sooner than what the timer is set for.
    if (!armed() || history_.size() == 1) schedule();
}

void Room::encode(Message& message) {
    if (!audience_) return;
    const std::vector<Interest>& interests = audience_->interests;
    for (std::size_t form = 0; form < form_count; ++form) {
        const bool wanted = std::any_of(interests.begin(), interests.end(),
                                        [&](const Interest& i) { return i.forms[form] != 0; });
        if (!wanted) continue;
        Encoders& encoders = rooms_.rooms().encoders();
        auto as = static_cast<Form>(form);
        while (!message.encoded(as)) {
            SharedBytesRef bytes = encoders[static_cast<std::size_t>(as)]->encode(message);
            if (bytes) {
                message.set_encoded(as, std::move(bytes));
                break;
            }
            as = encoders[static_cast<std::size_t>(as)]->fallback();
        }
    }
}

void Room::distribute(const DraftRef& message) {
    if (!audience_ && (rule_ == nullptr || !rule_->patterns)) return;
    encode(*message);
    ReactorSet with_pattern;
    if (rule_ != nullptr && rule_->patterns) with_pattern = rooms_.pattern_reactors(name_->text());
    const auto& all = rooms_.rooms().all();
    const auto batch_ms =
        static_cast<std::uint16_t>(rule_ != nullptr ? rule_->batch.count() : 0); // at most 1 s
    if (audience_) {
        for (const Interest& interest : audience_->interests) {
            Rooms& target = *all[interest.reactor];
            target.reactor().post(Deliver{&target.local(), message, interest.local_room,
                                          with_pattern.test(interest.reactor), batch_ms});
            with_pattern.reset(interest.reactor);
        }
    }
    if (with_pattern.none()) return;
    for (std::size_t reactor = 0; reactor < all.size(); ++reactor)
        if (with_pattern.test(reactor))
            all[reactor]->reactor().post(Deliver{&all[reactor]->local(), message, 0, true, 0});
}

Interest& Room::interest_of(unsigned reactor, net::Handle local_room) {
    for (Interest& interest : audience_->interests)
        if (interest.reactor == reactor) {
            // The reactor may have dropped the room and taken it up again since.
            interest.local_room = local_room;
            return interest;
        }
    Interest& fresh = audience_->interests.emplace_back();
    fresh.reactor = static_cast<std::uint16_t>(reactor);
    fresh.local_room = local_room;
    return fresh;
}

JoinResult Room::join(unsigned reactor, net::Handle local_room, const JoinWish& wish) {
    if (!audience_) audience_ = std::make_unique<Audience>();
    Interest& interest = interest_of(reactor, local_room);
    ++interest.subscribers;
    ++interest.forms[static_cast<std::size_t>(wish.form)];
    if (audience_->subscribers++ == 0) rooms_.became_busy(*this);

    if (rule_ != nullptr && rule_->presence) {
        std::unique_ptr<Presence>& presence = audience_->presence;
        if (!presence) presence = std::make_unique<Presence>();
        if (wish.user.empty())
            presence->enter_anonymous();
        else if (presence->enter(wish.user, wish.info))
            announce(wish.user, true);
    }

    expire();
    JoinResult result;
    result.position = newest();
    result.replay_after = offset_;
    if (wish.since) {
        const bool recovered =
            wish.since->epoch.stands_for(epoch_) && history_.covers(wish.since->offset, offset_);
        result.recovered = recovered;
        if (recovered) result.replay_after = wish.since->offset;
    } else if (wish.last != 0) {
        result.replay_after = offset_ - std::min<std::uint64_t>(wish.last, history_.size());
    }
    return result;
}

void Room::leave(unsigned reactor, Form form, std::string_view user) {
    if (!audience_) return;
    std::vector<Interest>& interests = audience_->interests;
    const auto at = std::find_if(interests.begin(), interests.end(),
                                 [&](const Interest& i) { return i.reactor == reactor; });
    if (at == interests.end()) return;
    --at->forms[static_cast<std::size_t>(form)];
    if (--at->subscribers == 0) interests.erase(at);
    --audience_->subscribers;
    const MonoMillis now = rooms_.reactor().now();
    if (Presence* const presence = presence_of_users()) {
        if (user.empty())
            presence->leave_anonymous();
        else
            presence->leave(user, now, rooms_.rooms().options().presence_linger);
    }
    if (audience_->subscribers == 0) {
        interests.shrink_to_fit();
        if (offset_ == 0) last_use_ = now;
        rooms_.became_idle(*this);
        shed_audience();
    }
    schedule();
}

void Room::identify(std::string_view user, std::string_view info) {
    Presence* const presence = presence_of_users();
    if (presence == nullptr) return;
    presence->leave_anonymous();
    if (presence->enter(user, info)) announce(user, true);
}

void Room::announce(std::string_view user, bool joined) {
    // Above the bound a join would cost one push per member and tell nobody anything.
    if (audience_->presence->members().size() > rooms_.rooms().options().presence_members_max)
        return;
    if (audience_->interests.empty()) return;
    const auto note = std::make_shared<const PresenceNote>(
        PresenceNote{std::string{name_->text()}, std::string{user}, joined});
    for (const Interest& interest : audience_->interests) {
        Rooms& target = *rooms_.rooms().all()[interest.reactor];
        target.reactor().post(Announce{&target.local(), note, interest.local_room});
    }
}

ReplayBatch Room::replay(const Position& after, std::size_t bytes_max) {
    ReplayBatch batch;
    batch.newest = newest();
    if (after.epoch != epoch_ || !history_.covers(after.offset, offset_)) {
        batch.trimmed = true;
        return batch;
    }
    const std::uint64_t oldest = history_.oldest_offset(offset_);
    std::size_t bytes = 0;
    for (std::uint64_t offset = after.offset + 1; offset <= offset_; ++offset) {
        const MessageRef& message = history_[offset - oldest];
        // The envelope is estimated: it only has to bound the queue, not to measure it.
        bytes += message->data().size() + message->room().size() + 160;
        if (!batch.messages.empty() && bytes > bytes_max) return batch;
        batch.messages.push_back(message);
    }
    batch.caught_up = true;
    return batch;
}

HistoryResult Room::history(const HistoryQuery& query) {
    expire();
    HistoryResult result;
    result.position = newest();
    const std::uint64_t oldest = history_.oldest_offset(offset_);
    std::size_t bytes = 0;
    // True while there is room for one more.
    const auto take = [&](std::uint64_t offset) {
        const MessageRef& message = history_[offset - oldest];
        bytes += message->data().size() + message->room().size() + 160;
        const bool fits = result.messages.size() < query.limit &&
                          (result.messages.empty() || bytes <= query.bytes_max);
        if (fits)
            result.messages.push_back(message);
        else
            result.more = true;
        return fits;
    };
    if (history_.empty()) return result;
    const bool foreign = query.since && !query.any_epoch && query.since->epoch != epoch_;
    if (query.reverse) {
        std::uint64_t from = offset_;
        if (query.since && !foreign && query.since->offset <= offset_)
            from = query.since->offset == 0 ? 0 : query.since->offset - 1;
        for (std::uint64_t offset = from; offset >= oldest && offset != 0; --offset)
            if (!take(offset)) break;
        return result;
    }
    std::uint64_t from = oldest;
    if (query.since && !foreign) {
        from = std::max(oldest, std::min(query.since->offset, offset_) + 1);
    } else if (!query.since) {
        // The newest `limit` that also fit the bytes, oldest first.
        std::uint64_t offset = offset_;
        while (offset >= oldest && offset != 0 && take(offset)) --offset;
        std::reverse(result.messages.begin(), result.messages.end());
        return result;
    }
    for (std::uint64_t offset = from; offset <= offset_; ++offset)
        if (!take(offset)) break;
    return result;
}

PresenceResult Room::presence() const {
    PresenceResult result;
    const Presence* const presence = presence_of_users();
    if (presence == nullptr) return result;
    result.total = presence->total();
    for (const auto& [user, member] : presence->members()) {
        if (result.members.size() == rooms_.rooms().options().presence_members_max) break;
        result.members.push_back({user, member.sessions, member.info});
    }
    return result;
}

void Room::expire() {
    const MonoMillis now = rooms_.reactor().now();
    if (rule_ != nullptr && rule_->history.ttl.count() != 0)
        history_.expire(now, rule_->history.ttl);
    if (Presence* const presence = presence_of_users()) {
        for (const std::string& user : presence->expire(now)) announce(user, false);
        shed_audience();
    }
}

MonoMillis Room::idle_until() const noexcept {
    // What the store has can be forgotten here, and what nobody follows a notification by.
    if (durable_ || (rule_ != nullptr && rule_->reserved))
        return last_use_ + unpublished_ttl.count();
    const std::chrono::milliseconds ttl = rooms_.rooms().options().position_ttl;
    return last_use_ + (offset_ == 0 ? std::min(ttl, unpublished_ttl) : ttl).count();
}

void Room::schedule() {
    const MonoMillis now = rooms_.reactor().now();
    std::optional<MonoMillis> due;
    const auto consider = [&](MonoMillis at) { due = due ? std::min(*due, at) : at; };
    if (!history_.empty() && rule_ != nullptr && rule_->history.ttl.count() != 0)
        consider(history_.oldest()->born() + rule_->history.ttl.count());
    if (const Presence* const presence = presence_of_users())
        if (const auto next = presence->next_expiry()) consider(*next);
    // Messages and members keep the room: with them there, its end is not what happens next.
    if (is_empty()) consider(idle_until());
    if (due)
        rooms_.reactor().timers().set(
            *this, std::chrono::milliseconds{std::max<MonoMillis>(*due - now, 1)});
    else
        cancel();
}

bool Room::is_empty() const noexcept {
    // Messages that no rule governs any more have no age: they do not keep the room.
    const Presence* const presence = presence_of_users();
    return subscribers() == 0 && (history_.empty() || rule_ == nullptr || durable_) &&
           (presence == nullptr || presence->empty());
}

void Room::on_timer() {
    // The rule may have been replaced, and destroyed, since the room was used last.
    rooms_.refresh(*this);
    expire();
    if (is_empty() && rooms_.reactor().now() >= idle_until() && !rooms_.busy(*this))
        rooms_.forget(*this); // destroys this
    else
        schedule();
}

} // namespace fanfare::room
