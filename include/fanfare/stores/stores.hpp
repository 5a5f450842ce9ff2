#pragma once
// The shelf of durable state: what `app` builds without seeing how it is made.

#include <fanfare/delivery/dead_letters.hpp>
#include <fanfare/delivery/devices.hpp>
#include <fanfare/delivery/inbox_log.hpp>
#include <fanfare/delivery/push_queue.hpp>
#include <fanfare/delivery/send_log.hpp>
#include <fanfare/room/durable_log.hpp>
#include <fanfare/room/idempotency.hpp>
#include <fanfare/room/options.hpp>
#include <fanfare/room/rules.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fanfare {
class Metrics;
}
namespace fanfare::net {
class Reactors;
}

namespace fanfare::stores {

/// Idempotency keys in memory: they do not survive the process. Made before the reactors start,
/// destroyed after they have ended and before they are destroyed.
[[nodiscard]] std::unique_ptr<room::IdempotencyLog>
make_memory_idempotency(net::Reactors& reactors, const room::IdempotencyOptions& options);

/// Everything durable, in one place. Life time as above.
class Store {
  public:
    virtual ~Store() = default;
    [[nodiscard]] virtual room::DurableLog& log() noexcept = 0;
    [[nodiscard]] virtual delivery::InboxLog& inbox() noexcept = 0;
    [[nodiscard]] virtual delivery::Devices& devices() noexcept = 0;
    [[nodiscard]] virtual delivery::PushQueue& push() noexcept = 0;
    [[nodiscard]] virtual delivery::SendLog& sends() noexcept = 0;
    [[nodiscard]] virtual delivery::DeadLetters& dead_letters() noexcept = 0;
    [[nodiscard]] virtual room::IdempotencyLog& idempotency() noexcept = 0;
    /// Null: what was written last was kept. Else why writing fails, static text for operators. Any
    /// thread.
    [[nodiscard]] virtual const char* fault() const noexcept = 0;
    /// Which history is kept how long, and positions after their last publish. Any thread.
    virtual void set_rules(room::RulesRef rules, std::chrono::milliseconds position_ttl) = 0;
};

struct SqliteOptions {
    /// What an answered write survives: `off` a crash of the process only; `normal` also a power
    /// cut, but for the last moments; `full` a power cut (SQLite: PRAGMA synchronous, with WAL).
    enum class Synchronous : std::uint8_t { off, normal, full };

    std::string path; // of the file; `-wal`, `-shm` and `-lock` stand beside it
    Synchronous synchronous = Synchronous::full;
    // Waiting for the disk; above: refused.
    std::size_t queue_max = 50'000; // operations
    std::size_t queue_bytes_max = std::size_t{64} * 1024 * 1024;
    // Of one commit.
    std::size_t batch_max = 1'000;
    std::size_t batch_bytes_max = std::size_t{4} * 1024 * 1024;
    std::string vfs; // SQLite's name of the file system; empty: the system's. For tests
};

/// Opens or creates the file. Throws std::runtime_error with one sentence that names the file, what
/// is wrong and what to do: not creatable, in use by another process, damaged, not ours, newer.
[[nodiscard]] std::unique_ptr<Store> make_sqlite(net::Reactors& reactors, Metrics& metrics,
                                                 const SqliteOptions& options,
                                                 const room::IdempotencyOptions& idempotency,
                                                 room::RulesRef rules,
                                                 std::chrono::milliseconds position_ttl);

// What an operator does with the file, from another process, whether or not a gateway runs on it.
// These block, for as long as the disk takes. They throw std::runtime_error with one sentence that
// names the file and what is wrong: not there, no rights, not an SQLite file, not ours, newer,
// damaged, no room on the disk.

struct SqliteCheck {
    int schema = 0;
    std::uint64_t rooms = 0;
    std::uint64_t messages = 0;
    std::uint64_t publish_keys = 0;
    std::uint64_t inboxes = 0;
    std::uint64_t notifications = 0;
    std::uint64_t devices = 0;
    std::uint64_t dead_letters = 0;
    bool pages_sound = true; // false: SQLite itself cannot read all of it
    /// One line each, at most some hundred. None: the file is sound.
    std::vector<std::string> faults;
};
/// Reads all of the file: SQLite's own integrity check, then what must hold of rooms and messages,
/// inboxes and notifications, devices. Changes nothing. Damage is an answer; it throws if there is
/// nothing that could be checked.
[[nodiscard]] SqliteCheck check_sqlite(const std::string& path);

struct SqliteBackup {
    std::uint64_t bytes = 0; // of the copy
    SqliteCheck check;       // of the copy; its pages are sound
};
/// Copies the store as it is at one moment into one file `to`, mode 0600, which a gateway can start
/// from. `to` appears when the copy is complete, checked and on the disk; `replace`: it may exist.
/// Refused if SQLite finds damage. Other faults are the store's own, and its gateway lives with
/// them: the copy is made.
SqliteBackup backup_sqlite(const std::string& path, const std::string& to, bool replace);

struct SqliteVacuum {
    std::uint64_t bytes_before = 0; // of the file, without its log
    std::uint64_t bytes_after = 0;
    bool gateway_runs = false; // then it was done in steps, beside its writes
    bool complete = true;      // else the file becomes smaller when the gateway copies its log
};
/// Gives free pages back to the file system.
SqliteVacuum vacuum_sqlite(const std::string& path);

struct SqliteStats {
    struct Room {
        std::string name;
        std::uint64_t messages = 0;
        std::uint64_t bytes = 0;  // of their payloads
        std::uint64_t newest = 0; // offset
    };
    std::uint64_t bytes = 0;     // of the file
    std::uint64_t log_bytes = 0; // of the write-ahead log beside it
    std::uint64_t page_bytes = 0;
    std::uint64_t free_pages = 0;
    int schema = 0;
    std::uint64_t rooms = 0; // those without messages included: they have a position
    std::uint64_t messages = 0;
    std::uint64_t message_bytes = 0;            // of payloads
    std::optional<std::int64_t> oldest, newest; // milliseconds since 1970; none: no message
    std::uint64_t publish_keys = 0;
    std::uint64_t inboxes = 0;
    std::uint64_t notifications = 0;
    std::uint64_t pending = 0; // of these
    std::uint64_t devices = 0; // registered for push
    std::uint64_t dead_letters = 0;
    std::vector<Room> largest; // most messages first, at most ten
};
/// What is in the file at one moment. Reads all messages and notifications.
[[nodiscard]] SqliteStats stats_sqlite(const std::string& path);

} // namespace fanfare::stores
