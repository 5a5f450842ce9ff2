// One room, without the table of rooms around it.

#include "home_rooms.hpp"
#include "room.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <support/rooms_node.hpp>

using namespace fanfare;
using room::Form;
using room::JoinWish;
using room::Room;
using room::RoomName;
using test::RoomsNode;
using namespace std::chrono_literals;

namespace {

struct World {
    explicit World(const room::Rule& rule = test::rule_with_history(100, 1h)) : governs(rule) {}
    /// Runs on the home reactor, where a room lives.
    void at_home(const std::function<void()>& act) { node.on(0, act); }
    std::vector<std::uint64_t> replay(std::uint64_t after, std::size_t bytes_max) {
        const room::ReplayBatch batch = room.replay({room.newest().epoch, after}, bytes_max);
        std::vector<std::uint64_t> offsets;
        for (const room::MessageRef& message : batch.messages)
            offsets.push_back(message->position().offset);
        caught_up = batch.caught_up;
        trimmed = batch.trimmed;
        return offsets;
    }
    void append(const std::string& data, bool ephemeral = false) {
        const room::DraftRef message = test::draft("r", data, ephemeral);
        room.append(*message);
    }
    RoomsNode node{1};
    room::Rule governs;
    Room room{node.rooms(0).home(), RoomName::make("r", hash_bytes("r")), &governs, 1};
    bool caught_up = false;
    bool trimmed = false;
};
using Offsets = std::vector<std::uint64_t>;

} // namespace

TEST_CASE("room: numbers from 1 without holes, ephemeral messages not at all", "[room]") {
    World world;
    CHECK(world.room.newest().offset == 0);
    CHECK_FALSE(world.room.newest().epoch.none());
    world.at_home([&] {
        for (std::uint64_t i = 1; i <= 3; ++i) {
            const room::DraftRef message = test::draft("r", "m");
            world.room.append(*message);
            CHECK(message->position() == Position{world.room.newest().epoch, i});
            CHECK(message->time() == world.node.clock.wall());
            const room::DraftRef typing = test::draft("r", "t", true);
            world.room.append(*typing);
            CHECK(typing->position() == Position{});
            CHECK(typing->time() == world.node.clock.wall());
        }
    });
    CHECK(world.room.newest().offset == 3);
}

TEST_CASE("room: two lives have two epochs", "[room]") {
    World a;
    World b;
    CHECK(a.room.newest().epoch != b.room.newest().epoch);
}

TEST_CASE("room: a replay is bounded in bytes but gives one message at least", "[room]") {
    World world;
    world.at_home([&] {
        for (int i = 0; i < 5; ++i) world.append(std::string(1'000, 'x'));
        CHECK(world.replay(0, 1) == Offsets{1});
        CHECK_FALSE(world.caught_up);
        CHECK(world.replay(1, 2'500) == Offsets{2, 3}); // data and an envelope each
        CHECK_FALSE(world.caught_up);
        CHECK(world.replay(3, 2'500) == Offsets{4, 5});
        CHECK(world.caught_up);
        CHECK(world.replay(0, 1'000'000) == Offsets{1, 2, 3, 4, 5});
        CHECK(world.replay(5, 1).empty());
        CHECK(world.caught_up);
        CHECK_FALSE(world.trimmed);
    });
}

TEST_CASE("room: a replay of what is gone, or of another life, is trimmed", "[room]") {
    World world{test::rule_with_history(2, 1h)};
    world.at_home([&] {
        for (int i = 0; i < 5; ++i) world.append("m");
        CHECK(world.replay(2, 1'000).empty());
        CHECK(world.trimmed);
        CHECK_FALSE(world.caught_up);
        CHECK(world.replay(3, 1'000) == Offsets{4, 5});
        CHECK(world.replay(6, 1'000).empty());
        CHECK(world.trimmed);
        const room::ReplayBatch other = world.room.replay({Epoch::fresh(), 5}, 1'000);
        CHECK(other.trimmed);
        CHECK(other.newest == world.room.newest());
    });
}

TEST_CASE("room: counts its subscribers over reactors and forms", "[room]") {
    World world;
    world.at_home([&] {
        JoinWish ws;
        JoinWish sse;
        sse.form = Form::sse;
        (void)world.room.join(0, 1, ws);
        (void)world.room.join(0, 1, sse);
        (void)world.room.join(0, 1, sse);
        CHECK(world.room.subscribers() == 3);
        world.room.leave(0, Form::sse, {});
        world.room.leave(7, Form::sse, {}); // a reactor without any
        CHECK(world.room.subscribers() == 2);
        world.room.leave(0, Form::ws_json, {});
        world.room.leave(0, Form::sse, {});
        CHECK(world.room.subscribers() == 0);
        world.room.leave(0, Form::sse, {});
        CHECK(world.room.subscribers() == 0);
    });
}

TEST_CASE("room: has no timer where nothing will happen", "[room]") {
    World world;
    world.at_home([&] {
        (void)world.room.join(0, 1, JoinWish{});
        world.room.follow(&world.governs, 2);
        CHECK_FALSE(world.room.armed());
        world.append("typing", true);
        CHECK_FALSE(world.room.armed());
        world.append("m");
        CHECK(world.room.armed());
    });
}
