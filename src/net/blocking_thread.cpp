#include <fanfare/base/assert.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <cstdint>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace fanfare::net {
namespace {

void run_each(BlockingThread& thread) {
    BlockingTasks tasks;
    while (thread.take(tasks, std::chrono::milliseconds{-1}))
        for (std::unique_ptr<BlockingTask>& task : tasks) {
            task->run();
            // Told one by one: the first one need not wait for the last.
            BlockingTasks one;
            one.push_back(std::move(task));
            thread.complete(std::move(one));
        }
}

} // namespace

BlockingThread::BlockingThread(std::string name, Life life)
    : wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    FANFARE_ASSERT(wake_fd_ >= 0);
    thread_ = std::thread{[this, life = std::move(life)] { life(*this); }};
    ::pthread_setname_np(thread_.native_handle(), name.c_str());
}

BlockingThread::BlockingThread(std::string name) : BlockingThread(std::move(name), run_each) {}

BlockingThread::~BlockingThread() {
    stop();
    if (thread_.joinable()) thread_.join();
    // What came after the stop is neither run nor told.
    for (BlockingTask* task = head_.exchange(nullptr); task != nullptr;) {
        const std::unique_ptr<BlockingTask> dropped{std::exchange(task, task->next_)};
    }
    ::close(wake_fd_);
}

void BlockingThread::post(std::unique_ptr<BlockingTask> task) {
    task->origin_ = Reactor::current();
    FANFARE_ASSERT(task->origin_ != nullptr);
    BlockingTask* const added = task.release();
    added->next_ = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(added->next_, added, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
    }
    if (sleeping_.exchange(false, std::memory_order_seq_cst)) wake();
}

void BlockingThread::wake() noexcept {
    ::eventfd_write(wake_fd_, 1);
}

void BlockingThread::stop() {
    stopped_.store(true, std::memory_order_seq_cst);
    wake();
}

bool BlockingThread::take(BlockingTasks& into, std::chrono::milliseconds timeout) {
    into.clear();
    // Declared before looking, so that a post either is seen here or sees this.
    sleeping_.store(true, std::memory_order_seq_cst);
    if (head_.load(std::memory_order_seq_cst) == nullptr) {
        if (stopped_.load(std::memory_order_seq_cst)) return false;
        pollfd wait{wake_fd_, POLLIN, 0};
        ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(timeout.count(), -1)));
        eventfd_t ignored = 0;
        ::eventfd_read(wake_fd_, &ignored);
    }
    sleeping_.store(false, std::memory_order_seq_cst);
    for (BlockingTask* task = head_.exchange(nullptr, std::memory_order_acquire); task != nullptr;
         task = task->next_)
        into.emplace_back(task);
    std::reverse(into.begin(), into.end());
    return !into.empty() || !stopped_.load(std::memory_order_seq_cst);
}

void BlockingThread::complete(BlockingTasks tasks) {
    while (!tasks.empty()) {
        Reactor* const origin = tasks.front()->origin_;
        BlockingTasks mine;
        BlockingTasks others;
        for (std::unique_ptr<BlockingTask>& task : tasks)
            (task->origin_ == origin ? mine : others).push_back(std::move(task));
        tasks = std::move(others);
        origin->post([mine = std::move(mine)]() mutable {
            for (std::unique_ptr<BlockingTask>& task : mine) {
                task->done();
                task.reset();
            }
        });
    }
}

} // namespace fanfare::net
