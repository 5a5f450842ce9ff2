#pragma once
// HTTP/1.1 as a backend speaks it: one connection, requests one by one or pipelined.

#include "support/test_socket.hpp"

#include <string>
#include <string_view>

namespace fanfare::test {

struct HttpResponse {
    int status = 0;
    std::string head; // status line and headers, as they came
    std::string body;
};

class HttpClient {
  public:
    explicit HttpClient(std::uint16_t port) : socket_(port) {}

    /// Sends a request; `headers` are complete lines, each with its CRLF.
    void send(std::string_view method, std::string_view target, std::string_view body = {},
              std::string_view headers = {});
    /// The next answer. Throws ConnectionEnded if it does not come.
    [[nodiscard]] HttpResponse receive();
    HttpResponse request(std::string_view method, std::string_view target,
                         std::string_view body = {}, std::string_view headers = {}) {
        send(method, target, body, headers);
        return receive();
    }
    [[nodiscard]] TestSocket& socket() noexcept { return socket_; }

  private:
    TestSocket socket_;
    std::string in_;
};

/// Takes a head, up to and with its empty line, off the front of `in`; empty if it is not complete.
[[nodiscard]] std::string take_head(std::string& in);

} // namespace fanfare::test
