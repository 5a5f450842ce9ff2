#pragma once
// A private epoll set, itself one descriptor in the reactor's io_context.
//
// An idle Asio socket costs about 300 bytes before any state of ours and an epoll_ctl per wait; a
// descriptor in this set costs what its handler costs. Level-triggered: what a handler leaves
// unread is reported again.

#include <cstddef>
#include <cstdint>

namespace fanfare::net {

class PollHandler {
  public:
    /// EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLRDHUP bits. May be called after the handler has
    /// removed its descriptor in the same turn; it must then do nothing.
    virtual void on_events(std::uint32_t events) = 0;

  protected:
    ~PollHandler() = default;
};

class PollSet {
  public:
    PollSet();
    ~PollSet();
    PollSet(const PollSet&) = delete;
    PollSet& operator=(const PollSet&) = delete;

    /// The handler must outlive the turn in which the descriptor is removed (Reactor::retire).
    /// False: the kernel refused (memory, or the user's watch limit).
    [[nodiscard]] bool add(int fd, PollHandler& handler, std::uint32_t events) noexcept;
    void modify(int fd, PollHandler& handler, std::uint32_t events) noexcept;
    void remove(int fd) noexcept;
    /// Reports what is ready, without waiting, up to `events_max` (at most `batch_max`). Returns
    /// the number of events; as many as asked for means that there may be more.
    std::size_t dispatch(std::size_t events_max = batch_max);
    static constexpr std::size_t batch_max = 512;
    [[nodiscard]] int fd() const noexcept { return fd_; }

  private:
    int fd_;
};

} // namespace fanfare::net
