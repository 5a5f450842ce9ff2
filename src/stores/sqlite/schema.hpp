#pragma once
// The file's layout and its versions. A file of an older version is brought forward at start, step
// by step, each step in one transaction; one of a newer version is left alone.

#include "database.hpp"

#include <string>

namespace fanfare::stores {

/// What this program reads and writes (PRAGMA user_version).
inline constexpr int schema_version = 4;
/// Marks the file as ours (PRAGMA application_id): "Fanf".
inline constexpr int application_id = 0x46616e66;

/// Why a file cannot be used as it is; empty: it can. Looks at the header only.
[[nodiscard]] std::string schema_fault(Database& database, const std::string& path);
/// Creates or brings forward. Throws SqliteError.
void migrate(Database& database);

} // namespace fanfare::stores
