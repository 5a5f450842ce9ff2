#pragma once
// A wrong setting must not wipe a table of devices.
//
// Apple calls each token bad that belongs to the other environment, Google each that belongs to
// another project: with a wrong setting that is all of them. So a credential whose answers are of
// that kind by more than a fifth of the newest hundred drops no device any more, until an operator
// has looked at it. Until then 20 tokens at most are lost; they come back with the app's next
// start.

#include "push_answer.hpp"

#include <bitset>
#include <cstddef>

namespace fanfare::providers {

class MassDropGuard {
  public:
    static constexpr std::size_t window = 100;
    static constexpr std::size_t wrong_max = 20;

    /// Counts an answer of the credential, and may change its outcome: a drop becomes a stop.
    void check(PushReading& reading) noexcept;
    /// Stays so until `reset`.
    [[nodiscard]] bool holds() const noexcept { return holds_; }
    /// An operator has looked.
    void reset() noexcept { *this = {}; }

  private:
    std::bitset<window> wrong_; // a ring of the newest answers
    std::size_t next_ = 0;
    bool holds_ = false;
};

} // namespace fanfare::providers
