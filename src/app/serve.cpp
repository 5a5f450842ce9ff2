#include "serve.hpp"

#include "server.hpp"

#include <fanfare/base/log.hpp>

#include <chrono>
#include <csignal>
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

} // namespace

int serve(Config config, const std::function<Config()>& reload) {
    log::configure(config.log);
    const Signals signals;
    Server server{std::move(config)};
    server.start();
    for (;;) {
        const int signal = signals.wait(std::chrono::seconds{2});
        if (signal == SIGHUP)
            server.reload(reload);
        else if (signal != 0)
            break;
        server.give_back_memory();
    }
    // A second signal ends the wait; a reload is of no use any more.
    server.drain([&signals](std::chrono::milliseconds pause) {
        const int signal = signals.wait(pause);
        return signal != 0 && signal != SIGHUP;
    });
    log::flush();
    return 0;
}

} // namespace fanfare::app
