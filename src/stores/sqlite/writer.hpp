#pragma once
// The one thread that writes, and group commit: what waits becomes one transaction, and while that
// is flushed the next one collects. Design: docs/decisions/0012-durable-store.md.

#include "database.hpp"
#include "write_lanes.hpp"
#include "write_task.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/stores/stores.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace fanfare::stores {

/// Static text for clients and operators. Never SQLite's own words: they may name paths.
[[nodiscard]] const char* fault_text(int sqlite_code) noexcept;

/// Work that can wait, done in slices in a transaction that is there anyway, or in one of its own
/// when nothing else is to be done.
class Chores {
  public:
    virtual ~Chores() = default;
    /// Does about `rows` rows of it. On the writer's thread; throws SqliteError.
    virtual void slice(std::size_t /*rows*/) {}
    /// The transaction of that slice was rolled back.
    virtual void undo() noexcept {}
    /// Before the commit of any transaction: what its tasks and slices left to be written at its
    /// end. Throws SqliteError.
    virtual void seal() {}
    /// A transaction is over, with a slice or without; after `undo` of it and of its tasks.
    virtual void settled(bool /*committed*/) noexcept {}
    /// When the next slice is due; now or earlier: at once. Never, for who only hears of the ends.
    [[nodiscard]] virtual MonoMillis due() const noexcept {
        return std::numeric_limits<MonoMillis>::max();
    }
};

class Writer {
  public:
    /// Opens the file, brings it forward, and takes it for this process. Throws SqliteError, or
    /// std::runtime_error with the whole sentence.
    Writer(const SqliteOptions& options, Metrics& metrics);
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    /// For statements; before `start`, and then on the writer's thread.
    [[nodiscard]] Database& database() noexcept { return database_; }
    /// Once, when all statements are prepared.
    void start(std::vector<Chores*> chores);
    /// Commits what waits and ends the threads. Idempotent.
    void stop();

    /// False: too much waits, the task is destroyed and nothing happens. From a reactor. The last
    /// places of the queue are kept for the higher lanes: low tasks may fill half of it, normal
    /// ones three quarters, high ones nine tenths, critical ones all.
    [[nodiscard]] bool post(std::unique_ptr<WriteTask> task);
    /// The same, for what must not be lost for want of a place: it is small, and rare.
    void post_always(std::unique_ptr<WriteTask> task);
    /// For what may be lost: half of the queue is not for it.
    [[nodiscard]] bool post_if_quiet(std::unique_ptr<WriteTask> task);

    [[nodiscard]] const char* fault() const noexcept {
        return fault_.load(std::memory_order_relaxed);
    }

  private:
    class Lock;

    [[nodiscard]] bool has_room(const WriteTask& task, Lane lane) const noexcept;
    void enqueue(std::unique_ptr<WriteTask> task);
    void live(net::BlockingThread& thread);
    [[nodiscard]] MonoMillis chores_due() const noexcept;
    [[nodiscard]] std::chrono::milliseconds patience() const;
    void gather(net::BlockingThread& thread);
    /// One transaction. Tells its tasks what became of it.
    void commit(WriteLanes::Batch& batch, std::size_t chore_rows);
    void apply(WriteLanes::Batch& batch, std::size_t& tried, std::size_t chore_rows);
    void undo(WriteLanes::Batch& batch, std::size_t tried, const SqliteError& error);
    void roll_back() noexcept;
    void probe();
    void failed(const SqliteError& error);
    void succeeded();
    void copy_log(net::BlockingThread& thread);
    void finish_copying();

    const SqliteOptions options_;
    const std::unique_ptr<Lock> lock_;
    Database database_;
    Database copier_database_;
    std::vector<Chores*> chores_;
    std::atomic<const char*> fault_{nullptr};
    std::atomic<std::size_t> queued_{0};
    std::atomic<std::size_t> queued_bytes_{0};
    // the writer's thread only
    WriteLanes lanes_;
    std::vector<Chores*> slicing_; // those that have a slice in this transaction
    MonoMicros commit_began_ = 0;
    MonoMillis probe_due_ = 0;
    const char* told_ = nullptr; // the fault that was logged last
    MonoMillis told_at_ = 0;
    bool recovery_told_ = true;
    // the write-ahead log, in pages
    int log_pages_ = 0;        // since it began anew
    int log_pages_copied_ = 0; // when it was copied last
    std::atomic<bool> copying_{false};
    std::atomic<bool> copied_{false};
    // instruments, written by the writer's thread
    Counter& commits_;
    Counter& failures_;
    Counter& rows_;
    Histogram& commit_seconds_;
    Histogram& batch_entries_;
    std::unique_ptr<net::BlockingThread> copier_;
    std::unique_ptr<net::BlockingThread> thread_;
};

} // namespace fanfare::stores
