#pragma once
// Things found by a 64-bit handle that goes stale by itself: slot and generation.
//
// What crosses reactors names a connection or session by handle, never by pointer: the reply to
// one that left meanwhile finds nothing, in O(1), without counting references.

#include <cstdint>
#include <utility>
#include <vector>

namespace fanfare::net {

/// 0 is never given out.
using Handle = std::uint64_t;

template <class T>
class SlotMap {
  public:
    [[nodiscard]] Handle insert(T value) {
        std::uint32_t slot;
        if (free_ != none) {
            slot = free_;
            free_ = slots_[slot].next_free;
        } else {
            slot = static_cast<std::uint32_t>(slots_.size());
            slots_.emplace_back();
        }
        Slot& s = slots_[slot];
        s.value = std::move(value);
        s.next_free = in_use;
        ++size_;
        return (Handle{s.generation} << 32) | slot;
    }
    /// Null if the handle is stale.
    [[nodiscard]] T* find(Handle handle) noexcept {
        const auto slot = static_cast<std::uint32_t>(handle);
        if (slot >= slots_.size()) return nullptr;
        Slot& s = slots_[slot];
        return s.next_free == in_use && s.generation == handle >> 32 ? &s.value : nullptr;
    }
    /// The value in a slot, whatever its generation; null if unused.
    [[nodiscard]] T* at_slot(std::uint32_t slot) noexcept {
        return slot < slots_.size() && slots_[slot].next_free == in_use ? &slots_[slot].value
                                                                        : nullptr;
    }
    /// Takes the value out; the handle is stale from now on.
    T erase(Handle handle) {
        Slot& s = slots_[static_cast<std::uint32_t>(handle)];
        T value = std::move(s.value);
        s.value = T{};
        if (++s.generation == 0) s.generation = 1;
        s.next_free = free_;
        free_ = static_cast<std::uint32_t>(handle);
        if (--size_ == 0 && slots_.size() > 1024) shrink();
        return value;
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint32_t slots() const noexcept {
        return static_cast<std::uint32_t>(slots_.size());
    }
    template <class F>
    void for_each(F&& f) {
        for (std::size_t i = 0; i < slots_.size(); ++i)
            if (slots_[i].next_free == in_use) f(slots_[i].value);
    }

  private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};
    static constexpr std::uint32_t in_use = none - 1;
    struct Slot { // 16 bytes around a pointer: there is one per connection
        T value{};
        std::uint32_t generation = 1;
        std::uint32_t next_free = none; // in_use, while it holds a value
    };
    // Generations must not restart, so an emptied table keeps its slots; it only frees slack.
    void shrink() { slots_.shrink_to_fit(); }

    std::vector<Slot> slots_;
    std::uint32_t free_ = none;
    std::size_t size_ = 0;
};

} // namespace fanfare::net
