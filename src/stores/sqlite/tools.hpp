#pragma once
// What check, backup, vacuum and stats share: they come to a file from outside, perhaps while a
// gateway runs on it, perhaps as another user, perhaps to find that it is no store at all.

#include "database.hpp"

#include <fanfare/stores/stores.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace fanfare::stores {

/// Throws std::runtime_error unless `path` is a regular file, not empty, that may be read.
void require_file(const std::string& path);
/// Throws std::runtime_error unless the file is a store that this program understands. Returns its
/// schema version: it may be older.
int require_store(Database& database, const std::string& path);

/// Opens `path` for reading and hands it to `work`, which may be called twice: only the second time
/// counts. Leaves nothing behind. Throws as `work` does.
///
/// A file whose gateway has ended is complete in itself. SQLite would still put a log and its index
/// beside it, which a later gateway may not be able to open if another user made them, and for
/// which a read-only directory has no place. So such a file is read as it stands; if a gateway has
/// started meanwhile, it is read again.
void read_store(const std::string& path, const std::function<void(Database&)>& work);

/// One sentence for operators.
[[nodiscard]] std::string explain(const std::string& path, const SqliteError& error);

/// What the system says of an errno.
[[nodiscard]] std::string errno_text(int error);

/// 0 if there is no such file.
[[nodiscard]] std::uint64_t file_bytes(const std::string& path) noexcept;

/// What must hold of an open store; `check_sqlite` and the copy that a backup has made.
[[nodiscard]] SqliteCheck check_database(Database& database, const std::string& path);

} // namespace fanfare::stores
