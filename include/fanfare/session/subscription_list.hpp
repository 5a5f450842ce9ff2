#pragma once
// A session's subscriptions: the first one in place, since most sessions are in one room, further
// ones in blocks of seven. They stay where they are, since rooms point at them: 24 bytes each in
// place, 27 in a full block, without an allocation of their own.

#include <fanfare/room/subscriber.hpp>

#include <array>
#include <cstdint>
#include <memory>

namespace fanfare::session {

class SubscriptionList {
  public:
    /// A fresh one; valid until it is removed. The top bit of its tag belongs to the list.
    [[nodiscard]] room::Subscription& add();
    /// `subscription` is one of this list, and idle.
    void remove(const room::Subscription& subscription) noexcept;
    [[nodiscard]] bool empty() const noexcept { return !first_used() && !blocks_; }

    /// The first one, in no order, for which `is` is true; null: none.
    template <class Is>
    [[nodiscard]] room::Subscription* find_if(Is&& is) {
        if (first_used() && is(first_)) return &first_;
        for (Block* block = blocks_.get(); block != nullptr; block = block->next.get())
            for (std::size_t i = 0; i < block_size; ++i)
                if ((unsigned{block->used} >> i & 1U) != 0 && is(block->items[i]))
                    return &block->items[i];
        return nullptr;
    }
    template <class Do>
    void for_each(Do&& act) {
        static_cast<void>(find_if([&](room::Subscription& subscription) {
            act(subscription);
            return false;
        }));
    }

  private:
    static constexpr std::size_t block_size = 7;
    static constexpr std::uint8_t all = (1U << block_size) - 1;
    struct Block {
        std::unique_ptr<Block> next;
        std::uint8_t used = 0; // a bit per item
        std::array<room::Subscription, block_size> items;
    };
    /// In the tag of the one in place: a member of its own would cost eight bytes.
    static constexpr std::uint8_t used_tag = 0x80;
    [[nodiscard]] bool first_used() const noexcept { return (first_.tag & used_tag) != 0; }

    room::Subscription first_;
    std::unique_ptr<Block> blocks_;
};

} // namespace fanfare::session
