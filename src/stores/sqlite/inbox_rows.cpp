#include "inbox_rows.hpp"

#include "inbox_statements.hpp"
#include "inbox_values.hpp"

#include <fanfare/base/assert.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::stores {

using delivery::Event;
using delivery::NotificationId;
using delivery::Status;

namespace {

/// Of one inbox; those that acknowledge most rarely go first.
constexpr std::size_t devices_max = 100;

NotificationRow row_of(const Statement& rows, bool with_data) {
    NotificationRow row;
    row.inbox = rows.integer(0);
    row.offset = static_cast<std::uint64_t>(rows.integer(1));
    row.id = id_of(rows.blob(2));
    row.status = status_of(rows.integer(3));
    row.attempts = static_cast<std::uint32_t>(rows.integer(4));
    row.created = rows.integer(5);
    row.expires = rows.integer(6);
    row.awaited = !rows.is_null(7);
    row.channels = static_cast<delivery::Channels>(rows.integer(8));
    row.priority = priority_of(rows.integer(9));
    row.pushed = rows.integer(10) != 0;
    row.send = rows.integer(11);
    if (with_data) row.data = rows.text(12);
    return row;
}

/// All of them, before any is changed: a walk must not meet what it writes.
InboxRows::Rows all_of(Statement& rows) {
    InboxRows::Rows all;
    while (rows.step()) all.push_back(row_of(rows, false));
    return all;
}

/// With what is to be sent, up to the first one that goes beyond the bound, which is among them, as
/// is the one behind a first that does.
InboxRows::Rows sendable(Statement& rows, std::size_t bytes_max) {
    InboxRows::Rows found;
    std::size_t bytes = 0;
    while ((bytes <= bytes_max || found.size() < 2) && rows.step()) {
        found.push_back(row_of(rows, true));
        bytes += message_weight(found.back().data);
    }
    rows.reset();
    return found;
}

} // namespace

InboxRows::InboxRows(Database& database, PushRows& push, SendRows& sends)
    : database_(database), push_(push), sends_(sends), sql_(new Statements{database}) {}

void InboxRows::Delete::operator()(Statements* statements) const noexcept {
    delete statements;
}

// --- inboxes ---

std::optional<InboxRow> InboxRows::find(std::string_view user) {
    Statement& found = sql_->find.bind(user);
    if (!found.step()) return std::nullopt;
    const InboxRow inbox{found.integer(0), Epoch::parse(found.text(1)),
                         static_cast<std::uint64_t>(found.integer(2)),
                         static_cast<std::uint64_t>(found.integer(3))};
    found.reset();
    return inbox;
}

InboxRow InboxRows::make(std::string_view user, const Epoch& epoch) {
    sql_->make.bind(user, epoch.text()).run();
    return {database_.last_row_id(), epoch, 0, 0};
}

std::uint64_t InboxRows::advance(InboxRow& inbox) {
    sql_->set_newest.bind(inbox.id, ++inbox.newest).run();
    return inbox.newest;
}

void InboxRows::set_acked(InboxRow& inbox, std::uint64_t offset) {
    inbox.acked = offset;
    sql_->set_acked.bind(inbox.id, offset).run();
}

void InboxRows::set_device(std::int64_t inbox, std::string_view device, std::uint64_t offset,
                           WallMillis now) {
    sql_->set_device.bind(inbox, device, offset, now).run();
    sql_->trim_devices.bind(inbox, static_cast<std::int64_t>(devices_max)).run();
}

std::uint64_t InboxRows::unread(const InboxRow& inbox, WallMillis now) {
    Statement& count = sql_->unread.bind(inbox.id, inbox.acked, now);
    const std::int64_t unread = count.step() ? count.integer(0) : 0;
    count.reset();
    return static_cast<std::uint64_t>(unread);
}

InboxRows::Removed InboxRows::erase(std::int64_t inbox) {
    Statement& pending = sql_->pending.bind(inbox);
    if (pending.step()) tally.depth -= pending.integer(0);
    pending.reset();
    Removed removed;
    sends_.erase(inbox);
    push_.forget_all(inbox);
    sql_->drop_all_events.bind(inbox).run();
    sql_->drop_all.bind(inbox).run();
    removed.notifications = static_cast<std::uint64_t>(database_.changes());
    sql_->drop_devices.bind(inbox).run();
    removed.devices = static_cast<std::uint64_t>(database_.changes());
    sql_->drop_inbox.bind(inbox).run();
    return removed;
}

