// Identity, clocks, limits, publishing and questions. Joining, resuming and leaving rooms are in
// session_rooms.cpp.

#include "permissions.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/session/session.hpp>
#include <fanfare/session/sessions.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace fanfare::session {

Session::Session(Sessions& service, Outbound& outbound, room::Form form, bool direct)
    : service_(service), outbound_(outbound), form_(form), direct_(direct) {
    label_queue();
}

Session::~Session() {
    end();
}

std::string_view Session::user() const noexcept {
    return member_ ? std::string_view{member_->identity->user} : std::string_view{};
}

Session::Extra& Session::extra() {
    if (!extra_) extra_ = std::make_unique<Extra>();
    return *extra_;
}

void Session::drop_extra_if_empty() noexcept {
    if (extra_ && extra_->patterns.empty() && extra_->joining.empty() &&
        extra_->pattern_waits.empty() && extra_->pulling == nullptr && !extra_->inbox)
        extra_.reset();
}

Session::ShortMillis Session::short_now() const noexcept {
    return static_cast<ShortMillis>(service_.reactor().now());
}

std::string Session::id() const {
    // Where the session is (reactor, slot) in front, so that it is found without a table, and 64
    // random bits behind, so that it cannot be guessed.
    std::array<std::byte, 12> bytes{};
    const auto place = static_cast<std::uint32_t>((service_.reactor().index() << 22) |
                                                  (static_cast<std::uint32_t>(handle_) & 0x3fffff));
    std::memcpy(bytes.data(), &place, sizeof place);
    std::memcpy(bytes.data() + sizeof place, &secret_, sizeof secret_);
    return to_base64url(bytes);
}

void Session::open(IdentityRef identity) {
    const net::Reactor& reactor = service_.reactor();
    secret_ = random_u64();
    opened_ = heard_ = short_now();
    connected_at_ = reactor.clock().wall();
    service_.add(*this);
    set_identity(std::move(identity));
    // The first heartbeat comes after half to one interval, so that clients that came together do
    // not answer together.
    const std::int64_t beat = service_.options().heartbeat.count();
    next_ping_ = opened_ + static_cast<ShortMillis>(beat / 2) +
                 static_cast<ShortMillis>(secret_ % static_cast<std::uint64_t>(beat / 2 + 1));
    schedule();
    protocol().welcome(*this);
}

void Session::end() {
    if (ended_) return;
    ended_ = true;
    cancel();
    while (room::Subscription* const any =
               subscriptions_.find_if([](const room::Subscription&) { return true; }))
        leave(*any);
    if (extra_)
        for (const std::string& pattern : extra_->patterns)
            service_.rooms().unsubscribe_pattern(*this, pattern);
    if (Inbox* const mine = inbox(); mine != nullptr && mine->state != Inbox::State::left)
        leave_inbox(*mine);
    if (handle_ != 0) service_.remove(*this);
}

void Session::set_identity(IdentityRef identity) {
    if (member_) service_.unindex_user(*this);
    member_.reset();
    if (!identity) return;
    member_ = std::make_unique<Member>();
    member_->identity = std::move(identity);
    service_.index_user(*this);
}

void Session::close(CloseReason reason, std::string_view detail) {
    if (!ended_) outbound_.close(reason, detail);
}

void Session::send_away(std::uint64_t reconnect_in_ms) {
    if (ended_) return;
    protocol().bye(*this, "drain", "the gateway is shutting down", reconnect_in_ms);
    close(CloseReason::drain, "drain");
}

// --- clocks ---

void Session::heard() noexcept {
    heard_ = short_now();
}

void Session::schedule() {
    const ShortMillis now = short_now();
    std::int64_t wait = static_cast<std::int32_t>(next_ping_ - now);
    if (const Identity* const who = identity())
        // The wall clock may jump: an expiry far ahead is looked at again with each heartbeat.
        wait = std::min(wait, who->closes * 1000 - service_.reactor().clock().wall());
    else if (!service_.options().anonymous)
        wait = std::min(wait, service_.options().auth_timeout.count() -
                                  static_cast<std::int64_t>(now - opened_));
    service_.reactor().timers().set(*this,
                                    std::chrono::milliseconds{std::max<std::int64_t>(wait, 1)});
}

