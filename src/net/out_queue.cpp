#include <fanfare/net/out_queue.hpp>
#include <fanfare/net/reactor.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>

namespace fanfare::net {
namespace {
// The kernel takes up to 1,024 pieces; 64 of them fill a socket buffer with usual messages.
constexpr std::size_t pieces_max = 64;
} // namespace

OutQueue::~OutQueue() {
    clear();
    reactor_.unmark_dirty(*this);
}

void OutQueue::recount(std::size_t waited) noexcept {
    const std::size_t waits = waiting();
    if (waits != waited)
        reactor_.instruments().waiting_bytes.add(static_cast<std::int64_t>(waits) -
                                                 static_cast<std::int64_t>(waited));
}

void OutQueue::push(LocalBytesRef bytes) {
    const std::size_t waited = waiting();
    queued_ += bytes->size();
    if (blocked_) recount(waited);
    if (!first_) {
        first_ = std::move(bytes);
        first_sent_ = 0;
    } else {
        if (!more_) more_ = std::make_unique<std::deque<LocalBytesRef>>();
        more_->push_back(std::move(bytes));
    }
    // While the kernel refuses, readiness brings us back; until then there is nothing to try.
    if (!blocked_ && dirty_slot_ == 0) reactor_.mark_dirty(*this);
}

void OutQueue::pop_front() {
    first_completes_ = first_->open_ended();
    if (more_ && !more_->empty()) {
        first_ = std::move(more_->front());
        more_->pop_front();
        if (more_->empty()) more_.reset();
    } else {
        first_.reset();
    }
    first_sent_ = 0;
}

void OutQueue::consume(std::size_t sent) {
    queued_ -= sent;
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
    queued_ = first_->size() - first_sent_;
    LocalBytesRef second;
    if (first_->open_ended() && more_) second = more_->front();
    more_.reset();
    if (second) {
        queued_ += second->size();
        more_ = std::make_unique<std::deque<LocalBytesRef>>();
        more_->push_back(std::move(second));
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

void OutQueue::flush() {
    if (transport_ == nullptr) {
        clear();
        return;
    }
    const bool had = static_cast<bool>(first_);
    const std::size_t waited = waiting();
    reactor_.instruments().queue_high_water.saw(queued_);
    while (first_) {
        std::array<iovec, pieces_max> pieces; // NOLINT: filled below
        std::size_t count = 0;
        std::size_t bytes = 0;
        const auto add = [&](const LocalBytes& entry, std::size_t skip) {
            // NOLINTNEXTLINE: iovec is not const-correct; sendmsg only reads.
            pieces[count++] = {const_cast<char*>(entry.data()) + skip, entry.size() - skip};
            bytes += entry.size() - skip;
        };
        add(*first_, first_sent_);
        if (more_)
            for (const LocalBytesRef& entry : *more_) {
                if (count == pieces_max) break;
                add(*entry, 0);
            }
        const Result<std::size_t> sent = transport_->write({pieces.data(), count});
        if (!sent) {
            if (sent.error() != boost::asio::error::would_block) {
                recount(waited);
                clear();
                blocked_ = false;
                owner_.on_write_failed(sent.error());
                return;
            }
            consume(0);
            break;
        }
        consume(*sent);
        if (*sent < bytes) break;
    }
    const bool blocked = static_cast<bool>(first_);
    if (blocked != blocked_) {
        blocked_ = blocked;
        transport_->want_writable(blocked);
    }
    recount(waited);
    if (had && !blocked) owner_.on_drained();
}

} // namespace fanfare::net
