// The event loop's two halves: readiness from epoll, and deadlines from a heap.
#pragma once

#include "clock.hpp"

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

namespace load {

/// Something with a descriptor. Events are hints only: a descriptor may have been closed earlier in
/// the same batch, so an implementation asks the socket and never trusts the flags alone.
class Pollable {
  public:
    virtual ~Pollable() = default;
    virtual void on_events(std::uint32_t events) = 0;
};

/// Level-triggered epoll. A Pollable outlives its registration and the batch it is reported in.
class Poller {
  public:
    /// Throws std::system_error when the kernel gives no epoll descriptor.
    Poller();
    ~Poller();
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;

    void add(int fd, std::uint32_t events, Pollable& target);
    void modify(int fd, std::uint32_t events, Pollable& target);

    /// Waits at most `timeout` (zero: only looks) and hands out what is ready.
    void wait(Duration timeout);

    [[nodiscard]] std::uint64_t polls() const { return polls_; }

    /// Polls that found nothing. With --spin their share tells whether this program had time to
    /// spare, that is, whether the server or the generator was the limit.
    [[nodiscard]] std::uint64_t polls_empty() const { return polls_empty_; }

  private:
    int fd_;
    std::uint64_t polls_ = 0;
    std::uint64_t polls_empty_ = 0;
};

/// Something that waits for a moment.
class Timed {
  public:
    virtual ~Timed() = default;
    /// `token` is the one given to schedule(); an outdated token is to be ignored, which is how
    /// a timer is cancelled.
    virtual void on_timer(std::uint32_t token) = 0;
};

/// Deadlines in order. Entries are few (one per connection attempt or goodbye), hence a heap.
class Timers {
  public:
    void schedule(Instant when, Timed& target, std::uint32_t token);
    void run(Instant now);
    [[nodiscard]] Instant next() const;

  private:
    struct Entry {
        Instant when;
        Timed* target;
        std::uint32_t token;
        bool operator>(const Entry& other) const { return when > other.when; }
    };
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> entries_;
};

} // namespace load
