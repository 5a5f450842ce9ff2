// A session's rooms: join, then replay, then live.
//
// The home reactor registers the subscriber and takes the snapshot of its position in one step, so
// what it posts afterwards follows the snapshot without a hole. A session that resumes stays out of
// the live walk and pulls history as its socket drains, at most half of its queue at a time. The
// batch that reaches the newest message was cut by the home reactor in one step again: everything
// later is posted behind it, so the session goes live right there, without a hole or a duplicate.
// Reading history first and joining afterwards would be the hole.

#include "permissions.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/delivery.hpp>
#include <fanfare/session/session.hpp>
#include <fanfare/session/sessions.hpp>

#include <algorithm>

namespace fanfare::session {
namespace {
// Subscription::tag
constexpr std::uint8_t by_server = 1; // granted by API call: rights are not asked again
} // namespace

room::Subscription* Session::find(std::string_view room) noexcept {
    // Requests in a row must mean what they mean one by one: who left while joining may join anew,
    // and then it is the new place that counts.
    if (room::Subscription* const staying = find_staying(room)) return staying;
    return subscriptions_.find_if([&](const room::Subscription& at) { return at.name() == room; });
}

Session::PendingJoin* Session::pending_join(const room::Subscription& subscription) noexcept {
    if (!extra_) return nullptr;
    for (PendingJoin& pending : extra_->joining)
        if (pending.subscription == &subscription) return &pending;
    return nullptr;
}

room::Subscription* Session::find_staying(std::string_view room) noexcept {
    return subscriptions_.find_if([&](const room::Subscription& at) {
        if (at.name() != room) return false;
        const PendingJoin* const pending = pending_join(at);
        return pending == nullptr || !pending->unsubscribe;
    });
}

void Session::set_pulling(room::Subscription* subscription) {
    if (subscription == pulling()) return;
    extra().pulling = subscription;
    drop_extra_if_empty();
}

// --- the direct way of live messages ---

net::OutQueue* Session::direct_queue() noexcept {
    return direct_ ? &outbound_.queue() : nullptr;
}

void Session::label_queue() noexcept {
    outbound_.queue().set_label(room::QueueLabel::of(form_, rooms_ <= 1));
}

void Session::set_direct(bool on) {
    if (on == direct_) return;
    direct_ = on;
    subscriptions_.for_each([this](room::Subscription& at) { service_.rooms().review_queue(at); });
}

void Session::subscribe(RequestId id, const SubscribeRequest& request) {
    if (!may_act(id)) return;
    if (const Error fault = service_.subscribe_fault(identity(), request.room)) {
        protocol().error(*this, id, fault);
        return;
    }
    if (request.room == inbox_room) return subscribe_inbox(id, request);
    if (find_staying(request.room) != nullptr) {
        fail(id, Code::already_subscribed, "the session is in this room");
        return;
    }
    if (rooms_ >= service_.options().rooms_max) {
        fail(id, Code::limit_reached, "the session has as many rooms as `max_rooms` allows");
        return;
    }
    room::Subscription& subscription = subscriptions_.add();
    join(subscription, request.room, request);
    const bool replays = request.since || request.last != 0;
    extra().joining.push_back({&subscription, id, std::nullopt, false, replays});
}

void Session::join(room::Subscription& subscription, std::string_view room,
                   const SubscribeRequest& wish) {
    ++rooms_;
    label_queue();
    room::JoinWish to_join;
    to_join.since = wish.since;
    to_join.last = wish.last;
    to_join.form = form_;
    to_join.user = user();
    if (member_) to_join.info = member_->identity->info;
    service_.rooms().subscribe(subscription, *this, room, std::move(to_join));
}

void Session::on_joined(room::Subscription& subscription, const room::JoinResult& result) {
    PendingJoin* const found = pending_join(subscription);
    FANFARE_ASSERT(found != nullptr);
    const PendingJoin pending = *found;
    *found = extra_->joining.back();
    extra_->joining.pop_back();
    drop_extra_if_empty();

    if (result.code != Code::ok) {
        // First: an answer may end the session, which then leaves all that it is in.
        destroy(subscription);
        if (!pending.by_server) fail(pending.id, result.code, result.detail);
        if (pending.unsubscribe && !ended_)
            fail(*pending.unsubscribe, Code::not_subscribed, "the session is not in this room");
        return;
    }
    if (result.recovered) {
        if (*result.recovered)
            service_.resumes_recovered.add();
        else
            service_.resumes_lost.add();
    }
    // A copy: the subscription may be gone after a call to the protocol closed the session.
    const std::string room{subscription.name()};
    if (pending.by_server)
        protocol().subscribed(*this, room, result.position);
    else
        protocol().subscribe_ok(
            *this, pending.id,
            SubscribeOk{room, result.position, result.recovered, result.replay_after});
    if (ended_) return;
    if (pending.unsubscribe) {
        leave(subscription);
        protocol().unsubscribe_ok(*this, *pending.unsubscribe, room, false);
        return;
    }
    if (result.replay_after < result.position.offset)
        continue_replay();
    else
        service_.rooms().go_live(subscription);
}

std::size_t Session::replay_room() const noexcept {
    // At most half of the queue is filled with history, whatever the number of rooms that replay;
    // the other half is for what is live.
    const std::size_t half = service_.options().send_queue_max / 2;
    const std::size_t queued = outbound_.queued_bytes();
    if (queued != 0 && queued >= half / 2) return 0;
    return half - std::min(queued, half);
}

void Session::continue_replay() {
    if (pulling() != nullptr) return;
    const std::size_t place = replay_room();
    if (place == 0) return; // `drained` comes back to it
    room::Subscription* const next = subscriptions_.find_if([](const room::Subscription& at) {
        return at.state == room::Subscription::State::replaying;
    });
    if (next == nullptr) return;
    set_pulling(next);
    service_.rooms().pull(*next, place);
}

void Session::on_replay(room::Subscription& subscription, const room::ReplayBatch& batch) {
    set_pulling(nullptr);
    if (batch.trimmed) {
        // History was cut under the replay: what is missing is gone, and the client is told.
        service_.resumes_lost.add();
        const std::string room{subscription.name()};
        protocol().reset(*this, room, batch.newest);
        if (ended_) return;
        service_.rooms().go_live(subscription);
        continue_replay();
        return;
    }
    const std::size_t half = service_.options().send_queue_max / 2;
    for (const room::MessageRef& message : batch.messages) {
        // A batch is cut by an estimate of what its messages become; the queue has the last word.
        // What is left is pulled again when the queue has drained.
        const std::size_t queued = outbound_.queued_bytes();
        if (queued != 0 && queued >= half) return;
        service_.rooms().set_replayed(subscription, message->position().offset);
        service_.replayed_messages.add();
        room::Delivery delivery{*message, service_.rooms().encoders()};
        if (direct_)
            outbound_.queue().push(delivery.bytes(form_));
        else
            protocol().message(*this, &subscription, delivery);
        if (ended_) return;
        service_.messages_out.add();
    }
    if (batch.caught_up) service_.rooms().go_live(subscription);
    continue_replay();
}

void Session::drained() {
    if (!ended_) continue_replay();
    if (!ended_) continue_inbox();
}

// --- leaving ---

void Session::unsubscribe(RequestId id, std::string_view name) {
    if (!may_act(id)) return;
    if (name == inbox_room) return unsubscribe_inbox(id);
    room::Subscription* const subscription = find(name);
    if (subscription == nullptr) {
        fail(id, Code::not_subscribed, "the session is not in this room");
        return;
    }
    if (PendingJoin* const pending = pending_join(*subscription)) {
        if (pending->unsubscribe) {
            fail(id, Code::not_subscribed, "the session is leaving this room already");
            return;
        }
        pending->unsubscribe = id;
        return;
    }
    const std::string room{name};
    leave(*subscription);
    protocol().unsubscribe_ok(*this, id, room, false);
}

void Session::leave(room::Subscription& subscription) {
    const bool pulled = pulling() == &subscription;
    if (pulled) set_pulling(nullptr); // its batch will find no one
    service_.rooms().unsubscribe(subscription, form_, user());
    destroy(subscription);
    if (pulled && !ended_) continue_replay();
}

void Session::destroy(room::Subscription& subscription) {
    subscriptions_.remove(subscription);
    --rooms_;
    label_queue();
}

bool Session::server_subscribe(std::string_view room) {
    if (ended_ || find_staying(room) != nullptr || rooms_ >= service_.options().rooms_max)
        return false;
    room::Subscription& subscription = subscriptions_.add();
    subscription.tag |= by_server;
    join(subscription, room, SubscribeRequest{room, std::nullopt, 0, {}});
    extra().joining.push_back({&subscription, std::nullopt, std::nullopt, true, false});
    return true;
}

bool Session::server_unsubscribe(std::string_view name, const Error& why) {
    room::Subscription* const subscription = ended_ ? nullptr : find(name);
    if (subscription == nullptr) return false;
    PendingJoin* const found = pending_join(*subscription);
    const bool joining = found != nullptr;
    PendingJoin pending{};
    if (joining) {
        // The home reactor's answer will find no one. The client's own requests still get their one
        // answer each.
        pending = *found;
        *found = extra_->joining.back();
        extra_->joining.pop_back();
        drop_extra_if_empty();
    }
    const std::string room{name};
    leave(*subscription);
    if (joining) {
        if (!pending.by_server) protocol().error(*this, pending.id, why);
        if (pending.unsubscribe && !ended_)
            protocol().unsubscribe_ok(*this, *pending.unsubscribe, room, false);
    } else if (!ended_) {
        protocol().unsubscribed(*this, room, why);
    }
    return true;
}

void Session::review_rights() {
    std::vector<std::string> lost;
    subscriptions_.for_each([&](const room::Subscription& at) {
        if ((at.tag & by_server) == 0 && service_.subscribe_fault(identity(), at.name()))
            lost.emplace_back(at.name());
    });
    for (const std::string& room : lost)
        server_unsubscribe(room, service_.subscribe_fault(identity(), room));
}

// --- patterns ---

void Session::subscribe_pattern(RequestId id, std::string_view pattern) {
    if (!may_act(id)) return;
    std::vector<std::string>& patterns = extra().patterns;
    if (std::find(patterns.begin(), patterns.end(), pattern) != patterns.end()) {
        fail(id, Code::already_subscribed, "the session has this pattern");
        return;
    }
    if (patterns.size() >= service_.options().patterns_max) {
        drop_extra_if_empty(); // none may be allowed
        fail(id, Code::limit_reached, "the session has as many patterns as it may");
        return;
    }
    patterns.emplace_back(pattern);
    extra().pattern_waits.emplace_back(std::string{pattern}, id);
    service_.rooms().subscribe_pattern(*this, pattern);
}

void Session::on_pattern_ready(std::string_view pattern) {
    if (!extra_) return;
    auto& waits = extra_->pattern_waits;
    const auto at = std::find_if(waits.begin(), waits.end(),
                                 [&](const auto& wait) { return wait.first == pattern; });
    if (at == waits.end()) return;
    const RequestId id = at->second;
    const std::string text = std::move(at->first);
    waits.erase(at);
    drop_extra_if_empty();
    protocol().pattern_ok(*this, id, text);
}

void Session::unsubscribe_pattern(RequestId id, std::string_view pattern) {
    if (!may_act(id)) return;
    const bool has = extra_ && std::find(extra_->patterns.begin(), extra_->patterns.end(),
                                         pattern) != extra_->patterns.end();
    if (!has) {
        fail(id, Code::not_subscribed, "the session does not have this pattern");
        return;
    }
    const std::string text{pattern};
    std::erase(extra_->patterns, text);
    // The subscribe that is still waiting gets its answer first.
    on_pattern_ready(text);
    if (ended_) return;
    drop_extra_if_empty();
    service_.rooms().unsubscribe_pattern(*this, text);
    protocol().unsubscribe_ok(*this, id, text, true);
}

bool Session::wants_from_pattern(const room::Message& message) {
    if (const room::Subscription* const own = find(message.room())) {
        // It comes (or came) through the room itself. While joining without a wish to replay the
        // room gives nothing older than the join, so the pattern does; with one the replay does.
        if (own->state != room::Subscription::State::joining) return false;
        const PendingJoin* const pending = pending_join(*own);
        if (pending != nullptr && pending->replays) return false;
    }
    const room::Rule* const rule = service_.rooms().rule(message.room());
    return rule != nullptr && rule->patterns && may_subscribe(*rule, identity(), message.room());
}

// --- deliveries ---

bool Session::make_room(std::size_t bytes) {
    // A single message always fits an empty queue, whatever its size.
    const std::size_t queued =
        direct_ ? outbound_.queue().queued_bytes() : outbound_.queued_bytes();
    if (queued == 0 || queued + bytes <= service_.options().send_queue_max) [[likely]]
        return true;
    service_.slow_consumers.add();
    close(CloseReason::slow_consumer, "the client reads too slowly");
    return false;
}

void Session::on_message(room::Delivery& delivery, room::Subscription* subscription) {
    const room::Message& message = delivery.message();
    if (subscription == nullptr && !wants_from_pattern(message)) return;
    if (message.ephemeral()) {
        if (message.origin() == handle_ && message.origin_reactor() == service_.reactor().index())
            return; // not echoed
        if (outbound_.queued_bytes() > service_.options().send_queue_max / 2) {
            service_.ephemeral_dropped.add();
            return;
        }
    }
    if (direct_) {
        const LocalBytesRef& bytes = delivery.bytes(form_);
        if (!make_room(bytes->size())) return;
        outbound_.queue().push(bytes);
        service_.bytes_out.add(bytes->size());
    } else {
        protocol().message(*this, subscription, delivery);
        if (ended_) return;
    }
    service_.messages_out.add();
}

void Session::on_presence(room::PresenceDelivery& delivery, room::Subscription& /*subscription*/) {
    if (member_ && user() == delivery.change().user) return;
    const LocalBytesRef& bytes = delivery.bytes(form_);
    if (make_room(bytes->size())) outbound_.send(bytes);
}

} // namespace fanfare::session
