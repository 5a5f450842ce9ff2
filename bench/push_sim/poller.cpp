#include "poller.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <sys/epoll.h>
#include <system_error>
#include <unistd.h>

namespace sim {
namespace {

constexpr std::size_t batch = 256;

void control(int epoll_fd, int operation, int fd, std::uint32_t events, Pollable* target) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = target;
    if (::epoll_ctl(epoll_fd, operation, fd, &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
}

} // namespace

Poller::Poller() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Poller::~Poller() {
    ::close(fd_);
}

void Poller::add(int fd, std::uint32_t events, Pollable& target) {
    control(fd_, EPOLL_CTL_ADD, fd, events, &target);
}

void Poller::modify(int fd, std::uint32_t events, Pollable& target) {
    control(fd_, EPOLL_CTL_MOD, fd, events, &target);
}

void Poller::remove(int fd) {
    control(fd_, EPOLL_CTL_DEL, fd, 0, nullptr);
}

void Poller::wait(Instant deadline) {
    std::array<epoll_event, batch> events;
    timespec limit{};
    const bool bounded = deadline != Instant::max();
    if (bounded) {
        const auto left = std::max(Duration::zero(), Duration{deadline - Clock::now()});
        limit.tv_sec = left.count() / 1'000'000'000;
        limit.tv_nsec = left.count() % 1'000'000'000;
    }
    const int ready = ::epoll_pwait2(fd_, events.data(), static_cast<int>(events.size()),
                                     bounded ? &limit : nullptr, nullptr);
    for (int i = 0; i < ready; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        static_cast<Pollable*>(event.data.ptr)->on_events(event.events);
    }
}

} // namespace sim
