#include <fanfare/net/slot_map.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

using fanfare::net::Handle;
using fanfare::net::SlotMap;

TEST_CASE("slot map: a handle finds its value until it is erased", "[net][slot_map]") {
    SlotMap<std::string> map;
    const Handle a = map.insert("a");
    const Handle b = map.insert("b");
    CHECK(a != 0);
    CHECK(a != b);
    REQUIRE(map.find(a) != nullptr);
    CHECK(*map.find(a) == "a");
    CHECK(map.erase(a) == "a");
    CHECK(map.find(a) == nullptr);
    CHECK(*map.find(b) == "b");
    CHECK(map.size() == 1);
}

TEST_CASE("slot map: a slot is used again under another handle", "[net][slot_map]") {
    SlotMap<int> map;
    const Handle first = map.insert(1);
    map.erase(first);
    const Handle second = map.insert(2);
    CHECK(map.slots() == 1);
    CHECK(second != first);
    CHECK(map.find(first) == nullptr);
    CHECK(*map.find(second) == 2);
}

TEST_CASE("slot map: what was never given out is not found", "[net][slot_map]") {
    SlotMap<int> map;
    CHECK(map.find(0) == nullptr);
    const Handle only = map.insert(7);
    CHECK(map.find(0) == nullptr);
    CHECK(map.find(only + 1) == nullptr);                 // another slot
    CHECK(map.find(only + (Handle{1} << 32)) == nullptr); // another generation
    CHECK(map.find(~Handle{0}) == nullptr);
}

TEST_CASE("slot map: slots can be looked at whatever their generation", "[net][slot_map]") {
    SlotMap<int> map;
    const Handle a = map.insert(1);
    const Handle b = map.insert(2);
    map.erase(b);
    REQUIRE(map.at_slot(0) != nullptr);
    CHECK(map.at_slot(0) == map.find(a));
    CHECK(map.at_slot(1) == nullptr);
    CHECK(map.at_slot(2) == nullptr);
}

TEST_CASE("slot map: erasing gives the value back and leaves none behind", "[net][slot_map]") {
    SlotMap<std::shared_ptr<int>> map;
    const auto value = std::make_shared<int>(3);
    const Handle handle = map.insert(value);
    CHECK(value.use_count() == 2);
    CHECK(map.erase(handle) == value);
    CHECK(value.use_count() == 1);
}

TEST_CASE("slot map: a table that was emptied does not repeat handles", "[net][slot_map]") {
    SlotMap<int> map;
    std::set<Handle> seen;
    for (int round = 0; round < 3; ++round) {
        std::vector<Handle> handles;
        for (int i = 0; i < 2'000; ++i) {
            handles.push_back(map.insert(i));
            CHECK(seen.insert(handles.back()).second);
        }
        for (const Handle handle : handles) map.erase(handle);
        CHECK(map.size() == 0);
    }
    for (const Handle handle : seen) REQUIRE(map.find(handle) == nullptr);
}

TEST_CASE("slot map: behaves as a map with keys of its own", "[net][slot_map][property]") {
    std::mt19937 random{42};
    SlotMap<std::unique_ptr<int>> map;
    std::map<Handle, int> model;
    std::vector<Handle> stale;
    for (int step = 0; step < 20'000; ++step) {
        // Grows first, shrinks later.
        const bool insert = model.empty() || random() % 100 < (step < 10'000 ? 60U : 40U);
        if (insert) {
            const Handle handle = map.insert(std::make_unique<int>(step));
            REQUIRE(model.emplace(handle, step).second);
        } else {
            auto at = model.begin();
            std::advance(at, random() % std::min<std::size_t>(model.size(), 20));
            REQUIRE(*map.erase(at->first) == at->second);
            stale.push_back(at->first);
            model.erase(at);
        }
        REQUIRE(map.size() == model.size());
    }
    for (const auto& [handle, value] : model) REQUIRE(**map.find(handle) == value);
    for (const Handle handle : stale) REQUIRE(map.find(handle) == nullptr);
    std::multiset<int> visited;
    map.for_each([&](const std::unique_ptr<int>& value) { visited.insert(*value); });
    std::multiset<int> expected;
    for (const auto& [handle, value] : model) expected.insert(value);
    CHECK(visited == expected);
}
