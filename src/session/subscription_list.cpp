#include <fanfare/base/assert.hpp>
#include <fanfare/session/subscription_list.hpp>

#include <bit>
#include <utility>

namespace fanfare::session {

room::Subscription& SubscriptionList::add() {
    if (!first_used()) {
        first_ = {};
        first_.tag = used_tag;
        return first_;
    }
    // Blocks that are full stand behind those that are not, but for holes that were left since: a
    // short walk, once per subscribe.
    Block* block = blocks_.get();
    while (block != nullptr && block->used == all) block = block->next.get();
    if (block == nullptr) {
        auto fresh = std::make_unique<Block>();
        fresh->next = std::move(blocks_);
        blocks_ = std::move(fresh);
        block = blocks_.get();
    }
    const auto at = static_cast<std::size_t>(std::countr_one(block->used));
    block->used = static_cast<std::uint8_t>(block->used | 1U << at);
    return block->items[at] = {};
}

void SubscriptionList::remove(const room::Subscription& subscription) noexcept {
    if (&subscription == &first_) {
        first_.tag = 0;
        return;
    }
    for (std::unique_ptr<Block>* link = &blocks_; *link; link = &(*link)->next) {
        Block& block = **link;
        if (&subscription < block.items.data() || &subscription >= block.items.data() + block_size)
            continue;
        const auto at = static_cast<unsigned>(&subscription - block.items.data());
        block.used = static_cast<std::uint8_t>(block.used & ~(1U << at));
        if (block.used == 0) *link = std::move(block.next);
        return;
    }
    FANFARE_ASSERT(false && "a subscription of another list");
}

} // namespace fanfare::session
