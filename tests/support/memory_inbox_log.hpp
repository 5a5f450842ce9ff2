#pragma once
// A delivery::InboxLog that keeps everything in this process, in the order of the calls. It answers
// on the reactor that called, refuses when the test wants it to, and fails when the test wants it
// to.

#include "memory_devices.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/delivery/inbox_log.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace fanfare::test {

class MemoryInboxLog final : public delivery::InboxLog {
  public:
    using Notification = delivery::Notification;
    using Status = delivery::Status;
    using Event = delivery::Event;

    struct Kept {
        Notification notification;
        std::vector<delivery::TimelineEntry> timeline;
        WallMillis due = 0; // when the next attempt is; 0: none
    };
    struct Inbox {
        Epoch epoch;
        std::uint64_t newest = 0;
        std::uint64_t acked = 0;
        std::map<std::uint64_t, Kept> kept;
        std::map<std::string, delivery::Device> devices;
        std::set<std::string> live;
    };

    void set_options(const delivery::InboxOptions& given) override { options = given; }
    void on_changes(std::function<void(std::vector<delivery::StatusChange>)> tell) override {
        tell_ = std::move(tell);
    }

    // --- writing ---
    bool place(delivery::Order order, std::function<void(delivery::Placed)> done) override {
        return write([this, order = std::move(order)] { return placed(order); }, std::move(done));
    }
    bool page(delivery::PageWish wish, std::function<void(delivery::Page)> done) override {
        return write([this, wish = std::move(wish)] { return paged(wish); }, std::move(done));
    }
    void leave(const std::string& user, const std::string& session) override {
        inboxes[user].live.erase(session);
    }
    bool take_due(const std::string& user, std::function<void(delivery::Due)> done) override {
        return write([this, user] { return due(inboxes[user]); }, std::move(done));
    }
    void give_back(const std::string& user, std::vector<room::MessageRef> messages) override {
        for (const room::MessageRef& message : messages) {
            const auto at = inboxes[user].kept.find(message->position().offset);
            if (at == inboxes[user].kept.end() ||
                at->second.notification.attempts != message->attempt())
                continue;
            note(at->second, Event::returned, {}, at->second.notification.attempts--);
        }
    }
    bool acknowledge(delivery::Ack ack, bool count_unread,
                     std::function<void(delivery::Acked)> done) override {
        return write(
            [this, ack = std::move(ack), count_unread] { return acknowledged(ack, count_unread); },
            std::move(done));
    }
    bool erase(const std::string& user, const Epoch& fresh,
               std::function<void(delivery::Erased)> done) override {
        return write(
            [this, user, fresh] {
                delivery::Erased erased;
                erased.epoch = fresh;
                if (devices != nullptr) erased.push_devices = devices->erase(user);
                const auto at = inboxes.find(user);
                if (at == inboxes.end()) return erased;
                erased.notifications = at->second.kept.size();
                erased.devices = at->second.devices.size();
                inboxes.erase(at);
                return erased;
            },
            std::move(done));
    }

    // --- reading ---
    void view(delivery::InboxQuery query, std::function<void(delivery::InboxView)> done) override {
        answer([this, query = std::move(query)] { return viewed(query); }, std::move(done));
    }
    void find(const delivery::NotificationId& id, bool timeline,
              std::function<void(delivery::Found)> done) override {
        answer(
            [this, id, timeline] {
                delivery::Found found;
                found.code = Code::not_found;
                for (auto& [user, inbox] : inboxes)
                    for (auto& [offset, kept] : inbox.kept)
                        if (kept.notification.id == id) {
                            found.code = Code::ok;
                            found.notification = kept.notification;
                            if (timeline) found.timeline = kept.timeline;
                        }
                return found;
            },
            std::move(done));
    }
    void timelines(
        const std::string& user, std::vector<std::uint64_t> offsets,
        std::function<void(std::vector<std::vector<delivery::TimelineEntry>>)> done) override {
        in_turn([this, user, offsets = std::move(offsets), done = std::move(done)] {
            std::vector<std::vector<delivery::TimelineEntry>> found(offsets.size());
            for (std::size_t i = 0; failing == nullptr && i < offsets.size(); ++i)
                found[i] = inboxes[user].kept[offsets[i]].timeline;
            done(std::move(found));
        });
    }

    std::map<std::string, Inbox> inboxes;
    std::vector<delivery::Order> accepted_sends;
    delivery::InboxOptions options;
    MemoryDevices* devices = nullptr; // that are erased with their user
    const char* failing = nullptr;    // why the disk does not work
    bool full = false;                // too much waits: writes are refused

  private:
    struct Key {
        std::uint64_t fingerprint = 0;
        WallMillis expires = 0;
        delivery::Placed answer;
    };

    static WallMillis now() { return net::Reactor::current()->wall(); }

