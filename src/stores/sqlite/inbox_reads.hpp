#pragma once
// The reader's statements on inboxes.

#include "inbox_log.hpp"

#include <string>

namespace fanfare::stores {

struct SqliteInbox::ReadStatements {
    explicit ReadStatements(Database& db)
        : database(db), inbox(db, "SELECT id, epoch, newest, acked FROM inboxes WHERE user = ?1"),
          unread(db, "SELECT count(*) FROM notifications WHERE inbox = ?1 AND offset > ?2 "
                     "AND expires > ?3 AND " +
                         waiting_rows),
          devices(db, "SELECT device, offset, seen FROM inbox_devices WHERE inbox = ?1 "
                      "ORDER BY device"),
          forwards(db, walk + "offset >= ?2" + which + " ORDER BY offset LIMIT ?7"),
          backwards(db, walk + "offset <= ?2" + which + " ORDER BY offset DESC LIMIT ?7"),
          by_id(db, columns + ", inbox FROM notifications WHERE id = ?1"),
          user(db, "SELECT user FROM inboxes WHERE id = ?1"),
          head(db, "SELECT created FROM notifications WHERE inbox = ?1 AND offset = ?2"),
          send(db, "SELECT s.public, s.target, s.topic, s.priority, s.channels, s.created, "
                   "s.expires, s.category, s.collapse_key, s.data, p.updated, p.began, "
                   "p.expanded, p.cut, p.accepted, p.pending, p.processing, p.sent, p.delivered, "
                   "p.retry, p.failed, p.scheduled, p.cancelled, p.suppressed, p.expired "
                   "FROM sends s JOIN send_progress p ON p.send = s.id WHERE s.public = ?1"),
          events(db, "SELECT time, event, status, attempt, detail FROM notification_events "
                     "WHERE inbox = ?1 AND offset = ?2 ORDER BY seq") {}

    inline static const std::string columns =
        "SELECT offset, id, status, priority, channels, attempts, created, expires, updated, "
        "tried, category, collapse_key, " +
        data_of("notifications") +
        ", (SELECT public FROM sends WHERE sends.id = notifications.send)";
    inline static const std::string walk = columns + " FROM notifications WHERE inbox = ?1 AND ";
    /// ?3: now. ?4: also what is not shown. ?5: only what waits, behind ?6.
    inline static const std::string which = " AND (?4 OR (expires > ?3 AND " + shown_rows +
                                            ")) AND (NOT ?5 OR (offset > ?6 AND "
                                            "expires > ?3 AND " +
                                            waiting_rows + "))";

    Database& database;
    Statement inbox;
    Statement unread;
    Statement devices;
    Statement forwards;
    Statement backwards;
    Statement by_id;
    Statement user;
    Statement head;
    Statement send;
    Statement events;
};

} // namespace fanfare::stores
