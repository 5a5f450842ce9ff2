#pragma once
// What waits to be sent to one peer: a queue of shared bytes, written with one gather call.
//
// Nothing is copied: an entry is one counted pointer. The first entry is held in place, so the
// usual delivery (one message, one write) allocates nothing; only a second entry fetches a list.
// `push` does not write: all that one turn of the loop queued leaves in one system call at its end.
// `write` does, if nothing is in the way: for who knows that no more will come in this turn.
//
// There is one per connection, so it is 48 bytes and does not know its reactor: a queue is used on
// its reactor's thread, which knows.

#include <fanfare/base/result.hpp>
#include <fanfare/base/shared_bytes.hpp>
#include <fanfare/net/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace fanfare::net {

class Reactor;

class OutQueue {
  public:
    class Owner {
      public:
        /// The queue ran empty after it had been refused by the kernel, or after a flush.
        virtual void on_drained() = 0;
        /// The peer is gone or the write failed; the queue is empty. Called at the end of a turn,
        /// or from `write`.
        virtual void on_write_failed(error_code why) = 0;

      protected:
        ~Owner() = default;
    };

    explicit OutQueue(Owner& owner) noexcept : owner_(owner) {}
    ~OutQueue();
    OutQueue(const OutQueue&) = delete;
    OutQueue& operator=(const OutQueue&) = delete;

    /// The transport must outlive the queue or be detached with null first.
    void attach(Transport* transport) noexcept { transport_ = transport; }
    [[nodiscard]] const Transport* transport() const noexcept { return transport_; }

    /// Appends; written at the end of the turn. Bounds are the caller's policy: see queued_bytes.
    /// A queue holds less than 4 GiB.
    void push(LocalBytesRef bytes);
    /// Writes at once, if nothing waits; what the kernel does not take is queued. No `on_drained`
    /// follows. False: the write failed, the owner was told, and may be about to be destroyed.
    bool write(LocalBytes& bytes);
    /// Bytes that wait here (not those in the kernel).
    [[nodiscard]] std::size_t queued_bytes() const noexcept { return queued_; }
    /// Whether `bytes` more stay within `bytes_max`. One piece always fits an empty queue.
    [[nodiscard]] bool has_room(std::size_t bytes, std::size_t bytes_max) const noexcept {
        return queued_ == 0 || queued_ + bytes <= bytes_max;
    }
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

    /// A byte for the owner's use, here so that a walk over many queues touches nothing else.
    [[nodiscard]] std::uint8_t label() const noexcept { return label_; }
    void set_label(std::uint8_t label) noexcept { label_ = label; }

  private:
    friend class Reactor;
    /// The entries behind the first one; the list exists while there are any.
    struct More {
        std::vector<LocalBytesRef> entries;
        std::size_t begin = 0; // those before it are gone
    };
    enum class Progress : std::uint8_t { took_all, refused }; // what the kernel did with an offer
    void append(LocalBytesRef bytes);
    [[nodiscard]] Result<Progress> write_some();
    void consume(std::size_t sent);
    void pop_front();
    void set_blocked(bool blocked);
    /// Bytes that a slow peer makes wait, as the reactor's gauge counts them.
    [[nodiscard]] std::size_t waiting() const noexcept { return blocked_ ? queued_ : 0; }
    void recount(std::size_t waited) noexcept;

    Owner& owner_;
    Transport* transport_ = nullptr;
    LocalBytesRef first_;
    std::unique_ptr<More> more_;
    std::uint32_t queued_ = 0;
    std::uint32_t first_sent_ = 0; // bytes of first_ that are gone
    std::uint32_t dirty_slot_ = 0; // 1 + index in the reactor's dirty list; 0: clean
    bool blocked_ = false;
    bool first_completes_ = false; // first_ is the second half of something that is sent
    std::uint8_t label_ = 0;
};
static_assert(sizeof(OutQueue) == 48);

} // namespace fanfare::net
