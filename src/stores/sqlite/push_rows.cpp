#include "push_rows.hpp"

#include "device_values.hpp"

#include <utility>

namespace fanfare::stores {

struct PushRows::Statements {
    explicit Statements(Database& db)
        : devices(db,
                  "SELECT id FROM devices WHERE user = ?1 AND (expires IS NULL OR expires > ?3) "
                  "AND instr(?2, char(10) || platform || ':' || coalesce(app, '') || char(10)) "
                  "<> 0 ORDER BY id"),
          devices_of_topic(
              db, "SELECT id FROM devices WHERE user = ?1 AND (expires IS NULL OR expires > ?3) "
                  "AND instr(?2, char(10) || platform || ':' || coalesce(app, '') || char(10)) "
                  "<> 0 AND EXISTS (SELECT 1 FROM device_topics WHERE topic = ?4 AND device = "
                  "devices.id) ORDER BY id"),
          add(db, "INSERT INTO push_jobs (lane, due, id, inbox, offset, device, attempts, queued) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?2)"),
          add_one(db, "INSERT INTO push_jobs (lane, due, id, inbox, offset, device, attempts, "
                      "queued, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?2, ?7)"),
          find(db, columns + "lane = ?1 AND due = ?2 AND id = ?3"),
          of_device(db, columns + "inbox = ?1 AND device = ?2"),
          of_notification(db, columns + "inbox = ?1 AND offset = ?2"),
          of_inbox(db, columns + "inbox = ?1"),
          any(db, "SELECT 1 FROM push_jobs WHERE inbox = ?1 AND offset = ?2 LIMIT 1"),
          postpone(db,
                   "UPDATE push_jobs SET due = ?4, attempts = ?5 WHERE lane = ?1 AND due = ?2 AND "
                   "id = ?3"),
          remove(db, "DELETE FROM push_jobs WHERE lane = ?1 AND due = ?2 AND id = ?3"),
          device(db, "SELECT name, platform, token FROM devices WHERE id = ?1"),
          bury(db, "INSERT INTO dead_letters (inbox, offset, device, provider, status, reason, "
                   "attempts, time, content) SELECT inbox, offset, ?4, ?5, ?6, ?7, ?8, ?9, content "
                   "FROM push_jobs WHERE lane = ?1 AND due = ?2 AND id = ?3"),
          drop_letters(db, "DELETE FROM dead_letters WHERE inbox = ?1 AND offset = ?2"),
          drop_all_letters(db, "DELETE FROM dead_letters WHERE inbox = ?1") {}
    inline static const std::string columns =
        "SELECT lane, due, id, inbox, offset, device, attempts FROM push_jobs WHERE ";
    Statement devices;
    Statement devices_of_topic;
    Statement add;
    Statement add_one;
    Statement find;
    Statement of_device;
    Statement of_notification;
    Statement of_inbox;
    Statement any;
    Statement postpone;
    Statement remove;
    Statement device;
    Statement bury;
    Statement drop_letters;
    Statement drop_all_letters;
};

PushRows::PushRows(Database& database) : database_(database), sql_(new Statements{database}) {}

void PushRows::Delete::operator()(Statements* statements) const noexcept {
    delete statements;
}

/// All of them, before any is changed: a walk must not meet what it writes.
std::vector<PushJobRow> PushRows::all_of(Statement& rows) {
    std::vector<PushJobRow> all;
    while (rows.step()) {
        PushJobRow& job = all.emplace_back();
        job.turn = {static_cast<std::size_t>(priority_of(rows.integer(0))), rows.integer(1),
                    rows.integer(2)};
        job.inbox = rows.integer(3);
        job.offset = static_cast<std::uint64_t>(rows.integer(4));
        job.device = rows.integer(5);
        job.attempts = static_cast<std::uint32_t>(rows.integer(6));
    }
    return all;
}

std::size_t PushRows::add(std::int64_t inbox, std::uint64_t offset, std::size_t lane,
                          std::string_view user, std::string_view topic,
                          const delivery::PushReach& served, WallMillis now) {
    if (served.empty()) return 0;
    std::size_t jobs = 0;
    const std::string_view reach{served.text()};
    Statement& devices = topic.empty() ? sql_->devices.bind(user, reach, now)
                                       : sql_->devices_of_topic.bind(user, reach, now, topic);
    for (; devices.step(); ++jobs)
        sql_->add.bind(lane, now, ++last_id_, inbox, offset, devices.integer(0)).run();
    tally[lane] += static_cast<std::int64_t>(jobs);
    added = added || jobs != 0;
    return jobs;
}

void PushRows::add_one(std::int64_t inbox, std::uint64_t offset, std::size_t lane,
                       std::int64_t device, std::string_view content, WallMillis now) {
    sql_->add_one.bind(lane, now, ++last_id_, inbox, offset, device, Statement::or_null(content))
        .run();
    ++tally[lane];
    added = true;
}

std::optional<PushJobRow> PushRows::find(const PushTurn& turn) {
    const std::vector<PushJobRow> found = all_of(sql_->find.bind(turn.lane, turn.due, turn.id));
    if (found.empty()) return std::nullopt;
    return found.front();
}

std::vector<PushJobRow> PushRows::of_device(std::int64_t inbox, std::int64_t device) {
    return all_of(sql_->of_device.bind(inbox, device));
}

bool PushRows::any(std::int64_t inbox, std::uint64_t offset) {
    Statement& row = sql_->any.bind(inbox, offset);
    const bool found = row.step();
    row.reset();
    return found;
}

void PushRows::postpone(const PushJobRow& job, WallMillis due, std::uint32_t attempts) {
    sql_->postpone.bind(job.turn.lane, job.turn.due, job.turn.id, due, attempts).run();
}

bool PushRows::remove(const PushTurn& turn) {
    sql_->remove.bind(turn.lane, turn.due, turn.id).run();
    if (database_.changes() == 0) return false;
    --tally[turn.lane];
    return true;
}

void PushRows::cancel(std::int64_t inbox, std::uint64_t offset) {
    for (const PushJobRow& job : all_of(sql_->of_notification.bind(inbox, offset)))
        remove(job.turn);
}

void PushRows::forget(std::int64_t inbox, std::uint64_t offset) {
    cancel(inbox, offset);
    sql_->drop_letters.bind(inbox, offset).run();
    letters -= database_.changes();
}

void PushRows::forget_all(std::int64_t inbox) {
    for (const PushJobRow& job : all_of(sql_->of_inbox.bind(inbox))) remove(job.turn);
    sql_->drop_all_letters.bind(inbox).run();
    letters -= database_.changes();
}

std::optional<PushRows::DeviceName> PushRows::device(std::int64_t id) {
    Statement& row = sql_->device.bind(id);
    if (!row.step()) return std::nullopt;
    DeviceName found{std::string{row.text(0)}, platform_of(row.integer(1)),
                     std::string{row.text(2)}};
    row.reset();
    return found;
}

void PushRows::bury(const PushJobRow& job, std::string_view device_name,
                    const delivery::PushResult& result, std::uint32_t attempts, WallMillis now) {
    sql_->bury
        .bind(job.turn.lane, job.turn.due, job.turn.id, device_name,
              std::string_view{result.provider}, result.outcome.status,
              std::string_view{result.outcome.reason}, attempts, now)
        .run();
    ++letters;
    remove(job.turn);
}

} // namespace fanfare::stores
