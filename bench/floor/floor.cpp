#include "floor.hpp"

#include "wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace floor_server {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{256} * 1024;
constexpr std::string_view epoch = "floor";

// What a publish without any subscriber is answered: the floor of an HTTP request.
constexpr std::string_view fixed_answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                          "Content-Length: 44\r\n\r\n"
                                          R"({"room":"floor","epoch":"floor","offset":1} )";

int check(int result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::system_category(), what);
    return result;
}

/// Sockets block when they send, so that the floor needs no queues: a reader that is behind is
/// waited for. The load generator always reads.
void send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return; // gone: its next recv() says so
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

void answer(int fd, std::string_view json) {
    send_all(fd, fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             "Content-Length: {}\r\n\r\n{}",
                             json.size(), json));
}

} // namespace

Floor::Floor(std::uint16_t port, bool batch) : batch_(batch), buffer_(buffer_bytes) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    peers_.resize(std::min<std::size_t>(limit.rlim_cur, 1'048'576));

    listener_ = check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(listener_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // inherited by accept()
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
    check(::listen(listener_, 4096), "listen");
    epoll_ = check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    epoll_event event{.events = EPOLLIN, .data = {.fd = listener_}};
    check(::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event), "epoll_ctl");
}

Floor::~Floor() {
    ::close(epoll_);
    ::close(listener_);
}

void Floor::run(const volatile std::sig_atomic_t& stopped) {
    std::array<epoll_event, 512> events{};
    while (stopped == 0) {
        const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            fd == listener_ ? accept_all() : on_readable(fd);
        }
        flush();
    }
}

void Floor::accept_all() {
    for (;;) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)) return;
        check(fd, "accept");
        if (static_cast<std::size_t>(fd) >= peers_.size()) {
            ::close(fd);
            return;
        }
        peers_[static_cast<std::size_t>(fd)] = {};
        epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
        check(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }
}

