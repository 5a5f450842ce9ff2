#pragma once
// The one thread that writes, and group commit: what waits becomes one transaction, and while that
// is flushed the next one collects. Design: docs/decisions/0012-durable-store.md.

#include "database.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/base/error.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/stores/stores.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace fanfare::stores {

/// Static text for clients and operators. Never SQLite's own words: they may name paths.
[[nodiscard]] const char* fault_text(int sqlite_code) noexcept;

/// One change. `done` finds in `code` and `detail` what became of the batch it was in.
class WriteTask : public net::BlockingTask {
  public:
    /// In the transaction, on the writer's thread. Throws SqliteError.
    virtual void apply() = 0;
    /// The transaction was rolled back: what `apply` changed in memory is undone, in reverse order.
    virtual void undo() noexcept {}
    [[nodiscard]] virtual std::size_t bytes() const noexcept { return 0; }

    Code code = Code::ok;
    const char* detail = nullptr;

  private:
    void run() final {}
};

/// Work that can wait, done in slices in a transaction that is there anyway, or in one of its own
/// when nothing else is to be done.
class Chores {
  public:
    virtual ~Chores() = default;
    /// Does about `rows` rows of it. On the writer's thread; throws SqliteError.
    virtual void slice(std::size_t rows) = 0;
    /// The transaction of that slice was rolled back.
    virtual void undo() noexcept = 0;
    /// When the next slice is due; now or earlier: at once.
    [[nodiscard]] virtual MonoMillis due() const noexcept = 0;
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
    void start(Chores& chores);
    /// Commits what waits and ends the threads. Idempotent.
    void stop();

    /// False: too much waits, the task is destroyed and nothing happens. From a reactor.
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

    [[nodiscard]] bool has_room(std::size_t bytes, std::size_t share) const noexcept;
    void enqueue(std::unique_ptr<WriteTask> task);
    void live(net::BlockingThread& thread);
    [[nodiscard]] std::chrono::milliseconds patience() const;
    void gather(net::BlockingThread& thread, net::BlockingTasks& tasks);
    /// One transaction. Tells `tasks` what became of it.
    void commit(std::span<std::unique_ptr<net::BlockingTask>> tasks, std::size_t chore_rows);
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
    Chores* chores_ = nullptr;
    std::atomic<const char*> fault_{nullptr};
    std::atomic<std::size_t> queued_{0};
    std::atomic<std::size_t> queued_bytes_{0};
    // the writer's thread only
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
