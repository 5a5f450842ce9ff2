#include "permissions.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/session/sessions.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace fanfare::session {

Sessions::Sessions(room::Rooms& rooms, Authorizer& authorizer, room::IdempotencyLog& idempotency,
                   std::shared_ptr<const Options> options)
    : messages_out(
          rooms.reactor().metrics().counter("messages_out_total", "Messages queued to clients.")),
      bytes_out(rooms.reactor().metrics().counter("message_bytes_out_total",
                                                  "Bytes of messages queued to clients.")),
      messages_in(rooms.reactor().metrics().counter("client_messages_total",
                                                    "Requests that clients sent.")),
      ephemeral_dropped(rooms.reactor().metrics().counter(
          "ephemeral_dropped_total", "Ephemeral messages dropped because a queue was half full.")),
      slow_consumers(rooms.reactor().metrics().counter(
          "slow_consumers_total", "Sessions cut off because their queue was full.")),
      idle_closed(rooms.reactor().metrics().counter(
          "idle_closed_total", "Sessions closed because heartbeats were not answered.")),
      rate_limited(rooms.reactor().metrics().counter("client_rate_limited_total",
                                                     "Client requests refused by the rate limit.")),
      resumes_recovered(rooms.reactor().metrics().counter(
          "resumes_total", "Subscriptions that asked to resume, by outcome.",
          {{"outcome", "recovered"}})),
      resumes_lost(rooms.reactor().metrics().counter(
          "resumes_total", "Subscriptions that asked to resume, by outcome.",
          {{"outcome", "lost"}})),
      replayed_messages(rooms.reactor().metrics().counter(
          "replayed_messages_total", "Messages sent from history to resuming sessions.")),
      rooms_(rooms), authorizer_(&authorizer), idempotency_(idempotency),
      options_(std::move(options)),
      websocket_sessions_(rooms.reactor().metrics().gauge("sessions", "Connected sessions.",
                                                          {{"transport", "websocket"}})),
      sse_sessions_(rooms.reactor().metrics().gauge("sessions", "Connected sessions.",
                                                    {{"transport", "sse"}})) {
    rooms_.set_queue_bytes_max(options_->send_queue_max);
}

Sessions::~Sessions() = default;

// --- the registry ---

void Sessions::add(Session& session) {
    session.handle_ = sessions_.insert(&session);
    (session.outbound().transport() == "sse" ? sse_sessions_ : websocket_sessions_).add(1);
}

void Sessions::remove(Session& session) noexcept {
    if (session.member_) unindex_user(session);
    sessions_.erase(session.handle_);
    (session.outbound().transport() == "sse" ? sse_sessions_ : websocket_sessions_).add(-1);
}

void Sessions::index_user(Session& session) {
    const auto [at, first] = users_.try_emplace(session.user(), &session);
    if (first) return;
    Session* const head = at->second;
    Session::Member& member = *session.member_;
    member.next = head->member_->next;
    member.previous = head;
    if (member.next != nullptr) member.next->member_->previous = &session;
    head->member_->next = &session;
}

void Sessions::unindex_user(Session& session) noexcept {
    Session* const next = std::exchange(session.member_->next, nullptr);
    Session* const previous = std::exchange(session.member_->previous, nullptr);
    if (next != nullptr) next->member_->previous = previous;
    if (previous != nullptr) {
        previous->member_->next = next;
        return;
    }
    // The table's key is this session's own text: it goes, and the next session's takes over.
    users_.erase(session.user());
    if (next != nullptr) users_.emplace(next->user(), next);
}

namespace {

/// A public session id, taken apart.
struct PublicId {
    std::uint32_t place = 0;
    std::uint64_t secret = 0;
    [[nodiscard]] unsigned reactor() const noexcept { return place >> 22; }
    [[nodiscard]] std::uint32_t slot() const noexcept { return place & 0x3fffff; }
};

std::optional<PublicId> parse_public_id(std::string_view text) {
    const auto bytes = from_base64url(text);
    if (!bytes || bytes->size() != 12) return std::nullopt;
    PublicId id;
    std::memcpy(&id.place, bytes->data(), sizeof id.place);
    std::memcpy(&id.secret, bytes->data() + sizeof id.place, sizeof id.secret);
    return id;
}

} // namespace

Session* Sessions::find_id(std::string_view id) {
    const auto parsed = parse_public_id(id);
    if (!parsed || parsed->reactor() != reactor().index()) return nullptr;
    Session** const found = sessions_.at_slot(parsed->slot());
    return found != nullptr && (*found)->secret_ == parsed->secret ? *found : nullptr;
}

