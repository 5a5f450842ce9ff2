#include "tool_check_inboxes.hpp"

#include <fanfare/base/ids.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/delivery/notification.hpp>

#include <fmt/format.h>

#include <cstdint>

namespace fanfare::stores {
namespace {

class InboxChecker {
  public:
    InboxChecker(Database& database, SqliteCheck& check,
                 const std::function<void(std::string)>& fault)
        : database_(database), check_(check), fault_(fault) {}

    void run() {
        inboxes();
        devices();
        notifications();
        events();
        keys();
        sends();
    }

  private:
    void inboxes() {
        Statement rows{database_, "SELECT user, epoch, newest, acked FROM inboxes"};
        while (rows.step()) {
            ++check_.inboxes;
            const std::string_view user = rows.text(0);
            if (Epoch::parse(rows.text(1)).none())
                fault_(fmt::format("inbox of {}: \"{}\" is no epoch", user, rows.text(1)));
            if (rows.integer(3) < 0 || rows.integer(3) > rows.integer(2))
                fault_(fmt::format("inbox of {}: acknowledged up to {}, and it is at {}", user,
                                   rows.integer(3), rows.integer(2)));
        }
    }

    void devices() {
        Statement rows{database_, "SELECT d.inbox, i.user, d.offset, i.newest FROM inbox_devices d "
                                  "LEFT JOIN inboxes i ON i.id = d.inbox"};
        while (rows.step()) {
            if (rows.is_null(1))
                fault_(fmt::format("the inbox with id {} is missing, and a device of it is there",
                                   rows.integer(0)));
            else if (rows.integer(2) < 0 || rows.integer(2) > rows.integer(3))
                fault_(fmt::format("inbox of {}: a device has read up to {}, and it is at {}",
                                   rows.text(1), rows.integer(2), rows.integer(3)));
        }
    }

    void notifications() {
        Statement find{database_, "SELECT user, newest FROM inboxes WHERE id = ?1"};
        Statement rows{database_, "SELECT inbox, offset, status, length(id), data, send IS NOT "
                                  "NULL FROM notifications ORDER BY inbox, offset"};
        std::int64_t inbox = 0;
        std::int64_t newest = 0;
        std::string name; // as faults call it
        for (bool first = true; rows.step(); first = false) {
            ++check_.notifications;
            if (first || rows.integer(0) != inbox) {
                inbox = rows.integer(0);
                find.bind(inbox);
                const bool known = find.step();
                name = known ? fmt::format("inbox of {}", find.text(0))
                             : fmt::format("the inbox with id {}", inbox);
                newest = known ? find.integer(1) : 0;
                find.reset();
                if (!known)
                    fault_(fmt::format("{} is missing, and notifications of it are there", name));
            }
            one(rows, name, newest);
        }
    }

    void one(const Statement& row, const std::string& name, std::int64_t newest) {
        const std::int64_t offset = row.integer(1);
        // The next would be given the number of one that is there.
        if (newest != 0 && (offset < 1 || offset > newest))
            fault_(
                fmt::format("{}: notification {} is there, and it is at {}", name, offset, newest));
        const std::int64_t status = row.integer(2);
        if (status < 0 || status >= static_cast<std::int64_t>(delivery::status_count))
            fault_(fmt::format("{}: notification {} has the status {}, which is none", name, offset,
                               status));
        if (row.integer(3) != static_cast<std::int64_t>(delivery::NotificationId::bytes))
            fault_(fmt::format("{}: notification {} has an id of {} bytes", name, offset,
                               row.integer(3)));
        if (row.integer(5) != 0) return; // its text is its send's
        // It goes to clients as it is.
        if (const JsonFault wrong = check_json(row.text(4)))
            fault_(fmt::format("{}: notification {} is not JSON: {} at byte {}", name, offset,
                               wrong.what, wrong.at));
    }

    void events() {
        Statement rows{database_,
                       "SELECT inbox, offset, count(*) FROM notification_events e WHERE NOT EXISTS "
                       "(SELECT 1 FROM notifications n WHERE n.inbox = e.inbox AND n.offset = "
                       "e.offset) GROUP BY inbox, offset"};
        while (rows.step())
            fault_(fmt::format("notification {} of the inbox with id {} is missing, and {} events "
                               "of it are there",
                               rows.integer(1), rows.integer(0), rows.integer(2)));
        Statement odd{database_, fmt::format("SELECT inbox, offset, event FROM notification_events "
                                             "WHERE event NOT BETWEEN 0 AND {}",
                                             delivery::event_count - 1)};
        while (odd.step())
            fault_(fmt::format("notification {} of the inbox with id {} has an event {}, which is "
                               "none",
                               odd.integer(1), odd.integer(0), odd.integer(2)));
    }

    void keys() {
        Statement rows{database_, "SELECT epoch, offset, length(id) FROM notification_keys"};
        while (rows.step())
            // Of a send there is no position.
            if ((rows.integer(1) == 0 ? !rows.text(0).empty()
                                      : Epoch::parse(rows.text(0)).none() || rows.integer(1) < 1) ||
                rows.integer(2) != static_cast<std::int64_t>(delivery::NotificationId::bytes))
                fault_(fmt::format("a notification key has no valid answer (\"{}\", {})",
                                   rows.text(0), rows.integer(1)));
    }

    void sends() {
        Statement rows{database_, "SELECT s.id, length(s.public), s.data, p.send IS NOT NULL, "
                                  "p.kept, ifnull(n.rows, 0) FROM sends s LEFT JOIN send_progress "
                                  "p ON p.send = s.id LEFT JOIN (SELECT send, count(*) AS rows "
                                  "FROM notifications WHERE send IS NOT NULL GROUP BY send) n ON "
                                  "n.send = s.id"};
        while (rows.step()) {
            const std::int64_t id = rows.integer(0);
            if (rows.integer(1) != static_cast<std::int64_t>(delivery::NotificationId::bytes))
                fault_(fmt::format("send {} has an id of {} bytes", id, rows.integer(1)));
            if (const JsonFault wrong = check_json(rows.text(2)))
                fault_(fmt::format("send {} is not JSON: {} at byte {}", id, wrong.what, wrong.at));
            if (rows.integer(3) == 0)
                fault_(fmt::format("send {} has no progress", id));
            else if (rows.integer(4) != rows.integer(5))
                fault_(fmt::format("send {} has {} notifications, and counts {}", id,
                                   rows.integer(5), rows.integer(4)));
        }
        Statement orphans{database_, "SELECT n.send, count(*) FROM notifications n WHERE n.send IS "
                                     "NOT NULL AND NOT EXISTS (SELECT 1 FROM sends s WHERE s.id = "
                                     "n.send) GROUP BY n.send"};
        while (orphans.step())
            fault_(fmt::format("send {} is missing, and {} notifications of it are there",
                               orphans.integer(0), orphans.integer(1)));
    }

    Database& database_;
    SqliteCheck& check_;
    const std::function<void(std::string)>& fault_;
};

} // namespace

void check_inboxes(Database& database, SqliteCheck& check,
                   const std::function<void(std::string)>& fault) {
    InboxChecker{database, check, fault}.run();
}

} // namespace fanfare::stores
