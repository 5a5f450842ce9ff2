#pragma once
// An EventSource for tests: the stream's chunks and events by the WHATWG text, the connection's end
// left to the test.

#include "support/test_socket.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fanfare::test {

struct SseEvent {
    std::string type; // "message" if it had no name
    std::string data;
    std::string last_id; // what the client would send to resume after this event
};

class SseClient {
  public:
    /// `target` with its query; `last_id` goes into Last-Event-ID if it is not empty.
    SseClient(std::uint16_t port, std::string_view target, std::string_view last_id = {},
              int receive_buffer = 0);

    [[nodiscard]] int status() const noexcept { return status_; }
    /// The next event; nothing if the stream has ended, or (timed_out) `wait` is over. An event
    /// that was cut off before its empty line does not exist, and neither does its id.
    [[nodiscard]] std::optional<SseEvent> next(std::chrono::milliseconds wait = patience);
    [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }
    [[nodiscard]] const std::string& last_id() const noexcept { return last_id_; }
    [[nodiscard]] TestSocket& socket() noexcept { return socket_; }
    [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }
    void set_read_max(std::size_t bytes) noexcept { read_max_ = bytes; }

  private:
    [[nodiscard]] bool read_more(std::chrono::milliseconds wait);
    void decode();
    [[nodiscard]] std::optional<SseEvent> take_event();

    TestSocket socket_;
    std::string raw_;  // as it came, chunked
    std::string text_; // the body
    std::size_t text_at_ = 0;
    std::string last_id_;
    std::string id_buffer_;
    std::uint64_t bytes_read_ = 0;
    std::size_t read_max_ = std::size_t{256} * 1024;
    int status_ = 0;
    bool chunked_ = false;
    bool ended_ = false;
    bool timed_out_ = false;
};

} // namespace fanfare::test
