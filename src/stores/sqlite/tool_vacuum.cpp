// Free pages are used again, so a store grows to what it has held at most and stays there. This
// gives them back: all at once if no gateway runs, else in small steps between its transactions.

#include "tools.hpp"
#include "writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdexcept>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace fanfare::stores {
namespace {

using Clock = std::chrono::steady_clock;

/// Of one transaction: half a MiB, some milliseconds for which the writer waits.
constexpr std::int64_t step_pages = 128;
/// As the writer's own log.
constexpr std::int64_t checkpoint_pages = 4'096;
constexpr std::chrono::milliseconds pause_min{5};
/// At the end the log is copied to its last page, for which the writer waits: how often that is
/// tried, for how long at a time, and with which pause.
constexpr int last_copies_max = 5;
constexpr int last_copy_wait_ms = 50;
constexpr std::chrono::milliseconds last_copy_pause{50};
constexpr int auto_vacuum_incremental = 2;

/// The lock that a gateway holds on its store. Held while nobody runs, so that none starts on a
/// file that is being rewritten: it says so, and is started again.
class GatewayLock {
  public:
    explicit GatewayLock(const std::string& path) {
        const std::string name = path + "-lock";
        fd_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd_ < 0)
            throw std::runtime_error(
                fmt::format("cannot open {}: {}; run this as the user of the gateway", name,
                            errno_text(errno)));
        // Made by root, it would lock the gateway out.
        struct stat store {};
        struct stat lock {};
        if (::geteuid() == 0 && ::stat(path.c_str(), &store) == 0 && ::fstat(fd_, &lock) == 0 &&
            lock.st_uid != store.st_uid && ::fchown(fd_, store.st_uid, store.st_gid) != 0) {
            const int error = errno;
            ::close(fd_);
            throw std::runtime_error(
                fmt::format("cannot give {} to the store's owner: {}", name, errno_text(error)));
        }
        taken_ = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
    }
    ~GatewayLock() { ::close(fd_); }
    GatewayLock(const GatewayLock&) = delete;
    GatewayLock& operator=(const GatewayLock&) = delete;

    [[nodiscard]] bool taken() const noexcept { return taken_; }

  private:
    int fd_ = -1;
    bool taken_ = false;
};

/// True: all that was in the log is in the file. Which has its new size then if nothing was
/// written meanwhile: only FULL and TRUNCATE keep the writer out.
bool copy_log(Database& database, int mode) {
    int in_log = 0;
    int copied = 0;
    const int code = ::sqlite3_wal_checkpoint_v2(database.raw(), nullptr, mode, &in_log, &copied);
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_LOCKED)
        database.fail(code);
    return code == SQLITE_OK && in_log == copied;
}

void vacuum_alone(Database& database) {
    // The setting counts from the next VACUUM on; ours have it already.
    database.execute("PRAGMA auto_vacuum=INCREMENTAL; VACUUM");
    copy_log(database, SQLITE_CHECKPOINT_TRUNCATE);
}

/// Returns whether the file has become smaller already.
bool vacuum_in_steps(Database& database, const std::string& path) {
    if (database.number("PRAGMA auto_vacuum") != auto_vacuum_incremental)
        throw std::runtime_error(fmt::format(
            "{} cannot become smaller while a gateway runs on it; stop it and run this again",
            path));
    // The gateway's next commit flushes these as well. The log is copied below, when it is time.
    database.execute("PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0");
    // What becomes free meanwhile is not pursued.
    const std::int64_t wanted = database.number("PRAGMA freelist_count");
    std::int64_t done = 0;
    std::int64_t copied = 0;
    while (done < wanted && database.number("PRAGMA freelist_count") != 0) {
        const auto began = Clock::now();
        const std::int64_t pages = std::min(step_pages, wanted - done);
        database.execute(fmt::format("PRAGMA incremental_vacuum({})", pages).c_str());
        done += pages;
        if (done - copied >= checkpoint_pages) {
            copied = done;
            copy_log(database, SQLITE_CHECKPOINT_PASSIVE);
        }
        // At most a third of the time is ours.
        const auto took = std::chrono::ceil<std::chrono::milliseconds>(Clock::now() - began);
        std::this_thread::sleep_for(std::max(2 * took, pause_min));
    }
    // First what can be copied while others write, then the little that is left, for which the
    // writer waits.
    copy_log(database, SQLITE_CHECKPOINT_PASSIVE);
    ::sqlite3_busy_timeout(database.raw(), last_copy_wait_ms);
    for (int tries = 1; !copy_log(database, SQLITE_CHECKPOINT_FULL); ++tries) {
        if (tries == last_copies_max) return false;
        std::this_thread::sleep_for(last_copy_pause);
    }
    return true;
}

} // namespace

SqliteVacuum vacuum_sqlite(const std::string& path) {
    require_file(path);
    if (::access(path.c_str(), W_OK) != 0)
        throw std::runtime_error(
            fmt::format("{} cannot be written: {}; run this as the user of the gateway", path,
                        errno_text(errno)));
    try {
        // Before there is a lock file: it may not be ours at all.
        read_store(path, [&](Database& database) { require_store(database, path); });
        const GatewayLock lock{path};
        SqliteVacuum vacuum;
        vacuum.gateway_runs = !lock.taken();
        vacuum.bytes_before = file_bytes(path);
        {
            Database database{path, Database::Mode::read_write};
            if (vacuum.gateway_runs)
                vacuum.complete = vacuum_in_steps(database, path);
            else
                vacuum_alone(database);
        }
        vacuum.bytes_after = file_bytes(path);
        return vacuum;
    } catch (const SqliteError& error) {
        throw std::runtime_error(explain(path, error));
    }
}

} // namespace fanfare::stores
