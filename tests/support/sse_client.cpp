#include "sse_client.hpp"

#include "support/http_client.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace fanfare::test {

SseClient::SseClient(std::uint16_t port, std::string_view target, std::string_view last_id,
                     int receive_buffer)
    : socket_(port, receive_buffer), last_id_(last_id), id_buffer_(last_id) {
    std::string request = "GET ";
    request.append(target).append(" HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n");
    if (!last_id.empty()) request.append("Last-Event-ID: ").append(last_id).append("\r\n");
    socket_.send(request + "\r\n");
    std::string head;
    while ((head = take_head(raw_)).empty())
        if (socket_.receive(raw_) == 0) throw ConnectionEnded("no answer to the stream");
    status_ = std::atoi(head.c_str() + sizeof "HTTP/1.1");
    chunked_ = head.find("Transfer-Encoding: chunked") != std::string::npos;
}

std::optional<SseEvent> SseClient::next(std::chrono::milliseconds wait) {
    const auto end = TestClock::now() + wait;
    timed_out_ = false;
    while (true) {
        decode();
        while (true) {
            const std::size_t before = text_at_;
            if (auto event = take_event()) return event;
            if (text_at_ == before) break; // no complete block is left
        }
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - TestClock::now());
        if (!read_more(std::max(left, std::chrono::milliseconds{0}))) return std::nullopt;
    }
}

bool SseClient::read_more(std::chrono::milliseconds wait) {
    if (ended_) return false;
    text_.erase(0, std::exchange(text_at_, 0));
    std::size_t got = 0;
    try {
        got = socket_.receive(raw_, wait, read_max_);
    } catch (const ConnectionReset&) {
        got = 0;
    }
    bytes_read_ += got;
    timed_out_ = got == 0 && socket_.timed_out();
    ended_ = got == 0 && !timed_out_;
    return got != 0;
}

void SseClient::decode() {
    if (!chunked_) {
        text_ += std::exchange(raw_, {});
        return;
    }
    std::size_t at = 0;
    while (true) {
        const std::size_t line = raw_.find("\r\n", at);
        if (line == std::string::npos) break;
        const std::size_t size = std::strtoul(raw_.c_str() + at, nullptr, 16);
        if (raw_.size() < line + 2 + size + 2) break;
        if (size == 0) ended_ = true;
        text_.append(raw_, line + 2, size);
        at = line + 2 + size + 2;
    }
    raw_.erase(0, at);
}

std::optional<SseEvent> SseClient::take_event() {
    const std::size_t end = text_.find("\n\n", text_at_);
    if (end == std::string::npos) return std::nullopt;
    std::string_view block = std::string_view{text_}.substr(text_at_, end - text_at_ + 1);
    text_at_ = end + 2;
    SseEvent event;
    event.type = "message";
    bool has_data = false;
    while (!block.empty()) {
        const std::string_view line = block.substr(0, block.find('\n'));
        block.remove_prefix(line.size() + 1);
        const auto value = [line](std::size_t name) {
            const std::string_view rest = line.substr(name);
            return rest.starts_with(' ') ? rest.substr(1) : rest;
        };
        if (line.starts_with("id:")) id_buffer_ = value(3);
        if (line.starts_with("event:")) event.type = value(6);
        if (!line.starts_with("data:")) continue;
        if (has_data) event.data += '\n';
        event.data += value(5);
        has_data = true;
    }
    last_id_ = id_buffer_;
    event.last_id = last_id_;
    if (!has_data) return std::nullopt;
    return event;
}

} // namespace fanfare::test
