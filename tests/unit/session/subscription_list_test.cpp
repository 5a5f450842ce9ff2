#include <fanfare/session/subscription_list.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

using namespace fanfare;
using room::Subscription;
using session::SubscriptionList;

namespace {

std::set<const Subscription*> all_of(SubscriptionList& list) {
    std::set<const Subscription*> all;
    list.for_each([&](const Subscription& at) { CHECK(all.insert(&at).second); });
    return all;
}

} // namespace

TEST_CASE("subscription list: places stay where they are while others come and go", "[session]") {
    SubscriptionList list;
    CHECK(list.empty());
    std::mt19937 random{7};
    std::vector<Subscription*> held;
    std::uint32_t next = 0;
    for (int step = 0; step < 20'000; ++step) {
        const bool grow = held.size() < 2 || (held.size() < 130 && random() % 2 == 0);
        if (grow) {
            Subscription& fresh = list.add();
            CHECK(fresh.state == Subscription::State::idle);
            CHECK(std::find(held.begin(), held.end(), &fresh) == held.end());
            fresh.place = next++;
            fresh.tag |= 1; // the owner's bit
            held.push_back(&fresh);
        } else {
            const std::size_t i = random() % held.size();
            list.remove(*held[i]);
            held[i] = held.back();
            held.pop_back();
        }
        if (step % 100 == 0)
            CHECK(all_of(list) == std::set<const Subscription*>(held.begin(), held.end()));
    }
    std::set<std::uint32_t> marks;
    for (const Subscription* const at : held) marks.insert(at->place);
    CHECK(marks.size() == held.size());
    for (const Subscription* const at : held) list.remove(*at);
    CHECK(list.empty());
    CHECK(all_of(list).empty());
}

TEST_CASE("subscription list: the first one needs no block", "[session]") {
    SubscriptionList list;
    Subscription& first = list.add();
    CHECK(reinterpret_cast<std::uintptr_t>(&first) - // NOLINT
              reinterpret_cast<std::uintptr_t>(&list) <
          sizeof list);
    Subscription& second = list.add();
    list.remove(first);
    CHECK_FALSE(list.empty());
    CHECK(list.find_if([](const Subscription&) { return true; }) == &second);
    CHECK(&list.add() == &first); // taken again
    list.remove(first);
    list.remove(second);
    CHECK(list.empty());
}
