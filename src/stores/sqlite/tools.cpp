#include "tools.hpp"

#include "schema.hpp"
#include "writer.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <exception>
#include <optional>
#include <sqlite3.h>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <tuple>
#include <unistd.h>

namespace fanfare::stores {
namespace {

/// Tells whether a file is still the one that it was.
using Stamp = std::tuple<dev_t, ino_t, off_t, std::int64_t, std::int64_t>;

/// Nothing: a gateway runs on it, or has left its log behind.
std::optional<Stamp> stamp_at_rest(const std::string& path) {
    struct stat status {};
    for (const char* const beside : {"-wal", "-journal"})
        if (::stat((path + beside).c_str(), &status) == 0) return std::nullopt;
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return Stamp{status.st_dev, status.st_ino, status.st_size, std::int64_t{status.st_mtim.tv_sec},
                 std::int64_t{status.st_mtim.tv_nsec}};
}

} // namespace

void require_file(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT)
            throw std::runtime_error(fmt::format("{}: there is no such file", path));
        throw std::runtime_error(fmt::format("{} cannot be read: {}", path, errno_text(errno)));
    }
    if (S_ISDIR(status.st_mode))
        throw std::runtime_error(fmt::format("{} is a directory; name the file in it", path));
    if (!S_ISREG(status.st_mode))
        throw std::runtime_error(fmt::format("{} is not a regular file", path));
    if (::access(path.c_str(), R_OK) != 0)
        throw std::runtime_error(fmt::format(
            "{} cannot be read: {}; run this as the user of the gateway", path, errno_text(errno)));
    if (status.st_size == 0)
        throw std::runtime_error(fmt::format("{} is empty: no gateway has written to it", path));
}

int require_store(Database& database, const std::string& path) {
    if (std::string fault = schema_fault(database, path); !fault.empty())
        throw std::runtime_error(fault);
    const auto version = static_cast<int>(database.number("PRAGMA user_version"));
    if (version == 0)
        throw std::runtime_error(fmt::format("{} is empty: no gateway has written to it", path));
    return version;
}

void read_store(const std::string& path, const std::function<void(Database&)>& work) {
    require_file(path);
    if (const std::optional<Stamp> before = stamp_at_rest(path)) {
        std::exception_ptr failure;
        try {
            Database database{path, Database::Mode::at_rest};
            work(database);
        } catch (...) {
            failure = std::current_exception();
        }
        if (stamp_at_rest(path) == before) {
            if (failure) std::rethrow_exception(failure);
            return;
        }
    }
    Database database{path, Database::Mode::read_only};
    work(database);
}

std::string explain(const std::string& path, const SqliteError& error) {
    switch (error.code() & 0xff) {
    case SQLITE_NOTADB:
        return fmt::format("{} is not an SQLite file, or its beginning is overwritten", path);
    case SQLITE_CORRUPT:
        return fmt::format("{} is damaged ({}); put a backup in its place", path, error.what());
    case SQLITE_CANTOPEN:
        return fmt::format("{} cannot be opened with its log {}-wal; run this as the user of the "
                           "gateway, or start and stop the gateway",
                           path, path);
    case SQLITE_FULL:
        return fmt::format("{}: the disk is full", path);
    default:
        return fmt::format("{}: {} ({})", path, fault_text(error.code()), error.what());
    }
}

std::string errno_text(int error) {
    return std::generic_category().message(error);
}

std::uint64_t file_bytes(const std::string& path) noexcept {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

} // namespace fanfare::stores
