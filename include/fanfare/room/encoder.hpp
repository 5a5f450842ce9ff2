#pragma once
// The contract of one wire form: a message, or a presence change, into bytes that are ready to
// send.

#include <fanfare/base/shared_bytes.hpp>
#include <fanfare/room/message.hpp>

#include <array>
#include <memory>
#include <string_view>

namespace fanfare::room {

/// A user came to or left a room.
struct PresenceChange {
    std::string_view room;
    std::string_view user;
    bool joined = false;
};

/// One instance per reactor and form; stateless but for scratch memory (a compressor).
class Encoder {
  public:
    virtual ~Encoder() = default;
    /// Null means "not worth it in this form": the caller uses the `fallback` form.
    [[nodiscard]] virtual SharedBytesRef encode(const Message& message) = 0;
    [[nodiscard]] virtual SharedBytesRef encode(const PresenceChange& change) = 0;
    /// The form that is sent where `encode` gives null; its own form if it never does.
    [[nodiscard]] virtual Form fallback() const noexcept = 0;
};

/// A reactor's encoders, by form.
using Encoders = std::array<std::unique_ptr<Encoder>, form_count>;

} // namespace fanfare::room