    static void in_turn(std::function<void()> act) {
        net::Reactor::current()->post(std::move(act));
    }
    /// `act` is done in its turn; its answer goes to `done`.
    template <class Act, class Answer>
    void answer(Act act, std::function<void(Answer)> done) {
        in_turn([this, act = std::move(act), done = std::move(done)] {
            if (failing != nullptr) {
                Answer failure;
                failure.code = Code::unavailable;
                failure.detail = failing;
                return done(std::move(failure));
            }
            expire();
            done(act());
        });
    }
    template <class Act, class Answer>
    bool write(Act act, std::function<void(Answer)> done) {
        if (full) return false;
        answer(std::move(act), std::move(done));
        return true;
    }

    static void note(Kept& kept, Event event, std::optional<Status> status,
                     std::uint32_t attempt = 0, std::string detail = {}) {
        kept.timeline.push_back({now(), event, status, attempt, std::move(detail)});
        if (!status) return;
        kept.notification.status = *status;
        kept.notification.updated = now();
    }
    static delivery::StatusChange change_of(const Kept& kept) {
        return {kept.notification.id, kept.notification.status, kept.timeline.back().time,
                kept.timeline.back().event};
    }
    void expire() {
        std::vector<delivery::StatusChange> changes;
        for (auto& [user, inbox] : inboxes)
            for (auto& [offset, kept] : inbox.kept)
                if (kept.notification.expires <= now() &&
                    delivery::may_become(kept.notification.status, Status::expired)) {
                    note(kept, Event::expired, Status::expired);
                    changes.push_back(change_of(kept));
                }
        if (tell_ && !changes.empty()) tell_(std::move(changes));
    }
    static bool is_shown(const Notification& notification) {
        return notification.status != Status::suppressed && notification.expires > now() &&
               (notification.channels & delivery::realtime) != 0;
    }
    static bool waits(const Inbox& inbox, const Notification& notification) {
        return is_shown(notification) && notification.offset > inbox.acked;
    }
    void attempt(const Inbox& inbox, Kept& kept) const {
        std::string sessions;
        for (const std::string& session : inbox.live)
            sessions += (sessions.empty() ? "" : ",") + session;
        kept.notification.tried = now();
        kept.due = now() + options.ack_timeout.count();
        note(kept, Event::sent, {}, ++kept.notification.attempts, std::move(sessions));
    }
    static room::MessageRef message_of(const Inbox& inbox, const Notification& notification) {
        room::Message::Parts parts;
        parts.room = "@me";
        parts.data = notification.data;
        const std::string id = notification.id.text();
        parts.id = id;
        parts.attempt = static_cast<std::uint8_t>(notification.attempts);
        room::DraftRef message = room::Message::make(parts, hash_bytes(notification.user));
        message->number({inbox.epoch, notification.offset}, notification.created,
                        net::Reactor::current()->now_micros());
        return message;
    }

    delivery::Placed placed(const delivery::Order& order) {
        const auto known = keys_.find(order.key);
        if (known != keys_.end() && known->second.expires > now()) {
            delivery::Placed repeat = known->second.answer;
            if (known->second.fingerprint != order.fingerprint) {
                repeat = {};
                repeat.code = Code::conflict;
            }
            repeat.duplicate = repeat.code == Code::ok;
            return repeat;
        }
        delivery::Placed placed;
        if (order.audience) {
            placed.send = delivery::NotificationId::make(order.created);
            accepted_sends.push_back(order);
        }
        if (!order.later)
            for (const std::string& user : order.users)
                placed.notifications.push_back(place_one(order, user));
        if (!order.key.empty()) keys_[order.key] = {order.fingerprint, order.key_expires, placed};
        return placed;
    }
    delivery::Placed::One place_one(const delivery::Order& order, const std::string& user) {
        Inbox& inbox = inboxes[user];
        if (inbox.epoch.none()) inbox.epoch = Epoch::fresh();
        delivery::Placed::One one;
        one.id = delivery::NotificationId::make(order.created);
        if (!order.collapse_key.empty())
            for (auto& [offset, older] : inbox.kept)
                if (older.notification.collapse_key == order.collapse_key &&
                    delivery::may_become(older.notification.status, Status::suppressed)) {
                    note(older, Event::collapsed, Status::suppressed, 0, one.id.text());
                    one.collapsed.push_back(older.notification.id);
                }
        Kept& kept = inbox.kept[++inbox.newest];
        Notification& fresh = kept.notification;
        fresh.id = one.id;
        fresh.user = user;
        fresh.offset = inbox.newest;
        fresh.priority = order.priority;
        fresh.channels = order.channels;
        fresh.created = order.created;
        fresh.expires = order.expires;
        fresh.category = order.category;
        fresh.collapse_key = order.collapse_key;
        fresh.data = order.data;
        note(kept, Event::accepted, Status::pending);
        if (!inbox.live.empty() && is_shown(fresh)) attempt(inbox, kept);
        one.position = {inbox.epoch, inbox.newest};
        one.attempt = fresh.attempts;
        return one;
    }

