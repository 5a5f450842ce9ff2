#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/room/message.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>

namespace fanfare::room {

DraftRef Message::make(const Parts& parts, std::uint64_t room_hash) {
    FANFARE_ASSERT(parts.room.size() <= 255 && parts.event.size() <= 255);
    FANFARE_ASSERT(parts.id.size() <= 65'535 && parts.from.size() <= 65'535);
    const std::size_t text = parts.room.size() + parts.event.size() + parts.id.size() +
                             parts.from.size() + parts.data.size();
    void* const at = std::malloc(sizeof(Message) + text);
    if (at == nullptr) throw std::bad_alloc{};
    auto* const message = ::new (at) Message;
    message->room_hash_ = room_hash;
    message->room_size_ = static_cast<std::uint8_t>(parts.room.size());
    message->event_size_ = static_cast<std::uint8_t>(parts.event.size());
    message->id_size_ = static_cast<std::uint16_t>(parts.id.size());
    message->from_size_ = static_cast<std::uint16_t>(parts.from.size());
    message->data_size_ = static_cast<std::uint32_t>(parts.data.size());
    message->ephemeral_ = parts.ephemeral;
    message->attempt_ = parts.attempt;
    message->origin_ = parts.origin;
    message->origin_reactor_ = static_cast<std::uint16_t>(parts.origin_reactor);
    char* to = reinterpret_cast<char*>(message + 1); // NOLINT: the bytes follow the header
    for (const std::string_view part :
         {parts.room, parts.event, parts.id, parts.from, parts.data}) {
        if (!part.empty()) std::memcpy(to, part.data(), part.size());
        to += part.size();
    }
    return DraftRef{message};
}

void Message::release() const noexcept {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    auto* const self = const_cast<Message*>(this); // NOLINT: the last reference
    self->~Message();
    std::free(self);
}

const char* room_name_fault(std::string_view name) noexcept {
    if (name.empty()) return "must not be empty";
    if (name.size() > 255) return "must have at most 255 bytes";
    if (name.find('*') != std::string_view::npos) return "must not contain `*`";
    if (has_control(name)) return "must not contain control characters";
    if (!is_utf8(name)) return "must be UTF-8";
    return nullptr;
}

const char* pattern_fault(std::string_view pattern) noexcept {
    if (pattern.empty()) return "must not be empty";
    if (pattern.size() > 255) return "must have at most 255 bytes";
    if (pattern.front() == '@') return "must not begin with `@`";
    if (pattern.find('*') == std::string_view::npos) return "must contain `*`";
    if (has_control(pattern)) return "must not contain control characters";
    if (!is_utf8(pattern)) return "must be UTF-8";
    return nullptr;
}

const char* event_name_fault(std::string_view event) noexcept {
    if (event.empty()) return "must not be empty";
    if (event.size() > 64) return "must have at most 64 bytes";
    if (has_control(event)) return "must not contain control characters";
    if (!is_utf8(event)) return "must be UTF-8";
    // Names of the gateway's own SSE events, and the two that EventSource itself fires.
    static constexpr std::array<std::string_view, 10> own{
        "ready",      "bye",          "reset", "join",  "leave",
        "subscribed", "unsubscribed", "acked", "error", "open"};
    if (std::find(own.begin(), own.end(), event) != own.end())
        return "is reserved for the gateway's own events";
    return nullptr;
}

const char* id_fault(std::string_view id) noexcept {
    if (id.empty()) return "must not be empty";
    if (id.size() > 255) return "must have at most 255 bytes";
    if (has_control(id)) return "must not contain control characters";
    if (!is_utf8(id)) return "must be UTF-8";
    return nullptr;
}

} // namespace fanfare::room
