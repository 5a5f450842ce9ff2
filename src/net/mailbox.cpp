#include <fanfare/net/mailbox.hpp>

#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace fanfare::net {

Mailbox::Mailbox() : wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Mailbox::~Mailbox() {
    MailChunk* chunk = head_.exchange(nullptr, std::memory_order_acquire);
    while (chunk != nullptr) {
        const std::unique_ptr<MailChunk> owned(chunk);
        for (std::uint32_t i = 0; i < owned->count; ++i) owned->entries[i].drop();
        chunk = owned->next;
    }
    ::close(wake_fd_);
}

void Mailbox::push(std::unique_ptr<MailChunk> chunk) noexcept {
    MailChunk* const mine = chunk.release();
    backlog_.fetch_add(mine->count, std::memory_order_relaxed);
    MailChunk* head = head_.load(std::memory_order_relaxed);
    do {
        mine->next = head;
    } while (!head_.compare_exchange_weak(head, mine, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    // Either the reader sees the chunk when it declares sleep, or we see that it sleeps: both sides
    // write first and look second, in one total order.
    if (sleeping_.load(std::memory_order_seq_cst) && sleeping_.exchange(false)) {
        const std::uint64_t one = 1;
        wakes_.fetch_add(1, std::memory_order_relaxed);
        [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
    }
}

std::size_t Mailbox::drain() {
    MailChunk* chunk = head_.exchange(nullptr, std::memory_order_acquire);
    if (chunk == nullptr) return 0;
    // The stack has the newest chunk on top: turn it round.
    MailChunk* oldest = nullptr;
    while (chunk != nullptr) {
        MailChunk* const next = chunk->next;
        chunk->next = oldest;
        oldest = chunk;
        chunk = next;
    }
    std::size_t run = 0;
    while (oldest != nullptr) {
        std::unique_ptr<MailChunk> owned(oldest);
        for (std::uint32_t i = 0; i < owned->count; ++i) owned->entries[i].run();
        run += owned->count;
        backlog_.fetch_sub(owned->count, std::memory_order_relaxed);
        oldest = owned->next;
        if (spare_.size() < spare_chunks_max) spare_.push_back(std::move(owned));
    }
    return run;
}

std::unique_ptr<MailChunk> Mailbox::empty_chunk() {
    // What is in the entries is read only below `count`: they need no clearing.
    if (spare_.empty()) return std::make_unique_for_overwrite<MailChunk>();
    std::unique_ptr<MailChunk> chunk = std::move(spare_.back());
    spare_.pop_back();
    chunk->next = nullptr;
    chunk->count = 0;
    return chunk;
}

bool Mailbox::prepare_sleep() noexcept {
    sleeping_.store(true, std::memory_order_seq_cst);
    if (head_.load(std::memory_order_seq_cst) == nullptr) return true;
    sleeping_.store(false, std::memory_order_relaxed);
    return false;
}

void Mailbox::clear_wake() noexcept {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake_fd_, &count, sizeof count);
}

} // namespace fanfare::net
