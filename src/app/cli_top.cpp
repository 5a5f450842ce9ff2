// `fanfare top`: scrapes /metrics, as Prometheus does, and draws what changed.

#include "cli_http.hpp"
#include "config_values.hpp"
#include "top_view.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/clock.hpp>

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

namespace fanfare::app {
namespace {

/// The terminal while the view is on it: the other screen, no cursor, keys as they are pressed.
/// Whatever ends the command, the terminal is given back as it was.
class FullScreen {
  public:
    FullScreen() {
        ::sigemptyset(&signals_);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) ::sigaddset(&signals_, signal);
        ::pthread_sigmask(SIG_BLOCK, &signals_, &before_signals_);
        signal_fd_ = ::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK);
        keys_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
        if (keys_) {
            termios raw = before_;
            raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
            ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        std::cout << "\x1b[?1049h\x1b[?25l" << std::flush;
    }
    ~FullScreen() {
        std::cout << "\x1b[?25h\x1b[?1049l" << std::flush;
        if (keys_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
        ::close(signal_fd_);
        ::pthread_sigmask(SIG_SETMASK, &before_signals_, nullptr);
    }
    FullScreen(const FullScreen&) = delete;
    FullScreen& operator=(const FullScreen&) = delete;

    enum class Event { timeout, resized, end };
    [[nodiscard]] Event wait(std::chrono::milliseconds timeout) {
        std::array<pollfd, 2> waiting{{{signal_fd_, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
        const nfds_t count = keys_ ? 2 : 1;
        if (::poll(waiting.data(), count, static_cast<int>(timeout.count())) <= 0)
            return Event::timeout;
        if (waiting[0].revents != 0) {
            signalfd_siginfo info{};
            if (::read(signal_fd_, &info, sizeof info) != sizeof info) return Event::timeout;
            return info.ssi_signo == SIGWINCH ? Event::resized : Event::end;
        }
        char key = 0;
        if (::read(STDIN_FILENO, &key, 1) != 1) {
            keys_ = false; // the terminal is gone: signals end it
            return Event::timeout;
        }
        return key == 'q' || key == 'Q' ? Event::end : Event::resized;
    }

    static void fit(View& view) {
        winsize size{};
        if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return;
        view.width = size.ws_col;
        view.height = size.ws_row;
    }
    static void show(const std::vector<std::string>& lines) {
        std::string frame = "\x1b[H";
        for (std::size_t i = 0; i < lines.size(); ++i)
            frame += (i == 0 ? "" : "\r\n") + lines[i] + "\x1b[K";
        std::cout << frame << "\x1b[J" << std::flush;
    }

  private:
    sigset_t signals_{};
    sigset_t before_signals_{};
    termios before_{};
    int signal_fd_ = -1;
    bool keys_ = false;
};

struct Scrape {
    std::optional<Sample> sample;
    std::string fault;
};

Scrape scrape(const std::string& url, const std::string& key) {
    Scrape result;
    const HttpAnswer answer = http_get(url + "/metrics", key);
    if (!answer.fault.empty()) {
        result.fault = answer.fault;
    } else if (answer.status != 200) {
        result.fault = fmt::format("HTTP status {}", answer.status);
        if (answer.status == 401 || answer.status == 403)
            result.fault += "; from another machine it takes a --key with scope read";
        if (answer.status == 404) result.fault += "; with ops_listen the metrics are there only";
    } else {
        result.sample =
            Sample::parse(answer.body, static_cast<double>(system_clock().mono_micros()) / 1e6);
        if (!result.sample) result.fault = "the answer has no metrics of a gateway";
    }
    return result;
}

int watch(const std::string& url, const std::string& key, std::chrono::milliseconds interval,
          Scrape first, View view) {
    FullScreen screen;
    std::optional<Sample> before;
    Sample now = std::move(*first.sample);
    for (;;) {
        FullScreen::fit(view);
        FullScreen::show(render(before ? &*before : nullptr, now, view));
        const MonoMillis due = system_clock().mono() + interval.count();
        // A key or another size draws again at once; only the time brings a new scrape.
        for (MonoMillis left = interval.count(); left > 0; left = due - system_clock().mono()) {
            const auto event = screen.wait(std::chrono::milliseconds{left});
            if (event == FullScreen::Event::end) return exit_ok;
            FullScreen::fit(view);
            FullScreen::show(render(before ? &*before : nullptr, now, view));
        }
        Scrape next = scrape(url, key);
        view.fault = next.fault;
        if (!next.sample) continue;
        before = std::move(now);
        now = std::move(*next.sample);
    }
}

} // namespace

int run_top(const TopCommand& command, Terminal& terminal) {
    using namespace std::chrono_literals;
    ConfigNode node;
    node.kind = ConfigNode::Kind::scalar;
    node.style = ConfigNode::Style::either;
    node.text = command.interval;
    const std::chrono::milliseconds interval = duration(100ms, 1h).read({node, "--interval"});
    const std::string key = api_key(command.key, terminal.environment);
    if (has_control(key)) {
        terminal.err << "--key: holds a control character\n";
        return exit_usage;
    }
    const std::string url = base_url(command.url);
    Scrape first = scrape(url, key);
    if (!first.sample) {
        terminal.err << "top: " << url << "/metrics: " << first.fault << '\n';
        return exit_failed;
    }
    View view;
    view.url = url;
    if (!command.once && ::isatty(STDOUT_FILENO) == 1) {
        view.colours = std::getenv("NO_COLOR") == nullptr; // NOLINT(concurrency-mt-unsafe)
        return watch(url, key, interval, std::move(first), view);
    }
    // Rates need two scrapes.
    ::poll(nullptr, 0, static_cast<int>(interval.count()));
    const Scrape second = scrape(url, key);
    if (!second.sample) {
        terminal.err << "top: " << url << "/metrics: " << second.fault << '\n';
        return exit_failed;
    }
    view.width = 120;
    view.height = 200;
    for (const std::string& line : render(&*first.sample, *second.sample, view))
        terminal.out << line << '\n';
    return exit_ok;
}

} // namespace fanfare::app