void InboxRows::drop_if_empty(std::int64_t inbox) {
    Statement& any = sql_->any.bind(inbox);
    const bool empty = !any.step();
    any.reset();
    if (!empty) return;
    sql_->drop_devices.bind(inbox).run();
    sql_->drop_inbox.bind(inbox).run();
}

std::string InboxRows::user_of(std::int64_t inbox) {
    Statement& found = sql_->user_of.bind(inbox);
    std::string user{found.step() ? found.text(0) : std::string_view{}};
    found.reset();
    return user;
}

// --- notifications ---

NotificationRow InboxRows::insert(const InboxRow& inbox, std::uint64_t offset,
                                  const NotificationId& id, const delivery::Order& order,
                                  std::int64_t send) {
    const bool single = send == 0;
    sql_->insert
        .bind(
            inbox.id, offset, Statement::as_blob(id.raw()), static_cast<int>(order.priority),
            static_cast<int>(order.channels), order.created, order.expires,
            Statement::or_null(order.category), Statement::or_null(order.collapse_key),
            single ? std::string_view{order.data} : std::string_view{""},
            Statement::or_null(single ? std::string_view{order.push_options} : std::string_view{}),
            single ? std::nullopt : std::optional{send})
        .run();
    if (!single) sends_.placed(send, order.audience->kind != delivery::Audience::Kind::users);
    ++tally.depth;
    ++tally.moves[static_cast<std::size_t>(Status::pending)];
    NotificationRow row;
    row.inbox = inbox.id;
    row.offset = offset;
    row.id = id;
    row.created = order.created;
    row.expires = order.expires;
    row.channels = order.channels;
    row.priority = order.priority;
    row.send = send;
    return row;
}

bool InboxRows::has(const InboxRow& inbox, std::int64_t send, WallMillis created) {
    // Offsets are given in the order of writing, which is about that of time.
    constexpr std::int64_t about_ms = 60'000;
    bool found = false;
    Statement& rows = sql_->newest.bind(inbox.id);
    while (!found && rows.step() && rows.integer(1) >= created - about_ms)
        found = rows.integer(0) == send;
    rows.reset();
    return found;
}

InboxRows::Rows InboxRows::collapsible(const InboxRow& inbox, std::string_view key,
                                       WallMillis now) {
    return all_of(sql_->collapsible.bind(inbox.id, key, inbox.acked, now));
}

InboxRows::Rows InboxRows::shown(std::int64_t inbox, std::uint64_t after, WallMillis now,
                                 const Bounds& bounds) {
    return sendable(sql_->shown.bind(inbox, after, now, bounds.rows), bounds.bytes);
}

InboxRows::Rows InboxRows::waiting(std::int64_t inbox, std::uint64_t after, const Moment& moment,
                                   const Bounds& bounds) {
    return sendable(
        sql_->waiting.bind(inbox, after, moment.now, bounds.rows, moment.options.attempts),
        bounds.bytes);
}

std::uint64_t InboxRows::before_last(std::int64_t inbox, std::uint32_t count, WallMillis now) {
    Statement& found = sql_->before_last.bind(inbox, count, now);
    const std::int64_t offset = found.step() ? found.integer(0) : 0;
    found.reset();
    return static_cast<std::uint64_t>(offset);
}

InboxRows::Rows InboxRows::due(std::int64_t inbox, WallMillis now, const Bounds& bounds) {
    return sendable(sql_->due.bind(inbox, now, bounds.rows), bounds.bytes);
}

WallMillis InboxRows::next_due(std::int64_t inbox) {
    Statement& found = sql_->next_due.bind(inbox);
    const WallMillis due = found.step() ? found.integer(0) : 0;
    found.reset();
    return due;
}

InboxRows::Rows InboxRows::acknowledgeable(const InboxRow& inbox, std::uint64_t to,
                                           WallMillis now) {
    return all_of(sql_->acknowledgeable.bind(inbox.id, inbox.acked, to, now));
}

std::optional<NotificationRow> InboxRows::at(std::int64_t inbox, std::uint64_t offset) {
    Rows rows = all_of(sql_->at.bind(inbox, offset));
    if (rows.empty()) return std::nullopt;
    return std::move(rows.front());
}

InboxRows::Rows InboxRows::sweepable(WallMillis now, std::size_t limit) {
    return all_of(sql_->sweepable.bind(now, limit));
}

InboxRows::Rows InboxRows::overdue(WallMillis now, std::size_t limit) {
    return all_of(sql_->overdue.bind(now, limit));
}

