// Lines are formatted by the caller, queued, and written by one thread, so that a reactor never
// waits for a slow stderr. The queue is bounded; when it is full the oldest line goes, because the
// newest one is nearest to the trouble. spdlog gives the queue and the thread; its registry, levels
// and patterns are not used.

#include "log_line.hpp"

#include <fanfare/base/log.hpp>

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <thread>
#include <unistd.h>

namespace fanfare::log {
namespace {

constexpr std::size_t queue_lines_max = 8192;
/// How long a flush waits for a stderr that nobody reads.
constexpr std::chrono::milliseconds flush_time_max{1000};

/// Writes all of `line`. Gives up on an error: there is no other place to report it to.
void write_stderr(std::string_view line) noexcept {
    while (!line.empty()) {
        const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
        if (written >= 0) {
            line.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EAGAIN) { // whoever shares the pipe with us made it non-blocking
            pollfd writable{STDERR_FILENO, POLLOUT, 0};
            ::poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

/// Runs on the writer thread only.
class StderrSink final : public spdlog::sinks::sink {
  public:
    void log(const spdlog::details::log_msg& message) override {
        write_stderr({message.payload.data(), message.payload.size()});
        written_.fetch_add(1, std::memory_order_release);
    }
    void flush() override {}
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

    std::uint64_t written() const noexcept { return written_.load(std::memory_order_acquire); }

  private:
    std::atomic<std::uint64_t> written_{0};
};

/// The queue with its thread. Made by the first `configure` and never destroyed: other threads may
/// log until the very end of the process.
class Writer {
  public:
    Writer()
        : pool_(std::make_shared<spdlog::details::thread_pool>(queue_lines_max, 1U, on_start)),
          sink_(std::make_shared<StderrSink>()),
          logger_(std::make_shared<spdlog::async_logger>(
              "fanfare", sink_, pool_, spdlog::async_overflow_policy::overrun_oldest)) {}

    void queue(std::string_view line) {
        queued_.fetch_add(1, std::memory_order_relaxed);
        logger_->log(spdlog::level::critical, spdlog::string_view_t{line.data(), line.size()});
    }

    /// spdlog's own flush only queues a request (which may be overrun like any line). Each line
    /// that was queued is written or dropped, in order, so counting both tells when ours are
    /// through.
    void drain() {
        const std::uint64_t queued = queued_.load(std::memory_order_relaxed);
        const auto deadline = std::chrono::steady_clock::now() + flush_time_max;
        while (sink_->written() + dropped() < queued && std::chrono::steady_clock::now() < deadline)
            // Polling, since a process on its way to abort should depend on as little as possible.
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }

    std::uint64_t dropped() const { return pool_->overrun_counter(); }

  private:
    /// Signals are for the threads that handle them.
    static void on_start() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        pthread_setname_np(pthread_self(), "log");
    }

    std::shared_ptr<spdlog::details::thread_pool> pool_;
    std::shared_ptr<StderrSink> sink_;
    std::shared_ptr<spdlog::async_logger> logger_;
    std::atomic<std::uint64_t> queued_{0};
};

std::atomic<Level> current_level{Level::info};
std::atomic<Format> current_format{Format::text};
std::atomic<Writer*> writer{nullptr};

std::string line_now(Level level, std::string_view event, Fields fields) {
    return format_line(current_format.load(std::memory_order_relaxed), level, system_clock().wall(),
                       event, fields);
}

void submit(Level level, std::string_view event, Fields fields) {
    if (!enabled(level)) return;
    const std::string line = line_now(level, event, fields);
    if (Writer* to = writer.load(std::memory_order_acquire))
        to->queue(line);
    else
        write_stderr(line);
}

} // namespace

void configure(const Options& options) {
    current_level.store(options.level, std::memory_order_relaxed);
    current_format.store(options.format, std::memory_order_relaxed);
    // Start-up and reload only.
    static std::mutex creating;
    const std::lock_guard lock{creating};
    if (writer.load(std::memory_order_relaxed) != nullptr) return;
    writer.store(new Writer, std::memory_order_release); // NOLINT: lives as long as the process
    std::atexit(flush);
}

void flush() {
    if (Writer* to = writer.load(std::memory_order_acquire)) to->drain();
}

std::uint64_t dropped() {
    Writer* from = writer.load(std::memory_order_acquire);
    return from != nullptr ? from->dropped() : 0;
}

void write_now(Level level, std::string_view event, Fields fields) noexcept {
    try {
        write_stderr(line_now(level, event, fields));
    } catch (const std::exception&) { // out of memory: the bare event is better than nothing
        write_stderr(event);
        write_stderr("\n");
    }
}

bool enabled(Level level) noexcept {
    return level >= current_level.load(std::memory_order_relaxed) && level != Level::off;
}

void debug(std::string_view event, Fields fields) {
    submit(Level::debug, event, fields);
}
void info(std::string_view event, Fields fields) {
    submit(Level::info, event, fields);
}
void warn(std::string_view event, Fields fields) {
    submit(Level::warn, event, fields);
}
void error(std::string_view event, Fields fields) {
    submit(Level::error, event, fields);
}

} // namespace fanfare::log
