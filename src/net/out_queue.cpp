#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>

namespace fanfare::net {
namespace {
// The kernel takes up to 1,024 pieces; 64 of them fill a socket buffer with usual messages.
constexpr std::size_t pieces_max = 64;

// NOLINTNEXTLINE: iovec is not const-correct; sendmsg only reads.
iovec piece_of(const LocalBytes& bytes, std::size_t skip) noexcept {
    return {const_cast<char*>(bytes.data()) + skip, bytes.size() - skip}; // NOLINT
}
} // namespace

OutQueue::~OutQueue() {
    clear();
    if (dirty_slot_ == 0) return;
    if (Reactor* const reactor = Reactor::current()) reactor->unmark_dirty(*this);
}

void OutQueue::recount(std::size_t waited) noexcept {
    const std::size_t waits = waiting();
    if (waits == waited) return;
    if (Reactor* const reactor = Reactor::current())
        reactor->instruments().waiting_bytes.add(static_cast<std::int64_t>(waits) -
                                                 static_cast<std::int64_t>(waited));
}

void OutQueue::append(LocalBytesRef bytes) {
    if (!first_) {
        first_ = std::move(bytes);
        first_sent_ = 0;
        return;
    }
    if (!more_) {
        more_ = std::make_unique<More>();
        more_->entries.reserve(4);
    }
    more_->entries.push_back(std::move(bytes));
}

void OutQueue::push(LocalBytesRef bytes) {
    const std::size_t waited = waiting();
    queued_ += static_cast<std::uint32_t>(bytes->size());
    if (blocked_) recount(waited);
    append(std::move(bytes));
    // While the kernel refuses, readiness brings us back; until then there is nothing to try.
    if (!blocked_ && dirty_slot_ == 0) Reactor::current()->mark_dirty(*this);
}

bool OutQueue::write(LocalBytes& bytes) {
    if (first_ || blocked_ || transport_ == nullptr) [[unlikely]] {
        push(LocalBytesRef{&bytes});
        return true;
    }
    const iovec piece = piece_of(bytes, 0);
    const Result<std::size_t> sent = transport_->write({&piece, 1});
    if (sent && *sent == bytes.size()) [[likely]]
        return true;
    if (!sent && sent.error() != boost::asio::error::would_block) {
        owner_.on_write_failed(sent.error());
        return false;
    }
    first_ = LocalBytesRef{&bytes};
    first_sent_ = sent ? static_cast<std::uint32_t>(*sent) : 0;
    queued_ = static_cast<std::uint32_t>(bytes.size()) - first_sent_;
    Reactor::current()->instruments().queue_high_water.saw(queued_);
    set_blocked(true);
    recount(0);
    return true;
}

void OutQueue::pop_front() {
    first_completes_ = first_->open_ended();
    first_sent_ = 0;
    if (!more_) {
        first_.reset();
        return;
    }
    first_ = std::move(more_->entries[more_->begin]);
    if (++more_->begin == more_->entries.size()) more_.reset();
}

void OutQueue::consume(std::size_t sent) {
    queued_ -= static_cast<std::uint32_t>(sent);
    while (first_) {
        const std::size_t left = first_->size() - first_sent_;
        if (sent < left) {
            first_sent_ += static_cast<std::uint32_t>(sent);
            return;
        }
        sent -= left;
        pop_front();
    }
}

void OutQueue::drop_unsent() {
    if (!first_) return;
    if (first_sent_ == 0 && !first_completes_) {
        clear();
        return;
    }
    const std::size_t waited = waiting();
    queued_ = static_cast<std::uint32_t>(first_->size()) - first_sent_;
    LocalBytesRef second;
    if (first_->open_ended() && more_) second = more_->entries[more_->begin];
    more_.reset();
    if (second) {
        queued_ += static_cast<std::uint32_t>(second->size());
        append(std::move(second));
    }
    recount(waited);
}

void OutQueue::clear() {
    const std::size_t waited = waiting();
    first_.reset();
    more_.reset();
    first_sent_ = 0;
    first_completes_ = false;
    queued_ = 0;
    recount(waited);
}

void OutQueue::set_blocked(bool blocked) {
    if (blocked == blocked_) return;
    blocked_ = blocked;
    transport_->want_writable(blocked);
}

/// One system call.
Result<OutQueue::Progress> OutQueue::write_some() {
    std::array<iovec, pieces_max> pieces; // NOLINT: filled below
    pieces[0] = piece_of(*first_, first_sent_);
    std::size_t count = 1;
    std::size_t bytes = pieces[0].iov_len;
    if (more_)
        for (std::size_t i = more_->begin; i < more_->entries.size() && count < pieces_max; ++i) {
            pieces[count] = piece_of(*more_->entries[i], 0);
            bytes += pieces[count++].iov_len;
        }
    const Result<std::size_t> sent = transport_->write({pieces.data(), count});
    if (!sent && sent.error() != boost::asio::error::would_block) return sent.error();
    consume(sent ? *sent : 0); // also without progress: entries that have no byte are done
    return sent && *sent == bytes ? Progress::took_all : Progress::refused;
}

void OutQueue::flush() {
    if (transport_ == nullptr) {
        clear();
        return;
    }
    const bool had = static_cast<bool>(first_);
    const std::size_t waited = waiting();
    if (had) Reactor::current()->instruments().queue_high_water.saw(queued_);
    while (first_) {
        const Result<Progress> progress = write_some();
        if (!progress) {
            recount(waited);
            clear();
            blocked_ = false;
            owner_.on_write_failed(progress.error());
            return;
        }
        if (*progress == Progress::refused) break;
    }
    set_blocked(static_cast<bool>(first_));
    recount(waited);
    if (had && !blocked_) owner_.on_drained();
}

} // namespace fanfare::net
