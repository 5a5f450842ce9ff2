#include "service_manager.hpp"

#include <fanfare/base/log.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string_view>
#include <system_error>
#include <systemd/sd-daemon.h>

namespace fanfare::app {
namespace {

struct NamesFreer {
    void operator()(char** names) const noexcept {
        if (names == nullptr) return;
        for (char** name = names; *name != nullptr; ++name) std::free(*name); // NOLINT: C's
        std::free(names);                                                     // NOLINT
    }
};

std::string fault_of(const error_code& why) {
    switch (why.value()) {
    case EBADF:
        return "is not open";
    case ENOTSOCK:
        return "is not a socket";
    case EAFNOSUPPORT:
        return "is neither IPv4 nor IPv6 (a path, say)";
    case EPROTONOSUPPORT:
        return "is not TCP";
    case ENOTCONN:
        return "does not listen (Accept=yes is not for this service)";
    default:
        return why.message();
    }
}

/// systemd names a socket after its unit if FileDescriptorName= does not, and libsystemd calls it
/// "unknown" if whoever started the process named nothing.
bool is_for_clients(std::string_view name) {
    return name.empty() || name == "clients" || name == "unknown" || name == "fanfare.socket";
}

} // namespace

ListenSockets ServiceManager::take_sockets() {
    char** list = nullptr;
    const int count = ::sd_listen_fds_with_names(1, &list);
    const std::unique_ptr<char*, NamesFreer> names{list};
    if (count < 0)
        throw ConfigError("inherited sockets: LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES: " +
                          std::generic_category().message(-count));
    ListenSockets sockets;
    for (int i = 0; i < count; ++i) {
        const int fd = SD_LISTEN_FDS_START + i;
        const std::string_view name = names.get()[i]; // NOLINT: an array of C's
        const std::string which = fmt::format("inherited socket {} ({}): ", fd, name);
        if (name != "ops" && !is_for_clients(name))
            throw ConfigError(which + "has an unknown name; `clients` and `ops` are known "
                                      "(FileDescriptorName=)");
        const Result<net::ListenAddress> address = net::listening_address(fd);
        if (!address)
            throw ConfigError(which + fault_of(address.error()) +
                              "; expected a listening TCP socket");
        (name == "ops" ? sockets.operations : sockets.clients).push_back(fd);
    }
    return sockets;
}

std::chrono::microseconds ServiceManager::watchdog() {
    std::uint64_t microseconds = 0;
    if (::sd_watchdog_enabled(0, &microseconds) <= 0) return {};
    return std::chrono::microseconds{microseconds};
}

void ServiceManager::send(const std::string& text) {
    const int sent = ::sd_notify(0, text.c_str());
    if (sent >= 0 || failed_) return;
    failed_ = true;
    log::warn("notify_failed", {{"error", std::generic_category().message(-sent)}});
}

void ServiceManager::ready(const std::string& status) {
    status_ = status;
    send("READY=1\nSTATUS=" + status);
}

void ServiceManager::reloading() {
    // Type=notify-reload, which would send the signal itself and wait for READY=1, exists from
    // systemd 253 on; Debian 12 has 252, where Type=notify takes the same messages.
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const std::int64_t microseconds = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000;
    send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reloading", microseconds));
}

void ServiceManager::stopping(const std::string& status, std::chrono::milliseconds extension) {
    status_ = status;
    send(fmt::format("STOPPING=1\nSTATUS={}\nEXTEND_TIMEOUT_USEC={}", status,
                     std::chrono::microseconds{extension}.count()));
}

void ServiceManager::status(const std::string& status) {
    if (status == status_) return;
    status_ = status;
    send("STATUS=" + status);
}

void ServiceManager::alive() {
    send("WATCHDOG=1");
}

} // namespace fanfare::app
