#pragma once
// What the process and systemd say to each other: listening sockets and a watchdog that were given
// at the start, and how the process is doing. All of it does nothing where systemd, or something
// that speaks its protocol, did not start the process. The only file that knows libsystemd.

#include "server.hpp"

#include <chrono>
#include <string>

namespace fanfare::app {

/// Main thread only.
class ServiceManager {
  public:
    /// The listening sockets that the process was started with: named `ops` they are for
    /// operations, named `clients` or not at all for clients. Once, before there are threads: it
    /// takes them out of the environment. Throws ConfigError for anything that is not a listening
    /// TCP socket, and for other names.
    [[nodiscard]] static ListenSockets take_sockets();

    /// The process is taken for dead if `alive` is not called this often; 0: there is no watchdog.
    [[nodiscard]] static std::chrono::microseconds watchdog();

    /// `status`: one line for `systemctl status`.
    void ready(const std::string& status);
    void reloading();
    /// Ends within `extension`, or says so again; only then does a time-out count that is shorter.
    void stopping(const std::string& status, std::chrono::milliseconds extension);
    /// Sent if it has changed.
    void status(const std::string& status);
    void alive();

  private:
    void send(const std::string& text);

    std::string status_;
    bool failed_ = false; // once is enough to know
};

} // namespace fanfare::app
