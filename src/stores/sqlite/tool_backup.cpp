// A backup is a copy of pages, all in one read transaction.
//
// SQLite's backup interface can copy in steps that let go of the file in between. Each commit of
// another process then makes it begin anew, so beside a busy gateway it would never end. In one
// step it holds one read transaction: the gateway writes on, and what it writes meanwhile stays in
// its log, which grows by that much. So the copy should be quick: pages in their order are read
// three times as fast as VACUUM INTO writes a new file, which also would hide damage that a copy
// shows to the check below.

#include "tools.hpp"
#include "writer.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <sqlite3.h>
#include <stdexcept>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fanfare::stores {
namespace {

[[noreturn]] void refuse(const std::string& text) {
    throw std::runtime_error(text);
}
[[noreturn]] void cannot_write(const std::string& file, const std::string& why) {
    refuse(fmt::format("cannot write {}: {}", file, why));
}

bool exists(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

void require_target(const std::string& path, const std::string& to, bool replace) {
    struct stat source {};
    struct stat target {};
    // A log that lies beside a file is taken for its own, whatever it was made for.
    for (const char* const beside : {"-wal", "-journal"})
        if (exists(to + beside))
            refuse(fmt::format("{} is in use, or was not closed: {}{} exists; name another file",
                               to, to, beside));
    if (!exists(to)) return;
    if (!replace)
        refuse(fmt::format("{} exists; name another file, or give --force to replace it", to));
    if (::stat(to.c_str(), &target) != 0) return; // a link that leads nowhere
    if (S_ISDIR(target.st_mode)) refuse(fmt::format("{} is a directory; name a file in it", to));
    if (!S_ISREG(target.st_mode)) refuse(fmt::format("{} is not a regular file", to));
    if (::stat(path.c_str(), &source) == 0 && source.st_dev == target.st_dev &&
        source.st_ino == target.st_ino)
        refuse(fmt::format("{} is the store itself; name another file", to));
}

/// The file beside the target in which the copy grows. Its name is always the same, so what a
/// backup left that was killed is used again; a lock keeps two apart.
class PartialFile {
  public:
    explicit PartialFile(const std::string& to) : path_(to + ".partial") {
        fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd_ < 0) cannot_write(path_, errno_text(errno));
        struct stat ours {};
        struct stat there {};
        // Another may have finished between our open and our lock: then this is its backup now.
        if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 || ::fstat(fd_, &ours) != 0 ||
            ::lstat(path_.c_str(), &there) != 0 || ours.st_ino != there.st_ino) {
            ::close(fd_);
            refuse(fmt::format("another backup writes {}; wait for it", path_));
        }
    }
    ~PartialFile() {
        if (!kept_) remove();
        // Not before SQLite has closed it: to close one descriptor ends all of its locks.
        ::close(fd_);
    }
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    void clear() {
        remove_beside();
        // Rights of a file that was left there may be others.
        if (::ftruncate(fd_, 0) != 0 || ::fchmod(fd_, 0600) != 0)
            cannot_write(path_, errno_text(errno));
    }
    /// Under its name only once it is on the disk.
    void publish(const std::string& to, bool replace) {
        if (::fsync(fd_) != 0) cannot_write(path_, errno_text(errno));
        if (int error = rename_to(to, replace); error != 0) cannot_write(to, errno_text(error));
        kept_ = true;
        const std::string folder = std::filesystem::absolute(to).parent_path().string();
        const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const int code = fd < 0 ? -1 : ::fsync(fd);
        const int error = errno;
        if (fd >= 0) ::close(fd);
        if (code != 0) cannot_write(folder, errno_text(error));
    }

  private:
    /// 0 or what errno says.
    int rename_to(const std::string& to, bool replace) const {
        if (!replace) {
            if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0)
                return 0;
            // Not every file system can; whether it exists was asked at the beginning.
            if (errno != EINVAL && errno != ENOSYS) return errno;
        }
        return ::rename(path_.c_str(), to.c_str()) == 0 ? 0 : errno;
    }
    void remove_beside() const {
        for (const char* const beside : {"-wal", "-shm", "-journal"})
            ::unlink((path_ + beside).c_str());
    }
    void remove() const {
        remove_beside();
        ::unlink(path_.c_str());
    }

    std::string path_;
    int fd_ = -1;
    bool kept_ = false;
};

/// A failure of a statement that reads one file and writes the other: whose was it?
bool is_writing(int code) {
    switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return true;
    case SQLITE_IOERR:
        return code != SQLITE_IOERR_READ && code != SQLITE_IOERR_SHORT_READ;
    default:
        return false;
    }
}

[[noreturn]] void cannot_copy(const std::string& path, const SqliteError& error) {
    const bool full = (error.code() & 0xff) == SQLITE_FULL;
    cannot_write(path, full ? "the disk is full" : error.what());
}

void copy(Database& from, const std::string& to) {
    try {
        Database database{to, Database::Mode::read_write};
        // A copy that fails is thrown away, one that is complete is flushed as a whole.
        database.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF");
        sqlite3_backup* const backup =
            ::sqlite3_backup_init(database.raw(), "main", from.raw(), "main");
        if (backup == nullptr) database.fail(::sqlite3_extended_errcode(database.raw()));
        ::sqlite3_backup_step(backup, -1);
        // What stopped it, too.
        if (const int code = ::sqlite3_backup_finish(backup); code != SQLITE_OK)
            throw SqliteError{code, ::sqlite3_errstr(code)};
        // The header says that there is a log, as in the store.
        if (database.text("PRAGMA journal_mode=DELETE") != "delete")
            throw SqliteError{SQLITE_ERROR, "the copy cannot be closed"};
    } catch (const SqliteError& error) {
        if (is_writing(error.code())) cannot_copy(to, error);
        throw;
    }
}

} // namespace

SqliteBackup backup_sqlite(const std::string& path, const std::string& to, bool replace) {
    require_file(path);
    require_target(path, to, replace);
    try {
        PartialFile partial{to};
        read_store(path, [&](Database& database) {
            require_store(database, path);
            partial.clear();
            copy(database, partial.path());
        });
        SqliteBackup backup;
        {
            Database database{partial.path(), Database::Mode::at_rest};
            backup.check = check_database(database, partial.path());
        }
        if (!backup.check.pages_sound)
            refuse(fmt::format("{} is damaged ({}), and so would be its backup; `fanfare store "
                               "check` tells more",
                               path, backup.check.faults.front()));
        backup.bytes = file_bytes(partial.path());
        partial.publish(to, replace);
        return backup;
    } catch (const SqliteError& error) {
        refuse(explain(path, error));
    }
}

} // namespace fanfare::stores