std::optional<unsigned> Sessions::reactor_of(std::string_view id) const {
    const auto parsed = parse_public_id(id);
    if (!parsed || parsed->reactor() >= all_.size()) return std::nullopt;
    return parsed->reactor();
}

void Sessions::reload(std::shared_ptr<const Options> options, Authorizer& authorizer) {
    options_ = std::move(options);
    authorizer_ = &authorizer;
    rooms_.set_queue_bytes_max(options_->send_queue_max);
    std::vector<net::Handle> handles;
    sessions_.for_each([&](Session* session) { handles.push_back(session->handle()); });
    for (const net::Handle handle : handles)
        if (Session** const found = sessions_.find(handle)) {
            (*found)->review_rights();
            if (Session** const still = sessions_.find(handle)) (*still)->schedule();
        }
}

Error Sessions::subscribe_fault(const Identity* identity, std::string_view room) const {
    if (room == inbox_room) {
        if (identity == nullptr)
            return {Code::unauthorized, "an anonymous session has no inbox", "room"};
        if (inboxes_ == nullptr)
            return {Code::unavailable, "this gateway has no store for inboxes", "room"};
        return {};
    }
    const room::Rule* const rule = rooms_.rule(room);
    if (rule == nullptr) return {Code::not_found, "no rule allows a room of this name", "room"};
    if (may_subscribe(*rule, identity, room)) return {};
    if (identity == nullptr) return {Code::unauthorized, "the room needs a token", "room"};
    return {Code::forbidden, "the token does not grant this room", "room"};
}

// --- publishing ---

void Sessions::publish(PendingPublish pending, room::DraftRef message) {
    const net::Handle session = pending.session;
    const bool keyed = pending.key != nullptr;
    const net::Handle handle = publishes_.insert(std::move(pending));
    if (!keyed && !lanes_.busy(session)) {
        send(handle, message);
        return;
    }
    lanes_.run(session, [this, session, handle, keyed, message = std::move(message)] {
        if (!keyed) {
            send(handle, message);
            return true;
        }
        idempotency_.begin(*publishes_.find(handle)->key,
                           [this, session, handle, message](room::IdempotencyLog::Verdict verdict,
                                                            const room::PublishResults& results) {
                               on_verdict(handle, message, verdict, results);
                               lanes_.release(session);
                           });
        return false;
    });
}

void Sessions::send(net::Handle pending, const room::DraftRef& message) {
    rooms_.publish(message, room::PublishReply{this, &reactor(), pending, 0,
                                               publishes_.find(pending)->key.get()});
}

void Sessions::on_verdict(net::Handle handle, const room::DraftRef& message,
                          room::IdempotencyLog::Verdict verdict,
                          const room::PublishResults& results) {
    using Verdict = room::IdempotencyLog::Verdict;
    if (verdict == Verdict::first) {
        send(handle, message);
        return;
    }
    const PendingPublish pending = publishes_.erase(handle);
    room::PublishResult result;
    if (verdict == Verdict::duplicate && !results.empty()) {
        result = results.front();
        result.duplicate = true;
    } else if (verdict == Verdict::conflict) {
        result.code = Code::conflict;
        result.detail = "the key was used for another publish";
    } else {
        result.code = Code::unavailable;
        result.detail = "too many idempotency keys are in flight";
    }
    published(pending, result);
}

void Sessions::on_published(net::Handle who, std::uint64_t /*request*/,
                            const room::PublishResult& result) {
    const PendingPublish pending = publishes_.erase(who);
    if (pending.key) {
        if (result.code == Code::ok)
            idempotency_.finish(*pending.key, {result});
        else
            idempotency_.abandon(*pending.key);
    }
    published(pending, result);
}

void Sessions::published(const PendingPublish& pending, const room::PublishResult& result) {
    Session** const found = sessions_.find(pending.session);
    if (found == nullptr) return;
    Session& session = **found;
    if (result.code != Code::ok)
        session.fail(pending.id, result.code, result.detail);
    else if (pending.id)
        session.protocol().publish_ok(session, pending.id,
                                      PublishOk{pending.room, result.position, result.duplicate});
}

// --- a user's sessions on all reactors ---

template <class F>
void Sessions::each_session_of(std::string_view user, F&& f) {
    const auto at = users_.find(user);
    if (at == users_.end()) return;
    // `f` may end the session that it is given, so take handles first.
    std::vector<net::Handle> handles;
    for (Session* session = at->second; session != nullptr; session = session->member_->next)
        handles.push_back(session->handle());
    for (const net::Handle handle : handles)
        if (Session** const found = sessions_.find(handle)) f(**found);
}

