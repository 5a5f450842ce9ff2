#pragma once
// A reactor's inbound queue: many threads post, one reactor runs.
//
// An entry has a fixed size and holds a command by value; nothing is captured on the heap. A
// reactor that posts fills a chunk of entries and hands the whole chunk over with one
// compare-and-swap, and wakes the other side only if that is asleep: so a batch of any size costs
// one atomic and at most one system call. Posts of one thread arrive in the order they were made.
//
// Chunks that were read are kept, up to a bound, for what the reader itself posts next: a reactor
// that answers as much as it is asked allocates none. Each stays with the reader that emptied it,
// so no other thread ever touches the store.

#include <fanfare/base/assert.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace fanfare::net {

/// One command, 64 bytes. `Command` is any movable type with `void operator()()`.
class MailEntry {
  public:
    static constexpr std::size_t command_bytes_max = 56;

    template <class Command>
    void emplace(Command&& command) {
        using C = std::decay_t<Command>;
        static_assert(sizeof(C) <= command_bytes_max, "a command must fit its mailbox entry");
        static_assert(alignof(C) <= 8);
        ::new (static_cast<void*>(storage_.data())) C(std::forward<Command>(command));
        act_ = [](void* at, bool run) {
            C& c = *std::launder(static_cast<C*>(at));
            struct Destroy {
                C& command;
                ~Destroy() { command.~C(); }
            } destroy{c};
            if (run) c();
        };
    }
    /// Runs and destroys the command. Call exactly one of run and drop, once.
    void run() { act_(storage_.data(), true); }
    void drop() { act_(storage_.data(), false); }

  private:
    void (*act_)(void*, bool run) = nullptr;
    alignas(8) std::array<std::byte, command_bytes_max> storage_;
};

/// What is handed over at once.
struct MailChunk {
    static constexpr std::uint32_t capacity = 31;
    MailChunk* next = nullptr;
    std::uint32_t count = 0;
    std::array<MailEntry, capacity> entries;
};

class Mailbox {
  public:
    Mailbox();
    ~Mailbox();
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;

    /// Any thread. Takes the chunk; wakes the reader if it sleeps.
    void push(std::unique_ptr<MailChunk> chunk) noexcept;
    /// Reader only: runs everything that was there when it was called. Returns the entries run.
    std::size_t drain();
    /// Reader only: declares sleep. False: something came meanwhile, do not sleep.
    [[nodiscard]] bool prepare_sleep() noexcept;
    void awake() noexcept { sleeping_.store(false, std::memory_order_relaxed); }
    /// The eventfd that becomes readable when a sleeping reader has mail.
    [[nodiscard]] int wake_fd() const noexcept { return wake_fd_; }
    void clear_wake() noexcept;
    /// Entries posted and not yet run; any thread, approximate. The bound is the poster's duty.
    [[nodiscard]] std::size_t backlog() const noexcept {
        return backlog_.load(std::memory_order_relaxed);
    }
    /// Reader only: a chunk to fill, one that was read if there is one.
    [[nodiscard]] std::unique_ptr<MailChunk> empty_chunk();
    /// Reader only: chunks kept for `empty_chunk`. Beyond the bound (64 KiB) they are freed.
    [[nodiscard]] std::size_t spare_chunks() const noexcept { return spare_.size(); }
    static constexpr std::size_t spare_chunks_max = 32;
    /// Wake-up system calls made so far; any thread.
    [[nodiscard]] std::uint64_t wakes() const noexcept {
        return wakes_.load(std::memory_order_relaxed);
    }

  private:
    std::atomic<MailChunk*> head_{nullptr};
    std::atomic<bool> sleeping_{false};
    std::atomic<std::size_t> backlog_{0};
    std::atomic<std::uint64_t> wakes_{0};
    int wake_fd_;
    std::vector<std::unique_ptr<MailChunk>> spare_; // reader only
};

} // namespace fanfare::net
