// What sessions are shown of their user's inbox: pages until they have caught up, and what is due
// to be sent again after that.

#include "inbox_tasks.hpp"
#include "inbox_values.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace fanfare::stores {

using delivery::Due;
using delivery::Page;
using delivery::PageWish;
using delivery::Status;

namespace {

// Of one call for what is due.
constexpr std::size_t due_rows_max = 1'000;
constexpr std::size_t due_bytes_max = std::size_t{512} * 1024;

std::uint64_t stored(std::uint64_t offset) {
    return std::min<std::uint64_t>(offset, std::numeric_limits<std::int64_t>::max());
}

} // namespace

class SqliteInbox::TakePage final : public UserTask {
  public:
    TakePage(SqliteInbox& inbox, PageWish wish, std::function<void(Page)> tell)
        : UserTask(inbox, wish.user), wish_(std::move(wish)), tell_(std::move(tell)) {}

    void apply() override {
        page_ = {};
        const Moment moment = inbox_.moment();
        const std::optional<InboxRow> found = rows().find(user_);
        InboxRow inbox = found.value_or(InboxRow{});
        if (!found) {
            const LiveUsers::User* const known = live().find(user_);
            inbox.epoch = known != nullptr ? known->fresh : wish_.fresh;
        }
        page_.newest = {inbox.epoch, inbox.newest};
        page_.acked = inbox.acked;
        page_.after = wish_.after;
        page_.unacknowledged = wish_.unacknowledged;
        if (wish_.first) begin(inbox, moment.now);
        page_.caught_up = !found || take(inbox, moment);
        if (page_.caught_up) live().join(user_, wish_.session, inbox.epoch);
        // The user may be gone by then.
        if (!moment.options.pushes_to.empty() && !page_.messages.empty())
            inbox_.sweep_by(moment.now + moment.options.ack_timeout.count());
    }
    void done() override { tell_(settled(std::move(page_))); }

  private:
    void begin(const InboxRow& inbox, WallMillis now) {
        page_.after = inbox.acked;
        page_.unacknowledged = true;
        if (wish_.since) {
            page_.recovered =
                wish_.since->epoch.stands_for(inbox.epoch) && wish_.since->offset <= inbox.newest;
            if (!*page_.recovered) return;
            page_.after = wish_.since->offset;
            page_.unacknowledged = false;
        } else if (wish_.last != 0) {
            page_.after = inbox.id == 0 ? 0 : rows().before_last(inbox.id, wish_.last, now);
            page_.unacknowledged = false;
        }
    }

    /// True: nothing is behind what was taken.
    bool take(const InboxRow& inbox, const Moment& moment) {
        const std::size_t most = wish_.bytes_max == 0 ? 0 : wish_.messages_max;
        const std::uint64_t after = stored(page_.after);
        // One more than fits tells whether there is more.
        const InboxRows::Bounds bounds{most + 1, wish_.bytes_max};
        const InboxRows::Rows found =
            page_.unacknowledged
                ? rows().waiting(inbox.id, std::max(after, inbox.acked), moment, bounds)
                : rows().shown(inbox.id, after, moment.now, bounds);
        std::size_t bytes = 0;
        for (NotificationRow row : found) {
            bytes += message_weight(row.data);
            if (page_.messages.size() == most ||
                (!page_.messages.empty() && bytes > wish_.bytes_max))
                return false;
            const bool counts = waits(row.status) && row.offset > inbox.acked &&
                                row.attempts < moment.options.attempts;
            if (counts) rows().attempt(row, moment, wish_.session);
            page_.messages.push_back(inbox_message(row, inbox.epoch, counts ? row.attempts : 0));
        }
        return true;
    }

    const PageWish wish_;
    std::function<void(Page)> tell_;
    Page page_;
};

/// A session that is gone is gone, whatever the disk says.
class SqliteInbox::Leave final : public UserTask {
  public:
    Leave(SqliteInbox& inbox, std::string user, std::string session)
        : UserTask(inbox, std::move(user)), session_(std::move(session)) {}

