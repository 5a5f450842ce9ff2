#include "http_client.hpp"

#include <cstdlib>

namespace fanfare::test {

std::string take_head(std::string& in) {
    const std::size_t end = in.find("\r\n\r\n");
    if (end == std::string::npos) return {};
    std::string head = in.substr(0, end + 4);
    in.erase(0, end + 4);
    return head;
}

void HttpClient::send(std::string_view method, std::string_view target, std::string_view body,
                      std::string_view headers) {
    std::string request;
    request.reserve(256 + headers.size() + body.size());
    request.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\n");
    request.append(headers);
    if (!body.empty())
        request +=
            "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
            "\r\n";
    request.append("\r\n").append(body);
    socket_.send(request);
}

HttpResponse HttpClient::receive() {
    HttpResponse response;
    const auto more = [this] {
        if (socket_.receive(in_) == 0) throw ConnectionEnded("no complete HTTP response");
    };
    while ((response.head = take_head(in_)).empty()) more();
    response.status = std::atoi(response.head.c_str() + sizeof "HTTP/1.1");
    // The API always names a length; streams have a client of their own.
    const std::size_t at = response.head.find("Content-Length: ");
    std::size_t length = 0;
    if (at != std::string::npos)
        length = static_cast<std::size_t>(
            std::atoll(response.head.c_str() + at + sizeof "Content-Length: " - 1));
    while (in_.size() < length) more();
    response.body = in_.substr(0, length);
    in_.erase(0, length);
    return response;
}

} // namespace fanfare::test
