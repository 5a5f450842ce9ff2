#include "home.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::delivery {
namespace {

bool same(const session::InboxPlace& a, const session::InboxPlace& b) noexcept {
    return a.session == b.session && a.visit == b.visit;
}

/// A message for one session.
struct Send {
    session::Sessions* sessions;
    net::Handle session;
    std::uint32_t visit;
    room::MessageRef message;
    void operator()() const {
        if (session::Session* const found = sessions->find(session))
            found->on_inbox_message(visit, message);
    }
};

/// Anything else for one session.
struct Tell {
    session::Sessions* sessions;
    net::Handle session;
    std::unique_ptr<std::function<void(session::Session&)>> act;
    void operator()() const {
        if (session::Session* const found = sessions->find(session)) (*act)(*found);
    }
};

template <class Act>
void tell(session::Sessions& sessions, const session::InboxPlace& place, Act&& act) {
    sessions.reactor().post(
        Tell{&sessions, place.session,
             std::make_unique<std::function<void(session::Session&)>>(std::forward<Act>(act))});
}

} // namespace

/// A user that has `@me` open.
class Inboxes::Home::Box final : net::TimerWheel::Timer {
  public:
    Box(Home& home, std::string of) : user(std::move(of)), fresh(Epoch::fresh()), home_(home) {}

    [[nodiscard]] bool any_live() const {
        return std::any_of(members.begin(), members.end(),
                           [](const Member& member) { return member.live; });
    }
    /// Asks the store for what is due, in `delay` at the latest.
    void look_in(std::chrono::milliseconds delay) {
        const MonoMillis at = home_.reactor().now() + std::max<std::int64_t>(delay.count(), 1);
        if (armed() && at >= looks_at_) return;
        looks_at_ = at;
        home_.reactor().timers().set(*this, std::chrono::milliseconds{at - home_.reactor().now()});
    }

    const std::string user;
    const Epoch fresh; // of an inbox that nothing was ever put into
    std::vector<Member> members;
    /// What was placed is told by the reactors of the API, each in its own time: it is sent in the
    /// order of offsets, which have no holes here. None: no page has come yet.
    std::optional<Position> told;
    std::map<std::uint64_t, room::MessageRef> early; // behind a hole; null: not to be sent
    bool taking = false;

  private:
    void on_timer() override { home_.take_due(user); }

    Home& home_;
    MonoMillis looks_at_ = 0;
};

Inboxes::Home::Home(Inboxes& inboxes)
    : inboxes_(inboxes), live_users_(inboxes.sessions_.reactor().metrics().gauge(
                             "inbox_users", "Users whose inbox is open in at least one session.")) {
}

Inboxes::Home::~Home() = default;

Inboxes::Home::Box* Inboxes::Home::find(const std::string& user) {
    const auto at = boxes_.find(user);
    return at == boxes_.end() ? nullptr : at->second.get();
}

Inboxes::Home::Member* Inboxes::Home::find(const std::string& user, unsigned reactor,
                                           const session::InboxPlace& place) {
    Box* const box = find(user);
    if (box == nullptr) return nullptr;
    for (Member& member : box->members)
        if (member.reactor == reactor && same(member.place, place)) return &member;
    return nullptr;
}

void Inboxes::Home::send(const Member& member, const room::MessageRef& message) {
    session::Sessions& sessions = inboxes_.all_[member.reactor]->sessions_;
    sessions.reactor().post(Send{&sessions, member.place.session, member.place.visit, message});
}

void Inboxes::Home::tell_joined(unsigned reactor, const session::InboxPlace& place,
                                const session::InboxJoined& joined) {
    tell(inboxes_.all_[reactor]->sessions_, place,
         [visit = place.visit, joined](session::Session& session) {
             session.on_inbox_joined(visit, joined);
         });
}

void Inboxes::Home::tell_page(unsigned reactor, const session::InboxPlace& place,
                              session::InboxPage page) {
    tell(inboxes_.all_[reactor]->sessions_, place,
         [visit = place.visit, page = std::move(page)](session::Session& session) {
             session.on_inbox_page(visit, page);
         });
}

// --- coming and going ---

