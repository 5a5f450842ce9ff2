#include <fanfare/net/poll_set.hpp>

#include <array>
#include <cerrno>
#include <sys/epoll.h>
#include <system_error>
#include <unistd.h>

namespace fanfare::net {

PollSet::PollSet() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

PollSet::~PollSet() {
    ::close(fd_);
}

bool PollSet::add(int fd, PollHandler& handler, std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    return ::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void PollSet::modify(int fd, PollHandler& handler, std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    ::epoll_ctl(fd_, EPOLL_CTL_MOD, fd, &event);
}

void PollSet::remove(int fd) noexcept {
    ::epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr);
}

std::size_t PollSet::dispatch(std::size_t events_max) {
    std::array<epoll_event, batch_max> events; // NOLINT: filled by the kernel
    const int n = ::epoll_wait(fd_, events.data(), static_cast<int>(events_max), 0);
    for (int i = 0; i < n; ++i) {
        const auto& event = events[static_cast<std::size_t>(i)];
        static_cast<PollHandler*>(event.data.ptr)->on_events(event.events);
    }
    return n > 0 ? static_cast<std::size_t>(n) : 0;
}

} // namespace fanfare::net