std::optional<WallMillis> InboxRows::next_overdue(WallMillis now) {
    Statement& found = sql_->next_overdue.bind(now);
    if (!found.step()) return std::nullopt;
    const WallMillis due = found.integer(0);
    found.reset();
    return due;
}

std::optional<WallMillis> InboxRows::next_sweep() {
    Statement& found = sql_->next_sweep.bind();
    if (!found.step()) return std::nullopt;
    const WallMillis sweep = found.integer(0);
    found.reset();
    return sweep;
}

void InboxRows::remove(const NotificationRow& row) {
    if (row.pushed) push_.forget(row.inbox, row.offset);
    sql_->drop_events.bind(row.inbox, row.offset).run();
    sql_->drop.bind(row.inbox, row.offset).run();
    if (row.send != 0) sends_.forgot(row.send);
}

void InboxRows::keep(const NotificationRow& row, WallMillis until) {
    sql_->set_sweep.bind(row.inbox, row.offset, until).run();
}

// --- steps ---

void InboxRows::note(std::int64_t inbox, std::uint64_t offset, WallMillis time, Event event,
                     std::optional<Status> status, std::uint32_t attempt, std::string_view detail) {
    const auto number = status ? std::optional{static_cast<std::int64_t>(*status)} : std::nullopt;
    sql_->note
        .bind(inbox, offset, time, static_cast<int>(event), number, attempt,
              Statement::or_null(detail))
        .run();
}

void InboxRows::note(const NotificationRow& row, WallMillis time, Event event,
                     std::optional<Status> status, std::uint32_t attempt, std::string_view detail) {
    note(row.inbox, row.offset, time, event, status, attempt, detail);
}

void InboxRows::move(NotificationRow& row, Status to, Event why, const Moment& moment,
                     std::string_view detail) {
    FANFARE_ASSERT(delivery::may_become(row.status, to));
    const WallMillis sweep = delivery::is_final(to)
                                 ? std::max(row.expires, moment.now) + moment.options.keep.count()
                                 : row.expires;
    // Nobody is waited for any more, and what has not left need not leave.
    const bool over = delivery::is_over(to);
    sql_->move.bind(row.inbox, row.offset, static_cast<int>(to), moment.now, sweep, over ? 1 : 0)
        .run();
    note(row, moment.now, why, to, 0, detail);
    if (row.status == Status::pending) --tally.depth;
    ++tally.moves[static_cast<std::size_t>(to)];
    if (row.send != 0) sends_.moved(row.send, row.status, to);
    row.status = to;
    if (!over) return;
    row.awaited = false;
    if (row.pushed) push_.cancel(row.inbox, row.offset);
}

void InboxRows::move_untold(NotificationRow& row, Status to, Event why, const Moment& moment,
                            std::string_view detail) {
    move(row, to, why, moment, detail);
    untold.push_back({row.id, to, moment.now, why});
}

void InboxRows::attempt(NotificationRow& row, const Moment& moment, std::string_view sessions) {
    // A given-back attempt has told its end already.
    if (row.awaited) note(row, moment.now, Event::not_acknowledged, std::nullopt, row.attempts, {});
    ++row.attempts;
    row.awaited = true;
    sql_->attempt
        .bind(row.inbox, row.offset, row.attempts, moment.now,
              moment.now + moment.options.ack_timeout.count())
        .run();
    note(row, moment.now, Event::sent, std::nullopt, row.attempts, sessions);
    if (row.attempts > 1) ++tally.redeliveries;
}

void InboxRows::spend(NotificationRow& row, std::string_view user, const Moment& moment) {
    forget_due(row);
    note(row, moment.now, Event::not_acknowledged, std::nullopt, row.attempts, {});
    if (row.pushed || begin_push(row, user, moment)) return;
    note(row, moment.now, Event::waiting, std::nullopt, 0, "no further channel");
}

// --- push ---

bool InboxRows::begin_push(NotificationRow& row, std::string_view user, const Moment& moment) {
    if (row.pushed || (row.channels & delivery::push) == 0) return false;
    const std::string topic = row.send == 0 ? std::string{} : sends_.topic(row.send);
    const std::size_t jobs =
        push_.add(row.inbox, row.offset, static_cast<std::size_t>(row.priority), user, topic,
                  moment.options.pushes_to, moment.now);
    if (jobs == 0) return false;
    row.pushed = true;
    sql_->set_pushed.bind(row.inbox, row.offset).run();
    if (row.status == Status::pending)
        move_untold(row, Status::processing, Event::processing, moment, "push");
    return true;
}

void InboxRows::fail(NotificationRow& row, const Moment& moment, std::string_view why) {
    move(row, Status::processing, Event::processing, moment, {});
    move_untold(row, Status::failed, Event::failed, moment, why);
}