void Session::on_timer() {
    const Options& options = service_.options();
    const ShortMillis now = short_now();
    const Identity* const who = identity();
    if (who != nullptr && service_.reactor().clock().wall() >= who->closes * 1000) {
        close(CloseReason::unauthorized, "the token has expired");
        return;
    }
    if (who == nullptr && !options.anonymous && now - opened_ >= options.auth_timeout.count()) {
        close(CloseReason::unauthorized, "no token came in time");
        return;
    }
    if (static_cast<std::int32_t>(now - next_ping_) >= 0) {
        if (outbound_.answers_pings() && now - heard_ >= 2 * options.heartbeat.count()) {
            service_.idle_closed.add();
            close(CloseReason::idle, "two heartbeats were not answered");
            return;
        }
        outbound_.ping();
        next_ping_ = now + static_cast<ShortMillis>(options.heartbeat.count());
    }
    if (!ended_) schedule();
}

bool Session::admit_message(RequestId id) {
    const Options& options = service_.options();
    service_.messages_in.add();
    const auto window =
        static_cast<std::uint32_t>(service_.reactor().now() / options.rate_window.count());
    if (window != rate_window_) {
        // A window within the limit, or one without a message, ends the row.
        if (rate_count_ <= options.rate_messages || window != rate_window_ + 1) rate_strikes_ = 0;
        rate_window_ = window;
        rate_count_ = 0;
    }
    if (++rate_count_ <= options.rate_messages) return true;
    service_.rate_limited.add();
    if (rate_count_ == options.rate_messages + 1 && ++rate_strikes_ >= options.rate_strikes_max) {
        close(CloseReason::rate, "too many messages for too long");
        return false;
    }
    fail(id, Code::rate_limited, "too many messages in this window");
    return false;
}

// --- identity ---

void Session::authenticate(RequestId id, std::string token) {
    if (authenticating_) {
        fail(id, Code::conflict, "an earlier `auth` is not answered yet");
        return;
    }
    authenticating_ = true;
    service_.authorizer().authenticate(std::move(token),
                                       [service = &service_, handle = handle_,
                                        id](const IdentityRef& identity, const Error& error) {
                                           // The answer may come later, when the session is gone.
                                           Session** const found = service->sessions_.find(handle);
                                           if (found != nullptr)
                                               (*found)->authenticated(id, identity, error);
                                       });
}

void Session::authenticated(RequestId id, const IdentityRef& identity, const Error& error) {
    authenticating_ = false;
    if (!identity) {
        protocol().error(*this, id, error);
        close(CloseReason::unauthorized, "the token is not valid");
        return;
    }
    if (member_ && user() != identity->user) {
        fail(id, Code::forbidden, "the token belongs to another user");
        return;
    }
    const bool was_anonymous = !member_;
    set_identity(identity);
    if (was_anonymous)
        subscriptions_.for_each([&](room::Subscription& subscription) {
            service_.rooms().identify(subscription, identity->user, identity->info);
        });
    protocol().auth_ok(*this, id);
    review_rights();
    if (!ended_) schedule();
}

void Session::fail(RequestId id, Code code, std::string message) {
    protocol().error(*this, id, Error{code, std::move(message), {}});
}

void Session::refuse(RequestId id, const Error& error) {
    protocol().error(*this, id, error);
}

bool Session::may_act(RequestId id) {
    if (member_ || service_.options().anonymous) return true;
    fail(id, Code::unauthorized, "send `auth` with a token first");
    return false;
}

// --- publishing ---