    void apply() override {
        if (!live().leave(user_, session_)) return;
        // While a user is live, an inbox that was emptied stays.
        if (const std::optional<InboxRow> inbox = rows().find(user_))
            rows().drop_if_empty(inbox->id);
    }
    void refused() noexcept override {
        live().leave(user_, session_);
        live().settled(true);
    }
    void done() override {}

  private:
    const std::string session_;
};

class SqliteInbox::TakeDue final : public UserTask {
  public:
    TakeDue(SqliteInbox& inbox, std::string user, std::function<void(Due)> tell)
        : UserTask(inbox, std::move(user)), tell_(std::move(tell)) {}

    void apply() override {
        due_ = {};
        const LiveUsers::User* const user = live().find(user_);
        const std::optional<InboxRow> inbox = rows().find(user_);
        if (user == nullptr || !inbox) return;
        take(*inbox, LiveUsers::names(*user), inbox_.moment());
        due_.next = rows().next_due(inbox->id);
        std::sort(due_.messages.begin(), due_.messages.end(), [](const auto& a, const auto& b) {
            return a->position().offset < b->position().offset;
        });
    }
    void done() override { tell_(settled(std::move(due_))); }

  private:
    void take(const InboxRow& inbox, const std::string& sessions, const Moment& moment) {
        std::size_t bytes = 0;
        for (NotificationRow& row :
             rows().due(inbox.id, moment.now, {due_rows_max, due_bytes_max})) {
            if (!waits(row.status) || row.expires <= moment.now) {
                rows().forget_due(row); // the sweep moves it
            } else if (row.attempts >= moment.options.attempts) {
                rows().spend(row, user_, moment);
            } else {
                bytes += message_weight(row.data);
                if (!due_.messages.empty() && bytes > due_bytes_max) return;
                // It does not wait for the other attempts: both ways at once.
                if (row.priority == delivery::Priority::critical)
                    rows().begin_push(row, user_, moment);
                rows().attempt(row, moment, sessions);
                due_.messages.push_back(inbox_message(row, inbox.epoch, row.attempts));
            }
        }
    }

    std::function<void(Due)> tell_;
    Due due_;
};

class SqliteInbox::GiveBack final : public UserTask {
  public:
    GiveBack(SqliteInbox& inbox, std::string user, std::vector<room::MessageRef> messages)
        : UserTask(inbox, std::move(user)), messages_(std::move(messages)) {}

    void apply() override {
        const std::optional<InboxRow> inbox = rows().find(user_);
        if (!inbox) return;
        const Moment moment = inbox_.moment();
        for (const room::MessageRef& message : messages_) {
            // Of a life that is over, or not counted.
            if (message->position().epoch != inbox->epoch || message->attempt() == 0) continue;
            std::optional<NotificationRow> row = rows().at(inbox->id, message->position().offset);
            if (row && waits(row->status) && row->awaited && row->attempts == message->attempt())
                rows().give_back(*row, moment);
        }
    }
    void done() override {}

  private:
    const std::vector<room::MessageRef> messages_;
};

bool SqliteInbox::page(PageWish wish, std::function<void(Page)> done) {
    return writer_.post(std::make_unique<TakePage>(*this, std::move(wish), std::move(done)));
}

void SqliteInbox::leave(const std::string& user, const std::string& session) {
    writer_.post_always(std::make_unique<Leave>(*this, user, session));
}

bool SqliteInbox::take_due(const std::string& user, std::function<void(Due)> done) {
    return writer_.post(std::make_unique<TakeDue>(*this, user, std::move(done)));
}

void SqliteInbox::give_back(const std::string& user, std::vector<room::MessageRef> messages) {
    writer_.post_always(std::make_unique<GiveBack>(*this, user, std::move(messages)));
}

} // namespace fanfare::stores
