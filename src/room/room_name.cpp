#include "room_name.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

namespace fanfare::room {

RoomNameRef RoomName::make(std::string_view text, std::uint64_t hash) {
    void* const at = std::malloc(sizeof(RoomName) + text.size());
    if (at == nullptr) throw std::bad_alloc{};
    auto* const name = ::new (at) RoomName;
    name->size_ = static_cast<std::uint32_t>(text.size());
    name->hash_ = hash;
    std::memcpy(static_cast<void*>(name + 1), text.data(), text.size());
    return RoomNameRef{name};
}

void RoomName::release() const noexcept {
    if (count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    std::free(const_cast<RoomName*>(this)); // NOLINT: the last reference; trivial destructor
}

} // namespace fanfare::room