void Sessions::count_over_reactors(std::function<std::uint64_t(Sessions&)> act,
                                   std::function<void(std::uint64_t)> done) {
    struct Gather {
        std::uint64_t sum = 0;
        std::size_t missing = 0;
        std::function<void(std::uint64_t)> done;
    };
    auto gather = std::make_shared<Gather>(Gather{0, all_.size(), std::move(done)});
    net::Reactor* const origin = &reactor();
    for (Sessions* const target : all_)
        target->reactor().post(std::function<void()>{[target, act, gather, origin] {
            const std::uint64_t n = act(*target);
            origin->post(std::function<void()>{[gather, n] {
                gather->sum += n;
                if (--gather->missing == 0) gather->done(gather->sum);
            }});
        }});
}

void Sessions::find_user(const std::string& user,
                         std::function<void(std::vector<SessionInfo>)> done) {
    // Each reactor writes its own part; the last answer is given when all parts are there.
    auto parts = std::make_shared<std::vector<std::vector<SessionInfo>>>(all_.size());
    count_over_reactors(
        [user, parts](Sessions& target) {
            auto& part = (*parts)[target.reactor().index()];
            target.each_session_of(user, [&](Session& session) {
                part.push_back({session.id(), std::string{session.outbound().transport()},
                                session.connected_at()});
            });
            return part.size();
        },
        [parts, done = std::move(done)](std::uint64_t n) {
            std::vector<SessionInfo> all;
            all.reserve(n);
            for (auto& part : *parts) std::move(part.begin(), part.end(), std::back_inserter(all));
            done(std::move(all));
        });
}

void Sessions::disconnect_user(const std::string& user, std::function<void(std::uint64_t)> done) {
    count_over_reactors(
        [user](Sessions& target) {
            std::uint64_t n = 0;
            target.each_session_of(user, [&](Session& session) {
                ++n;
                session.close(CloseReason::disconnected, "disconnected by the API");
            });
            return n;
        },
        std::move(done));
}

void Sessions::subscribe_user(const std::string& user, const std::string& room,
                              std::function<void(std::uint64_t)> done) {
    count_over_reactors(
        [user, room](Sessions& target) {
            std::uint64_t n = 0;
            target.each_session_of(
                user, [&](Session& session) { n += session.server_subscribe(room) ? 1U : 0U; });
            return n;
        },
        std::move(done));
}

void Sessions::unsubscribe_user(const std::string& user, const std::string& room,
                                std::function<void(std::uint64_t)> done) {
    count_over_reactors(
        [user, room](Sessions& target) {
            const Error why{Code::forbidden, "unsubscribed by the API", {}};
            std::uint64_t n = 0;
            target.each_session_of(user, [&](Session& session) {
                n += session.server_unsubscribe(room, why) ? 1U : 0U;
            });
            return n;
        },
        std::move(done));
}

// --- drain ---

/// Sends the sessions away at an even rate. Those that come later (there should be none) go at
/// once.
struct Sessions::Drain final : net::TimerWheel::Timer {
    Drain(Sessions& owner, std::chrono::milliseconds over)
        : sessions(owner), window(over), started(owner.reactor().now()) {
        sessions.sessions_.for_each(
            [this](Session* session) { handles.push_back(session->handle()); });
        for (std::size_t i = handles.size(); i > 1; --i)
            std::swap(handles[i - 1], handles[random_u64() % i]);
    }

    void on_timer() override {
        // The last one leaves a little before the window ends, so that its answer fits too.
        const auto span = std::max<std::int64_t>(1, window.count() * 9 / 10);
        const auto elapsed = std::min<std::int64_t>(sessions.reactor().now() - started, span);
        const std::size_t due =
            handles.size() * static_cast<std::size_t>(elapsed) / static_cast<std::size_t>(span);
        for (; next < due; ++next)
            if (Session** const found = sessions.sessions_.find(handles[next]))
                (*found)->send_away(random_u64() %
                                    (static_cast<std::uint64_t>(window.count()) + 1));
        if (next < handles.size())
            sessions.reactor().timers().set(*this, std::chrono::milliseconds{1});
    }

    Sessions& sessions;
    std::chrono::milliseconds window;
    MonoMillis started;
    std::vector<net::Handle> handles;
    std::size_t next = 0;
};

void Sessions::drain(std::chrono::milliseconds window) {
    drain_ = std::make_unique<Drain>(*this, window);
    reactor().timers().set(*drain_, std::chrono::milliseconds{1});
}

} // namespace fanfare::session
