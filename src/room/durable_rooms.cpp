#include "durable_rooms.hpp"

#include "home_rooms.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::room {
namespace {

constexpr std::size_t replay_messages_max = 1'000; // of one question to the store
/// The store is told to drop messages when so many more than wanted are kept.
std::uint64_t trim_slack(std::uint64_t wanted) noexcept {
    return std::clamp<std::uint64_t>(wanted / 8, 16, 1'000);
}

} // namespace

WallMillis DurableRooms::not_before(const Room& room) const {
    const Rule* const rule = room.rule();
    if (rule == nullptr || rule->history.ttl.count() == 0) return 0;
    return rooms_.reactor().wall() - rule->history.ttl.count();
}

void DurableRooms::open(Room& room) {
    room.durable_ = true;
    places_.emplace(&room, std::make_unique<Place>());
    const Options& options = rooms_.rooms().options();
    LogRange recent;
    recent.limit = room.kept_max();
    recent.bytes_max = options.window_bytes_max;
    recent.not_before = not_before(room);
    log_.open(room.name().text(), room.name().hash(), room.epoch_, recent,
              [this, &room](OpenedRoom found) { opened(room, std::move(found)); });
}

void DurableRooms::opened(Room& room, OpenedRoom found) {
    Place& place = *places_.at(&room);
    std::vector<Then> waiting = std::move(place.waiting);
    if (found.code == Code::ok) {
        place.logged = std::move(found.room);
        room.epoch_ = found.newest.epoch;
        room.offset_ = found.newest.offset;
        for (const MessageRef& message : found.recent) room.history_.add(message, room.kept_max());
        room.schedule();
    }
    // Held for as long as its commands run: each may be the one that fills the gateway.
    ++place.under_way;
    for (const Then& then : waiting) then(found.detail);
    --place.under_way;
    if (found.code != Code::ok) rooms_.forget(room);
}

bool DurableRooms::busy(const Room& room) const {
    const auto at = places_.find(&room);
    return at != places_.end() && (!at->second->logged || at->second->under_way != 0);
}

bool DurableRooms::convert(Room& room, bool durable) {
    if (durable == room.durable_) return true;
    if (busy(room)) return false;
    room.durable_ = durable;
    if (durable) {
        auto place = std::make_unique<Place>();
        place->logged = log_.adopt(room.name().text(), room.newest());
        places_.emplace(&room, std::move(place));
    } else {
        // Its numbers go on in memory: those in the store must not come back some day.
        log_.erase(places_.at(&room)->logged);
        places_.erase(&room);
    }
    return true;
}

void DurableRooms::when_open(Room& room, Then then) {
    Place& place = *places_.at(&room);
    if (place.logged)
        then(nullptr);
    else
        place.waiting.push_back(std::move(then));
}

void DurableRooms::commit(Room& room, DraftRef message, const PublishReply& reply) {
    when_open(room, [this, &room, message = std::move(message), reply](const char* refused) {
        Place& place = *places_.at(&room);
        if (refused == nullptr) {
            const bool taken = log_.append(place.logged, message, rooms_.reactor().wall(),
                                           reply.key, static_cast<std::uint32_t>(reply.request),
                                           [this, &room, message, reply](const Appended& result) {
                                               appended(room, message, reply, result);
                                           });
            if (taken) {
                ++place.under_way;
                return;
            }
            refused = "too many messages wait for the store";
        }
        PublishResult result;
        result.code = Code::unavailable;
        result.detail = refused;
        answer(reply, result);
    });
}

void DurableRooms::appended(Room& room, const DraftRef& message, const PublishReply& reply,
                            const Appended& appended) {
    Place& place = *places_.at(&room);
    --place.under_way;
    PublishResult result;
    result.code = appended.code;
    result.detail = appended.detail;
    if (appended.code != Code::ok) {
        answer(reply, result);
        return;
    }
    room.append_committed(*message, appended.offset, appended.time);
    result.durable = true;
    result.position = message->position();
    // The answer leaves first, so that the publisher's ok comes before its own message.
    answer(reply, result);
    room.distribute(message);
    trim(room, place);
}

void DurableRooms::trim(Room& room, Place& place) {
    if (room.rule() == nullptr) return;
    const std::uint64_t wanted = room.oldest_wanted();
    if (place.trimmed == 0) place.trimmed = wanted; // what was there before is the sweep's
    if (wanted < place.trimmed + trim_slack(room.rule()->history.size)) return;
    place.trimmed = wanted;
    log_.trim(place.logged, wanted);
}

void DurableRooms::read(Room& room, const LogRange& range,
                        std::function<void(LoggedMessages)> done) {
    Place& place = *places_.at(&room);
    ++place.under_way;
    log_.read(place.logged, range, [this, &room, done = std::move(done)](LoggedMessages messages) {
        done(std::move(messages));
        --places_.at(&room)->under_way;
    });
}

void DurableRooms::complete_join(Room& room, const JoinWish& wish, JoinResult result,
                                 std::function<void(JoinResult)> done) {
    const bool resumes = wish.since && !result.recovered.value_or(true) &&
                         wish.since->epoch.stands_for(room.epoch_) &&
                         wish.since->offset <= room.offset_ &&
                         wish.since->offset + 1 >= room.oldest_wanted();
    const bool looks_back =
        !wish.since && wish.last > room.history_.size() && room.offset_ > room.history_.size();
    if (!resumes && !looks_back) return done(std::move(result));
    LogRange first;
    first.first = resumes ? wish.since->offset + 1
                          : room.offset_ - std::min<std::uint64_t>(wish.last, room.offset_) + 1;
    first.first = std::max(first.first, room.oldest_wanted());
    first.not_before = not_before(room);
    first.limit = 1;
    read(room, first,
         [&room, resumes, wanted = first.first, result = std::move(result),
          done = std::move(done)](const LoggedMessages& found) mutable {
             if (found.code != Code::ok) {
                 result.code = found.code;
                 result.detail = found.detail;
                 return done(std::move(result));
             }
             // What came meanwhile is part of what it is told: it is not delivered yet.
             result.position = room.newest();
             result.replay_after = result.position.offset;
             if (resumes)
                 result.recovered =
                     !found.messages.empty() && found.messages.front()->position().offset == wanted;
             if (!found.messages.empty() && result.recovered.value_or(true))
                 result.replay_after = found.messages.front()->position().offset - 1;
             done(std::move(result));
         });
}

void DurableRooms::replay(Room& room, const Position& after, std::size_t bytes_max,
                          std::function<void(ReplayBatch)> done) {
    ReplayBatch batch = room.replay(after, bytes_max);
    if (!batch.trimmed || after.epoch != room.epoch_ || after.offset > room.offset_ ||
        after.offset + 1 < room.oldest_wanted())
        return done(std::move(batch));
    LogRange range;
    range.first = after.offset + 1;
    range.not_before = not_before(room);
    range.limit = replay_messages_max;
    range.bytes_max = bytes_max;
    read(room, range, [&room, wanted = range.first, done = std::move(done)](LoggedMessages found) {
        ReplayBatch old;
        old.newest = room.newest();
        // A store that cannot be read now cannot be waited for either: the client is told that
        // continuity is lost, and may resume from where it was.
        old.trimmed = found.messages.empty() || found.messages.front()->position().offset != wanted;
        if (!old.trimmed) old.messages = std::move(found.messages);
        done(std::move(old));
    });
}

void DurableRooms::history(Room& room, const HistoryQuery& query,
                           std::function<void(HistoryResult)> done) {
    room.expire();
    const std::uint64_t newest = room.offset_;
    const std::uint64_t oldest = room.oldest_wanted();
    const bool foreign = query.since && !query.any_epoch && query.since->epoch != room.epoch_;
    const bool downwards = query.reverse || !query.since;
    // The first one that is wanted, as the walk goes.
    std::uint64_t first = newest;
    if (query.since && !foreign) {
        const std::uint64_t since = std::min(query.since->offset, newest);
        if (!query.reverse)
            first = std::max(since + 1, oldest);
        else if (query.since->offset <= newest)
            first = since == 0 ? 0 : since - 1;
    } else if (!downwards) {
        first = oldest;
    }
    const std::uint64_t in_memory = room.history_.oldest_offset(newest);
    const std::uint64_t last_wanted = downwards ? (first > query.limit ? first - query.limit : 1)
                                                : first; // one more than asked for: is there more?
    if (std::max(last_wanted, oldest) >= in_memory || first < oldest || first > newest)
        return done(room.history(query));
    LogRange range;
    range.first = first;
    range.reverse = downwards;
    range.not_before = not_before(room);
    range.limit = query.limit + 1;
    range.bytes_max = query.bytes_max;
    read(room, range,
         [&room, query, downwards, oldest, newest, done = std::move(done)](LoggedMessages found) {
             HistoryResult result;
             result.code = found.code;
             result.detail = found.detail;
             // What came while the store was asked is not part of the answer.
             result.position = {room.epoch_, newest};
             std::vector<MessageRef>& messages = found.messages;
             const auto unwanted = [&](const MessageRef& message) {
                 return message->position().offset < oldest || message->position().offset > newest;
             };
             std::erase_if(messages, unwanted);
             // What there was no room for is not wanted either if this is the end.
             const std::uint64_t end = downwards ? oldest : newest;
             if (!messages.empty() && messages.back()->position().offset == end) found.cut = false;
             result.more = found.cut || messages.size() > query.limit;
             if (messages.size() > query.limit) messages.resize(query.limit);
             if (downwards && !query.reverse) std::reverse(messages.begin(), messages.end());
             result.messages = std::move(messages);
             done(std::move(result));
         });
}

} // namespace fanfare::room
