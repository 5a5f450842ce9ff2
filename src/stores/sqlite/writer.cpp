#include "writer.hpp"

#include "schema.hpp"

#include <fanfare/base/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <sched.h>
#include <sqlite3.h>
#include <stdexcept>
#include <sys/file.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace fanfare::stores {
namespace {

// Pages of 4 KiB. The log grows to about this and is then used again from its beginning.
constexpr int log_pages_max = 4'096;
constexpr int log_pages_step = 1'024;
/// Between the beginnings of two commits, unless so many operations wait that one is due anyway.
constexpr std::chrono::microseconds commit_interval{2'000};
constexpr std::size_t crowd = 16;
constexpr std::chrono::milliseconds probe_interval{1'000};
constexpr std::chrono::milliseconds tell_interval{60'000};
/// Rows that may be deleted in a transaction of their own, and beside others'.
constexpr std::size_t chore_rows_alone = 2'000;
constexpr std::size_t chore_rows_beside = 200;

/// How much of the queue each lane may fill.
struct Share {
    std::size_t part;
    std::size_t whole;
};
constexpr std::array<Share, lane_count> queue_shares{{{1, 1}, {9, 10}, {3, 4}, {1, 2}}};

const char* synchronous_name(SqliteOptions::Synchronous synchronous) noexcept {
    switch (synchronous) {
    case SqliteOptions::Synchronous::off:
        return "OFF";
    case SqliteOptions::Synchronous::normal:
        return "NORMAL";
    case SqliteOptions::Synchronous::full:
        break;
    }
    return "FULL";
}

Database open_database(const SqliteOptions& options) {
    // SQLite would make it readable for everyone; its other files take over these rights.
    const int fd = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        throw std::runtime_error(fmt::format("cannot open the store {}: {}; create its "
                                             "directory, or name another store.path",
                                             options.path, std::strerror(errno)));
    ::close(fd);
    Database database{options.path, Database::Mode::create, options.vfs};
    if (std::string fault = schema_fault(database, options.path); !fault.empty())
        throw std::runtime_error(fault);
    // Before the first table: free pages can be given back in steps.
    database.execute("PRAGMA auto_vacuum=INCREMENTAL");
    if (database.text("PRAGMA journal_mode=WAL") != "wal")
        throw std::runtime_error(
            fmt::format("the store {} cannot use a write-ahead log: its file system must be "
                        "local and writable",
                        options.path));
    database.execute(fmt::format("PRAGMA synchronous={}; PRAGMA wal_autocheckpoint=0; "
                                 "PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY",
                                 synchronous_name(options.synchronous))
                         .c_str());
    migrate(database);
    // It can be written now, not only later.
    database.execute("BEGIN IMMEDIATE; COMMIT");
    return database;
}

} // namespace

const char* fault_text(int sqlite_code) noexcept {
    switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
        return "the store's disk is full";
    case SQLITE_IOERR:
        return "the store's disk reports an error";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "the store is read-only";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "the store's file is damaged";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "the store is locked by another program";
    case SQLITE_CANTOPEN:
        return "the store's file cannot be opened";
    case SQLITE_NOMEM:
        return "there is no memory for the store";
    default:
        return "the store has failed";
    }
}

/// One process per file. SQLite would let several write, but rooms have one home.
class Writer::Lock {
  public:
    explicit Lock(const std::string& path)
        : fd_(::open((path + "-lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        if (fd_ < 0)
            throw std::runtime_error(fmt::format(
                "cannot open the store {}: {}; create its directory, or name another store.path",
                path, std::strerror(errno)));
        if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
        ::close(fd_);
        throw std::runtime_error(fmt::format(
            "the store {} is in use by another gateway; each needs a store.path of its own", path));
    }
    ~Lock() { ::close(fd_); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

  private:
    const int fd_;
};

Writer::Writer(const SqliteOptions& options, Metrics& metrics)
    : options_(options), lock_(std::make_unique<Lock>(options.path)),
      database_(open_database(options)),
      copier_database_(options.path, Database::Mode::read_write, options.vfs),
      commits_(metrics.counter("store_commits_total", "Transactions that the store committed.")),
      failures_(
          metrics.counter("store_failures_total", "Transactions that the store could not commit.")),
      rows_(metrics.counter("store_writes_total", "Operations in committed transactions.")),
      commit_seconds_(metrics.histogram("store_commit_seconds",
                                        "Time of one transaction, from its begin to the disk.")),
      batch_entries_(metrics.histogram("store_batch_entries", "Operations in one transaction.")) {
    metrics.gauge_from("store_queue", "Operations that wait for the store.",
                       [this] { return static_cast<double>(queued_.load()); });
    metrics.gauge_from("store_queue_bytes", "Bytes of operations that wait for the store.",
                       [this] { return static_cast<double>(queued_bytes_.load()); });
    metrics.gauge_from("store_failing", "1 while the store cannot be written, else 0.",
                       [this] { return fault() == nullptr ? 0.0 : 1.0; });
}

Writer::~Writer() {
    stop();
}

void Writer::start(std::vector<Chores*> chores) {
    chores_ = std::move(chores);
    ::sqlite3_wal_hook(
        database_.raw(),
        [](void* self, sqlite3*, const char*, int pages) {
            static_cast<Writer*>(self)->log_pages_ = pages;
            return SQLITE_OK;
        },
        this);
    copier_ = std::make_unique<net::BlockingThread>(
        "fanfare-copier", [this](net::BlockingThread& thread) { copy_log(thread); });
    thread_ = std::make_unique<net::BlockingThread>(
        "fanfare-writer", [this](net::BlockingThread& thread) { live(thread); });
}

void Writer::stop() {
    thread_.reset();
    copier_.reset();
}

bool Writer::has_room(const WriteTask& task, Lane lane) const noexcept {
    const auto [part, whole] = queue_shares[static_cast<std::size_t>(lane)];
    const std::size_t queued = queued_.load(std::memory_order_relaxed);
    if (queued == 0) return true; // or one that is larger than its share would never be written
    return queued < options_.queue_max * part / whole &&
           queued_bytes_.load(std::memory_order_relaxed) + task.bytes() <=
               options_.queue_bytes_max * part / whole;
}

bool Writer::post(std::unique_ptr<WriteTask> task) {
    if (!has_room(*task, task->lane())) return false;
    enqueue(std::move(task));
    return true;
}

bool Writer::post_if_quiet(std::unique_ptr<WriteTask> task) {
    if (fault() != nullptr || !has_room(*task, Lane::low)) return false;
    enqueue(std::move(task));
    return true;
}

void Writer::post_always(std::unique_ptr<WriteTask> task) {
    enqueue(std::move(task));
}

void Writer::enqueue(std::unique_ptr<WriteTask> task) {
    queued_.fetch_add(task->operations(), std::memory_order_relaxed);
    queued_bytes_.fetch_add(task->bytes(), std::memory_order_relaxed);
    thread_->post(std::move(task));
}

// --- the thread ---

MonoMillis Writer::chores_due() const noexcept {
    MonoMillis due = std::numeric_limits<MonoMillis>::max();
    for (const Chores* chores : chores_) due = std::min(due, chores->due());
    return due;
}

std::chrono::milliseconds Writer::patience() const {
    if (!lanes_.empty()) return std::chrono::milliseconds{0};
    MonoMillis due = chores_due();
    if (fault() != nullptr) due = std::min(due, probe_due_);
    return std::chrono::milliseconds{
        std::clamp<MonoMillis>(due - system_clock().mono(), 0, 60'000)};
}

void Writer::live(net::BlockingThread& thread) {
    // Whoever serves clients is not interrupted for a commit (measured: docs/performance.md). If
    // the system forbids it, it is only slower.
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_BATCH, &none);
    net::BlockingTasks tasks;
    // At the end `take` says that nothing more comes; what is in the lanes is still committed.
    while (thread.take(tasks, patience()) || !tasks.empty() || !lanes_.empty()) {
        lanes_.put(tasks);
        const bool idle = lanes_.empty();
        if (!idle) {
            gather(thread);
            WriteLanes::Batch batch = lanes_.compose(options_.batch_max, options_.batch_bytes_max);
            commit(batch, chore_rows_beside);
            queued_.fetch_sub(batch.operations, std::memory_order_relaxed);
            queued_bytes_.fetch_sub(batch.bytes, std::memory_order_relaxed);
            thread.complete(std::move(batch.tasks));
            finish_copying();
        }
        const MonoMillis now = system_clock().mono();
        if (fault() != nullptr) {
            if (now >= probe_due_) probe();
        } else if (idle && chores_due() <= now) {
            WriteLanes::Batch none_of_them;
            commit(none_of_them, chore_rows_alone);
            finish_copying();
        }
    }
}

/// A commit costs 0.3 ms of CPU whatever is in it, most of it the kernel's: commits that follow
/// each other at once would take a core from the reactors. So they keep a distance, and what comes
/// meanwhile shares one. After a pause nobody waits.
void Writer::gather(net::BlockingThread& thread) {
    const MonoMicros next = commit_began_ + commit_interval.count();
    const MonoMicros now = system_clock().mono_micros();
    if (now >= next || lanes_.size() >= crowd) return;
    std::this_thread::sleep_for(std::chrono::microseconds{next - now});
    net::BlockingTasks more;
    static_cast<void>(thread.take(more, std::chrono::milliseconds{0}));
    lanes_.put(more);
}

void Writer::commit(WriteLanes::Batch& batch, std::size_t chore_rows) {
    const MonoMicros began = system_clock().mono_micros();
    commit_began_ = began;
    std::size_t tried = 0; // the one that fails may have changed something too
    try {
        apply(batch, tried, chore_rows);
    } catch (const SqliteError& error) {
        undo(batch, tried, error);
        return;
    }
    succeeded();
    commits_.add();
    for (Chores* chores : chores_) chores->settled(true);
    if (batch.tasks.empty()) return;
    rows_.add(batch.operations);
    batch_entries_.observe(static_cast<double>(batch.operations));
    commit_seconds_.observe(static_cast<double>(system_clock().mono_micros() - began) / 1e6);
}

void Writer::apply(WriteLanes::Batch& batch, std::size_t& tried, std::size_t chore_rows) {
    slicing_.clear();
    database_.execute("BEGIN IMMEDIATE");
    while (tried < batch.tasks.size()) static_cast<WriteTask&>(*batch.tasks[tried++]).apply();
    const MonoMillis now = system_clock().mono();
    for (Chores* chores : chores_) {
        if (chores->due() > now) continue;
        slicing_.push_back(chores);
        chores->slice(chore_rows);
    }
    for (Chores* chores : chores_) chores->seal();
    database_.execute("COMMIT");
}

void Writer::undo(WriteLanes::Batch& batch, std::size_t tried, const SqliteError& error) {
    roll_back();
    for (Chores* chores : slicing_) chores->undo();
    // Not those behind it: they have nothing to go back to, nor has any if `BEGIN` failed.
    while (tried > 0) static_cast<WriteTask&>(*batch.tasks[--tried]).undo();
    for (Chores* chores : chores_) chores->settled(false);
    for (std::unique_ptr<net::BlockingTask>& each : batch.tasks) {
        auto& task = static_cast<WriteTask&>(*each);
        task.code = Code::unavailable;
        task.detail = fault_text(error.code());
        task.refused();
    }
    failed(error);
}

void Writer::roll_back() noexcept {
    if (!database_.in_transaction()) return; // some failures roll back by themselves
    try {
        database_.execute("ROLLBACK");
    } catch (const SqliteError& error) {
        log::error("store_rollback_failed", {{"error", error.what()}});
    }
}

/// While nothing can be written, and perhaps nobody tries: is it over?
void Writer::probe() {
    probe_due_ = system_clock().mono() + probe_interval.count();
    try {
        database_.execute("BEGIN IMMEDIATE");
        // A change that changes nothing still writes a page, which a full disk has no place for.
        database_.execute(fmt::format("PRAGMA user_version={}", schema_version).c_str());
        database_.execute("COMMIT");
        succeeded();
    } catch (const SqliteError&) {
        roll_back();
    }
}

void Writer::failed(const SqliteError& error) {
    failures_.add();
    const char* const text = fault_text(error.code());
    const MonoMillis now = system_clock().mono();
    if (fault_.exchange(text, std::memory_order_relaxed) == nullptr)
        probe_due_ = now + probe_interval.count();
    // A disk that is nearly full takes one write and refuses the next.
    if (text == told_ && now < told_at_ + tell_interval.count()) return;
    told_ = text;
    told_at_ = now;
    recovery_told_ = false;
    log::error("store_failing", {{"reason", text},
                                 {"error", error.what()},
                                 {"code", error.code()},
                                 {"detail", "durable writes are refused until it is over"}});
}

void Writer::succeeded() {
    if (fault_.exchange(nullptr, std::memory_order_relaxed) == nullptr) return;
    if (!std::exchange(recovery_told_, true)) log::info("store_recovered");
}

// --- the write-ahead log ---

void Writer::finish_copying() {
    if (copied_.exchange(false)) {
        // Only what came since the other thread has copied: then all of the log is in the file, and
        // the next transaction begins it anew.
        ::sqlite3_wal_checkpoint_v2(database_.raw(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr,
                                    nullptr);
        copying_.store(false);
        log_pages_copied_ = log_pages_;
    }
    if (log_pages_ < log_pages_copied_) log_pages_copied_ = 0; // it began anew
    const int wanted = std::max(log_pages_max, log_pages_copied_ + log_pages_step);
    if (log_pages_ >= wanted && !copying_.exchange(true)) copier_->wake();
}

void Writer::copy_log(net::BlockingThread& thread) {
    net::BlockingTasks none;
    while (thread.take(none, std::chrono::milliseconds{-1})) {
        if (!copying_.load()) continue;
        // Its failure is the writer's to find: it will not be able to write on for long.
        ::sqlite3_wal_checkpoint_v2(copier_database_.raw(), nullptr, SQLITE_CHECKPOINT_PASSIVE,
                                    nullptr, nullptr);
        copied_.store(true);
    }
}

} // namespace fanfare::stores
