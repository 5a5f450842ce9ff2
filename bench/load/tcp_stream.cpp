#include "tcp_stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace load {
namespace {

constexpr std::size_t read_room_min = std::size_t{64} * 1024;

void set_option(int fd, int level, int name, int value) {
    ::setsockopt(fd, level, name, &value, sizeof value);
}

} // namespace

int TcpStream::connect(int receive_buffer) {
    close();
    const Address& peer = network_.server.address;
    const int fd = ::socket(peer.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (network_.kernel_timestamps) set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    // Only before the connection is made does SO_RCVBUF bound the window that the peer is told.
    if (receive_buffer > 0) set_option(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer);
    int error = 0;
    if (const Address* source = network_.next_source()) {
        // The port is chosen at connect(), when it need only differ per destination; else bind()
        // would take it for all destinations and run out early.
        set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        if (::bind(fd, source->get(), source->size) != 0) error = errno;
    }
    if (error == 0 && ::connect(fd, peer.get(), peer.size) != 0 && errno != EINPROGRESS) {
        error = errno;
    }
    if (error != 0) {
        ::close(fd);
        return error;
    }
    fd_ = fd;
    connecting_ = true;
    interest_ = EPOLLOUT;
    network_.poller.add(fd_, interest_, *this);
    return 0;
}

void TcpStream::send(std::string_view bytes) {
    if (fd_ < 0 || bytes.empty()) return;
    if (!unsent_.empty()) {
        unsent_ += bytes;
        return;
    }
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(bytes.size())) return;
    if (sent < 0 && errno != EAGAIN) return; // reported by the next read
    unsent_ = bytes.substr(sent < 0 ? 0 : static_cast<std::size_t>(sent));
    update_interest();
}

void TcpStream::pause(bool paused) {
    paused_ = paused;
    if (fd_ >= 0 && !connecting_) update_interest();
}

void TcpStream::close() {
    if (fd_ < 0) return;
    ::close(fd_); // leaves the epoll set with it
    fd_ = -1;
    connecting_ = false;
    paused_ = false;
    // Freed, not cleared: clients that are away hold no memory.
    unread_ = std::string{};
    unsent_ = std::string{};
}

void TcpStream::on_events(std::uint32_t events) {
    if (fd_ < 0) return; // closed earlier in this batch
    if (connecting_) return on_connect_result();
    if ((events & EPOLLOUT) != 0) flush();
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) read();
}

void TcpStream::on_connect_result() {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return end(error);
    connecting_ = false;
    update_interest();
    handler_.on_connected();
}

void TcpStream::flush() {
    const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    // On an error nothing more can be sent; the read that follows reports it.
    unsent_.erase(0, sent < 0 ? unsent_.size() : static_cast<std::size_t>(sent));
    update_interest();
}

void TcpStream::read() {
    std::vector<char>& scratch = network_.scratch;
    const std::size_t kept = unread_.size();
    if (scratch.size() < kept + read_room_min) scratch.resize(2 * (kept + read_room_min));
    const ssize_t got = receive(scratch.data() + kept, scratch.size() - kept);
    if (got == 0) return end(0);
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) end(errno);
        return;
    }
    network_.bytes_received += static_cast<std::uint64_t>(got);
    if (kept > 0) std::memcpy(scratch.data(), unread_.data(), kept);
    const std::string_view bytes{scratch.data(), kept + static_cast<std::size_t>(got)};
    const std::size_t used = handler_.on_bytes(bytes);
    if (fd_ < 0) return; // the handler closed
    if (used < bytes.size()) {
        unread_ = bytes.substr(used);
    } else if (kept > 0) {
        unread_.clear();
    }
}

ssize_t TcpStream::receive(char* buffer, std::size_t size) {
    if (!network_.kernel_timestamps) return ::recv(fd_, buffer, size, 0);
    iovec bytes{.iov_base = buffer, .iov_len = size};
    alignas(cmsghdr) std::array<char, 256> control;
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(fd_, &message, 0);
    network_.arrived = Clock::now();
    for (const cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(part))) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) continue;
        timespec stamp{};
        std::memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
        // The kernel's stamp is wall time; how long ago it was holds for any clock.
        const auto wall = std::chrono::system_clock::now().time_since_epoch();
        const Duration ago = std::chrono::duration_cast<Duration>(wall) -
                             std::chrono::seconds{stamp.tv_sec} - Duration{stamp.tv_nsec};
        network_.arrived -= std::max(ago, Duration::zero());
    }
    return got;
}

void TcpStream::end(int error) {
    close();
    handler_.on_ended(error);
}

void TcpStream::update_interest() {
    const std::uint32_t reading = paused_ ? 0U : std::uint32_t{EPOLLIN};
    const std::uint32_t writing = unsent_.empty() ? 0U : std::uint32_t{EPOLLOUT};
    if (interest_ == (reading | writing)) return;
    interest_ = reading | writing;
    network_.poller.modify(fd_, interest_, *this);
}

} // namespace load
