#pragma once
// What a subscriber is given: a message or a presence change, with its bytes per wire form, made at
// most once per reactor.

#include <fanfare/base/shared_bytes.hpp>
#include <fanfare/room/encoder.hpp>
#include <fanfare/room/message.hpp>

#include <array>
#include <cstdint>

namespace fanfare::room {

/// One reactor's view of one message on its way to this reactor's subscribers. Lives on the stack.
class Delivery {
  public:
    Delivery(const Message& message, Encoders& encoders) : message_(message), encoders_(encoders) {}
    Delivery(const Delivery&) = delete;
    Delivery& operator=(const Delivery&) = delete;

    [[nodiscard]] const Message& message() const noexcept { return message_; }
    /// The bytes in that form, or in the form's fallback. What the home reactor has encoded is
    /// shown; a form that it did not know to be in use is encoded here.
    [[nodiscard]] const LocalBytesRef& bytes(Form form);

  private:
    const Message& message_;
    Encoders& encoders_;
    std::array<LocalBytesRef, form_count> bytes_;
};

/// The same for a presence change.
class PresenceDelivery {
  public:
    PresenceDelivery(const PresenceChange& change, Encoders& encoders)
        : change_(change), encoders_(encoders) {}
    PresenceDelivery(const PresenceDelivery&) = delete;
    PresenceDelivery& operator=(const PresenceDelivery&) = delete;

    [[nodiscard]] const PresenceChange& change() const noexcept { return change_; }
    [[nodiscard]] const LocalBytesRef& bytes(Form form);

  private:
    const PresenceChange& change_;
    Encoders& encoders_;
    std::array<LocalBytesRef, form_count> bytes_;
};

} // namespace fanfare::room
