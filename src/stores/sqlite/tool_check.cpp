// SQLite's check finds pages that do not fit together. What was written into a page by another
// program, or lost from a table as whole rows, only we can see: what a store may look like follows
// from how the writer numbers and drops messages (durable_log.cpp).

#include "schema.hpp"
#include "tool_check_dead_letters.hpp"
#include "tool_check_devices.hpp"
#include "tool_check_inboxes.hpp"
#include "tools.hpp"

#include <fanfare/base/ids.hpp>
#include <fanfare/base/json_check.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace fanfare::stores {
namespace {

/// A file of which much is damaged is not told row by row.
constexpr std::size_t faults_max = 100;

class Checker {
  public:
    Checker(Database& database, SqliteCheck& check) : database_(database), check_(check) {}

    void run() {
        try {
            pages();
            if (check_.schema != schema_version) return; // the next gateway brings it forward
            if (!tables()) return;
            rooms();
            messages();
            keys();
            const auto tell = [this](std::string text) { fault(std::move(text)); };
            check_inboxes(database_, check_, tell);
            check_devices(database_, check_, tell);
            check_dead_letters(database_, check_, tell);
        } catch (const SqliteError& error) {
            check_.pages_sound = false;
            // Most likely what `pages` has found already.
            if (check_.faults.empty()) fault(error.what());
        }
    }

  private:
    void fault(std::string text) {
        if (check_.faults.size() < faults_max)
            check_.faults.push_back(std::move(text));
        else if (check_.faults.size() == faults_max)
            check_.faults.emplace_back("there are more faults");
    }

    void pages() {
        Statement rows{database_, fmt::format("PRAGMA integrity_check({})", faults_max)};
        while (rows.step()) {
            std::string_view text = rows.text(0);
            if (text == "ok") continue;
            check_.pages_sound = false;
            // One row may hold many lines, below a title.
            while (!text.empty()) {
                const std::string_view line = text.substr(0, text.find('\n'));
                text.remove_prefix(std::min(text.size(), line.size() + 1));
                if (!line.empty() && !line.starts_with("***")) fault(std::string{line});
            }
        }
    }

    /// Compared with a new store. What somebody added (an index, the tables of ANALYZE) is theirs.
    bool tables() {
        Database fresh{":memory:", Database::Mode::create};
        migrate(fresh);
        Statement wanted{fresh, "SELECT type, name, sql FROM sqlite_schema"};
        Statement find{database_, "SELECT sql FROM sqlite_schema WHERE type = ?1 AND name = ?2"};
        bool right = true;
        while (wanted.step()) {
            find.bind(wanted.text(0), wanted.text(1));
            const bool found = find.step();
            if (found && find.text(0) == wanted.text(2)) continue;
            right = false;
            fault(fmt::format("the {} {} {}", wanted.text(0), wanted.text(1),
                              found ? "is not as Fanfare makes it" : "is missing"));
        }
        return right;
    }

    void rooms() {
        Statement rows{database_, "SELECT name, epoch, newest FROM rooms"};
        while (rows.step()) {
            ++check_.rooms;
            if (Epoch::parse(rows.text(1)).none())
                fault(fmt::format("room {}: \"{}\" is no epoch", rows.text(0), rows.text(1)));
            if (rows.integer(2) < 0)
                fault(fmt::format("room {}: its position {} is negative", rows.text(0),
                                  rows.integer(2)));
        }
    }

    /// The messages of a room, in order.
    struct Walk {
        std::int64_t room = 0;
        std::string name; // as faults call it
        std::int64_t position = 0;
        std::int64_t first = 0;
        std::int64_t newest = 0;
        std::int64_t time = 0;
        std::uint64_t messages = 0;
        bool known = true;
    };

    void begin(Walk& walk, Statement& find, std::int64_t room, std::int64_t first) {
        walk = {};
        walk.room = room;
        walk.first = first;
        walk.newest = first - 1;
        find.bind(room);
        walk.known = find.step();
        walk.name = walk.known ? fmt::format("room {}", find.text(0))
                               : fmt::format("the room with id {}", room);
        walk.position = walk.known ? find.integer(1) : 0;
        find.reset();
        if (first < 1)
            fault(fmt::format("{}: its oldest message has the offset {}", walk.name, first));
    }

    void end(const Walk& walk) {
        if (walk.messages == 0) return;
        if (!walk.known)
            fault(fmt::format("{} is missing, and {} messages of it are there ({} to {})",
                              walk.name, walk.messages, walk.first, walk.newest));
        // `rooms.newest` moves up to the newest message when that is about to be dropped, and the
        // newest goes last. So while a room has messages, none of them lies below all positions
        // that it has told: the next would be numbered behind a hole.
        if (walk.position > walk.newest)
            fault(fmt::format("{}: its messages end at {}, but it was at {} already", walk.name,
                              walk.newest, walk.position));
    }

    void messages() {
        Statement find{database_, "SELECT name, newest FROM rooms WHERE id = ?1"};
        Statement rows{database_,
                       "SELECT room, offset, time, data FROM messages ORDER BY room, offset"};
        Walk walk;
        while (rows.step()) {
            const std::int64_t room = rows.integer(0);
            const std::int64_t offset = rows.integer(1);
            const std::int64_t time = rows.integer(2);
            if (walk.messages == 0 || room != walk.room) {
                end(walk);
                begin(walk, find, room, offset);
            }
            if (offset != walk.newest + 1)
                fault(fmt::format("{}: messages {} to {} are missing", walk.name, walk.newest + 1,
                                  offset - 1));
            // What is too old is dropped from the oldest on, up to the first that is not.
            if (time < walk.time)
                fault(fmt::format("{}: message {} is older than the one before it", walk.name,
                                  offset));
            // It goes to clients as it is.
            if (const JsonFault wrong = check_json(rows.text(3)))
                fault(fmt::format("{}: message {} is not JSON: {} at byte {}", walk.name, offset,
                                  wrong.what, wrong.at));
            walk.newest = offset;
            walk.time = time;
            ++walk.messages;
            ++check_.messages;
        }
        end(walk);
    }

    void keys() {
        Statement rows{database_, "SELECT key, epoch, offset FROM publish_keys"};
        while (rows.step()) {
            ++check_.publish_keys;
            if (Epoch::parse(rows.text(1)).none() || rows.integer(2) < 0)
                fault(fmt::format("a publish key has no valid position (\"{}\", {})", rows.text(1),
                                  rows.integer(2)));
        }
    }

    Database& database_;
    SqliteCheck& check_;
};

} // namespace

SqliteCheck check_database(Database& database, const std::string& path) {
    SqliteCheck check;
    check.schema = require_store(database, path);
    // One moment for all: a gateway may write meanwhile.
    database.execute("BEGIN");
    Checker{database, check}.run();
    return check; // reading only, so closing is as good as an end
}

SqliteCheck check_sqlite(const std::string& path) {
    SqliteCheck check;
    try {
        read_store(path, [&](Database& database) { check = check_database(database, path); });
    } catch (const SqliteError& error) {
        throw std::runtime_error(explain(path, error));
    }
    return check;
}

} // namespace fanfare::stores
