#include "inbox_reads.hpp"

#include "inbox_tasks.hpp"
#include "inbox_values.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace fanfare::stores {

using delivery::Event;
using delivery::Found;
using delivery::InboxQuery;
using delivery::InboxView;
using delivery::Notification;
using delivery::NotificationId;
using delivery::Status;
using delivery::TimelineEntry;

namespace {

std::uint64_t number(const Statement& row, int column) {
    return static_cast<std::uint64_t>(row.integer(column));
}

/// What was not swept yet is over all the same.
Status status_at(const Statement& row, WallMillis now) {
    const Status stored = status_of(row.integer(2));
    const bool may_expire = delivery::may_become(stored, Status::expired);
    return may_expire && row.integer(7) <= now ? Status::expired : stored;
}

Notification notification_of(const Statement& row, WallMillis now) {
    Notification one;
    one.offset = number(row, 0);
    one.id = id_of(row.blob(1));
    one.status = status_at(row, now);
    one.priority = priority_of(row.integer(3));
    one.channels = static_cast<delivery::Channels>(row.integer(4));
    one.attempts = static_cast<std::uint32_t>(row.integer(5));
    one.created = row.integer(6);
    one.expires = row.integer(7);
    one.updated = row.integer(8);
    one.tried = row.integer(9);
    one.category = row.text(10);
    one.collapse_key = row.text(11);
    one.data = row.text(12);
    if (!row.is_null(13)) one.send = id_of(row.blob(13));
    return one;
}

delivery::SendView send_of(const Statement& row) {
    delivery::SendView send;
    send.id = id_of(row.blob(0));
    send.audience = {audience_of(row.integer(1)), std::string{row.text(2)}};
    send.priority = priority_of(row.integer(3));
    send.channels = static_cast<delivery::Channels>(row.integer(4));
    send.created = row.integer(5);
    send.expires = row.integer(6);
    send.category = row.text(7);
    send.collapse_key = row.text(8);
    send.data = row.text(9);
    send.updated = row.integer(10);
    send.began = row.integer(11);
    send.expanded = row.integer(12);
    send.cut = row.integer(13) != 0;
    send.accepted = number(row, 14);
    for (std::size_t i = 0; i < send.counts.size(); ++i)
        send.counts[i] = number(row, 15 + static_cast<int>(i));
    return send;
}

std::int64_t bounded(std::uint64_t value) {
    return static_cast<std::int64_t>(
        std::min<std::uint64_t>(value, std::numeric_limits<std::int64_t>::max()));
}

} // namespace

/// All that it asks is of one moment.
class SqliteInbox::Question : public net::BlockingTask {
  public:
    explicit Question(SqliteInbox& inbox) : inbox_(inbox) {}
    void run() final {
        try {
            read().database.execute("BEGIN");
            look();
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
            code_ = Code::unavailable;
            detail_ = fault_text(error.code());
        }
        end();
    }

  protected:
    virtual void look() = 0;
    [[nodiscard]] ReadStatements& read() noexcept { return *inbox_.read_; }
    template <class Answer>
    [[nodiscard]] Answer settled(Answer answer) const {
        if (code_ == Code::ok) return answer;
        Answer refused;
        refused.code = code_;
        refused.detail = detail_;
        return refused;
    }
    [[nodiscard]] std::optional<InboxRow> find(std::string_view user) {
        Statement& row = read().inbox.bind(user);
        if (!row.step()) return std::nullopt;
        const InboxRow found{row.integer(0), Epoch::parse(row.text(1)), number(row, 2),
                             number(row, 3)};
        row.reset();
        return found;
    }
    /// Empty: there is no such notification.
    [[nodiscard]] std::vector<TimelineEntry> timeline(std::int64_t inbox, std::uint64_t offset) {
        std::vector<TimelineEntry> entries;
        Statement& head = read().head.bind(inbox, bounded(offset));
        if (!head.step()) return entries;
        entries.push_back({head.integer(0), Event::accepted, Status::pending, 0, {}});
        head.reset();
        Statement& rows = read().events.bind(inbox, bounded(offset));
        while (rows.step()) {
            TimelineEntry& entry = entries.emplace_back();
            entry.time = rows.integer(0);
            entry.event = event_of(rows.integer(1));
            if (!rows.is_null(2)) entry.status = status_of(rows.integer(2));
            entry.attempt = static_cast<std::uint32_t>(rows.integer(3));
            entry.detail = rows.text(4);
        }
        return entries;
    }

    SqliteInbox& inbox_;
    Code code_ = Code::ok;
    const char* detail_ = nullptr;

  private:
    void end() noexcept {
        ReadStatements& used = read();
        for (Statement* each :
             {&used.inbox, &used.unread, &used.devices, &used.forwards, &used.backwards,
              &used.by_id, &used.user, &used.head, &used.send, &used.events})
            each->reset(); // an open one would keep the log from beginning anew
        if (!used.database.in_transaction()) return;
        try {
            used.database.execute("COMMIT");
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
        }
    }
};

