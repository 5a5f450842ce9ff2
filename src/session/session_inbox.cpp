// A session's place in its user's inbox, `@me`: join, then what was missed, then live. What is
// missed is pulled as the socket drains, as with rooms; the inbox says when it is all.

#include <fanfare/net/reactor.hpp>
#include <fanfare/room/delivery.hpp>
#include <fanfare/session/session.hpp>
#include <fanfare/session/sessions.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::session {

Session::Inbox* Session::inbox(std::uint32_t visit) const noexcept {
    Inbox* const mine = inbox();
    const bool goes_on =
        mine != nullptr && mine->state != Inbox::State::left && mine->place.visit == visit;
    return goes_on && !ended_ ? mine : nullptr;
}

void Session::subscribe_inbox(RequestId id, const SubscribeRequest& request) {
    Inbox* mine = inbox();
    if (mine != nullptr && mine->state != Inbox::State::left) {
        fail(id, Code::already_subscribed,
             mine->unsubscribe ? "the session is leaving its inbox"
                               : "the session is in this room");
        return;
    }
    if (rooms_ >= service_.options().rooms_max) {
        fail(id, Code::limit_reached, "the session has as many rooms as `max_rooms` allows");
        return;
    }
    if (mine == nullptr) {
        extra().inbox = std::make_unique<Inbox>();
        mine = inbox();
        mine->place.session = handle_;
        mine->place.user = user();
        mine->place.session_id = this->id();
    }
    ++mine->place.visit;
    mine->id = id;
    mine->state = Inbox::State::joining;
    mine->pulling = true; // the first page comes with the answer
    mine->device = request.device.empty() ? member_->identity->device : std::string{request.device};
    ++rooms_;
    label_queue();
    service_.inboxes()->subscribe(mine->place, request.since, request.last,
                                  std::max<std::size_t>(replay_room(), 1));
}

void Session::on_inbox_joined(std::uint32_t visit, const InboxJoined& joined) {
    Inbox* const mine = inbox(visit);
    if (mine == nullptr) return;
    const RequestId id = mine->id;
    const auto unsubscribe = std::exchange(mine->unsubscribe, std::nullopt);
    if (joined.code != Code::ok) {
        leave_inbox(*mine);
        fail(id, joined.code, joined.detail);
        if (unsubscribe && !ended_)
            fail(*unsubscribe, Code::not_subscribed, "the session is not in this room");
        return;
    }
    if (joined.recovered)
        (*joined.recovered ? service_.resumes_recovered : service_.resumes_lost).add();
    mine->state = Inbox::State::replaying;
    // What it had before it came back it may acknowledge now.
    mine->sent = std::max(mine->sent, joined.after);
    protocol().subscribe_ok(
        *this, id,
        SubscribeOk{inbox_room, joined.position, joined.recovered, joined.after, joined.acked});
    if (ended_ || !unsubscribe) return;
    leave_inbox(*mine);
    protocol().unsubscribe_ok(*this, *unsubscribe, inbox_room, false);
}

void Session::on_inbox_page(std::uint32_t visit, const InboxPage& page) {
    Inbox* mine = inbox(visit);
    if (mine == nullptr) return;
    mine->pulling = false;
    if (page.code != Code::ok) {
        // What is missed cannot be read now; the client may ask again.
        leave_inbox(*mine);
        protocol().unsubscribed(*this, inbox_room,
                                Error{page.code, "the inbox cannot be read now", {}});
        return;
    }
    if (page.caught_up) mine->state = Inbox::State::live;
    for (const room::MessageRef& message : page.messages) {
        send_inbox(*mine, *message);
        if (ended_) return;
        service_.replayed_messages.add();
    }
    continue_inbox();
}

void Session::continue_inbox() {
    Inbox* const mine = inbox();
    if (mine == nullptr || mine->state != Inbox::State::replaying || mine->pulling) return;
    const std::size_t place = replay_room();
    if (place == 0) return; // `drained` comes back to it
    mine->pulling = true;
    service_.inboxes()->pull(mine->place, place);
}

void Session::on_inbox_message(std::uint32_t visit, const room::MessageRef& message) {
    if (Inbox* const mine = inbox(visit)) send_inbox(*mine, *message);
}

void Session::send_inbox(Inbox& inbox, const room::Message& message) {
    const std::uint64_t offset = message.position().offset;
    const bool repeat = offset <= inbox.sent;
    inbox.sent = std::max(inbox.sent, offset);
    room::Delivery delivery{message, service_.rooms().encoders()};
    protocol().inbox_message(*this, delivery, repeat);
    if (!ended_) service_.messages_out.add();
}

void Session::on_inbox_acked(std::uint32_t visit, std::uint64_t offset) {
    if (inbox(visit) != nullptr) protocol().acked(*this, offset);
}

void Session::on_inbox_reset(std::uint32_t visit, const Position& position) {
    Inbox* const mine = inbox(visit);
    if (mine == nullptr) return;
    mine->sent = position.offset;
    protocol().reset(*this, inbox_room, position);
}

void Session::unsubscribe_inbox(RequestId id) {
    Inbox* const mine = inbox();
    if (mine == nullptr || mine->state == Inbox::State::left || mine->unsubscribe) {
        fail(id, Code::not_subscribed, "the session is not in this room");
        return;
    }
    if (mine->state == Inbox::State::joining) {
        mine->unsubscribe = id;
        return;
    }
    leave_inbox(*mine);
    protocol().unsubscribe_ok(*this, id, inbox_room, false);
}

void Session::leave_inbox(Inbox& inbox) {
    inbox.state = Inbox::State::left;
    inbox.pulling = false;
    inbox.unsubscribe.reset();
    --rooms_;
    label_queue();
    service_.inboxes()->unsubscribe(inbox.place);
}

// --- acknowledging ---

void Session::acknowledge(RequestId id, std::string_view room, std::uint64_t offset) {
    if (!may_act(id)) return;
    acknowledge(
        room, offset,
        [service = &service_, handle = handle_, id](const Error& error, std::uint64_t acked) {
            Session* const self = service->find(handle);
            if (self == nullptr) return;
            if (error)
                self->protocol().error(*self, id, error);
            else
                self->protocol().ack_ok(*self, id, acked);
        });
}

void Session::acknowledge(std::string_view room, std::uint64_t offset,
                          std::function<void(const Error&, std::uint64_t)> done) {
    if (room != inbox_room)
        return done({Code::bad_request, "only `@me` is acknowledged", "room"}, 0);
    if (const Error fault = service_.subscribe_fault(identity(), room)) return done(fault, 0);
    const Inbox* const mine = inbox();
    if (offset > (mine != nullptr ? mine->sent : 0))
        return done({Code::bad_request, "`offset` is above what this session was sent", "offset"},
                    0);
    if (mine == nullptr) return done({}, 0); // offset 0: nothing to do
    service_.inboxes()->acknowledge(mine->place, offset, mine->device, std::move(done));
}

} // namespace fanfare::session
