#include "home.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/inboxes.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace fanfare::delivery {
namespace {

constexpr const char* store_is_busy = "too many operations wait for the store";

/// Runs `act` on that reactor. For what is too large for a mailbox entry.
template <class Act>
void run_on(net::Reactor& reactor, Act&& act) {
    struct Command {
        std::unique_ptr<std::decay_t<Act>> act;
        void operator()() const { (*act)(); }
    };
    reactor.post(Command{std::make_unique<std::decay_t<Act>>(std::forward<Act>(act))});
}

room::MessageRef message_of(const NotificationId& id, const std::string& data,
                            const Position& position, WallMillis time, MonoMicros now,
                            std::uint32_t attempt) {
    const std::string text = id.text();
    room::Message::Parts parts;
    parts.room = session::inbox_room;
    parts.data = data;
    parts.id = text;
    parts.attempt = static_cast<std::uint8_t>(attempt);
    static const std::uint64_t hash = hash_bytes(session::inbox_room);
    const room::DraftRef message = room::Message::make(parts, hash);
    message->number(position, time, now);
    return message;
}

std::string room_of(const NotificationId& id) {
    return "@notifications:" + id.text();
}

} // namespace

Inboxes::Inboxes(session::Sessions& sessions, InboxLog& log, const InboxOptions& options)
    : sessions_(sessions), log_(log), options_(options), home_(std::make_unique<Home>(*this)),
      placed_(sessions.reactor().metrics().counter("notifications_accepted_total",
                                                   "Notifications that the API accepted.")),
      acknowledged_(sessions.reactor().metrics().counter(
          "inbox_acks_total", "Acknowledgements of clients that the store kept.")) {}

Inboxes::~Inboxes() = default;

void Inboxes::connect(std::vector<Inboxes*> all) {
    all_ = std::move(all);
    sessions_.set_inboxes(this);
}

std::size_t Inboxes::home_index(std::string_view user) const noexcept {
    return (hash_bytes(user) >> 32) % all_.size();
}

Inboxes& Inboxes::home_of(std::string_view user) noexcept {
    return *all_[home_index(user)];
}

// --- for the API ---

void Inboxes::place(Order order, std::function<void(const Placed&)> done) {
    struct Wanted {
        std::vector<std::string> users;
        std::string data;
        WallMillis created;
        std::function<void(const Placed&)> done;
    };
    auto wanted =
        std::make_shared<Wanted>(Wanted{order.users, order.data, order.created, std::move(done)});
    const bool taken = log_.place(std::move(order), [this, wanted](const Placed& placed) {
        if (placed.code == Code::ok && !placed.duplicate) {
            std::vector<StatusChange> changes;
            std::vector<std::vector<Parcel>> parcels(all_.size()); // one post for each home
            std::size_t count = 0;
            for (std::size_t i = 0; i < placed.notifications.size(); ++i) {
                const Placed::One& one = placed.notifications[i];
                if (one.position.offset == 0) continue;
                ++count;
                Parcel parcel{wanted->users[i], one.position, nullptr};
                if (one.attempt != 0)
                    parcel.message = message_of(one.id, wanted->data, one.position, wanted->created,
                                                sessions_.reactor().now_micros(), one.attempt);
                parcels[home_index(parcel.user)].push_back(std::move(parcel));
                for (const NotificationId& id : one.collapsed)
                    changes.push_back({id, Status::suppressed, wanted->created, Event::collapsed});
            }
            for (std::size_t i = 0; i < parcels.size(); ++i) {
                if (parcels[i].empty()) continue;
                Inboxes& there = *all_[i];
                run_on(there.sessions_.reactor(), [&there, mine = std::move(parcels[i])]() mutable {
                    for (Parcel& parcel : mine) there.home_->deliver(std::move(parcel));
                });
            }
            placed_.add(count);
            announce(changes);
        }
        wanted->done(placed);
    });
    if (taken) return;
    Placed refused;
    refused.code = Code::unavailable;
    refused.detail = store_is_busy;
    wanted->done(refused);
}

void Inboxes::mark_read(const std::string& user, std::uint64_t offset,
                        std::function<void(const Acked&)> done) {
    AckWish wish;
    wish.ack = {user, offset, {}, "api"};
    wish.done = [this, done = std::move(done)](const Acked& acked) {
        run_on(sessions_.reactor(), [done, acked] { done(acked); });
    };
    Inboxes& there = home_of(user);
    run_on(there.sessions_.reactor(), [&there, wish = std::move(wish)]() mutable {
        there.home_->acknowledge(std::move(wish));
    });
}

void Inboxes::erase(const std::string& user, std::function<void(const Erased&)> done) {
    Inboxes& there = home_of(user);
    run_on(there.sessions_.reactor(), [this, &there, user, done = std::move(done)] {
        there.home_->erase(user, [this, done](const Erased& erased) {
            run_on(sessions_.reactor(), [done, erased] { done(erased); });
        });
    });
}

