// What the user, or somebody in the user's name, says of an inbox: read up to here; forget me.

#include "inbox_tasks.hpp"

#include <algorithm>
#include <utility>

namespace fanfare::stores {

using delivery::Ack;
using delivery::Acked;
using delivery::Erased;
using delivery::Event;
using delivery::Status;

class SqliteInbox::Acknowledge final : public UserTask {
  public:
    Acknowledge(SqliteInbox& inbox, Ack ack, bool count_unread, std::function<void(Acked)> tell)
        : UserTask(inbox, ack.user), ack_(std::move(ack)), count_unread_(count_unread),
          tell_(std::move(tell)) {}

    void apply() override {
        acked_ = {};
        std::optional<InboxRow> inbox = rows().find(user_);
        if (!inbox) return;
        const Moment moment = inbox_.moment();
        const std::uint64_t to = std::min(ack_.offset, inbox->newest);
        if (to > inbox->acked) {
            deliver(*inbox, to, moment);
            rows().set_acked(*inbox, to);
            acked_.moved = true;
        }
        rows().set_device(inbox->id, ack_.device, to, moment.now);
        acked_.acked = inbox->acked;
        if (count_unread_) acked_.unread = rows().unread(*inbox, moment.now);
    }
    void done() override { tell_(settled(std::move(acked_))); }

  private:
    void deliver(const InboxRow& inbox, std::uint64_t to, const Moment& moment) {
        for (NotificationRow& row : rows().acknowledgeable(inbox, to, moment.now)) {
            rows().move(row, Status::delivered, Event::acknowledged, moment, ack_.session);
            acked_.changes.push_back({row.id, Status::delivered, moment.now, Event::acknowledged});
        }
    }

    const Ack ack_;
    const bool count_unread_;
    std::function<void(Acked)> tell_;
    Acked acked_;
};

class SqliteInbox::Erase final : public UserTask {
  public:
    Erase(SqliteInbox& inbox, std::string user, const Epoch& fresh,
          std::function<void(Erased)> tell)
        : UserTask(inbox, std::move(user)), fresh_(fresh), tell_(std::move(tell)) {}

    void apply() override {
        erased_ = {};
        erased_.epoch = fresh_;
        if (const std::optional<InboxRow> inbox = rows().find(user_)) {
            const InboxRows::Removed removed = rows().erase(inbox->id);
            erased_.notifications = removed.notifications;
            erased_.devices = removed.devices;
        }
        erased_.push_devices = inbox_.devices_.remove_all(user_);
        live().renew(user_, fresh_);
    }
    void done() override { tell_(settled(std::move(erased_))); }

  private:
    const Epoch fresh_;
    std::function<void(Erased)> tell_;
    Erased erased_;
};

bool SqliteInbox::acknowledge(Ack ack, bool count_unread, std::function<void(Acked)> done) {
    return writer_.post(
        std::make_unique<Acknowledge>(*this, std::move(ack), count_unread, std::move(done)));
}

bool SqliteInbox::erase(const std::string& user, const Epoch& fresh,
                        std::function<void(Erased)> done) {
    return writer_.post(std::make_unique<Erase>(*this, user, fresh, std::move(done)));
}

} // namespace fanfare::stores
