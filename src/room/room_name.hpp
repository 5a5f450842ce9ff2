#pragma once
// A room's name with its hash, shared by whatever refers to the room on any reactor.

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare::room {

class RoomName {
  public:
    [[nodiscard]] static boost::intrusive_ptr<const RoomName> make(std::string_view text,
                                                                   std::uint64_t hash);
    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(this + 1), size_}; // NOLINT: follows the header
    }
    [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

    friend void intrusive_ptr_add_ref(const RoomName* name) noexcept {
        name->count_.fetch_add(1, std::memory_order_relaxed);
    }
    friend void intrusive_ptr_release(const RoomName* name) noexcept { name->release(); }

  private:
    RoomName() = default;
    void release() const noexcept;
    mutable std::atomic<std::uint32_t> count_{0};
    std::uint32_t size_ = 0;
    std::uint64_t hash_ = 0;
};
using RoomNameRef = boost::intrusive_ptr<const RoomName>;

/// Key of the room tables: the hash is carried along, never computed twice.
struct RoomKey {
    std::string_view text;
    std::uint64_t hash = 0;
    friend bool operator==(const RoomKey& a, const RoomKey& b) noexcept {
        return a.hash == b.hash && a.text == b.text;
    }
};
struct RoomKeyHash {
    using is_avalanching = void; // the hash is good in all its bits
    std::size_t operator()(const RoomKey& key) const noexcept { return key.hash; }
};

} // namespace fanfare::room