void InboxRows::note_push(const NotificationRow& row, const Moment& moment, Event event,
                          std::uint32_t attempt, std::string_view detail) {
    note(row, moment.now, event, std::nullopt, attempt, detail);
}

void InboxRows::push_taken(const delivery::PushResult& result, const Moment& moment,
                           std::string_view detail) {
    // Its first one, as nearly always: one row is written, and none read.
    const auto take = [&] {
        sql_->take.bind(result.inbox, result.offset, moment.now).run();
        return database_.changes() != 0;
    };
    bool moves = take();
    if (!moves) {
        std::optional<NotificationRow> row = at(result.inbox, result.offset);
        if (!row) return;
        if (row->status == Status::retry) {
            move(*row, Status::processing, Event::processing, moment, "push");
            moves = take();
        }
    }
    const std::uint32_t attempt = result.attempts + (result.counts ? 1 : 0);
    note(result.inbox, result.offset, moment.now, Event::push_sent,
         moves ? std::optional{Status::sent} : std::nullopt, attempt, detail);
    if (!moves) return;
    ++tally.moves[static_cast<std::size_t>(Status::sent)];
    if (result.send != 0) sends_.moved(result.send, Status::processing, Status::sent);
    untold.push_back({result.notification, Status::sent, moment.now, Event::push_sent});
}

void InboxRows::push_waits(NotificationRow& row, const Moment& moment) {
    if (row.status == Status::processing)
        move_untold(row, Status::retry, Event::push_retry, moment, {});
}

void InboxRows::push_refused(NotificationRow& row, const Moment& moment) {
    if (row.status == Status::processing || row.status == Status::retry)
        move_untold(row, Status::failed, Event::failed, moment, "no service took it");
}

/// Its record is kept so much longer, too.
void InboxRows::prolong(NotificationRow& row, WallMillis expires) {
    if (expires <= row.expires) return;
    row.expires = expires;
    sql_->prolong.bind(row.inbox, row.offset, expires).run();
}

void InboxRows::redriven(NotificationRow& row, const Moment& moment, std::string_view detail) {
    if (row.status == Status::failed || row.status == Status::expired)
        move_untold(row, Status::processing, Event::redriven, moment, detail);
    else
        note(row, moment.now, Event::redriven, std::nullopt, 0, detail);
}

void InboxRows::give_back(NotificationRow& row, const Moment& moment) {
    note(row, moment.now, Event::returned, std::nullopt, row.attempts, {});
    --row.attempts;
    forget_due(row);
}

void InboxRows::forget_due(NotificationRow& row) {
    sql_->stop_waiting.bind(row.inbox, row.offset, row.attempts).run();
    row.awaited = false;
}

// --- idempotency ---

std::optional<InboxRows::Key> InboxRows::find_key(std::string_view key) {
    std::optional<Key> found;
    Statement& rows = sql_->find_key.bind(key);
    while (rows.step()) {
        if (!found) found.emplace();
        found->fingerprint = static_cast<std::uint64_t>(rows.integer(0));
        found->expires = rows.integer(1);
        if (rows.integer(4) == 0) {
            found->send = id_of(rows.blob(2));
            continue;
        }
        delivery::Placed::One& answer = found->answers.emplace_back();
        answer.id = id_of(rows.blob(2));
        answer.position = {Epoch::parse(rows.text(3)), static_cast<std::uint64_t>(rows.integer(4))};
    }
    return found;
}

void InboxRows::set_key(const delivery::Order& order, std::size_t part,
                        const delivery::Placed::One& answer) {
    sql_->set_key
        .bind(std::string_view{order.key}, part, order.fingerprint,
              Statement::as_blob(answer.id.raw()), answer.position.epoch.text(),
              answer.position.offset, order.key_expires)
        .run();
}

void InboxRows::set_key(const delivery::Order& order, const NotificationId& send) {
    constexpr std::int64_t before_all = -1;
    sql_->set_key
        .bind(std::string_view{order.key}, before_all, order.fingerprint,
              Statement::as_blob(send.raw()), std::string_view{""}, std::int64_t{0},
              order.key_expires)
        .run();
}

void InboxRows::forget_key(std::string_view key) {
    sql_->drop_key.bind(key).run();
}

std::size_t InboxRows::forget_keys(WallMillis now, std::size_t limit) {
    sql_->drop_keys.bind(now, limit).run();
    return static_cast<std::size_t>(database_.changes());
}

} // namespace fanfare::stores
