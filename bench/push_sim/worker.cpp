#include "worker.hpp"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace sim {

struct Worker::Listener final : public Pollable {
    Listener(Worker& w, Desk& d, const Tls* t, int f) : worker(w), desk(d), tls(t), fd(f) {}
    ~Listener() override { ::close(fd); }

    void on_events(std::uint32_t /*events*/) override {
        constexpr int accepts_max = 64;
        for (int i = 0; i < accepts_max; ++i) {
            const int newcomer = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (newcomer < 0) return;
            worker.accepted(desk, tls, newcomer);
        }
    }

    Worker& worker;
    Desk& desk;
    const Tls* tls;
    const int fd;
};

Worker::Worker(unsigned index, World& world)
    : index_(index), world_(world), scratch_(64 * 1024, '\0'),
      wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    poller_.add(wake_fd_, EPOLLIN, *this);
}

Worker::~Worker() {
    connections_.clear();
    ::close(wake_fd_);
}

void Worker::serve(ServiceId id, std::unique_ptr<Service> service, const Tls* tls, int fd) {
    auto& desk = desks_[static_cast<std::size_t>(id)];
    const std::uint64_t seed = static_cast<std::uint64_t>(wall_ms()) + index_;
    desk = std::make_unique<Desk>(id, world_, std::move(service), seed);
    listeners_.push_back(std::make_unique<Listener>(*this, *desk, tls, fd));
    poller_.add(fd, EPOLLIN, *listeners_.back());
}

void Worker::run() {
    ::pthread_getcpuclockid(::pthread_self(), &cpu_clock_);
    clock_known_.store(true, std::memory_order_release);
    while (!stopping_.load(std::memory_order_relaxed)) {
        poller_.wait(timers_.next());
        const Instant now = Clock::now();
        while (timers_.next() <= now) {
            const Timers::Entry due = timers_.take();
            const auto found = connections_.find(due.connection);
            if (found != connections_.end()) found->second->on_due(due.what);
        }
        for (const std::uint64_t number : buried_) connections_.erase(number);
        buried_.clear();
    }
}

void Worker::stop() {
    stopping_.store(true, std::memory_order_relaxed);
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_fd_, &one, sizeof one);
}

void Worker::post(std::function<void(Worker&)> job) {
    {
        const std::lock_guard lock{jobs_mutex_};
        jobs_.push_back(std::move(job));
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_fd_, &one, sizeof one);
}

void Worker::on_events(std::uint32_t /*events*/) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(wake_fd_, &count, sizeof count);
    std::vector<std::function<void(Worker&)>> jobs;
    {
        const std::lock_guard lock{jobs_mutex_};
        jobs.swap(jobs_);
    }
    for (const auto& job : jobs) job(*this);
}

void Worker::accepted(Desk& desk, const Tls* tls, int fd) {
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const std::uint64_t number = ++world_.connections;
    auto connection = std::make_unique<Connection>(*this, desk, tls, fd, number);
    Connection& newcomer = *connection;
    connections_.emplace(number, std::move(connection));
    newcomer.start();
}

void Worker::command(ServiceId service, const Command& command) {
    std::vector<std::uint64_t> numbers; // a command may end connections
    for (const auto& [number, connection] : connections_) {
        const bool meant = command.connection == 0 || command.connection == number;
        if (meant && connection->desk().id() == service) numbers.push_back(number);
    }
    for (const std::uint64_t number : numbers) connections_.at(number)->on_command(command);
}

bool Worker::is_too_fast(const Desk& desk) {
    if (desk.settings.connects_per_second == 0) return false;
    Newcomers& newcomers = newcomers_[static_cast<std::size_t>(desk.id())];
    const Instant now = Clock::now();
    if (now - newcomers.began > std::chrono::seconds(1)) newcomers = {now, 0};
    return ++newcomers.count > desk.settings.connects_per_second;
}

void Worker::bury(Connection& connection) {
    buried_.push_back(connection.number());
}

const Counters* Worker::counters(ServiceId id) const {
    const auto& desk = desks_[static_cast<std::size_t>(id)];
    return desk ? &desk->counters : nullptr;
}

Duration Worker::cpu_time() const {
    if (!clock_known_.load(std::memory_order_acquire)) return {};
    timespec time{};
    ::clock_gettime(cpu_clock_, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

} // namespace sim
