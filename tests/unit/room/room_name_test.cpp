#include "room_name.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace fanfare::room;

TEST_CASE("room name: one copy for all who refer to it", "[room][room_name]") {
    RoomNameRef kept;
    {
        const std::string text(255, 'n');
        const RoomNameRef name = RoomName::make(text, 42);
        CHECK(name->text() == text);
        CHECK(name->hash() == 42);
        kept = name;
    }
    CHECK(kept->text() == std::string(255, 'n'));
    CHECK(RoomName::make("", 0)->text().empty());
}

TEST_CASE("room name: keys are equal in text and hash", "[room][room_name]") {
    CHECK(RoomKey{"a", 1} == RoomKey{"a", 1});
    CHECK_FALSE(RoomKey{"a", 1} == RoomKey{"b", 1}); // a collision
    CHECK_FALSE(RoomKey{"a", 1} == RoomKey{"a", 2});
    CHECK(RoomKeyHash{}(RoomKey{"a", 7}) == 7);
}
