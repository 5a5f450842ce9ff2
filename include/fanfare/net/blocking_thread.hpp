#pragma once
// A thread for calls that block (files, SQLite). Reactors hand it tasks; what comes of a task is
// told on the reactor that it came from.
//
// Tasks wait in a lock-free list: handing one over is one compare-and-swap, and a system call only
// if the thread sleeps. The bound of the list is the owner's duty.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace fanfare::net {

class Reactor;

class BlockingTask {
  public:
    virtual ~BlockingTask() = default;
    /// On the blocking thread.
    virtual void run() = 0;
    /// On the reactor that handed it over, after `run`. Not called if the process ends before.
    virtual void done() = 0;

  private:
    friend class BlockingThread;
    BlockingTask* next_ = nullptr;
    Reactor* origin_ = nullptr;
};
using BlockingTasks = std::vector<std::unique_ptr<BlockingTask>>;

class BlockingThread {
  public:
    /// Runs the thread's whole life. Returns when `take` says that it is over.
    using Life = std::function<void(BlockingThread&)>;

    /// `name`: at most 15 bytes, for the system's lists. Starts at once.
    BlockingThread(std::string name, Life life);
    /// A thread that runs one task after the other.
    explicit BlockingThread(std::string name);
    /// `stop`, then waits for the thread.
    ~BlockingThread();
    BlockingThread(const BlockingThread&) = delete;
    BlockingThread& operator=(const BlockingThread&) = delete;

    /// From a reactor: in its order. `done` follows there.
    void post(std::unique_ptr<BlockingTask> task);
    /// `take` returns, with nothing if there is nothing. Any thread.
    void wake() noexcept;
    /// What was posted before is still run. Any thread; idempotent.
    void stop();

    // --- for Life, on the thread ---
    /// All tasks that wait, in the order they were posted by each reactor; waits up to `timeout`
    /// (negative: for ever) for the first one. False: stopped, and nothing is left.
    [[nodiscard]] bool take(BlockingTasks& into, std::chrono::milliseconds timeout);
    /// Tells the reactors what was run; each gets its tasks in one post, in this order.
    void complete(BlockingTasks tasks);

  private:
    std::atomic<BlockingTask*> head_{nullptr}; // newest first
    std::atomic<bool> sleeping_{false};
    std::atomic<bool> stopped_{false};
    const int wake_fd_;
    std::thread thread_;
};

} // namespace fanfare::net
