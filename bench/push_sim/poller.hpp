// The event loop's two halves: readiness from epoll, and deadlines from a heap.
#pragma once

#include "clock.hpp"

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

namespace sim {

/// Something with a descriptor.
class Pollable {
  public:
    virtual ~Pollable() = default;
    virtual void on_events(std::uint32_t events) = 0;
};

/// Level-triggered epoll. A Pollable outlives the batch that it is reported in.
class Poller {
  public:
    /// Throws std::system_error when the kernel gives no epoll descriptor.
    Poller();
    ~Poller();
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;

    void add(int fd, std::uint32_t events, Pollable& target);
    void modify(int fd, std::uint32_t events, Pollable& target);
    void remove(int fd);

    /// Waits at most until `deadline` and hands out what is ready.
    void wait(Instant deadline);

  private:
    int fd_;
};

/// Deadlines in order. An entry names a connection by its number, not by a pointer: connections
/// come and go while answers wait.
class Timers {
  public:
    struct Entry {
        Instant when;
        std::uint64_t connection;
        std::int32_t what;
        bool operator>(const Entry& other) const { return when > other.when; }
    };

    void add(const Entry& entry) { entries_.push(entry); }
    [[nodiscard]] Instant next() const {
        return entries_.empty() ? Instant::max() : entries_.top().when;
    }
    [[nodiscard]] Entry take() {
        const Entry entry = entries_.top();
        entries_.pop();
        return entry;
    }

  private:
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> entries_;
};

} // namespace sim
