#include "json_replies.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/rooms.hpp>

#include <catch2/catch.hpp>

#include <support/manual_clock.hpp>

using namespace fanfare;
using namespace fanfare::protocols;

namespace {

/// What `write` appends; checked to be JSON.
template <class Write, class... Arguments>
std::string text(Write write, const Arguments&... arguments) {
    std::string out = "kept ";
    write(out, arguments...);
    REQUIRE(out.substr(0, 5) == "kept ");
    out.erase(0, 5);
    CHECK(check_json(out).what == nullptr);
    return out;
}

const test::ManualClock clock{1'000, 1'767'225'600'123};
const Position position{Epoch::parse("AbCd-_12"), 18};

/// Message::Parts whose members may all be left out.
struct Parts {
    std::string_view room{};
    std::string_view data{};
    std::string_view event{};
    std::string_view id{};
    std::string_view from{};
    bool ephemeral = false;
};
room::DraftRef message(const Parts& parts, std::uint64_t offset) {
    const room::DraftRef draft = room::Message::make({.room = parts.room,
                                                      .data = parts.data,
                                                      .event = parts.event,
                                                      .id = parts.id,
                                                      .from = parts.from,
                                                      .ephemeral = parts.ephemeral,
                                                      .origin = 0,
                                                      .origin_reactor = 0},
                                                     1);
    if (!parts.ephemeral)
        draft->number({position.epoch, offset}, clock.wall(), clock.mono_micros());
    return draft;
}

} // namespace

TEST_CASE("json replies: welcome", "[protocols][protocol-2]") {
    Welcome welcome{"s1", "", "gw-1", std::chrono::seconds{30}, {}};
    CHECK(text(write_welcome, welcome) ==
          R"({"op":"welcome","session":"s1","user":null,"node":"gw-1","heartbeat":30})");
    welcome.user = "u\"1";
    welcome.heartbeat = std::chrono::milliseconds{250};
    welcome.expires = 1'767'225'600;
    CHECK(
        text(write_welcome, welcome) ==
        R"({"op":"welcome","session":"s1","user":"u\"1","node":"gw-1","heartbeat":0.25,"expires":1767225600})");
}

TEST_CASE("json replies: ok of each request", "[protocols][protocol-2]") {
    CHECK(text(write_auth_ok, RequestId{1}, "u1", std::int64_t{99}) ==
          R"({"id":1,"op":"ok","user":"u1","expires":99})");
    CHECK(text(write_subscribe_ok, RequestId{2}, session::SubscribeOk{"news", position, {}}) ==
          R"({"id":2,"op":"ok","room":"news","epoch":"AbCd-_12","offset":18})");
    CHECK(text(write_subscribe_ok, RequestId{2}, session::SubscribeOk{"news", position, false}) ==
          R"({"id":2,"op":"ok","room":"news","epoch":"AbCd-_12","offset":18,"recovered":false})");
    CHECK(
        text(write_subscribe_ok, RequestId{2},
             session::SubscribeOk{"@me", position, true, 17, std::uint64_t{12}}) ==
        R"({"id":2,"op":"ok","room":"@me","epoch":"AbCd-_12","offset":18,"recovered":true,"acked":12})");
    CHECK(text(write_pattern_ok, RequestId{2}, "a*") == R"({"id":2,"op":"ok","pattern":"a*"})");
    CHECK(text(write_unsubscribe_ok, RequestId{3}, "a", false) ==
          R"({"id":3,"op":"ok","room":"a"})");
    CHECK(text(write_unsubscribe_ok, RequestId{3}, "a*", true) ==
          R"({"id":3,"op":"ok","pattern":"a*"})");
    CHECK(text(write_publish_ok, RequestId{4}, session::PublishOk{"r", position, false}) ==
          R"({"id":4,"op":"ok","room":"r","epoch":"AbCd-_12","offset":18})");
    CHECK(text(write_publish_ok, RequestId{4}, session::PublishOk{"r", position, true}) ==
          R"({"id":4,"op":"ok","room":"r","epoch":"AbCd-_12","offset":18,"duplicate":true})");
    CHECK(text(write_publish_ok, RequestId{4}, session::PublishOk{"r", {}, false}) ==
          R"({"id":4,"op":"ok","room":"r"})");
    CHECK(text(write_ack_ok, RequestId{5}, "@me", std::uint64_t{42}) ==
          R"({"id":5,"op":"ok","room":"@me","offset":42})");
    CHECK(text(write_pong, RequestId{8}) == R"({"id":8,"op":"pong"})");
    CHECK(text(write_pong, RequestId{}) == R"({"op":"pong"})");
    CHECK(text(write_pong, RequestId{-1}) == R"({"id":-1,"op":"pong"})");
}

