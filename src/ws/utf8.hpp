#pragma once
// UTF-8 validation that can stop and go on at any byte: a text message arrives in fragments and
// reads that cut code points, and an impossible byte must be noticed when it comes, not when the
// message is complete (RFC 6455 §8.1; Autobahn 6.4). Whole buffers use fanfare::is_utf8.

#include <fanfare/base/bytes.hpp>

#include <cstdint>

namespace fanfare::ws {

/// One byte of state; copyable; any thread, one at a time.
class Utf8Validator {
  public:
    /// Takes the next bytes. False as soon as no continuation could make the text well-formed
    /// (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF), and from then on.
    [[nodiscard]] bool feed(ByteView bytes) noexcept;
    /// True if the text may end here: it is well-formed and no code point is cut.
    [[nodiscard]] bool complete() const noexcept { return state_ == 0; }
    void reset() noexcept { state_ = 0; }

  private:
    void step_all(ByteView bytes) noexcept;

    std::uint8_t state_ = 0; // see utf8.cpp; 0: between code points
};

} // namespace fanfare::ws
