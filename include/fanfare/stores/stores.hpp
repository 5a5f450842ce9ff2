#pragma once
// The shelf of durable state: what `app` builds without seeing how it is made.

#include <fanfare/room/durable_log.hpp>
#include <fanfare/room/idempotency.hpp>
#include <fanfare/room/options.hpp>
#include <fanfare/room/rules.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

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

} // namespace fanfare::stores
