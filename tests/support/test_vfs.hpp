#pragma once
// A file system for SQLite that can lose power and have faults: a shim over the system's own.
//
// What is written stays in memory until the file is synced, and only then reaches the file that
// everybody else sees. So `cut` leaves on the disk what a power cut would: everything that was
// synced, and of the rest either nothing or any part of it. Shared memory (-shm) and locks are the
// system's: they do not survive a power cut, and SQLite makes them anew.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

struct sqlite3_file;
struct sqlite3_vfs;

namespace fanfare::test {

class TestVfs {
  public:
    TestVfs();
    /// After all databases that use it were closed.
    ~TestVfs();
    TestVfs(const TestVfs&) = delete;
    TestVfs& operator=(const TestVfs&) = delete;

    /// What SqliteOptions::vfs takes.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    // --- power ---
    /// From now on nothing reaches the disk, and every write and sync fails. With `tear`, a random
    /// part of the sectors (of 512 bytes) that were not synced does survive. Any thread.
    void cut(std::optional<std::uint64_t> tear = std::nullopt);
    /// The same at the `nth` (from 1) write or sync from now on, in its place.
    void cut_at(std::uint64_t nth, std::optional<std::uint64_t> tear = std::nullopt);
    [[nodiscard]] bool is_cut() const noexcept { return cut_; }

    // --- faults ---
    enum Operation : unsigned {
        write = 1, // and truncate
        sync = 2,
        read = 4,
        lock = 8, // of shared memory: what a transaction begins with
    };
    /// All operations of these kinds fail with an SQLite code, until `heal`. A write that fails
    /// still leaves its first half.
    void fail_all(int code, unsigned operations = write | sync);
    /// The `nth` (from 1) operation of these kinds from now on fails, and those after it work.
    void fail_nth(std::uint64_t nth, int code, unsigned operations = write | sync);
    void heal();
    /// Operations of the kinds last asked for that were seen since; and how many of them failed.
    [[nodiscard]] std::uint64_t seen() const noexcept { return seen_; }
    [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }

  private:
    struct Contents;
    struct File;
    friend struct TestVfsMethods;

    /// SQLITE_OK, or how this operation fails. Under the lock.
    [[nodiscard]] int fault(Operation operation);
    void cut_now(std::optional<std::uint64_t> tear);

    std::string name_;
    sqlite3_vfs* const base_;
    std::unique_ptr<sqlite3_vfs> vfs_;
    std::mutex mutex_; // of all below; the test's threads wait for each other, briefly
    std::map<std::string, std::shared_ptr<Contents>> contents_; // by path
    std::atomic<bool> cut_{false};
    std::uint64_t cut_in_ = 0; // 0: not planned
    std::optional<std::uint64_t> cut_tears_;
    int fail_code_ = 0;
    unsigned fail_operations_ = 0;
    std::uint64_t fail_at_ = 0; // 0: all
    std::atomic<std::uint64_t> seen_{0};
    std::atomic<std::uint64_t> failed_{0};
};

} // namespace fanfare::test
