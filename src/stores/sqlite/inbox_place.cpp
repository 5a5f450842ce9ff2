// A backend's order: all of its notifications in one transaction. Of a send also: that it was
// accepted, and a step of its walk.

#include "inbox_tasks.hpp"

#include <fanfare/delivery/send_log.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::stores {

using delivery::Event;
using delivery::NotificationId;
using delivery::Order;
using delivery::Placed;
using delivery::Status;

class SqliteInbox::Place final : public WriteTask {
  public:
    Place(SqliteInbox& inbox, Order order, std::function<void(Placed)> tell)
        : inbox_(inbox), order_(std::move(order)), tell_(std::move(tell)) {}

    [[nodiscard]] std::size_t bytes() const noexcept override {
        if (order_.audience) return order_.data.size() + order_.users.size() * 512;
        return order_.users.size() * (order_.data.size() + 512);
    }
    [[nodiscard]] Lane lane() const noexcept override {
        static_assert(static_cast<int>(Lane::low) == static_cast<int>(delivery::Priority::low));
        return static_cast<Lane>(order_.priority);
    }
    [[nodiscard]] std::size_t operations() const noexcept override {
        const std::size_t users = order_.users.size();
        return std::max<std::size_t>(order_.later ? users / delivery::SendLog::slice_max : users,
                                     1);
    }

    [[nodiscard]] std::size_t cost() const noexcept override { return operations() * 8; }

    void apply() override {
        placed_ = {};
        if (!order_.key.empty() && is_known()) return;
        const Moment moment = inbox_.moment();
        send_ = 0;
        if (order_.step) {
            if (!begin_step(moment)) return;
        } else if (order_.audience) {
            placed_.send = NotificationId::make(order_.created);
            send_ = inbox_.sends_.make(order_, *placed_.send, moment.now);
        }
        if (!order_.later) place_all(moment);
        if (!order_.key.empty()) keep_key();
    }
    void done() override {
        if (code != Code::ok) {
            placed_ = {};
            placed_.code = code;
            placed_.detail = detail;
        }
        tell_(std::move(placed_));
    }

  private:
    /// When an attempt whose user has left meanwhile is looked at.
    static std::int64_t late(const Moment& moment) { return moment.options.ack_timeout.count(); }
    /// True: the key answers.
    bool is_known() {
        std::optional<InboxRows::Key> known = inbox_.rows_.find_key(order_.key);
        if (!known) return false;
        if (known->expires <= system_clock().wall()) {
            inbox_.rows_.forget_key(order_.key);
            return false;
        }
        if (known->fingerprint != order_.fingerprint) {
            placed_.code = Code::conflict;
            placed_.detail = "the key was used for another notification";
            return true;
        }
        placed_.duplicate = true;
        placed_.send = known->send;
        placed_.notifications = std::move(known->answers);
        return true;
    }

    void keep_key() {
        if (placed_.send) inbox_.rows_.set_key(order_, *placed_.send);
        for (std::size_t part = 0; part < placed_.notifications.size(); ++part)
            inbox_.rows_.set_key(order_, part, placed_.notifications[part]);
    }

    /// False: there is nothing to be placed.
    bool begin_step(const Moment& moment) {
        SendRows& sends = inbox_.sends_;
        const delivery::SendStep& step = *order_.step;
        const std::optional<SendRows::Walk> walk = sends.walk(step.send);
        if (!walk || walk->at != step.from) {
            placed_.code = Code::conflict;
            placed_.detail = "this step of the send was made already";
            return false;
        }
        send_ = step.send;
        placed_.send = step.id;
        if (walk->expires > moment.now) return true;
        sends.end(send_, true, moment.now, moment.options.keep);
        return false;
    }

    void place_all(const Moment& moment) {
        placed_.notifications.reserve(order_.users.size());
        for (const std::string& user : order_.users) place_one(user, moment);
        inbox_.sweep_by(order_.expires);
        if (order_.step) inbox_.sends_.step(*order_.step, moment.now);
        if (send_ != 0 && !order_.step)
            inbox_.sends_.close(send_, moment.now, moment.options.keep);
        else if (order_.step && order_.step->last)
            inbox_.sends_.end(send_, false, moment.now, moment.options.keep);
    }

    void place_one(const std::string& user, const Moment& moment) {
        InboxRows& rows = inbox_.rows_;
        const LiveUsers::User* const live = inbox_.live_.find(user);
        std::optional<InboxRow> inbox = rows.find(user);
        // With another device, an earlier step has met the user.
        if (inbox && order_.step && order_.audience->kind == delivery::Audience::Kind::topic &&
            rows.has(*inbox, send_, order_.created)) {
            placed_.notifications.emplace_back();
            return;
        }
        if (!inbox) inbox = rows.make(user, live != nullptr ? live->fresh : Epoch::fresh());
        Placed::One& one = placed_.notifications.emplace_back();
        one.id = NotificationId::make(order_.created);
        one.position = {inbox->epoch, rows.advance(*inbox)};
        if (!order_.collapse_key.empty()) collapse(*inbox, one, moment);
        NotificationRow row = rows.insert(*inbox, one.position.offset, one.id, order_, send_);
        if ((order_.channels & delivery::realtime) != 0 && live != nullptr) {
            rows.attempt(row, moment, LiveUsers::names(*live));
            one.attempt = row.attempts;
            if (!moment.options.pushes_to.empty()) inbox_.sweep_by(moment.now + late(moment));
        } else if (!rows.begin_push(row, user, moment) &&
                   (order_.channels & delivery::realtime) == 0) {
            const bool served =
                (order_.channels & delivery::push) != 0 && !moment.options.pushes_to.empty();
            rows.fail(row, moment,
                      served ? "the user has no device"
                             : "no provider is configured for its channels");
        }
    }

    /// The newer one says what the older ones said.
    void collapse(const InboxRow& inbox, Placed::One& newer, const Moment& moment) {
        for (NotificationRow& row :
             inbox_.rows_.collapsible(inbox, order_.collapse_key, moment.now)) {
            inbox_.rows_.move(row, Status::suppressed, Event::collapsed, moment, newer.id.text());
            newer.collapsed.push_back(row.id);
        }
    }

    SqliteInbox& inbox_;
    const Order order_;
    std::function<void(Placed)> tell_;
    Placed placed_;
    std::int64_t send_ = 0; // the row; 0: it is none
};

bool SqliteInbox::place(Order order, std::function<void(Placed)> done) {
    return writer_.post(std::make_unique<Place>(*this, std::move(order), std::move(done)));
}

} // namespace fanfare::stores
