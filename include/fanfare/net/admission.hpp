#pragma once
// How many connections the process takes: accept, shed or refuse.
//
// Counted atomically over all reactors, once per connection, never per message. Between `soft` and
// `hard` a connection is let in only to be told so (503 with Retry-After, or a polite SSE answer)
// and sent away; beyond `hard` it is closed without a word. Connections that are open stay.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fanfare::net {

class Admission {
  public:
    enum class Verdict : std::uint8_t { accept, shed, refuse };

    /// `max`: connections served at once; 0 derives it from the descriptor limit.
    /// `own`: descriptors that the process needs for itself.
    explicit Admission(std::size_t max, std::size_t own = 128);

    [[nodiscard]] Verdict enter() noexcept; // counts, unless refused
    void leave() noexcept { open_.fetch_sub(1, std::memory_order_relaxed); }
    [[nodiscard]] std::size_t open() const noexcept {
        return open_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::size_t soft_limit() const noexcept { return soft_; }

  private:
    std::size_t soft_;
    std::size_t hard_;
    std::atomic<std::size_t> open_{0};
};

} // namespace fanfare::net
