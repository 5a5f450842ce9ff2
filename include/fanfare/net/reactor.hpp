#pragma once
// One thread, one io_context, and all that lives on it. Reactors share nothing: a connection, its
// session and its subscriptions are born and die on one of them, and what crosses is posted.
//
// A turn: what is ready in the io_context and the poll set, then the mail, then the end of the
// turn: every queue that was written to is flushed once, posts to other reactors leave as chunks,
// and what was retired is destroyed.

#include <fanfare/base/clock.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/net/instruments.hpp>
#include <fanfare/net/mailbox.hpp>
#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/poll_set.hpp>
#include <fanfare/net/slot_map.hpp>
#include <fanfare/net/timer_wheel.hpp>

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace fanfare::net {

class Admission;

/// Told at the end of each turn's work, before the queues are flushed for the last time: what was
/// gathered meanwhile can be handed on in one go.
class TurnEnd {
  public:
    virtual void on_turn_end() = 0;

  protected:
    ~TurnEnd() = default;
};

/// Anything a reactor owns: connections above all. Destroyed on its reactor, never in mid-turn.
class Owned {
  public:
    virtual ~Owned() = default;
    [[nodiscard]] Handle handle() const noexcept { return handle_; }

  private:
    friend class Reactor;
    Handle handle_ = 0;
};

class Reactor {
  public:
    Reactor(unsigned index, const Clock& clock, Metrics& metrics);
    ~Reactor();
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    [[nodiscard]] unsigned index() const noexcept { return index_; }
    [[nodiscard]] boost::asio::io_context& context() noexcept { return *context_; }
    [[nodiscard]] PollSet& poll_set() noexcept { return poll_set_; }
    /// Where connections begin, and where the listening sockets are. When thousands of clients come
    /// back at once, each turn serves a slice of them, so that those in `poll_set` do not wait
    /// behind all of them: the kernel reports what is ready in the order in which it became so.
    [[nodiscard]] PollSet& newcomers() noexcept { return newcomers_; }
    [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }
    [[nodiscard]] const Clock& clock() const noexcept { return clock_; }
    [[nodiscard]] Metrics& metrics() noexcept { return metrics_; }
    [[nodiscard]] Mailbox& mailbox() noexcept { return mailbox_; }
    /// Monotonic time at the start of the turn.
    [[nodiscard]] MonoMillis now() const noexcept { return now_micros_ / 1'000; }
    /// The same in microseconds.
    [[nodiscard]] MonoMicros now_micros() const noexcept { return now_micros_; }
    /// The wall clock's time of this turn: read when it is first asked for, so that what happens in
    /// one turn has one time.
    [[nodiscard]] WallMillis wall() noexcept {
        if (wall_read_ != now_micros_) {
            wall_read_ = now_micros_;
            wall_ = clock_.wall();
        }
        return wall_;
    }
    [[nodiscard]] Instruments& instruments() noexcept { return instruments_; }
    /// 64 KiB (plus slack for parsers that read ahead) that all connections of this reactor read
    /// into. What is in it is gone when the handler returns.
    [[nodiscard]] std::span<std::byte> read_buffer() noexcept {
        return {read_buffer_.get(), read_bytes};
    }
    static constexpr std::size_t read_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t read_slack = 64;

    /// The reactor whose thread this is; null elsewhere.
    [[nodiscard]] static Reactor* current() noexcept { return current_; }
    /// Makes the calling thread this reactor's for a while: for what is set up before the reactor
    /// runs, taken down after it has ended, or driven by hand.
    class Scope {
      public:
        explicit Scope(Reactor& reactor) noexcept : before_(current_) { current_ = &reactor; }
        ~Scope() { current_ = before_; }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

      private:
        Reactor* before_;
    };

    /// What counts this reactor's connections; null until it is set. Another one is our own bug.
    [[nodiscard]] Admission* admission() const noexcept { return admission_; }
    void set_admission(Admission& admission);
    /// The loop does not sleep beyond `time`; a turn comes within a millisecond of it. Holds until
    /// that turn: who needs another one says so again.
    void wake_at(MonoMicros time) noexcept {
        if (wake_at_ == 0 || time < wake_at_) wake_at_ = time;
    }
    /// `who` is told until it is removed.
    void add_turn_end(TurnEnd& who) { turn_ends_.push_back(&who); }
    void remove_turn_end(TurnEnd& who) noexcept { std::erase(turn_ends_, &who); }

    /// Runs `command` on this reactor. From a reactor (this one included) it leaves at the end of
    /// that reactor's turn, in order; from any other thread at once. `command`: at most 56 bytes,
    /// movable, `void operator()()`.
    template <class Command>
    void post(Command&& command) {
        Reactor* const from = current();
        if (from == nullptr) {
            auto chunk = std::make_unique_for_overwrite<MailChunk>();
            chunk->entries[0].emplace(std::forward<Command>(command));
            chunk->count = 1;
            mailbox_.push(std::move(chunk));
            return;
        }
        from->outgoing(*this).emplace(std::forward<Command>(command));
    }

    /// Owns `thing` from now on; find it again by the handle.
    Handle adopt(std::unique_ptr<Owned> thing);
    [[nodiscard]] Owned* find(Handle handle) noexcept;
    /// Destroys it at the end of the turn; its handle is stale at once. Idempotent.
    void retire(Handle handle);
    [[nodiscard]] std::size_t owned() const noexcept { return owned_.size(); }

    /// Runs turns until `stop`, on the calling thread.
    void run();
    /// One turn that does not wait; for tests and the last turns of a shutdown.
    void run_turn();
    /// Any thread: `run` returns after the current turn.
    void stop();

    /// Destroys everything owned; on its own thread or after it has ended.
    void destroy_owned();

  private:
    friend class OutQueue;
    MailEntry& outgoing(Reactor& to);
    void send_chunk(std::size_t to);
    void arm_poll_sets();
    bool serve_established(); // false: nothing was ready
    void serve_newcomers();
    void arm_tick();
    void begin_turn();
    bool end_turn();
    void mark_dirty(OutQueue& queue);
    void unmark_dirty(OutQueue& queue) noexcept;
    void flush_dirty();
    void flush_all();

    struct Wake; // PollHandler of the mailbox's eventfd
    struct Asio; // descriptor and timer objects that need Asio headers

    static inline constinit thread_local Reactor* current_ = nullptr;

    // constant after construction
    const unsigned index_;
    const Clock& clock_;
    Metrics& metrics_;
    std::unique_ptr<boost::asio::io_context> context_;
    std::unique_ptr<std::byte[]> read_buffer_;
    // this reactor's thread only
    MonoMicros now_micros_;
    MonoMicros wall_read_ = std::numeric_limits<MonoMicros>::min(); // the turn that `wall_` is of
    WallMillis wall_ = 0;
    MonoMicros turn_began_ = 0; // 0: between turns
    PollSet poll_set_;
    PollSet newcomers_;
    TimerWheel timers_;
    Mailbox mailbox_;
    std::unique_ptr<Wake> wake_;
    std::unique_ptr<Asio> asio_;
    std::vector<std::pair<Reactor*, std::unique_ptr<MailChunk>>> outboxes_; // by target index
    std::vector<OutQueue*> dirty_; // an entry is null if its queue died meanwhile
    std::vector<TurnEnd*> turn_ends_;
    Admission* admission_ = nullptr;
    SlotMap<std::unique_ptr<Owned>> owned_;
    std::vector<std::unique_ptr<Owned>> retired_;
    std::vector<std::unique_ptr<Owned>> doomed_; // of the turn that ends; empty but for its end
    bool poll_armed_ = false;
    bool newcomers_armed_ = false;
    MonoMicros looked_around_ = 0;    // when Asio was asked last
    MonoMicros established_took_ = 0; // when they were served last
    MonoMicros tick_due_ = 0;         // 0: no wait is pending
    MonoMicros wake_at_ = 0;          // 0: nobody asked
    std::atomic<bool> stopped_{false};
    // instruments
    Counter& turns_;
    Instruments instruments_;
};

/// All reactors of the process, each with its thread.
class Reactors {
  public:
    Reactors(unsigned count, const Clock& clock, Metrics& metrics);
    ~Reactors();
    [[nodiscard]] std::size_t size() const noexcept { return reactors_.size(); }
    [[nodiscard]] Reactor& operator[](std::size_t index) noexcept { return *reactors_[index]; }
    /// The reactor that numbers what hashes to `hash`.
    [[nodiscard]] Reactor& home_of(std::uint64_t hash) noexcept {
        // The high bits: tables inside a reactor use the low ones.
        return *reactors_[(hash >> 32) % reactors_.size()];
    }
    /// Starts the threads; names them "fanfare-0" …
    void start();
    /// Stops and joins. Idempotent.
    void stop();

  private:
    std::vector<std::unique_ptr<Reactor>> reactors_;
    struct Threads;
    std::unique_ptr<Threads> threads_;
};

} // namespace fanfare::net
