#pragma once
// What waits to be sent to one peer: a queue of shared bytes, written with one gather call.
//
// Nothing is copied: an entry is one counted pointer. The first entry is held in place, so the
// usual delivery (one message, one write) allocates nothing; only a second entry fetches a ring.
// `push` does not write: all that one turn of the loop queued leaves in one system call at its end.

#include <fanfare/base/result.hpp>
#include <fanfare/base/shared_bytes.hpp>
#include <fanfare/net/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

namespace fanfare::net {

class Reactor;

class OutQueue {
  public:
    class Owner {
      public:
        /// The queue ran empty after it had been refused by the kernel, or after a flush.
        virtual void on_drained() = 0;
        /// The peer is gone or the write failed; the queue is empty. Called at the end of a turn.
        virtual void on_write_failed(error_code why) = 0;

      protected:
        ~Owner() = default;
    };

    OutQueue(Reactor& reactor, Owner& owner) : reactor_(reactor), owner_(owner) {}
    ~OutQueue();
    OutQueue(const OutQueue&) = delete;
    OutQueue& operator=(const OutQueue&) = delete;

    /// The transport must outlive the queue or be detached with null first.
    void attach(Transport* transport) noexcept { transport_ = transport; }

    /// Appends; written at the end of the turn. Bounds are the caller's policy: see queued_bytes.
    void push(LocalBytesRef bytes);
    /// Bytes that wait here (not those in the kernel).
    [[nodiscard]] std::size_t queued_bytes() const noexcept { return queued_; }
    [[nodiscard]] bool empty() const noexcept { return !first_; }
    /// The kernel refused bytes and has not taken them yet.
    [[nodiscard]] bool blocked() const noexcept { return blocked_; }
    /// Drops everything that is not partly sent. What is partly sent (bytes of an entry, or the
    /// first of two that belong together) must be completed, or the peer would misread the rest.
    void drop_unsent();
    /// Drops everything.
    void clear();
    /// Writes now what the kernel takes. Called by the reactor, and by on_writable of the owner.
    void flush();

  private:
    friend class Reactor;
    void consume(std::size_t sent);
    void pop_front();
    /// Bytes that a slow peer makes wait, as the reactor's gauge counts them.
    [[nodiscard]] std::size_t waiting() const noexcept { return blocked_ ? queued_ : 0; }
    void recount(std::size_t waited) noexcept;

    Reactor& reactor_;
    Owner& owner_;
    Transport* transport_ = nullptr;
    LocalBytesRef first_;
    std::unique_ptr<std::deque<LocalBytesRef>> more_; // exists while more than one entry waits
    std::uint32_t first_sent_ = 0;                    // bytes of first_ that are gone
    std::uint32_t dirty_slot_ = 0; // 1 + index in the reactor's dirty list; 0: clean
    std::size_t queued_ = 0;
    bool blocked_ = false;
    bool first_completes_ = false; // first_ is the second half of something that is sent
};

} // namespace fanfare::net
