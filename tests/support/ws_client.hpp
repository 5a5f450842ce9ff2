#pragma once
// A WebSocket client for tests: RFC 6455 from the client's side, blocking, with a bound on each
// wait.

#include "support/test_socket.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::test {

/// A client's frame, masked. `head`: the first byte; 0x81 is a whole text message.
[[nodiscard]] std::string client_frame(std::string_view payload, unsigned head = 0x81);

struct WsOptions {
    std::string token;      // as ?token=
    bool deflate = false;   // offers permessage-deflate
    int receive_buffer = 0; // SO_RCVBUF in bytes; 0: the kernel's choice
};

class WsClient {
  public:
    /// Connects, and reads the welcome.
    explicit WsClient(std::uint16_t port, const WsOptions& options = {});

    [[nodiscard]] const std::string& welcome() const noexcept { return welcome_; }
    /// The reactor that serves this connection: the session's id tells.
    [[nodiscard]] unsigned reactor() const;

    void send(std::string_view json) { socket_.send(client_frame(json)); }
    /// Sends a request, given without its braces and id, and returns the reply. What else comes
    /// meanwhile is kept for `next`, in order.
    std::string request(std::string_view members);
    /// The next message; nothing if the connection has ended, or (timed_out) `wait` is over.
    /// Answers pings and the peer's Close.
    [[nodiscard]] std::optional<std::string> next(std::chrono::milliseconds wait = patience);
    [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }
    /// Reads until the end, and returns the code of the peer's Close; 1006: there was none.
    std::uint16_t read_to_end(std::chrono::milliseconds wait = patience);
    /// The code of the peer's Close so far; 0: none yet; 1006: the connection ended without one.
    [[nodiscard]] std::uint16_t close_code() const noexcept { return close_code_; }
    /// The close handshake, to its end.
    void close();

    [[nodiscard]] TestSocket& socket() noexcept { return socket_; }
    /// Bytes that were read from the socket.
    [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }
    /// At most so many bytes are read at once; for clients that read slowly.
    void set_read_max(std::size_t bytes) noexcept { read_max_ = bytes; }

  private:
    struct Frame {
        unsigned head = 0; // FIN, RSV and opcode
        std::string payload;
    };
    [[nodiscard]] std::optional<Frame> take_frame();
    [[nodiscard]] std::optional<std::string> handle(Frame frame);
    /// False: the connection ended, or nothing came in time.
    bool read_more(std::chrono::milliseconds wait);

    TestSocket socket_;
    std::string in_;
    std::size_t in_at_ = 0; // bytes of in_ that are used up
    std::deque<std::string> kept_;
    std::string welcome_;
    std::int64_t last_id_ = 0;
    std::uint64_t bytes_read_ = 0;
    std::size_t read_max_ = std::size_t{256} * 1024;
    std::uint16_t close_code_ = 0;
    bool timed_out_ = false;
    bool close_sent_ = false;
};

/// The reactor that a session's id names.
[[nodiscard]] unsigned reactor_of_session(std::string_view id);

} // namespace fanfare::test