void Inboxes::Home::join(Joining joining) {
    std::unique_ptr<Box>& box = boxes_[joining.place.user];
    if (!box) {
        box = std::make_unique<Box>(*this, joining.place.user);
        live_users_.set(static_cast<std::int64_t>(boxes_.size()));
    }
    Member member;
    member.reactor = joining.reactor;
    member.place = joining.place;
    box->members.push_back(member);
    PageWish wish;
    wish.first = true;
    wish.fresh = box->fresh;
    wish.since = joining.since;
    wish.last = joining.last;
    wish.bytes_max = joining.bytes_max;
    ask_page(joining.reactor, joining.place, std::move(wish));
}

void Inboxes::Home::pull(unsigned reactor, const session::InboxPlace& place,
                         std::size_t bytes_max) {
    Member* const member = find(place.user, reactor, place);
    if (member == nullptr) return;
    PageWish wish;
    wish.first = false;
    wish.fresh = find(place.user)->fresh;
    wish.after = member->after;
    wish.unacknowledged = member->unacknowledged;
    wish.bytes_max = bytes_max;
    ask_page(reactor, place, std::move(wish));
}

void Inboxes::Home::ask_page(unsigned reactor, const session::InboxPlace& place, PageWish wish) {
    wish.user = place.user;
    wish.session = place.session_id;
    const bool first = wish.first;
    const bool taken =
        inboxes_.log_.page(std::move(wish), [this, reactor, place, first](Page page) {
            on_page(reactor, place, first, std::move(page));
        });
    if (taken) return;
    Page page;
    page.code = Code::unavailable;
    page.detail = "too many operations wait for the store";
    on_page(reactor, place, first, std::move(page));
}

void Inboxes::Home::on_page(unsigned reactor, const session::InboxPlace& place, bool first,
                            Page page) {
    Member* const member = find(place.user, reactor, place);
    if (member == nullptr) return give_back(place.user, page.messages);
    if (first) {
        session::InboxJoined joined;
        joined.code = page.code;
        joined.detail = page.detail;
        joined.position = page.newest;
        joined.after = page.after;
        joined.recovered = page.recovered;
        joined.acked = page.acked;
        tell_joined(reactor, place, joined);
        member->unacknowledged = page.unacknowledged;
        member->after = page.after;
    }
    if (page.code != Code::ok) {
        // The session leaves, and says so.
        if (!first) tell_page(reactor, place, {page.code, {}, false});
        return;
    }
    Box& box = *find(place.user);
    if (!box.told) box.told = page.newest;
    if (!page.messages.empty()) member->after = page.messages.back()->position().offset;
    if (page.caught_up) {
        member->live = true;
        member->live_after = page.newest.offset;
        // What was sent before and is due for another attempt: a session that resumes has it behind
        // its position.
        const bool resumes = first && page.recovered.has_value();
        box.look_in(resumes ? std::chrono::milliseconds{0} : inboxes_.options_.ack_timeout);
    }
    if (!page.messages.empty()) box.look_in(inboxes_.options_.ack_timeout);
    tell_page(reactor, place, {Code::ok, std::move(page.messages), page.caught_up});
}

void Inboxes::Home::leave(unsigned reactor, const session::InboxPlace& place) {
    const auto at = boxes_.find(place.user);
    if (at == boxes_.end()) return;
    Box& box = *at->second;
    const auto left = std::erase_if(box.members, [&](const Member& member) {
        return member.reactor == reactor && same(member.place, place);
    });
    if (left == 0) return;
    // Behind the page that may be on its way, and that would make it live.
    inboxes_.log_.leave(place.user, place.session_id);
    if (!box.members.empty()) return;
    boxes_.erase(at);
    live_users_.set(static_cast<std::int64_t>(boxes_.size()));
}

// --- sending ---

