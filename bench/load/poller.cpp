#include "poller.hpp"

#include <array>
#include <cerrno>
#include <ctime>
#include <sys/epoll.h>
#include <system_error>
#include <unistd.h>

namespace load {
namespace {

constexpr std::size_t batch = 1024;

void control(int epoll_fd, int operation, int fd, std::uint32_t events, Pollable& target) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &target;
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
    control(fd_, EPOLL_CTL_ADD, fd, events, target);
}

void Poller::modify(int fd, std::uint32_t events, Pollable& target) {
    control(fd_, EPOLL_CTL_MOD, fd, events, target);
}

void Poller::wait(Duration timeout) {
    std::array<epoll_event, batch> events;
    int ready = 0;
    if (timeout <= Duration::zero()) {
        ready = ::epoll_wait(fd_, events.data(), static_cast<int>(events.size()), 0);
    } else {
        // epoll_wait counts in milliseconds, too coarse for a publisher of thousands per second.
        timespec limit{};
        limit.tv_sec = timeout.count() / 1'000'000'000;
        limit.tv_nsec = timeout.count() % 1'000'000'000;
        ready =
            ::epoll_pwait2(fd_, events.data(), static_cast<int>(events.size()), &limit, nullptr);
    }
    ++polls_;
    if (ready <= 0) ++polls_empty_; // EINTR counts as nothing too: the caller looks at its signals
    for (int i = 0; i < ready; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        static_cast<Pollable*>(event.data.ptr)->on_events(event.events);
    }
}

void Timers::schedule(Instant when, Timed& target, std::uint32_t token) {
    entries_.push({when, &target, token});
}

void Timers::run(Instant now) {
    while (!entries_.empty() && entries_.top().when <= now) {
        const Entry entry = entries_.top();
        entries_.pop();
        entry.target->on_timer(entry.token);
    }
}

Instant Timers::next() const {
    return entries_.empty() ? Instant::max() : entries_.top().when;
}

} // namespace load