Error Session::publish_fault(const PublishRequest& request) {
    if (request.room == inbox_room)
        return {Code::forbidden, "only notifications go into an inbox", "room"};
    const room::Rule* const rule = service_.rooms().rule(request.room);
    if (rule == nullptr) return {Code::not_found, "no rule allows a room of this name", "room"};
    const room::Subscription* const subscription = find_staying(request.room);
    if (!may_publish(*rule, identity(), request.room, subscription != nullptr)) {
        if (rule->publish == room::PublishRight::subscriber)
            return {Code::forbidden, "only subscribers may publish here", "room"};
        if (rule->publish == room::PublishRight::token && !member_)
            return {Code::unauthorized, "a token must grant publishing here", "room"};
        return {Code::forbidden, "publishing here is not allowed", "room"};
    }
    if (!request.key.empty() && !member_)
        return {Code::bad_request, "`key` needs a user: this session is anonymous", "key"};
    return {};
}

void Session::publish(RequestId id, const PublishRequest& request) {
    if (!may_act(id)) return;
    if (const Error fault = publish_fault(request)) {
        protocol().error(*this, id, fault);
        return;
    }
    room::Message::Parts parts;
    parts.room = request.room;
    parts.data = request.data;
    parts.event = request.event;
    parts.id = request.key;
    parts.from = user();
    parts.ephemeral = request.ephemeral;
    parts.origin = handle_;
    parts.origin_reactor = service_.reactor().index();
    Sessions::PendingPublish pending;
    pending.session = handle_;
    pending.id = id;
    pending.room = request.room;
    if (!request.key.empty()) {
        pending.key = std::make_unique<room::IdempotencyKey>();
        pending.key->text = "user\n" + std::string{user()} + "\npublish\n";
        pending.key->text += request.key;
        std::string asked{request.room};
        asked.append("\n").append(request.event).append(request.ephemeral ? "\n1\n" : "\n0\n");
        asked += request.data;
        pending.key->fingerprint = lasting_fingerprint(asked);
    }
    service_.publish(std::move(pending), room::Message::make(parts, hash_bytes(request.room)));
}

// --- questions ---

bool Session::may_read(RequestId id, std::string_view room) {
    if (!may_act(id)) return false;
    const Error fault = service_.subscribe_fault(identity(), room);
    if (fault) protocol().error(*this, id, fault);
    return !fault;
}

void Session::history(RequestId id, const HistoryRequest& request) {
    if (!may_read(id, request.room)) return;
    const Options& options = service_.options();
    room::HistoryQuery query;
    query.since = request.since;
    query.limit = static_cast<std::size_t>(std::min<std::uint64_t>(
        request.limit.value_or(options.history_limit_default), options.history_limit_max));
    query.bytes_max = std::min(options.history_bytes_max, options.send_queue_max / 2);
    query.reverse = request.reverse;
    const auto answer = [service = &service_, handle = handle_, id,
                         room = std::string{request.room}](const room::HistoryResult& result) {
        Session* const self = service->find(handle);
        if (self == nullptr) return;
        if (result.code != Code::ok) {
            self->fail(id, result.code, result.detail);
            return;
        }
        if (self->outbound_.queue().queued_bytes() > service->options().send_queue_max) {
            service->slow_consumers.add();
            self->close(CloseReason::slow_consumer, "the client reads too slowly");
            return;
        }
        self->protocol().history_ok(*self, id,
                                    HistoryOk{room, result.position, result.messages, result.more});
    };
    if (request.room == inbox_room)
        service_.inboxes()->history(std::string{user()}, query, answer);
    else
        service_.rooms().history(request.room, query, answer);
}

void Session::presence(RequestId id, std::string_view room) {
    if (!may_read(id, room)) return;
    if (room == inbox_room || !service_.rooms().rule(room)->presence) {
        fail(id, Code::bad_request, "the room's rule has no presence");
        return;
    }
    service_.rooms().presence(room, [service = &service_, handle = handle_, id,
                                     room = std::string{room}](const room::PresenceResult& result) {
        Session** const found = service->sessions_.find(handle);
        if (found == nullptr) return;
        (*found)->protocol().presence_ok(**found, id,
                                         PresenceOk{room, result.members, result.total});
    });
}

void Session::ping(RequestId id) {
    protocol().pong(*this, id);
}

} // namespace fanfare::session