void Inboxes::Home::deliver(Parcel parcel) {
    const auto undeliverable = [&] {
        if (parcel.message) give_back(parcel.user, {parcel.message});
    };
    Box* const box = find(parcel.user);
    if (box == nullptr || !box->told) return undeliverable();
    if (box->told->epoch != parcel.position.epoch) {
        // The inbox was erased meanwhile; what is of its next life comes by its timer.
        box->look_in(inboxes_.options_.ack_timeout);
        return;
    }
    if (parcel.position.offset <= box->told->offset) return; // it was on a page
    box->early.emplace(parcel.position.offset, std::move(parcel.message));
    while (!box->early.empty() && box->early.begin()->first == box->told->offset + 1) {
        const std::uint64_t offset = ++box->told->offset;
        const room::MessageRef message = std::move(box->early.begin()->second);
        box->early.erase(box->early.begin());
        if (!message) continue;
        bool sent = false;
        for (const Member& member : box->members) {
            if (!member.live || offset <= member.live_after) continue;
            send(member, message);
            sent = true;
        }
        if (!sent) give_back(box->user, {message});
        box->look_in(inboxes_.options_.ack_timeout);
    }
}

void Inboxes::Home::give_back(const std::string& user,
                              const std::vector<room::MessageRef>& messages) {
    std::vector<room::MessageRef> counted;
    for (const room::MessageRef& message : messages)
        if (message->attempt() != 0) counted.push_back(message);
    if (!counted.empty()) inboxes_.log_.give_back(user, std::move(counted));
}

void Inboxes::Home::take_due(const std::string& user) {
    Box* const box = find(user);
    if (box == nullptr || box->taking) return;
    box->taking = inboxes_.log_.take_due(user, [this, user](const Due& due) { on_due(user, due); });
    if (!box->taking) box->look_in(inboxes_.options_.ack_timeout);
}

void Inboxes::Home::on_due(const std::string& user, const Due& due) {
    inboxes_.announce(due.changes);
    Box* const box = find(user);
    if (box == nullptr) return give_back(user, due.messages);
    box->taking = false;
    if (due.code != Code::ok) return box->look_in(inboxes_.options_.ack_timeout);
    bool sent = false;
    for (const Member& member : box->members) {
        if (!member.live) continue;
        for (const room::MessageRef& message : due.messages) send(member, message);
        sent = true;
    }
    if (!sent) give_back(user, due.messages);
    if (due.next != 0) box->look_in(std::chrono::milliseconds{due.next - reactor().clock().wall()});
}

// --- acknowledging, erasing ---

void Inboxes::Home::acknowledge(AckWish wish) {
    auto shared = std::make_shared<AckWish>(std::move(wish));
    const auto done = [this, shared](const Acked& acked) {
        inboxes_.announce(acked.changes);
        Box* const box = acked.moved ? find(shared->ack.user) : nullptr;
        if (box != nullptr)
            for (const Member& member : box->members) {
                if (member.reactor == shared->reactor && member.place.session == shared->session)
                    continue;
                tell(inboxes_.all_[member.reactor]->sessions_, member.place,
                     [visit = member.place.visit, at = acked.acked](session::Session& session) {
                         session.on_inbox_acked(visit, at);
                     });
            }
        shared->done(acked);
    };
    const bool by_api = shared->session == 0;
    if (inboxes_.log_.acknowledge(shared->ack, by_api, done)) return;
    Acked refused;
    refused.code = Code::unavailable;
    refused.detail = "too many operations wait for the store";
    shared->done(refused);
}

void Inboxes::Home::erase(const std::string& user, std::function<void(const Erased&)> done) {
    const Epoch next = Epoch::fresh();
    const bool taken = inboxes_.log_.erase(user, next, [this, user, done](const Erased& erased) {
        Box* const box = erased.code == Code::ok ? find(user) : nullptr;
        if (box != nullptr) {
            box->told = Position{erased.epoch, 0};
            box->early.clear();
            for (Member& member : box->members) {
                member.after = member.live_after = 0;
                tell(inboxes_.all_[member.reactor]->sessions_, member.place,
                     [visit = member.place.visit, at = *box->told](session::Session& session) {
                         session.on_inbox_reset(visit, at);
                     });
            }
        }
        done(erased);
    });
    if (taken) return;
    Erased refused;
    refused.code = Code::unavailable;
    refused.detail = "too many operations wait for the store";
    done(refused);
}

} // namespace fanfare::delivery
