#include <fanfare/base/assert.hpp>
#include <fanfare/net/reactor.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <sys/epoll.h>
#include <thread>

namespace fanfare::net {
namespace {
// Longest sleep without a timer: bounds how stale `now` can get in an idle reactor.
constexpr std::int64_t sleep_ms_max = 1'000;
// Dispatches of a full poll batch in one turn before queues are flushed.
constexpr int dispatches_per_turn = 4;
// What newcomers get of a turn at least, and in which steps. While a storm of clients comes back a
// turn is this and what it causes, joins and replays: some three times as much. Its fixed cost is
// 5 % of a connect; 250 µs and steps of eight cost less of it, and let the others wait twice as
// long.
constexpr MonoMicros newcomers_slice = 100;
constexpr std::size_t newcomers_step = 4;
// How long a busy loop may look at nothing but established connections: newcomers, Asio's timers
// and what libraries wait for come at least as often.
constexpr MonoMicros look_around_every = 500;
} // namespace

struct Reactor::Wake final : PollHandler {
    explicit Wake(Reactor& owner) : reactor(owner) {
        FANFARE_ASSERT(owner.poll_set_.add(owner.mailbox_.wake_fd(), *this, EPOLLIN));
    }
    void on_events(std::uint32_t /*events*/) override { reactor.mailbox_.clear_wake(); }
    Reactor& reactor;
};

struct Reactor::Asio {
    explicit Asio(Reactor& reactor)
        : poll(*reactor.context_, reactor.poll_set_.fd()),
          newcomers(*reactor.context_, reactor.newcomers_.fd()), tick(*reactor.context_) {}
    ~Asio() { // a poll set closes its own descriptor
        poll.release();
        newcomers.release();
    }
    boost::asio::posix::stream_descriptor poll;
    boost::asio::posix::stream_descriptor newcomers;
    boost::asio::steady_timer tick;
};

Reactor::Reactor(unsigned index, const Clock& clock, Metrics& metrics)
    : index_(index), clock_(clock), metrics_(metrics),
      context_(std::make_unique<boost::asio::io_context>(1)),
      read_buffer_(std::make_unique<std::byte[]>(read_bytes + read_slack)),
      now_micros_(clock.mono_micros()), timers_(now()), wake_(std::make_unique<Wake>(*this)),
      asio_(std::make_unique<Asio>(*this)),
      turns_(metrics.counter("reactor_turns_total", "Turns of the event loops.")),
      instruments_(metrics) {}

Reactor::~Reactor() {
    destroy_owned();
    // Commands that were never sent or run are destroyed, not run: their targets may be gone.
    for (auto& [to, chunk] : outboxes_)
        if (chunk)
            for (std::uint32_t i = 0; i < chunk->count; ++i) chunk->entries[i].drop();
}

void Reactor::set_admission(Admission& admission) {
    FANFARE_ASSERT(admission_ == nullptr || admission_ == &admission);
    admission_ = &admission;
}

MailEntry& Reactor::outgoing(Reactor& to) {
    if (outboxes_.size() <= to.index_) outboxes_.resize(to.index_ + 1);
    auto& [target, chunk] = outboxes_[to.index_];
    if (chunk && chunk->count == MailChunk::capacity) send_chunk(to.index_);
    if (!chunk) chunk = mailbox_.empty_chunk(); // of the posting reactor, which runs this
    target = &to;
    return chunk->entries[chunk->count++];
}

void Reactor::send_chunk(std::size_t to) {
    auto& [target, chunk] = outboxes_[to];
    target->mailbox_.push(std::move(chunk));
}

Handle Reactor::adopt(std::unique_ptr<Owned> thing) {
    Owned* const raw = thing.get();
    raw->handle_ = owned_.insert(std::move(thing));
    return raw->handle_;
}

Owned* Reactor::find(Handle handle) noexcept {
    const std::unique_ptr<Owned>* const found = owned_.find(handle);
    return found != nullptr ? found->get() : nullptr;
}

void Reactor::retire(Handle handle) {
    if (owned_.find(handle) != nullptr) retired_.push_back(owned_.erase(handle));
}

void Reactor::destroy_owned() {
    const Scope scope{*this};
    // Destructors may retire others, or adopt: repeat until nothing is left.
    while (owned_.size() != 0 || !retired_.empty()) {
        std::vector<Handle> handles;
        owned_.for_each(
            [&](const std::unique_ptr<Owned>& thing) { handles.push_back(thing->handle_); });
        for (const Handle handle : handles) retire(handle);
        const auto doomed = std::exchange(retired_, {});
    }
}

void Reactor::mark_dirty(OutQueue& queue) {
    dirty_.push_back(&queue);
    queue.dirty_slot_ = static_cast<std::uint32_t>(dirty_.size());
}

void Reactor::unmark_dirty(OutQueue& queue) noexcept {
    if (queue.dirty_slot_ == 0) return;
    dirty_[queue.dirty_slot_ - 1] = nullptr;
    queue.dirty_slot_ = 0;
}

void Reactor::flush_dirty() {
    // Flushing may make further queues dirty (a drained queue pulls more): they join the list.
    for (std::size_t i = 0; i < dirty_.size(); ++i) { // NOLINT: the list grows meanwhile
        constexpr std::size_t ahead = 4;
        if (i + ahead < dirty_.size()) __builtin_prefetch(dirty_[i + ahead]);
        OutQueue* const queue = dirty_[i];
        if (queue == nullptr) continue;
        queue->dirty_slot_ = 0;
        queue->flush();
    }
    dirty_.clear();
    if (dirty_.capacity() > 65'536) dirty_.shrink_to_fit();
}

void Reactor::flush_all() {
    // Answers first: whoever waits for one goes on while its message is still being handed out.
    flush_dirty();
    for (TurnEnd* const who : turn_ends_) who->on_turn_end();
    flush_dirty();
    if (!instruments_.publish_latency.empty())
        instruments_.publish_latency.written(clock_.mono_micros());
}

void Reactor::arm_poll_sets() {
    using boost::asio::posix::stream_descriptor;
    if (!std::exchange(poll_armed_, true))
        asio_->poll.async_wait(stream_descriptor::wait_read, [this](const error_code& why) {
            poll_armed_ = false;
            if (!why) serve_established();
        });
    if (!std::exchange(newcomers_armed_, true))
        asio_->newcomers.async_wait(stream_descriptor::wait_read, [this](const error_code& why) {
            newcomers_armed_ = false;
            if (!why) serve_newcomers();
        });
}

bool Reactor::serve_established() {
    begin_turn();
    std::size_t events = poll_set_.dispatch();
    if (events == 0) return false;
    for (int rounds = 1; events == PollSet::batch_max && rounds < dispatches_per_turn; ++rounds)
        events = poll_set_.dispatch();
    established_took_ = clock_.mono_micros() - now_micros_;
    return true;
}

void Reactor::serve_newcomers() {
    begin_turn();
    // Where both could fill all the time, newcomers get a third of it: nobody is starved.
    const MonoMicros end = now_micros_ + std::max(newcomers_slice, established_took_ / 2);
    while (newcomers_.dispatch(newcomers_step) == newcomers_step && clock_.mono_micros() < end) {
    }
}

void Reactor::arm_tick() {
    const MonoMicros now = clock_.mono_micros();
    MonoMicros wait = timers_.next_in(now / 1'000, sleep_ms_max) * 1'000;
    if (wake_at_ != 0) wait = std::clamp<MonoMicros>(wake_at_ - now, 0, wait);
    const MonoMicros due = now + wait;
    if (tick_due_ != 0 && tick_due_ <= due) return;
    tick_due_ = due;
    // Cancels a wait for a later time; that handler is told so and changes nothing.
    asio_->tick.expires_after(std::chrono::microseconds{wait});
    asio_->tick.async_wait([this, due](const error_code& why) {
        if (why) return;
        tick_due_ = 0;
        const MonoMicros late = std::max<MonoMicros>(clock_.mono_micros() - due, 0);
        instruments_.lag_seconds.observe(static_cast<double>(late) / 1e6);
    });
}

void Reactor::begin_turn() {
    now_micros_ = clock_.mono_micros();
    if (turn_began_ == 0) turn_began_ = now_micros_;
    if (wake_at_ <= now_micros_) wake_at_ = 0;
    timers_.tell(now());
}

bool Reactor::end_turn() {
    turns_.add();
    bool worked = false;
    // Posts to oneself and what they cause belong to the same turn, within reason: a room and its
    // subscribers on one reactor must not cost a round of the event loop per step.
    for (int round = 0; round < 8; ++round) {
        if (outboxes_.size() > index_ && outboxes_[index_].second) send_chunk(index_);
        const std::size_t run = mailbox_.drain();
        if (run != 0) {
            instruments_.mailbox_batch_entries.observe(static_cast<double>(run));
            worked = true;
        }
        flush_all();
        if (outboxes_.size() <= index_ || !outboxes_[index_].second) break;
    }
    for (std::size_t to = 0; to < outboxes_.size(); ++to)
        if (outboxes_[to].second) {
            worked = worked || to == index_;
            send_chunk(to);
        }
    if (!retired_.empty()) {
        // A destructor may retire others: they go next turn. Both lists keep their memory.
        doomed_.swap(retired_);
        doomed_.clear();
        if (doomed_.capacity() > 4'096) doomed_.shrink_to_fit();
        worked = true;
    }
    instruments_.queue_high_water.tick(now());
    const MonoMicros took = clock_.mono_micros() - std::exchange(turn_began_, 0);
    instruments_.turn_seconds.observe(static_cast<double>(took) / 1e6);
    return worked;
}

void Reactor::run_turn() {
    const Scope scope{*this};
    begin_turn();
    timers_.advance(now());
    arm_poll_sets();
    context_->restart();
    context_->poll();
    end_turn();
}

void Reactor::run() {
    const Scope scope{*this};
    bool worked = true;
    while (!stopped_.load(std::memory_order_acquire)) {
        // A busy loop asks the set where its work comes from, one system call. Asking Asio costs
        // three more, so it is asked when there is no such work, and every now and then.
        const bool served = serve_established();
        if (!served) established_took_ = 0; // newcomers need no more than their slice
        if (!served || now_micros_ - looked_around_ >= look_around_every) {
            arm_poll_sets();
            arm_tick();
            context_->restart();
            if (!served && !worked && mailbox_.prepare_sleep()) {
                context_->run_one();
                mailbox_.awake();
            }
            begin_turn();
            looked_around_ = now_micros_;
            context_->poll();
        }
        timers_.advance(now());
        worked = end_turn() || served;
    }
}

void Reactor::stop() {
    stopped_.store(true, std::memory_order_release);
    post([] {}); // wakes it
}

struct Reactors::Threads {
    std::vector<std::thread> threads;
};

Reactors::Reactors(unsigned count, const Clock& clock, Metrics& metrics)
    : threads_(std::make_unique<Threads>()) {
    for (unsigned i = 0; i < count; ++i)
        reactors_.push_back(std::make_unique<Reactor>(i, clock, metrics));
}

Reactors::~Reactors() {
    stop();
    // What is destroyed may post to any reactor: all of them are there still.
    for (auto& reactor : reactors_) reactor->destroy_owned();
}

void Reactors::start() {
    for (auto& reactor : reactors_) {
        threads_->threads.emplace_back([raw = reactor.get()] {
            ::pthread_setname_np(::pthread_self(),
                                 ("fanfare-" + std::to_string(raw->index())).c_str());
            raw->run();
        });
    }
}

void Reactors::stop() {
    for (auto& reactor : reactors_) reactor->stop();
    for (auto& thread : threads_->threads)
        if (thread.joinable()) thread.join();
    threads_->threads.clear();
}

} // namespace fanfare::net
