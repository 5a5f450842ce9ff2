#include "send_rows.hpp"

#include "inbox_values.hpp"

#include <fanfare/delivery/send_log.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::stores {

using delivery::Audience;
using delivery::Order;
using delivery::SendLog;
using delivery::Status;

namespace {

constexpr std::size_t index(Status status) noexcept {
    return static_cast<std::size_t>(status);
}

/// "pending = pending + ?6, processing = …"
std::string add_statuses(int first_parameter) {
    std::string sql;
    for (std::size_t i = 0; i < delivery::status_count; ++i) {
        const std::string name{delivery::status_name(static_cast<Status>(i))};
        if (i != 0) sql += ", ";
        sql += name + " = " + name + " + ?" + std::to_string(first_parameter + static_cast<int>(i));
    }
    return sql;
}

std::string sum_of_statuses() {
    std::string sql;
    for (std::size_t i = 0; i < delivery::status_count; ++i) {
        if (i != 0) sql += " + ";
        sql += delivery::status_name(static_cast<Status>(i));
    }
    return sql;
}

} // namespace

struct SendRows::Statements {
    explicit Statements(Database& db)
        : make(db, "INSERT INTO sends (public, target, topic, priority, channels, created, "
                   "expires, category, collapse_key, data, push_options) VALUES (?1, ?2, ?3, "
                   "?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"),
          begin(db, "INSERT INTO send_progress (send, lane, place, after, cut, sweep, updated, "
                    "accepted, kept) VALUES (?1, ?2, 0, '', 0, ?3, ?4, ?5, 0)"),
          add_users(db, "INSERT INTO send_users (send, place, users) VALUES (?1, ?2, ?3)"),
          walk(db, "SELECT p.place, p.after, s.expires FROM send_progress p JOIN sends s ON "
                   "s.id = p.send WHERE p.send = ?1 AND p.expanded IS NULL"),
          step(db, "UPDATE send_progress SET place = ?2, after = ?3, updated = ?4, "
                   "began = coalesce(began, ?4) WHERE send = ?1"),
          drop_users(db, "DELETE FROM send_users WHERE send = ?1 AND place <= ?2"),
          // What is not placed by now will never be; of an audience that nobody named there is no
          // such rest.
          end(db, "UPDATE send_progress SET expanded = ?2, updated = ?2, began = "
                  "coalesce(began, ?2), after = '', cut = ?3, sweep = ?4, expired = expired + "
                  "CASE WHEN ?3 THEN max(accepted - (" +
                      sum_of_statuses() + "), 0) ELSE 0 END WHERE send = ?1"),
          closing(db, "SELECT s.expires, s.public, p.accepted FROM sends s JOIN send_progress p "
                      "ON p.send = s.id WHERE s.id = ?1"),
          topic(db, "SELECT topic FROM sends WHERE id = ?1"),
          add(db, "UPDATE send_progress SET updated = ?2, accepted = accepted + ?3, "
                  "kept = kept + ?4, " +
                      add_statuses(5) + " WHERE send = ?1"),
          of_inbox(db, "SELECT send, status, count(*) FROM notifications WHERE inbox = ?1 AND "
                       "send IS NOT NULL GROUP BY send, status"),
          sweepable(db, "SELECT send, expanded IS NOT NULL, kept FROM send_progress WHERE "
                        "sweep <= ?1 ORDER BY sweep LIMIT ?2"),
          next_sweep(db, "SELECT sweep FROM send_progress WHERE sweep IS NOT NULL "
                         "ORDER BY sweep LIMIT 1"),
          put_off(db, "UPDATE send_progress SET sweep = NULL WHERE send = ?1"),
          now_if_last(db, "UPDATE send_progress SET sweep = ?2 WHERE send = ?1 AND "
                          "sweep IS NULL AND kept = 0"),
          drop_progress(db, "DELETE FROM send_progress WHERE send = ?1"),
          drop(db, "DELETE FROM sends WHERE id = ?1") {}
    Statement make;
    Statement begin;
    Statement add_users;
    Statement walk;
    Statement step;
    Statement drop_users;
    Statement end;
    Statement closing;
    Statement topic;
    Statement add;
    Statement of_inbox;
    Statement sweepable;
    Statement next_sweep;
    Statement put_off;
    Statement now_if_last;
    Statement drop_progress;
    Statement drop;
};

SendRows::SendRows(Database& database) : database_(database), sql_(new Statements{database}) {}

void SendRows::Delete::operator()(Statements* statements) const noexcept {
    delete statements;
}

// --- the walk ---

std::int64_t SendRows::make(const Order& order, const delivery::NotificationId& id,
                            WallMillis now) {
    const Audience& audience = *order.audience;
    sql_->make
        .bind(Statement::as_blob(id.raw()), static_cast<int>(audience.kind),
              Statement::or_null(audience.topic), static_cast<int>(order.priority),
              static_cast<int>(order.channels), order.created, order.expires,
              Statement::or_null(order.category), Statement::or_null(order.collapse_key),
              std::string_view{order.data}, Statement::or_null(order.push_options))
        .run();
    const std::int64_t send = database_.last_row_id();
    sql_->begin.bind(send, static_cast<int>(order.priority), order.expires, now, order.users.size())
        .run();
    if (order.later) {
        added = true;
        std::string piece;
        for (std::size_t i = 0; i < order.users.size(); ++i) {
            piece.append(order.users[i]).append("\n");
            if ((i + 1) % SendLog::slice_max != 0 && i + 1 != order.users.size()) continue;
            piece.pop_back();
            sql_->add_users.bind(send, i / SendLog::slice_max + 1, std::string_view{piece}).run();
            piece.clear();
        }
    }
    ++tally.open;
    soonest = std::min(soonest.value_or(order.expires), order.expires);
    return send;
}