class SqliteInbox::View final : public Question {
  public:
    View(SqliteInbox& inbox, InboxQuery query, std::function<void(InboxView)> tell)
        : Question(inbox), query_(std::move(query)), tell_(std::move(tell)) {}
    void done() override { tell_(settled(std::move(view_))); }

  private:
    void look() override {
        const std::optional<InboxRow> inbox = find(query_.user);
        if (!inbox) return;
        const WallMillis now = system_clock().wall();
        view_.known = true;
        view_.newest = {inbox->epoch, inbox->newest};
        view_.acked = inbox->acked;
        Statement& unread = read().unread.bind(inbox->id, inbox->acked, now);
        if (unread.step()) view_.unread = number(unread, 0);
        Statement& devices = read().devices.bind(inbox->id);
        while (devices.step())
            view_.devices.push_back(
                {std::string{devices.text(0)}, number(devices, 1), devices.integer(2)});
        walk(*inbox, now);
    }

    void walk(const InboxRow& inbox, WallMillis now) {
        if (query_.limit == 0) return;
        Statement& rows = query_.reverse ? read().backwards : read().forwards;
        rows.bind(inbox.id, bounded(query_.first), now, query_.records ? 1 : 0,
                  query_.unread_only ? 1 : 0, inbox.acked,
                  bounded(std::min(query_.limit, std::numeric_limits<std::size_t>::max() - 1) + 1));
        std::size_t bytes = 0;
        while (!view_.more && rows.step()) {
            bytes += message_weight(rows.text(12));
            view_.more = view_.notifications.size() == query_.limit ||
                         (!view_.notifications.empty() && bytes > query_.bytes_max);
            if (view_.more) break;
            view_.notifications.push_back(notification_of(rows, now));
            view_.notifications.back().user = query_.user;
        }
    }

    const InboxQuery query_;
    std::function<void(InboxView)> tell_;
    InboxView view_;
};

class SqliteInbox::Find final : public Question {
  public:
    Find(SqliteInbox& inbox, const NotificationId& id, bool timeline,
         std::function<void(Found)> tell)
        : Question(inbox), id_(id), timeline_(timeline), tell_(std::move(tell)) {}
    void done() override { tell_(settled(std::move(found_))); }

  private:
    void look() override {
        Statement& row = read().by_id.bind(Statement::as_blob(id_.raw()));
        if (!row.step()) return look_for_send();
        found_.notification = notification_of(row, system_clock().wall());
        const std::int64_t inbox = row.integer(14);
        row.reset();
        Statement& user = read().user.bind(inbox);
        if (user.step()) found_.notification.user = user.text(0);
        if (timeline_) found_.timeline = timeline(inbox, found_.notification.offset);
    }

    void look_for_send() {
        Statement& row = read().send.bind(Statement::as_blob(id_.raw()));
        if (row.step()) {
            found_.send = send_of(row);
            return;
        }
        found_.code = Code::not_found;
        found_.detail = "there is no such notification";
    }

    const NotificationId id_;
    const bool timeline_;
    std::function<void(Found)> tell_;
    Found found_;
};

class SqliteInbox::Timelines final : public Question {
  public:
    using Answer = std::vector<std::vector<TimelineEntry>>;
    Timelines(SqliteInbox& inbox, std::string user, std::vector<std::uint64_t> offsets,
              std::function<void(Answer)> tell)
        : Question(inbox), user_(std::move(user)), offsets_(std::move(offsets)),
          answer_(offsets_.size()), tell_(std::move(tell)) {}
    void done() override { tell_(std::move(answer_)); }

  private:
    void look() override {
        const std::optional<InboxRow> inbox = find(user_);
        for (std::size_t i = 0; inbox && i < offsets_.size(); ++i)
            answer_[i] = timeline(inbox->id, offsets_[i]);
    }

    const std::string user_;
    const std::vector<std::uint64_t> offsets_;
    Answer answer_;
    std::function<void(Answer)> tell_;
};

void SqliteInbox::view(InboxQuery query, std::function<void(InboxView)> done) {
    reader_.post(std::make_unique<View>(*this, std::move(query), std::move(done)));
}

void SqliteInbox::find(const NotificationId& id, bool timeline, std::function<void(Found)> done) {
    reader_.post(std::make_unique<Find>(*this, id, timeline, std::move(done)));
}

void SqliteInbox::timelines(const std::string& user, std::vector<std::uint64_t> offsets,
                            std::function<void(std::vector<std::vector<TimelineEntry>>)> done) {
    reader_.post(std::make_unique<Timelines>(*this, user, std::move(offsets), std::move(done)));
}

} // namespace fanfare::stores
