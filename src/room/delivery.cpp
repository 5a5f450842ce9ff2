#include <fanfare/room/delivery.hpp>

namespace fanfare::room {

const LocalBytesRef& Delivery::bytes(Form form) {
    LocalBytesRef& bytes = bytes_[static_cast<std::size_t>(form)];
    if (bytes) return bytes;
    SharedBytesRef shared = message_.encoded(form);
    if (!shared) {
        Encoder& encoder = *encoders_[static_cast<std::size_t>(form)];
        // The home reactor tried this form already if it has the fallback's bytes only.
        const bool has_fallback =
            encoder.fallback() != form && message_.encoded(encoder.fallback()) != nullptr;
        if (!has_fallback) shared = encoder.encode(message_);
        if (!shared) return bytes = this->bytes(encoder.fallback());
    }
    return bytes = LocalBytes::show(std::move(shared));
}

const LocalBytesRef& PresenceDelivery::bytes(Form form) {
    LocalBytesRef& bytes = bytes_[static_cast<std::size_t>(form)];
    if (bytes) return bytes;
    Encoder& encoder = *encoders_[static_cast<std::size_t>(form)];
    SharedBytesRef shared = encoder.encode(change_);
    if (!shared) return bytes = this->bytes(encoder.fallback());
    return bytes = LocalBytes::show(std::move(shared));
}

} // namespace fanfare::room