void Inboxes::announce(const std::vector<StatusChange>& changes) {
    if (changes.empty()) return;
    if (tell_) tell_(changes);
    if (all_.size() == 1) return say(changes);
    // Most are followed by nobody, which the home of their room knows.
    std::vector<std::vector<StatusChange>> by_home(all_.size());
    for (const StatusChange& change : changes)
        by_home[sessions_.rooms().home_of(hash_bytes(room_of(change.id))).reactor().index()]
            .push_back(change);
    for (std::size_t i = 0; i < all_.size(); ++i) {
        if (by_home[i].empty()) continue;
        Inboxes& there = *all_[i];
        run_on(there.sessions_.reactor(),
               [&there, here = std::move(by_home[i])] { there.say(here); });
    }
}

/// At home.
void Inboxes::say(const std::vector<StatusChange>& changes) {
    for (const StatusChange& change : changes) {
        const std::string name = room_of(change.id);
        const std::uint64_t hash = hash_bytes(name);
        if (!sessions_.rooms().occupied(name, hash)) continue;
        std::string data;
        JsonWriter{data}
            .begin_object()
            .field("id", change.id.text())
            .field("status", status_name(change.status))
            .field("time", rfc3339(change.time))
            .field("event", event_name(change.event))
            .end_object();
        room::Message::Parts parts;
        parts.room = name;
        parts.data = data;
        sessions_.rooms().publish(room::Message::make(parts, hash), {});
    }
}

// --- for sessions ---

void Inboxes::subscribe(const session::InboxPlace& place, const std::optional<Position>& since,
                        std::uint32_t last, std::size_t bytes_max) {
    Joining joining{sessions_.reactor().index(), place, since, last, bytes_max};
    Inboxes& there = home_of(place.user);
    run_on(there.sessions_.reactor(), [&there, joining = std::move(joining)]() mutable {
        there.home_->join(std::move(joining));
    });
}

void Inboxes::pull(const session::InboxPlace& place, std::size_t bytes_max) {
    Inboxes& there = home_of(place.user);
    run_on(there.sessions_.reactor(),
           [&there, reactor = sessions_.reactor().index(), place, bytes_max] {
               there.home_->pull(reactor, place, bytes_max);
           });
}

void Inboxes::unsubscribe(const session::InboxPlace& place) {
    Inboxes& there = home_of(place.user);
    run_on(there.sessions_.reactor(), [&there, reactor = sessions_.reactor().index(), place] {
        there.home_->leave(reactor, place);
    });
}

void Inboxes::acknowledge(const session::InboxPlace& place, std::uint64_t offset,
                          const std::string& device,
                          std::function<void(const Error&, std::uint64_t)> done) {
    AckWish wish;
    wish.ack = {place.user, offset, device, place.session_id};
    wish.session = place.session;
    wish.reactor = sessions_.reactor().index();
    wish.done = [this, done = std::move(done)](const Acked& acked) {
        run_on(sessions_.reactor(),
               [this, done, code = acked.code, detail = acked.detail, at = acked.acked] {
                   if (code != Code::ok) return done({code, detail, {}}, 0);
                   acknowledged_.add();
                   done({}, at);
               });
    };
    Inboxes& there = home_of(place.user);
    run_on(there.sessions_.reactor(), [&there, wish = std::move(wish)]() mutable {
        there.home_->acknowledge(std::move(wish));
    });
}

void Inboxes::history(const std::string& user, const room::HistoryQuery& query,
                      std::function<void(const room::HistoryResult&)> done) {
    // As in rooms: without a position, or backwards, the walk goes down from the newest.
    const bool down = query.reverse || !query.since;
    InboxQuery asked;
    asked.user = user;
    asked.reverse = down;
    asked.limit = query.limit;
    asked.bytes_max = query.bytes_max;
    if (!query.since)
        asked.first = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    else if (query.reverse)
        asked.first = query.since->offset == 0 ? 0 : query.since->offset - 1;
    else
        asked.first = query.since->offset + 1;
    log_.view(
        std::move(asked), [this, user, query, down, done = std::move(done)](const InboxView& view) {
            if (view.code == Code::ok && query.since && !query.any_epoch &&
                query.since->epoch != view.newest.epoch) {
                // A position of another life of the inbox: from this one's beginning, or end.
                room::HistoryQuery anew = query;
                anew.since.reset();
                if (!query.reverse) anew.since = Position{view.newest.epoch, 0};
                return history(user, anew, done);
            }
            room::HistoryResult result;
            result.code = view.code;
            result.detail = view.detail;
            result.position = view.newest;
            const MonoMicros now = sessions_.reactor().now_micros();
            for (const Notification& each : view.notifications)
                result.messages.push_back(message_of(
                    each.id, each.data, {view.newest.epoch, each.offset}, each.created, now, 0));
            result.more = view.more;
            if (down && !query.reverse)
                std::reverse(result.messages.begin(), result.messages.end());
            done(result);
        });
}

} // namespace fanfare::delivery