    /// All at once, whatever its size.
    delivery::Page paged(const delivery::PageWish& wish) {
        Inbox& inbox = inboxes[wish.user];
        if (inbox.epoch.none()) inbox.epoch = wish.fresh;
        delivery::Page page;
        page.newest = {inbox.epoch, inbox.newest};
        page.acked = inbox.acked;
        page.unacknowledged = wish.first ? !wish.since && wish.last == 0 : wish.unacknowledged;
        if (wish.since) {
            page.recovered = wish.since->epoch == inbox.epoch && wish.since->offset <= inbox.newest;
            page.after = *page.recovered ? wish.since->offset : inbox.newest;
        } else if (!wish.first) {
            page.after = wish.after;
        } else if (wish.last != 0) {
            page.after = inbox.newest - std::min<std::uint64_t>(wish.last, inbox.newest);
        }
        inbox.live.insert(wish.session);
        for (auto at = inbox.kept.upper_bound(page.after); at != inbox.kept.end(); ++at) {
            Kept& kept = at->second;
            const bool sends =
                waits(inbox, kept.notification) && kept.notification.attempts < options.attempts;
            if (!is_shown(kept.notification) || (page.unacknowledged && !sends)) continue;
            if (sends) attempt(inbox, kept);
            page.messages.push_back(message_of(inbox, kept.notification));
        }
        page.caught_up = true;
        return page;
    }
    delivery::Due due(Inbox& inbox) const {
        delivery::Due taken;
        for (auto& [offset, kept] : inbox.kept) {
            if (kept.due == 0 || !waits(inbox, kept.notification)) continue;
            if (kept.due <= now()) {
                note(kept, Event::not_acknowledged, {}, kept.notification.attempts);
                kept.due = 0;
                if (kept.notification.attempts < options.attempts) {
                    attempt(inbox, kept);
                    taken.messages.push_back(message_of(inbox, kept.notification));
                } else {
                    note(kept, Event::waiting, {});
                }
            }
            if (kept.due != 0)
                taken.next = taken.next == 0 ? kept.due : std::min(taken.next, kept.due);
        }
        return taken;
    }

    delivery::Acked acknowledged(const delivery::Ack& ack, bool count_unread) {
        delivery::Acked acked;
        const auto at = inboxes.find(ack.user);
        if (at == inboxes.end()) return acked;
        Inbox& inbox = at->second;
        const std::uint64_t upto = std::min(ack.offset, inbox.newest);
        for (auto& [offset, kept] : inbox.kept)
            if (offset <= upto && waits(inbox, kept.notification) &&
                delivery::may_become(kept.notification.status, Status::delivered)) {
                note(kept, Event::acknowledged, Status::delivered, 0, ack.session);
                acked.changes.push_back(change_of(kept));
            }
        acked.moved = upto > inbox.acked;
        acked.acked = inbox.acked = std::max(inbox.acked, upto);
        delivery::Device& device = inbox.devices[ack.device];
        device = {ack.device, std::max(device.offset, upto), now()};
        if (count_unread) acked.unread = unread(inbox);
        return acked;
    }

    static std::uint64_t unread(const Inbox& inbox) {
        return static_cast<std::uint64_t>(
            std::count_if(inbox.kept.begin(), inbox.kept.end(), [&](const auto& entry) {
                return waits(inbox, entry.second.notification);
            }));
    }
    delivery::InboxView viewed(const delivery::InboxQuery& query) const {
        delivery::InboxView view;
        const auto at = inboxes.find(query.user);
        if (at == inboxes.end()) return view;
        const Inbox& inbox = at->second;
        view.known = true;
        view.newest = {inbox.epoch, inbox.newest};
        view.acked = inbox.acked;
        view.unread = unread(inbox);
        for (const auto& [name, device] : inbox.devices) view.devices.push_back(device);
        std::size_t bytes = 0;
        const auto take = [&](const Notification& one) {
            if (!query.records && !is_shown(one)) return true;
            if (query.unread_only && one.offset <= inbox.acked) return true;
            bytes += one.data.size();
            view.more = view.notifications.size() == query.limit ||
                        (!view.notifications.empty() && bytes > query.bytes_max);
            if (!view.more) view.notifications.push_back(one);
            return !view.more;
        };
        if (query.reverse) {
            for (auto entry = inbox.kept.upper_bound(query.first); entry != inbox.kept.begin();)
                if (!take((--entry)->second.notification)) break;
        } else {
            for (auto entry = inbox.kept.lower_bound(query.first); entry != inbox.kept.end();
                 ++entry)
                if (!take(entry->second.notification)) break;
        }
        return view;
    }

    std::function<void(std::vector<delivery::StatusChange>)> tell_;
    std::map<std::string, Key> keys_;
};

} // namespace fanfare::test
