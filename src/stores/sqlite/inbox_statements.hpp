#pragma once
// The writer's statements on inboxes.

#include "database.hpp"
#include "inbox_rows.hpp"
#include "send_rows.hpp"

#include <string>

namespace fanfare::stores {

/// NotificationRows, without what is to be sent; and with it.
inline std::string rows_where(const std::string& condition) {
    return "SELECT inbox, offset, id, status, attempts, created, expires, due, channels, "
           "priority, pushed, send FROM notifications WHERE " +
           condition;
}
inline std::string sendable_where(const std::string& condition) {
    return "SELECT inbox, offset, id, status, attempts, created, expires, due, channels, "
           "priority, pushed, send, " +
           data_of("notifications") + " FROM notifications WHERE " + condition;
}

struct InboxRows::Statements {
    explicit Statements(Database& db)
        : find(db, "SELECT id, epoch, newest, acked FROM inboxes WHERE user = ?1"),
          make(db, "INSERT INTO inboxes (user, epoch, newest, acked) VALUES (?1, ?2, 0, 0)"),
          set_newest(db, "UPDATE inboxes SET newest = ?2 WHERE id = ?1"),
          set_acked(db, "UPDATE inboxes SET acked = ?2 WHERE id = ?1"),
          user_of(db, "SELECT user FROM inboxes WHERE id = ?1"),
          drop_inbox(db, "DELETE FROM inboxes WHERE id = ?1"),
          set_device(db, "INSERT INTO inbox_devices (inbox, device, offset, seen) VALUES "
                         "(?1, ?2, ?3, ?4) ON CONFLICT (inbox, device) DO UPDATE SET "
                         "offset = max(offset, excluded.offset), seen = excluded.seen"),
          trim_devices(db, "DELETE FROM inbox_devices WHERE inbox = ?1 AND device IN "
                           "(SELECT device FROM inbox_devices WHERE inbox = ?1 "
                           "ORDER BY seen DESC, device LIMIT -1 OFFSET ?2)"),
          drop_devices(db, "DELETE FROM inbox_devices WHERE inbox = ?1"),
          unread(db, "SELECT count(*) FROM notifications WHERE inbox = ?1 AND offset > ?2 "
                     "AND expires > ?3 AND " +
                         waiting_rows),
          pending(db, "SELECT count(*) FROM notifications WHERE inbox = ?1 AND status = 0"),
          any(db, "SELECT 1 FROM notifications WHERE inbox = ?1 LIMIT 1"),
          insert(db, "INSERT INTO notifications (inbox, offset, id, status, priority, channels, "
                     "attempts, created, expires, updated, tried, due, sweep, category, "
                     "collapse_key, data, push_options, send) VALUES (?1, ?2, ?3, 0, ?4, ?5, 0, "
                     "?6, ?7, ?6, 0, NULL, ?7, ?8, ?9, ?10, ?11, ?12)"),
          newest(db, "SELECT send, created FROM notifications WHERE inbox = ?1 "
                     "ORDER BY offset DESC"),
          collapsible(db, rows_where("inbox = ?1 AND collapse_key = ?2 AND offset > ?3 AND "
                                     "status IN (0, 1, 4) AND expires > ?4 ORDER BY offset")),
          shown(db, sendable_where("inbox = ?1 AND offset > ?2 AND expires > ?3 AND " + shown_rows +
                                   " ORDER BY offset LIMIT ?4")),
          waiting(db, sendable_where("inbox = ?1 AND offset > ?2 AND expires > ?3 AND "
                                     "attempts < ?5 AND " +
                                     waiting_rows + " ORDER BY offset LIMIT ?4")),
          before_last(db, "SELECT offset - 1 FROM notifications WHERE inbox = ?1 AND "
                          "expires > ?3 AND " +
                              shown_rows + " ORDER BY offset DESC LIMIT 1 OFFSET ?2 - 1"),
          due(db, sendable_where("inbox = ?1 AND due <= ?2 ORDER BY due, offset LIMIT ?3")),
          next_due(db, "SELECT due FROM notifications WHERE inbox = ?1 AND due IS NOT NULL "
                       "ORDER BY due LIMIT 1"),
          // pending, processing, sent, retry, failed
          acknowledgeable(db, rows_where("inbox = ?1 AND offset > ?2 AND offset <= ?3 AND "
                                         "expires > ?4 AND (channels & 1) <> 0 AND "
                                         "status IN (0, 1, 2, 4, 5) ORDER BY offset")),
          at(db, rows_where("inbox = ?1 AND offset = ?2")),
          sweepable(db, rows_where("sweep <= ?1 ORDER BY sweep LIMIT ?2")),
          overdue(db, rows_where("due <= ?1 ORDER BY due LIMIT ?2")),
          next_overdue(db, "SELECT due FROM notifications WHERE due > ?1 ORDER BY due LIMIT 1"),
          next_sweep(db, "SELECT sweep FROM notifications ORDER BY sweep LIMIT 1"),
          drop(db, "DELETE FROM notifications WHERE inbox = ?1 AND offset = ?2"),
          drop_all(db, "DELETE FROM notifications WHERE inbox = ?1"),
          move(db, "UPDATE notifications SET status = ?3, updated = ?4, sweep = ?5, "
                   "due = CASE WHEN ?6 THEN NULL ELSE due END WHERE inbox = ?1 AND offset = ?2"),
          prolong(db, "UPDATE notifications SET expires = ?3, sweep = sweep + ?3 - expires "
                      "WHERE inbox = ?1 AND offset = ?2"),
          // 1: processing; 2: sent, whose record goes some time after it expires (sweep).
          take(db, "UPDATE notifications SET status = 2, updated = ?3 WHERE inbox = ?1 AND "
                   "offset = ?2 AND status = 1"),
          set_sweep(db, "UPDATE notifications SET sweep = ?3 WHERE inbox = ?1 AND offset = ?2"),
          set_pushed(db, "UPDATE notifications SET pushed = 1 WHERE inbox = ?1 AND offset = ?2"),
          attempt(db, "UPDATE notifications SET attempts = ?3, tried = ?4, due = ?5 "
                      "WHERE inbox = ?1 AND offset = ?2"),
          stop_waiting(db, "UPDATE notifications SET attempts = ?3, due = NULL "
                           "WHERE inbox = ?1 AND offset = ?2"),
          // An attempt that nobody took may be made again without end: beyond a bound only moves
          // are written down.
          note(db, "INSERT INTO notification_events (inbox, offset, seq, time, event, status, "
                   "attempt, detail) SELECT ?1, ?2, seq + 1, ?3, ?4, ?5, ?6, ?7 FROM (SELECT "
                   "coalesce(max(seq), 0) AS seq FROM notification_events WHERE inbox = ?1 AND "
                   "offset = ?2) WHERE seq < 1000 OR ?5 IS NOT NULL"),
          drop_events(db, "DELETE FROM notification_events WHERE inbox = ?1 AND offset = ?2"),
          drop_all_events(db, "DELETE FROM notification_events WHERE inbox = ?1"),
          find_key(db, "SELECT fingerprint, expires, id, epoch, offset FROM notification_keys "
                       "WHERE key = ?1 ORDER BY part"),
          set_key(db, "INSERT INTO notification_keys (key, part, fingerprint, id, epoch, offset, "
                      "expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
          drop_key(db, "DELETE FROM notification_keys WHERE key = ?1"),
          drop_keys(db, "DELETE FROM notification_keys WHERE (key, part) IN (SELECT key, part "
                        "FROM notification_keys WHERE expires <= ?1 LIMIT ?2)") {}
    Statement find;
    Statement make;
    Statement set_newest;
    Statement set_acked;
    Statement user_of;
    Statement drop_inbox;
    Statement set_device;
    Statement trim_devices;
    Statement drop_devices;
    Statement unread;
    Statement pending;
    Statement any;
    Statement insert;
    Statement newest;
    Statement collapsible;
    Statement shown;
    Statement waiting;
    Statement before_last;
    Statement due;
    Statement next_due;
    Statement acknowledgeable;
    Statement at;
    Statement sweepable;
    Statement overdue;
    Statement next_overdue;
    Statement next_sweep;
    Statement drop;
    Statement drop_all;
    Statement move;
    Statement prolong;
    Statement take;
    Statement set_sweep;
    Statement set_pushed;
    Statement attempt;
    Statement stop_waiting;
    Statement note;
    Statement drop_events;
    Statement drop_all_events;
    Statement find_key;
    Statement set_key;
    Statement drop_key;
    Statement drop_keys;
};

} // namespace fanfare::stores
