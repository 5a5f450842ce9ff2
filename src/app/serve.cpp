#include "serve.hpp"

#include "cli.hpp"
#include "server.hpp"
#include "service_manager.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/base/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <sys/signalfd.h>
#include <system_error>
#include <unistd.h>

namespace fanfare::app {
namespace {

/// The signals that steer the process, read by the main thread; blocked for all threads that are
/// started afterwards.
class Signals {
  public:
    Signals() {
        ::sigemptyset(&set_);
        for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set_, signal);
        ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
        ::signal(SIGPIPE, SIG_IGN); // NOLINT(concurrency-mt-unsafe): before any thread
        fd_ = ::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
    }
    ~Signals() { ::close(fd_); }
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    /// The next signal, or 0 after `timeout`.
    [[nodiscard]] int wait(std::chrono::milliseconds timeout) const {
        pollfd waiting{fd_, POLLIN, 0};
        if (::poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0) return 0;
        signalfd_siginfo info{};
        if (::read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return 0;
        return static_cast<int>(info.ssi_signo);
    }

  private:
    sigset_t set_{};
    int fd_ = -1;
};

constexpr std::chrono::milliseconds tick_max{2'000};
constexpr std::chrono::milliseconds stuck_after_max{10'000};

/// A reactor is given half of what the watchdog allows the process.
std::chrono::milliseconds stuck_after(std::chrono::microseconds watchdog) {
    if (watchdog.count() == 0) return stuck_after_max;
    const auto half = std::chrono::duration_cast<std::chrono::milliseconds>(watchdog / 2);
    return std::clamp(half, std::chrono::milliseconds{4}, stuck_after_max);
}

/// One run of the gateway, from the main thread, which serves nobody: it waits for signals, and
/// between them keeps the house.
class Run {
  public:
    explicit Run(Server& server)
        : server_(server), watched_(ServiceManager::watchdog().count() != 0),
          tick_(std::min(tick_max, stuck_after(ServiceManager::watchdog()) / 4)) {
        server.set_stuck_after(stuck_after(ServiceManager::watchdog()));
    }

    void until_stopped(const Signals& signals, const std::function<Config()>& reload) {
        server_.start();
        manager_.ready(serving());
        for (;;) {
            const int signal = signals.wait(tick_);
            if (signal == SIGHUP)
                reload_from(reload);
            else if (signal != 0)
                return;
            server_.give_back_memory();
            keep_alive();
            manager_.status(serving());
        }
    }

    void drain(const Signals& signals) {
        tell_drain();
        // A second signal ends the wait; a reload is of no use any more.
        server_.drain([&](std::chrono::milliseconds pause) {
            const int signal = signals.wait(pause);
            if (system_clock().mono() >= told_ + tick_.count()) {
                keep_alive();
                tell_drain();
            }
            return signal != 0 && signal != SIGHUP;
        });
    }

  private:
    /// Feeds the watchdog while all reactors turn, and only then.
    void keep_alive() {
        if (server_.check_reactors() == 0 && watched_) manager_.alive();
    }

    void reload_from(const std::function<Config()>& reload) {
        manager_.reloading();
        reload_failed_ = !server_.reload(reload);
        manager_.ready(serving());
    }

    /// A drain may be longer than the unit allows for stopping, but its end must stay in sight.
    void tell_drain() {
        told_ = system_clock().mono();
        manager_.stopping(fmt::format("Draining, {} connections left", server_.connections_open()),
                          tick_max + std::chrono::seconds{10});
    }

    [[nodiscard]] std::string serving() const {
        return fmt::format("Serving {} connections{}", server_.connections_open(),
                           reload_failed_ ? "; the last reload failed, see the log" : "");
    }

    Server& server_;
    ServiceManager manager_;
    const bool watched_;
    const std::chrono::milliseconds tick_;
    bool reload_failed_ = false;
    MonoMillis told_ = 0; // the service manager about the drain
};

} // namespace

int serve(Config config, const std::function<Config()>& reload) {
    ListenSockets sockets = ServiceManager::take_sockets();
    log::configure(config.log);
    const Signals signals;
    Server server{std::move(config), std::move(sockets)};
    Run run{server};
    run.until_stopped(signals, reload);
    run.drain(signals);
    const bool stuck = server.check_reactors() != 0;
    log::flush();
    // The thread of a stuck reactor cannot be joined.
    if (stuck) std::_Exit(exit_failed);
    return exit_ok;
}

} // namespace fanfare::app
