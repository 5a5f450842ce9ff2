// What all connections of the run share: the loop, where to connect to and from, and the one
// buffer that every socket is read into.
#pragma once

#include "poller.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

namespace load {

/// A socket address of either family.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    [[nodiscard]] const sockaddr* get() const;
};

/// The server as --url names it. Plain http:// only.
struct Server {
    std::string host; // as it goes into the Host header, with the port
    Address address;
};

/// Parses `http://host[:port]` and resolves the host. Throws std::invalid_argument with a remedy.
[[nodiscard]] Server resolve(const std::string& url);

/// Parses a numeric source address. Throws std::invalid_argument.
[[nodiscard]] Address parse_source(const std::string& text);

/// `text` with everything but unreserved characters percent-encoded (RFC 3986 §2.3).
[[nodiscard]] std::string percent_encode(std::string_view text);

struct Network {
    explicit Network(Server target) : server(std::move(target)), scratch(256 * 1024) {}

    /// The address that the next client socket is bound to, in turn; null: the kernel's choice.
    [[nodiscard]] const Address* next_source();

    Server server;
    std::vector<Address> sources;
    Poller poller;
    Timers timers;
    std::vector<char> scratch; // grows when a single frame is larger
    std::uint64_t bytes_received = 0;
    bool kernel_timestamps = false; // streams ask the kernel when bytes arrived
    Instant arrived{};              // the answer for the read under way, if they do

  private:
    std::size_t sources_used_ = 0;
};

} // namespace load