void Floor::on_readable(int fd) {
    const ssize_t size = ::recv(fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return drop(fd);
    const std::string_view received{buffer_.data(), static_cast<std::size_t>(size)};
    const Speaks& speaks = peers_[static_cast<std::size_t>(fd)].speaks;
    if (subscribers_ == 0 && speaks == Speaks::http && !received.starts_with("GET ")) {
        // Nobody to send to: recv() and send(), the request is not even looked at. What does not
        // begin with POST is the rest of a request that was answered when its first piece came.
        if (received.starts_with("POST ")) send_all(fd, fixed_answer);
        return;
    }
    const auto piece = pieces_.find(fd);
    std::string joined;
    if (piece != pieces_.end()) {
        joined = std::move(piece->second);
        pieces_.erase(piece);
        joined += received;
    }
    std::string_view in = joined.empty() ? received : std::string_view{joined};
    while (!in.empty() && speaks != Speaks::sse) {
        const std::size_t used = speaks == Speaks::http ? on_http(fd, in) : on_frame(fd, in);
        if (used == 0) {
            pieces_[fd] = in;
            return;
        }
        in.remove_prefix(used);
    }
}

std::size_t Floor::on_http(int fd, std::string_view in) {
    const std::size_t end = in.find("\r\n\r\n");
    if (end == in.npos) return 0;
    const std::string_view head = in.substr(0, end + 2);
    const std::size_t head_bytes = end + 4;
    if (head.starts_with("GET /ws")) {
        upgrade(fd, head);
    } else if (head.starts_with("GET /sse")) {
        subscribe_sse(fd, head);
    } else if (head.starts_with("POST ")) {
        const std::size_t length = content_length(head);
        if (in.size() - head_bytes < length) return 0;
        publish(fd, in.substr(head_bytes, length));
        return head_bytes + length;
    } else {
        send_all(fd, fixed_answer);
    }
    return head_bytes;
}

void Floor::upgrade(int fd, std::string_view head) {
    std::string out = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Protocol: fanfare.json.v1\r\n"
                      "Sec-WebSocket-Accept: ";
    out += accept_for(between(head, "Sec-WebSocket-Key: ", "\r\n"));
    out += "\r\n\r\n";
    append_frame(out, 1, R"({"op":"welcome","session":"floor","user":null,"heartbeat":3600})");
    peers_[static_cast<std::size_t>(fd)].speaks = Speaks::ws;
    send_all(fd, out);
}

std::size_t Floor::on_frame(int fd, std::string_view in) {
    constexpr unsigned text = 1;
    constexpr unsigned close = 8;
    const ClientFrame frame = parse_frame(in);
    if (frame.size == 0) return 0;
    if (frame.opcode == text) {
        subscribe_ws(fd, frame.payload);
    } else if (frame.opcode == close) {
        std::string out;
        append_frame(out, close, frame.payload);
        send_all(fd, out);
        drop(fd);
        return in.size();
    }
    return frame.size;
}

void Floor::subscribe_ws(int fd, std::string_view request) {
    Peer& peer = peers_[static_cast<std::size_t>(fd)];
    if (peer.speaks == Speaks::ws_subscribed) return;
    peer.speaks = Speaks::ws_subscribed;
    peer.room = room_index(between(request, "\"room\":\"", "\"")) & 0xffffffU;
    Room& room = rooms_[peer.room];
    room.ws.push_back(fd);
    ++subscribers_;
    std::string out;
    append_frame(out, 1,
                 fmt::format(R"({{"id":1,"op":"ok","room":"{}","epoch":"{}","offset":{}}})",
                             room.name, epoch, room.newest));
    send_all(fd, out);
}

void Floor::subscribe_sse(int fd, std::string_view head) {
    Peer& peer = peers_[static_cast<std::size_t>(fd)];
    peer.speaks = Speaks::sse;
    peer.room = room_index(percent_decode(between(head, "room=", " "))) & 0xffffffU;
    Room& room = rooms_[peer.room];
    room.sse.push_back(fd);
    ++subscribers_;
    std::string out = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n";
    append_chunk(out, fmt::format("retry: 3000\nevent: ready\nid: {0}\ndata: {{\"session\":"
                                  "\"floor\",\"rooms\":{{\"{1}\":{{\"epoch\":\"{2}\",\"offset\":"
                                  "{0},\"recovered\":false}}}}}}\n\n",
                                  room.newest, room.name, epoch));
    send_all(fd, out);
}

void Floor::publish(int fd, std::string_view body) {
    const std::uint32_t index = room_index(between(body, "\"room\":\"", "\""));
    const std::size_t data_at = body.find("\"data\":");
    if (data_at == body.npos) return answer(fd, R"({"code":"bad_request"})");
    // The load generator writes `data` last.
    const std::string_view data = body.substr(data_at + 7, body.size() - data_at - 8);
    Room& room = rooms_[index];
    ++room.newest;
    text_.clear();
    fmt::format_to(std::back_inserter(text_),
                   R"({{"op":"message","room":"{}","offset":{},"data":{}}})", room.name,
                   room.newest, data);
    if (!room.ws.empty()) {
        ws_frame_.clear();
        append_frame(ws_frame_, 1, text_);
    }
    if (!room.sse.empty()) {
        constexpr std::size_t op_bytes = sizeof(R"({"op":"message",)") - 1;
        std::string event = fmt::format("id: {}\ndata: {{{}\n\n", room.newest,
                                        std::string_view{text_}.substr(op_bytes));
        sse_event_.clear();
        append_chunk(sse_event_, event);
    }
    if (batch_) {
        if (room.ws_pending.empty() && room.sse_pending.empty()) pending_.push_back(index);
        if (!room.ws.empty()) room.ws_pending += ws_frame_;
        if (!room.sse.empty()) room.sse_pending += sse_event_;
    } else {
        deliver(room.ws, ws_frame_);
        deliver(room.sse, sse_event_);
    }
    answer(fd, fmt::format(R"({{"room":"{}","epoch":"{}","offset":{}}})", room.name, epoch,
                           room.newest));
}

void Floor::deliver(const std::vector<int>& subscribers, const std::string& frames) {
    for (const int fd : subscribers) send_all(fd, frames);
}

void Floor::flush() {
    for (const std::uint32_t index : pending_) {
        Room& room = rooms_[index];
        deliver(room.ws, room.ws_pending);
        deliver(room.sse, room.sse_pending);
        room.ws_pending.clear();
        room.sse_pending.clear();
    }
    pending_.clear();
}

void Floor::drop(int fd) {
    const Peer peer = peers_[static_cast<std::size_t>(fd)];
    if (peer.speaks == Speaks::ws_subscribed || peer.speaks == Speaks::sse) {
        Room& room = rooms_[peer.room];
        std::vector<int>& list = peer.speaks == Speaks::sse ? room.sse : room.ws;
        const auto found = std::find(list.begin(), list.end(), fd);
        if (found != list.end()) {
            *found = list.back();
            list.pop_back();
            --subscribers_;
        }
    }
    peers_[static_cast<std::size_t>(fd)] = {};
    pieces_.erase(fd);
    ::close(fd);
}

std::uint32_t Floor::room_index(std::string_view name) {
    room_name_ = name;
    const auto [found, added] =
        room_by_name_.try_emplace(room_name_, static_cast<std::uint32_t>(rooms_.size()));
    if (added) rooms_.emplace_back().name = room_name_;
    return found->second;
}

} // namespace floor_server
