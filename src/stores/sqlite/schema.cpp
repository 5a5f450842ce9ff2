#include "schema.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>

namespace fanfare::stores {

extern const char schema_1[];
extern const char schema_2[];
extern const char schema_3[];
extern const char schema_4[];

namespace {

/// The step to version i + 1.
const std::array<const char*, schema_version> steps{schema_1, schema_2, schema_3, schema_4};

} // namespace

std::string schema_fault(Database& database, const std::string& path) {
    const std::int64_t version = database.number("PRAGMA user_version");
    const std::int64_t owner = database.number("PRAGMA application_id");
    const bool empty = database.number("SELECT count(*) FROM sqlite_schema") == 0;
    if (owner != application_id && !(empty && owner == 0))
        return fmt::format("{} is an SQLite file, but not Fanfare's; name another path", path);
    if (version > schema_version)
        return fmt::format("{} was written by a newer Fanfare (schema {}, this one knows {}); "
                           "start that one, or restore a backup that this one made",
                           path, version, schema_version);
    return {};
}

void migrate(Database& database) {
    for (std::int64_t version = database.number("PRAGMA user_version"); version < schema_version;
         ++version) {
        database.execute("BEGIN IMMEDIATE");
        try {
            database.execute(steps.at(static_cast<std::size_t>(version)));
            database.execute(fmt::format("PRAGMA application_id={}; PRAGMA user_version={}",
                                         application_id, version + 1)
                                 .c_str());
            database.execute("COMMIT");
        } catch (...) {
            if (database.in_transaction()) database.execute("ROLLBACK");
            throw;
        }
    }
}

} // namespace fanfare::stores
