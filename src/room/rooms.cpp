#include "home_rooms.hpp"
#include "subscribers.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/rooms.hpp>

#include <algorithm>

namespace fanfare::room {
namespace {

/// Asks `question` on `target`'s reactor, which answers at once or later, and brings the answer
/// back to `origin`'s.
template <class T>
void ask(Rooms& origin, Rooms& target,
         std::function<void(HomeRooms&, std::function<void(T)>)> question,
         std::function<void(const T&)> done) {
    struct Ask {
        Rooms* origin;
        Rooms* target;
        std::function<void(HomeRooms&, std::function<void(T)>)> question;
        std::function<void(const T&)> done;
    };
    auto ask = std::make_shared<Ask>(Ask{&origin, &target, std::move(question), std::move(done)});
    target.reactor().post([ask] {
        ask->question(ask->target->home(), [ask](T answer) {
            ask->origin->reactor().post(
                [ask, answer = std::make_unique<T>(std::move(answer))] { ask->done(*answer); });
        });
    });
}

} // namespace

Rooms::Rooms(net::Reactor& reactor, Encoders encoders, RulesRef rules, const Options& options,
             unsigned reactors)
    : reactor_(reactor), encoders_(std::move(encoders)), rules_(std::move(rules)),
      options_(options), home_(std::make_unique<HomeRooms>(*this, reactors)),
      local_(std::make_unique<LocalRooms>(*this)) {}

Rooms::~Rooms() = default;

void Rooms::connect(std::vector<Rooms*> all, Broker& broker, DurableLog* log) {
    all_ = std::move(all);
    broker_ = &broker;
    has_store_ = log != nullptr;
    if (log != nullptr) home_->use_log(*log);
}

void Rooms::set_rules(RulesRef rules) {
    rules_ = std::move(rules);
    home_->rules_changed();
}

void Rooms::set_options(const Options& options) {
    options_ = options;
}

void Rooms::publish(DraftRef message, const PublishReply& reply) {
    PublishResult refusal;
    refusal.ephemeral = message->ephemeral();
    if (!message->ephemeral()) {
        const Rule* const rule = this->rule(message->room());
        if (rule != nullptr && rule->history.durable && !has_store_) {
            refusal.code = Code::unavailable;
            refusal.detail = "the room is durable and this gateway has no store";
        }
    }
    if (home_of(message->room_hash()).reactor().mailbox().backlog() > options_.backlog_max) {
        refusal.code = Code::unavailable;
        refusal.detail = "the room's reactor is overloaded";
    }
    if (refusal.code != Code::ok) return answer(reply, refusal);
    message->set_received(reactor_.now_micros());
    broker_->publish(std::move(message), reply);
}

bool Rooms::occupied(std::string_view room, std::uint64_t hash) const noexcept {
    return home_->occupied(room, hash);
}

void Rooms::subscribe(Subscription& subscription, Subscriber& subscriber, std::string_view room,
                      JoinWish wish) {
    local_->subscribe(subscription, subscriber, room, std::move(wish));
}
void Rooms::unsubscribe(Subscription& subscription, Form form, std::string_view user) {
    local_->unsubscribe(subscription, form, user);
}
void Rooms::identify(Subscription& subscription, std::string_view user, std::string_view info) {
    local_->identify(subscription, user, info);
}
void Rooms::pull(Subscription& subscription, std::size_t bytes_max) {
    local_->pull(subscription, bytes_max);
}
void Rooms::set_replayed(const Subscription& subscription, std::uint64_t offset) {
    local_->set_replayed(subscription, offset);
}
void Rooms::go_live(Subscription& subscription) {
    local_->go_live(subscription);
}
void Rooms::review_queue(Subscription& subscription) {
    local_->review_queue(subscription);
}
void Rooms::set_queue_bytes_max(std::size_t bytes_max) {
    local_->set_queue_bytes_max(bytes_max);
}
void Rooms::subscribe_pattern(Subscriber& subscriber, std::string_view pattern) {
    local_->subscribe_pattern(subscriber, pattern);
}
void Rooms::unsubscribe_pattern(Subscriber& subscriber, std::string_view pattern) {
    local_->unsubscribe_pattern(subscriber, pattern);
}

void Rooms::history(std::string_view room, const HistoryQuery& query,
                    std::function<void(const HistoryResult&)> done) {
    const RoomNameRef name = RoomName::make(room, hash_bytes(room));
    ask<HistoryResult>(
        *this, home_of(name->hash()),
        [name, query](HomeRooms& home, std::function<void(HistoryResult)> answer) {
            home.history(*name, query, std::move(answer));
        },
        std::move(done));
}

void Rooms::presence(std::string_view room, std::function<void(const PresenceResult&)> done) {
    const RoomNameRef name = RoomName::make(room, hash_bytes(room));
    ask<PresenceResult>(
        *this, home_of(name->hash()),
        [name](HomeRooms& home, const std::function<void(PresenceResult)>& answer) {
            answer(home.presence(*name));
        },
        std::move(done));
}

void Rooms::info(std::string_view room, std::function<void(const RoomInfo&)> done) {
    const RoomNameRef name = RoomName::make(room, hash_bytes(room));
    ask<RoomInfo>(
        *this, home_of(name->hash()),
        [name](HomeRooms& home, std::function<void(RoomInfo)> answer) {
            home.info(*name, std::move(answer));
        },
        std::move(done));
}

void Rooms::list(std::string prefix, std::string after, std::size_t limit,
                 std::function<void(std::vector<RoomInfo>)> done) {
    struct Gather {
        std::vector<RoomInfo> found;
        std::size_t missing;
        std::size_t limit;
        std::function<void(std::vector<RoomInfo>)> done;
    };
    auto gather = std::make_shared<Gather>(Gather{{}, all_.size(), limit, std::move(done)});
    for (Rooms* const target : all_)
        ask<std::vector<RoomInfo>>(
            *this, *target,
            [prefix, after, limit](HomeRooms& home,
                                   const std::function<void(std::vector<RoomInfo>)>& answer) {
                answer(home.list(prefix, after, limit));
            },
            [gather](const std::vector<RoomInfo>& part) {
                gather->found.insert(gather->found.end(), part.begin(), part.end());
                if (--gather->missing != 0) return;
                std::sort(gather->found.begin(), gather->found.end(),
                          [](const RoomInfo& a, const RoomInfo& b) { return a.room < b.room; });
                if (gather->found.size() > gather->limit) gather->found.resize(gather->limit);
                gather->done(std::move(gather->found));
            });
}

void Rooms::commit(DraftRef message, const PublishReply& reply) {
    home_->commit(message, reply);
}

} // namespace fanfare::room
