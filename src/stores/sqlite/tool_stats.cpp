#include "schema.hpp"
#include "tools.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace fanfare::stores {
namespace {

constexpr std::size_t largest_max = 10;

std::uint64_t count(Database& database, const char* sql) {
    return static_cast<std::uint64_t>(database.number(sql));
}

void read_messages(Database& database, SqliteStats& stats) {
    // In the order of the table: one walk, without a sort.
    Statement rows{database, "SELECT room, count(*), sum(length(CAST(data AS BLOB))), min(time), "
                             "max(time), max(offset) FROM messages GROUP BY room"};
    std::vector<std::pair<std::int64_t, SqliteStats::Room>> largest;
    while (rows.step()) {
        const auto number = [&](int column) {
            return static_cast<std::uint64_t>(rows.integer(column));
        };
        stats.messages += number(1);
        stats.message_bytes += number(2);
        stats.oldest = std::min(stats.oldest.value_or(rows.integer(3)), rows.integer(3));
        stats.newest = std::max(stats.newest.value_or(rows.integer(4)), rows.integer(4));
        const auto place = std::find_if(largest.begin(), largest.end(), [&](const auto& other) {
            return other.second.messages < number(1);
        });
        largest.insert(place, {rows.integer(0), {{}, number(1), number(2), number(5)}});
        if (largest.size() > largest_max) largest.pop_back();
    }
    Statement find{database, "SELECT name FROM rooms WHERE id = ?1"};
    for (auto& [id, room] : largest) {
        find.bind(id);
        room.name = find.step() ? std::string{find.text(0)} : fmt::format("(id {})", id);
        find.reset();
        stats.largest.push_back(std::move(room));
    }
}

SqliteStats read_stats(Database& database, const std::string& path) {
    SqliteStats stats;
    stats.schema = require_store(database, path);
    if (stats.schema < schema_version)
        throw std::runtime_error(
            fmt::format("{} was written by an older Fanfare (schema {}, this one knows {}); start "
                        "this one on it, which brings it forward",
                        path, stats.schema, schema_version));
    database.execute("BEGIN"); // one moment for all
    stats.bytes = file_bytes(path);
    stats.log_bytes = file_bytes(path + "-wal");
    stats.page_bytes = count(database, "PRAGMA page_size");
    stats.free_pages = count(database, "PRAGMA freelist_count");
    stats.rooms = count(database, "SELECT count(*) FROM rooms");
    stats.publish_keys = count(database, "SELECT count(*) FROM publish_keys");
    stats.inboxes = count(database, "SELECT count(*) FROM inboxes");
    stats.notifications = count(database, "SELECT count(*) FROM notifications");
    stats.pending = count(database, "SELECT count(*) FROM notifications WHERE status = 0");
    stats.devices = count(database, "SELECT count(*) FROM devices");
    stats.dead_letters = count(database, "SELECT count(*) FROM dead_letters");
    read_messages(database, stats);
    return stats;
}

} // namespace

SqliteStats stats_sqlite(const std::string& path) {
    SqliteStats stats;
    try {
        read_store(path, [&](Database& database) { stats = read_stats(database, path); });
    } catch (const SqliteError& error) {
        throw std::runtime_error(explain(path, error));
    }
    return stats;
}

} // namespace fanfare::stores