std::optional<SendRows::Walk> SendRows::walk(std::int64_t send) {
    Statement& row = sql_->walk.bind(send);
    if (!row.step()) return std::nullopt;
    Walk walk{{row.integer(0), std::string{row.text(1)}}, row.integer(2)};
    row.reset();
    return walk;
}

void SendRows::step(const delivery::SendStep& step, WallMillis now) {
    sql_->step.bind(step.send, step.to.place, std::string_view{step.to.user}, now).run();
    sql_->drop_users.bind(step.send, step.to.place).run();
}

void SendRows::end(std::int64_t send, bool cut, WallMillis now, std::chrono::milliseconds keep) {
    ended.push_back(close(send, cut, now, keep));
}

void SendRows::close(std::int64_t send, WallMillis now, std::chrono::milliseconds keep) {
    static_cast<void>(close(send, false, now, keep));
}

SendRows::Ended SendRows::close(std::int64_t send, bool cut, WallMillis now,
                                std::chrono::milliseconds keep) {
    seal(now); // what is left over is counted
    Statement& row = sql_->closing.bind(send);
    if (!row.step()) damaged("a send is missing");
    const WallMillis expires = row.integer(0);
    const Ended ended_one{id_of(row.blob(1)), static_cast<std::uint64_t>(row.integer(2)), cut};
    row.reset();
    sql_->end.bind(send, now, cut ? 1 : 0, std::max(expires, now) + keep.count()).run();
    constexpr std::int64_t all = std::int64_t{1} << 62;
    if (cut) sql_->drop_users.bind(send, all).run();
    --tally.open;
    return ended_one;
}

std::string SendRows::topic(std::int64_t send) {
    Statement& row = sql_->topic.bind(send);
    std::string topic{row.step() ? row.text(0) : std::string_view{}};
    row.reset();
    return topic;
}

// --- counts ---

SendRows::Counts& SendRows::counts(std::int64_t send) {
    // Those of one transaction are mostly of one send, and never many.
    const auto at = std::find_if(counts_.rbegin(), counts_.rend(),
                                 [&](const Counts& each) { return each.send == send; });
    if (at != counts_.rend()) return *at;
    counts_.emplace_back().send = send;
    return counts_.back();
}

void SendRows::placed(std::int64_t send, bool found) {
    Counts& one = counts(send);
    if (found) ++one.accepted;
    ++one.kept;
    ++one.status[index(Status::pending)];
    ++tally.users;
}

void SendRows::moved(std::int64_t send, Status from, Status to) {
    Counts& one = counts(send);
    --one.status[index(from)];
    ++one.status[index(to)];
}

void SendRows::forgot(std::int64_t send) {
    --counts(send).kept;
}

void SendRows::erase(std::int64_t inbox) {
    Statement& rows = sql_->of_inbox.bind(inbox);
    while (rows.step()) {
        const std::int64_t number = rows.integer(2);
        const Status status = status_of(rows.integer(1));
        Counts& one = counts(rows.integer(0));
        one.accepted -= number;
        one.kept -= number;
        one.status[index(status)] -= number;
    }
}

void SendRows::seal(WallMillis now) {
    for (const Counts& one : counts_) {
        const auto& s = one.status;
        static_assert(delivery::status_count == 10);
        sql_->add
            .bind(one.send, now, one.accepted, one.kept, s[0], s[1], s[2], s[3], s[4], s[5], s[6],
                  s[7], s[8], s[9])
            .run();
        if (one.kept >= 0) continue;
        sql_->now_if_last.bind(one.send, now).run();
        if (database_.changes() != 0) soonest = now;
    }
    counts_.clear();
}

void SendRows::settled() noexcept {
    counts_.clear();
    tally = {};
    added = false;
    ended.clear();
    soonest.reset();
}

// --- time ---

std::size_t SendRows::sweep(WallMillis now, std::chrono::milliseconds keep, std::size_t limit) {
    seal(now);
    struct Row {
        std::int64_t send;
        bool ended;
        std::int64_t kept;
    };
    // All of them, before any is changed: a walk must not meet what it writes.
    std::vector<Row> found;
    Statement& rows = sql_->sweepable.bind(now, limit);
    while (rows.step()) found.push_back({rows.integer(0), rows.integer(1) != 0, rows.integer(2)});
    for (const Row& row : found) {
        if (!row.ended) {
            end(row.send, true, now, keep);
        } else if (row.kept > 0) {
            sql_->put_off.bind(row.send).run();
        } else {
            sql_->drop_progress.bind(row.send).run();
            sql_->drop.bind(row.send).run();
        }
    }
    return found.size();
}

std::optional<WallMillis> SendRows::next_sweep() {
    Statement& row = sql_->next_sweep.bind();
    if (!row.step()) return std::nullopt;
    const WallMillis sweep = row.integer(0);
    row.reset();
    return sweep;
}

} // namespace fanfare::stores
