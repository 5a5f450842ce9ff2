#pragma once
// The HTTP server of one reactor: turns accepted descriptors into HTTP/1.1 connections.

#include <fanfare/net/admission.hpp>

#include <chrono>
#include <cstddef>
#include <memory>

namespace fanfare::net {
class Reactor;
class Transport;
} // namespace fanfare::net

namespace fanfare::http {

class Router;

struct Options {
    std::size_t head_bytes_max = std::size_t{64} * 1024; // of a request; more: 431
    std::chrono::milliseconds head_timeout{10'000};      // to send the head; later: 408 and close
    std::chrono::milliseconds body_timeout{30'000}; // without any progress of a body; 408 and close
    std::chrono::milliseconds keep_alive{75'000};   // idle between requests; then closed
    /// Unread answers of one connection. Above it no further request of that connection is handled;
    /// if the peer takes nothing for body_timeout, the connection is closed.
    std::size_t response_queue_max = std::size_t{4} * 1024 * 1024;
};

class Server {
  public:
    /// All references outlive the server. Router may be shared by the servers of one reactor.
    Server(net::Reactor& reactor, Router& router, net::Admission& admission,
           const Options& options);
    /// Closes what is open without further answers. On the reactor's thread, or after it ended.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Takes a connected non-blocking descriptor. `shed`: every answer closes the connection.
    void accept(int fd, net::Admission::Verdict verdict);
    /// The same for a byte pipe that exists already (TLS); becomes its handler.
    void accept(std::unique_ptr<net::Transport> transport, net::Admission::Verdict verdict);
    /// From now on every answer closes its connection, and idle connections are closed.
    void drain();
    /// Open HTTP connections, not counting those that became WebSockets or streams.
    [[nodiscard]] std::size_t connections() const noexcept;
    /// Holds for what begins from now on.
    void set_options(const Options& options) noexcept;

    struct State; // shared with the connections
  private:
    std::unique_ptr<State> state_;
};

} // namespace fanfare::http
