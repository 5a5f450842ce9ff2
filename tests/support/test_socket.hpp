#pragma once
// A TCP connection as a test holds it: blocking calls with a bound, one descriptor, nothing hidden.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace fanfare::test {

using TestClock = std::chrono::steady_clock;

/// Every wait of a test ends here at the latest. Far more than any condition needs, also on a busy
/// machine under a sanitizer.
inline constexpr std::chrono::seconds patience{60};

/// The connection is gone, and something was still to come.
struct ConnectionEnded : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// The peer reset it: what it had sent before may be lost.
struct ConnectionReset : ConnectionEnded {
    using ConnectionEnded::ConnectionEnded;
};

class TestSocket {
  public:
    /// Connects to 127.0.0.1. `receive_buffer`: SO_RCVBUF in bytes, 0 leaves it to the kernel.
    explicit TestSocket(std::uint16_t port, int receive_buffer = 0);
    ~TestSocket();
    TestSocket(TestSocket&& other) noexcept;
    TestSocket& operator=(TestSocket&& other) noexcept;

    /// Sends everything. Throws ConnectionReset, or after `patience` without progress.
    void send(std::string_view bytes);
    /// Appends what is there, at most `bytes_max`, waiting at most `wait`. Returns the number of
    /// bytes; 0: the peer's end, or nothing came in time (then `timed_out` is true).
    std::size_t receive(std::string& to, std::chrono::milliseconds wait = patience,
                        std::size_t bytes_max = std::size_t{256} * 1024);
    [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }
    void shutdown_send();
    void close();
    /// Closes with a reset instead of an end.
    void abort();

    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// Bytes that the kernel holds for this side and nobody has read.
    [[nodiscard]] std::size_t unread() const;

  private:
    int fd_ = -1;
    bool timed_out_ = false;
};

} // namespace fanfare::test
