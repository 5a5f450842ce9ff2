#include "dead_letter_reader.hpp"

#include "device_values.hpp"
#include "send_rows.hpp"

#include <fanfare/base/log.hpp>

#include <limits>
#include <string>
#include <utility>

namespace fanfare::stores {

using delivery::DeadLetter;
using delivery::LetterFilter;

struct DeadLetterReader::Statements {
    explicit Statements(Database& db)
        : upwards(db, columns + "id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3"),
          downwards(db, columns + "id < ?1 ORDER BY id DESC LIMIT ?2"),
          // Those of one user are few: all of them are looked at, and sorted.
          upwards_of(db, columns + of_inbox + "id > ?3 AND id <= ?4 ORDER BY id LIMIT ?5"),
          downwards_of(db, columns + of_inbox + "id < ?3 ORDER BY id DESC LIMIT ?4"),
          by_id(db, columns + "id = ?1"), newest(db, "SELECT max(id) FROM dead_letters"),
          inbox(db, "SELECT id FROM inboxes WHERE user = ?1"),
          place(db, "SELECT inbox, offset FROM notifications WHERE id = ?1"),
          notification(db,
                       "SELECT n.id, n.status, n.expires, n.priority, n.category, " + data_of("n") +
                           ", i.user FROM notifications AS n JOIN inboxes AS i ON i.id = n.inbox "
                           "WHERE n.inbox = ?1 AND n.offset = ?2"),
          platform(db, "SELECT platform FROM devices WHERE user = ?1 AND name = ?2 AND "
                       "(expires IS NULL OR expires > ?3)") {}
    inline static const std::string columns =
        "SELECT id, inbox, offset, device, provider, status, reason, attempts, time, content, ttl "
        "FROM dead_letters WHERE ";
    inline static const std::string of_inbox = "inbox = ?1 AND (?2 IS NULL OR offset = ?2) AND ";
    Statement upwards;
    Statement downwards;
    Statement upwards_of;
    Statement downwards_of;
    Statement by_id;
    Statement newest;
    Statement inbox;
    Statement place;
    Statement notification;
    Statement platform;
};

namespace {

/// What the rows themselves say.
bool fits(const Statement& row, const LetterFilter& filter) {
    const auto is = [&](int column, const std::string& wanted) {
        return wanted.empty() || row.text(column) == wanted;
    };
    return is(3, filter.device) && is(4, filter.provider) && is(6, filter.reason) &&
           (!filter.since || row.integer(8) >= *filter.since) &&
           (!filter.until || row.integer(8) < *filter.until);
}

} // namespace

DeadLetterReader::DeadLetterReader(Database& database)
    : database_(database), sql_(new Statements{database}) {}

void DeadLetterReader::Delete::operator()(Statements* statements) const noexcept {
    delete statements;
}

void DeadLetterReader::begin() {
    database_.execute("BEGIN");
}

void DeadLetterReader::end() noexcept {
    Statements& used = *sql_;
    for (Statement* each :
         {&used.upwards, &used.downwards, &used.upwards_of, &used.downwards_of, &used.by_id,
          &used.newest, &used.inbox, &used.place, &used.notification, &used.platform})
        each->reset(); // an open one would keep the log from beginning anew
    if (!database_.in_transaction()) return;
    try {
        database_.execute("COMMIT");
    } catch (const SqliteError& error) {
        log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
    }
}

std::optional<DeadLetterReader::Place> DeadLetterReader::place_of(const LetterFilter& filter) {
    Place place;
    if (!filter.user.empty()) {
        Statement& inbox = sql_->inbox.bind(std::string_view{filter.user});
        if (!inbox.step()) return std::nullopt;
        place.inbox = inbox.integer(0);
        inbox.reset();
    }
    if (filter.notification) {
        Statement& found = sql_->place.bind(Statement::as_blob(filter.notification->raw()));
        if (!found.step()) return std::nullopt;
        const std::int64_t inbox = found.integer(0);
        if (place.inbox.value_or(inbox) != inbox) return std::nullopt; // another user's
        place = {inbox, found.integer(1)};
        found.reset();
    }
    return place;
}

Statement& DeadLetterReader::rows_of(const Range& range, const Place& place) {
    if (place.inbox)
        return range.upwards
                   ? sql_->upwards_of.bind(place.inbox, place.offset, range.after, range.upto,
                                           rows_max)
                   : sql_->downwards_of.bind(place.inbox, place.offset, range.after, rows_max);
    return range.upwards ? sql_->upwards.bind(range.after, range.upto, rows_max)
                         : sql_->downwards.bind(range.after, rows_max);
}

DeadLetterReader::Seen DeadLetterReader::walk(Range& range,
                                              const std::function<bool(const Statement&)>& take) {
    const std::optional<Place> place = place_of(range.filter);
    if (!place) return {true};
    Statement& rows = rows_of(range, *place);
    std::size_t seen = 0;
    for (; rows.step(); ++seen) {
        if (fits(rows, range.filter) && !take(rows)) return {false};
        range.after = rows.integer(0);
    }
    return {seen < rows_max};
}

std::optional<DeadLetter> DeadLetterReader::letter(const Statement& row) {
    Statement& of = sql_->notification.bind(row.integer(1), row.integer(2));
    if (!of.step()) return std::nullopt;
    DeadLetter letter;
    letter.id = row.integer(0);
    letter.device = row.text(3);
    letter.provider = row.text(4);
    letter.status = static_cast<int>(row.integer(5));
    letter.reason = row.text(6);
    letter.attempts = static_cast<std::uint32_t>(row.integer(7));
    letter.time = row.integer(8);
    letter.edited = !row.is_null(9) || !row.is_null(10);
    if (!row.is_null(10)) letter.ttl = std::chrono::seconds{row.integer(10)};
    letter.notification = id_of(of.blob(0));
    letter.notification_status = status_of(of.integer(1));
    letter.expires = of.integer(2);
    letter.priority = priority_of(of.integer(3));
    letter.category = of.text(4);
    letter.user = of.text(6);
    Statement& platform =
        sql_->platform.bind(of.text(6), std::string_view{letter.device}, system_clock().wall());
    if (platform.step()) letter.platform = platform_of(platform.integer(0));
    platform.reset();
    letter.content = row.is_null(9) ? of.text(5) : row.text(9);
    of.reset();
    return letter;
}

std::optional<DeadLetter> DeadLetterReader::find(std::int64_t id) {
    Statement& row = sql_->by_id.bind(id);
    if (!row.step()) return std::nullopt;
    return letter(row);
}

std::int64_t DeadLetterReader::newest() {
    Statement& row = sql_->newest.bind();
    return row.step() ? row.integer(0) : 0;
}

} // namespace fanfare::stores