TEST_CASE("json replies: errors", "[protocols][protocol-2]") {
    const Error error{Code::forbidden, "no \"x\"", "room"};
    CHECK(text(write_error, RequestId{2}, error) ==
          R"({"id":2,"op":"error","code":"forbidden","message":"no \"x\""})");
    CHECK(text(write_error, RequestId{}, error) ==
          R"({"op":"error","code":"forbidden","message":"no \"x\""})");
}

TEST_CASE("json replies: history tells each message's time", "[protocols][protocol-2]") {
    std::vector<room::MessageRef> messages;
    CHECK(
        text(write_history_ok, RequestId{6}, session::HistoryOk{"r", position, messages, false}) ==
        R"({"id":6,"op":"ok","room":"r","epoch":"AbCd-_12","offset":18,"messages":[],"more":false})");
    messages.push_back(message({.room = "r", .data = "[1]"}, 17));
    messages.push_back(
        message({.room = "r", .data = "{}", .event = "e", .id = "i", .from = "u1"}, 18));
    CHECK(
        text(write_history_ok, RequestId{6}, session::HistoryOk{"r", position, messages, true}) ==
        R"({"id":6,"op":"ok","room":"r","epoch":"AbCd-_12","offset":18,"messages":[)"
        R"({"offset":17,"data":[1],"time":"2026-01-01T00:00:00.123Z"},)"
        R"({"offset":18,"data":{},"event":"e","id":"i","from":"u1","time":"2026-01-01T00:00:00.123Z"})"
        R"(],"more":true})");
}

TEST_CASE("json replies: presence", "[protocols][protocol-2]") {
    const std::vector<room::MemberInfo> members{{"u1", 2, R"({"name":"Ann"})"}, {"u2", 1, ""}};
    CHECK(
        text(write_presence_ok, RequestId{7}, session::PresenceOk{"chat:1", members, 5}) ==
        R"({"id":7,"op":"ok","room":"chat:1","members":[{"user":"u1","sessions":2,"info":{"name":"Ann"}},{"user":"u2","sessions":1}],"total":5})");
    CHECK(text(write_presence_ok, RequestId{7}, session::PresenceOk{"c", {}, 0}) ==
          R"({"id":7,"op":"ok","room":"c","members":[],"total":0})");
}

TEST_CASE("json replies: pushes in both shapes", "[protocols][protocol-2][protocol-3]") {
    constexpr auto op = Shape::with_op;
    constexpr auto bare = Shape::bare;
    const auto full =
        message({.room = "a\\b", .data = "1e400", .event = "e", .id = "i", .from = "u\n"}, 18);
    CHECK(
        text(write_message, op, *full) ==
        R"({"op":"message","room":"a\\b","offset":18,"data":1e400,"event":"e","id":"i","from":"u\n"})");
    const auto ephemeral = message({.room = "r", .data = "null", .ephemeral = true}, 0);
    CHECK(text(write_message, bare, *ephemeral) == R"({"room":"r","data":null})");

    CHECK(text(write_presence_change, op, room::PresenceChange{"chat:1", "u2", true}) ==
          R"({"op":"join","room":"chat:1","user":"u2"})");
    CHECK(text(write_presence_change, op, room::PresenceChange{"chat:1", "u2", false}) ==
          R"({"op":"leave","room":"chat:1","user":"u2"})");
    CHECK(text(write_presence_change, bare, room::PresenceChange{"chat:1", "u2", true}) ==
          R"({"room":"chat:1","user":"u2"})");
    CHECK(text(write_subscribed, op, "r", position) ==
          R"({"op":"subscribed","room":"r","epoch":"AbCd-_12","offset":18})");
    CHECK(text(write_unsubscribed, op, "r", Error{Code::forbidden, "gone", {}}) ==
          R"({"op":"unsubscribed","room":"r","code":"forbidden","message":"gone"})");
    CHECK(text(write_reset, op, "r", position) ==
          R"({"op":"reset","room":"r","epoch":"AbCd-_12","offset":18})");
    CHECK(text(write_reset, bare, "r", position) ==
          R"({"room":"r","epoch":"AbCd-_12","offset":18})");
    CHECK(text(write_acked, op, "@me", std::uint64_t{42}) ==
          R"({"op":"acked","room":"@me","offset":42})");
    CHECK(text(write_bye, op, "drain", "going down", std::uint64_t{1800}) ==
          R"({"op":"bye","code":"drain","message":"going down","reconnect_in":1800})");
    CHECK(text(write_bye, bare, "expired", "", std::uint64_t{0}) ==
          R"({"code":"expired","message":"","reconnect_in":0})");
}
