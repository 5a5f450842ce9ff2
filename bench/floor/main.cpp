// fanfare-floor: the least that a push server can do. One thread, one epoll loop, and for each
// message one send() of a prebuilt frame per subscriber. No sessions, no history, no timers, no
// limits, no queues. A figure of the gateway means something as its ratio to this program's, taken
// in the same run. README.md says what is left out and what must not be.
#include "floor.hpp"

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

namespace {

constexpr const char* usage =
    "fanfare-floor PORT [--batch] [--seconds N]\n"
    "  Listens on 127.0.0.1:PORT until SIGTERM, at most N seconds (default 600).\n"
    "  --batch   joins all messages of one loop turn into one send() per subscriber\n";

volatile std::sig_atomic_t stopped = 0;

void on_signal(int /*signal*/) {
    stopped = 1;
}

bool read_number(const char* text, unsigned& number) {
    const char* const end = text + std::strlen(text);
    const auto result = std::from_chars(text, end, number);
    return result.ec == std::errc{} && result.ptr == end && number > 0;
}

void raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Without SA_RESTART: epoll_wait must return when it is time to stop.
void stop_on(int signal) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    ::sigaction(signal, &action, nullptr);
}

} // namespace

int main(int argc, char** argv) {
    unsigned port = 0;
    unsigned seconds_max = 600;
    bool batch = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        bool good = true;
        if (argument == "--batch") {
            batch = true;
        } else if (argument == "--seconds" && i + 1 < argc) {
            good = read_number(argv[++i], seconds_max);
        } else {
            good = port == 0 && read_number(argv[i], port) && port < 65'536;
        }
        if (!good) port = 65'536;
    }
    if (port == 0 || port > 65'535) {
        std::fputs(usage, stderr);
        return 2;
    }
    stop_on(SIGTERM);
    stop_on(SIGINT);
    // Whoever started this program may die first.
    stop_on(SIGALRM);
    ::alarm(seconds_max);
    raise_descriptor_limit();
    try {
        floor_server::Floor floor{static_cast<std::uint16_t>(port), batch};
        floor.run(stopped);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fanfare-floor: %s\n", error.what());
        return 1;
    }
    return 0;
}
