// The local side: walks over many subscribers, encoding, presence. The other side is real.

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <support/rooms_node.hpp>

using namespace fanfare;
using room::Form;
using room::Rule;
using room::Subscription;
using std::chrono::milliseconds;
using test::Lines;
using test::Listener;
using test::RoomsNode;

namespace {

Rule history_rule(std::size_t size = 100) {
    return test::rule_with_history(size, std::chrono::minutes{5});
}
Rule presence_rule() {
    Rule rule = history_rule();
    rule.presence = true;
    return rule;
}

void publish_some(RoomsNode& node, const std::string& room, int count) {
    for (int i = 0; i < count; ++i) node.publish(room, "m");
}

} // namespace

namespace {

/// Unsubscribes those in `mask` in their call about the first message or presence change.
struct Crowd {
    Crowd(RoomsNode& node, std::size_t count, const std::vector<bool>& mask,
          std::size_t replaying) {
        node.publish("r", "0"); // something to replay
        for (std::size_t i = 0; i < count; ++i) {
            Listener& listener = *members.emplace_back(std::make_unique<Listener>(node));
            if (i < replaying) {
                listener.when_joined = [](Subscription&, const room::JoinResult&) {};
                listener.subscribe_last("r", 1);
            } else {
                listener.subscribe("r");
            }
            listener.take();
            if (!mask[i]) continue;
            listener.when_message = [&listener](Subscription*) { listener.unsubscribe_now("r"); };
            listener.when_presence = [&listener](Subscription&) { listener.unsubscribe_now("r"); };
        }
    }
    std::vector<std::unique_ptr<Listener>> members;
};

std::vector<bool> bits(unsigned mask, std::size_t count) {
    std::vector<bool> all(count);
    for (std::size_t i = 0; i < count; ++i) all[i] = (mask >> i & 1U) != 0;
    return all;
}

} // namespace

TEST_CASE("subscribers: any of them may leave in the walk over a message; all get it once",
          "[room][subscribers]") {
    const auto mask = bits(GENERATE(range(0U, 32U)), 5);
    CAPTURE(mask);
    RoomsNode node{1, {history_rule()}};
    Crowd crowd{node, 5, mask, 0};
    node.publish("r", "1");
    node.publish("r", "2");
    for (std::size_t i = 0; i < 5; ++i) {
        Lines expected{"r#2 ws r#2 1"};
        if (!mask[i]) expected.emplace_back("r#3 ws r#3 2");
        CHECK(crowd.members[i]->lines == expected);
    }
    CHECK(node.info("r").subscribers ==
          static_cast<std::uint64_t>(std::count(mask.begin(), mask.end(), false)));
}

TEST_CASE("subscribers: any of them may leave in the walk over a presence change",
          "[room][subscribers]") {
    // Two still replay: presence is told to them too.
    const auto mask = bits(GENERATE(range(0U, 32U)), 5);
    CAPTURE(mask);
    RoomsNode node{2, {presence_rule()}};
    Crowd crowd{node, 5, mask, 2};
    Listener other{node, 1};
    for (const char* user : {"u1", "u2"}) {
        other.user = user;
        other.subscribe("r");
        if (std::string{user} == "u1") other.unsubscribe("r");
    }
    for (std::size_t i = 0; i < 5; ++i) {
        Lines expected{"r +u1"};
        if (!mask[i]) expected.emplace_back("r +u2");
        CHECK(crowd.members[i]->lines == expected);
    }
}

TEST_CASE("subscribers: a crowd that thins out in the walks loses nobody", "[room][subscribers]") {
    std::mt19937 random{3};
    std::vector<bool> mask(400);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = random() % 10 != 0;
    RoomsNode node{1, {history_rule()}};
    Crowd crowd{node, mask.size(), mask, 0};
    node.publish("r", "1");
    node.publish("r", "2");
    for (std::size_t i = 0; i < mask.size(); ++i)
        REQUIRE(crowd.members[i]->lines.size() == (mask[i] ? 1U : 2U));
}

// --- encoding ---

TEST_CASE("subscribers: a message is encoded once per form in use, for all reactors",
          "[room][subscribers]") {
    RoomsNode node{3, {history_rule()}};
    const std::string room = node.room_at(2);
    Listener a{node, 0};
    Listener b{node, 1};
    Listener c{node, 1, Form::sse};
    for (Listener* const listener : {&a, &b, &c}) listener->subscribe(room);
    publish_some(node, room, 1);
    using Calls = std::array<int, room::form_count>;
    CHECK(node.encoded == Calls{1, 0, 1, 0});
    CHECK(a.lines.back() == room + "#1 ws " + room + "#1 m");
    CHECK(c.lines.back() == room + "#1 sse " + room + "#1 m");
    c.unsubscribe(room);
    publish_some(node, room, 1);
    CHECK(node.encoded == Calls{2, 0, 1, 0});
    a.unsubscribe(room);
    publish_some(node, room, 1);
    CHECK(node.encoded == Calls{3, 0, 1, 0}); // b is there still
    b.unsubscribe(room);
    publish_some(node, room, 1);
    CHECK(node.encoded == Calls{3, 0, 1, 0});
}

TEST_CASE("subscribers: what a form declines is sent in its fallback, encoded once",
          "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1);
    Listener deflate{node, 0, Form::ws_json_deflate};
    Listener plain{node, 0};
    deflate.subscribe(room);
    plain.subscribe(room);
    node.publish(room, "short");
    using Calls = std::array<int, room::form_count>;
    CHECK(node.encoded == Calls{1, 1, 0, 0});
    CHECK(deflate.lines.back() == room + "#1 ws " + room + "#1 short");
    plain.unsubscribe(room);
    node.publish(room, "long enough");
    CHECK(node.encoded == Calls{1, 2, 0, 0});
    CHECK(deflate.lines.back() == room + "#2 deflate " + room + "#2 long enough");
}

// --- presence ---

TEST_CASE("subscribers: the others are told who comes and goes", "[room][subscribers][presence]") {
    const auto reactors = GENERATE(1U, 2U, 3U);
    RoomsNode node{reactors, {presence_rule()}};
    const std::string room = node.room_at(reactors - 1);
    Listener u1{node, 0};
    u1.user = "u1";
    Listener u2{node, reactors > 1 ? 1U : 0U, Form::sse};
    u2.user = "u2";
    Listener anonymous{node, 0};
    u1.subscribe(room);
    anonymous.subscribe(room);
    u2.subscribe(room);
    CHECK(u1.take() == Lines{"joined " + room + " at 0", room + " +u2"});
    CHECK(u1.presence_bytes == "ws " + room + " +u2");
    CHECK(anonymous.take() == Lines{"joined " + room + " at 0", room + " +u2"});
    CHECK(u2.take() == Lines{"joined " + room + " at 0"}); // not about itself

    Listener second{node, 0}; // another session of u2
    second.user = "u2";
    second.subscribe(room);
    second.unsubscribe(room);
    node.pass(milliseconds{6'000});
    CHECK(u1.take().empty());

    u2.unsubscribe(room);
    node.pass(milliseconds{4'900});
    CHECK(u1.take().empty());
    CHECK(node.presence(room).total == 3);
    node.pass(milliseconds{200});
    CHECK(u1.take() == Lines{room + " -u2"});
    CHECK(anonymous.take() == Lines{room + " -u2"});
    CHECK(node.presence(room).total == 2);
}

TEST_CASE("subscribers: a reconnect within the linger time makes no noise",
          "[room][subscribers][presence]") {
    RoomsNode node{2, {presence_rule()}};
    const std::string room = node.room_at(1);
    Listener watcher{node};
    watcher.subscribe(room);
    Listener u1{node, 1};
    u1.user = "u1";
    u1.subscribe(room);
    u1.unsubscribe(room);
    node.pass(milliseconds{4'000});
    u1.subscribe(room);
    node.pass(milliseconds{60'000});
    CHECK(watcher.take() == Lines{"joined " + room + " at 0", room + " +u1"});
}

TEST_CASE("subscribers: an abandoned join leaves its presence too",
          "[room][subscribers][presence]") {
    RoomsNode node{2, {presence_rule()}};
    const std::string room = node.room_at(1);
    Listener goes{node};
    goes.user = GENERATE("u1", "");
    node.on(0, [&] {
        goes.subscribe_now(room);
        goes.unsubscribe_now(room);
    });
    node.settle();
    node.pass(milliseconds{6'000});
    CHECK(node.presence(room).total == 0);
}

TEST_CASE("subscribers: without presence in the rule nobody is told and nobody is listed",
          "[room][subscribers][presence]") {
    RoomsNode node{1, {history_rule()}};
    Listener watcher{node};
    watcher.subscribe("r");
    Listener u1{node};
    u1.user = "u1";
    u1.subscribe("r");
    u1.unsubscribe("r");
    node.pass(milliseconds{6'000});
    CHECK(watcher.lines == Lines{"joined r at 0"});
    CHECK(node.presence("r").total == 0);
}

TEST_CASE("subscribers: an anonymous one that signs in comes as a user, and leaves as one",
          "[room][subscribers][presence]") {
    const auto reactors = GENERATE(1U, 2U);
    RoomsNode node{reactors, {presence_rule()}};
    const std::string room = node.room_at(reactors - 1);
    Listener watcher{node};
    watcher.subscribe(room);
    Listener guest{node};
    // While joining, or when it is there.
    const bool joining = GENERATE(true, false);
    if (!joining) guest.subscribe(room);
    node.on(0, [&] {
        room::Subscription& place = joining ? guest.subscribe_now(room) : guest.subscription(room);
        guest.user = "u1";
        node.rooms(0).identify(place, "u1", "{}");
    });
    node.settle();
    CHECK(watcher.take() == Lines{"joined " + room + " at 0", room + " +u1"});
    const room::PresenceResult here = node.presence(room);
    CHECK(here.total == 2);
    REQUIRE(here.members.size() == 1);
    CHECK(here.members[0].info == "{}");
    guest.unsubscribe(room);
    node.pass(milliseconds{5'100});
    CHECK(watcher.take() == Lines{room + " -u1"});
    CHECK(node.presence(room).total == 1);
}

TEST_CASE("subscribers: one that signs in and leaves while joining is not left behind",
          "[room][subscribers][presence]") {
    RoomsNode node{2, {presence_rule()}};
    const std::string room = node.room_at(1);
    Listener watcher{node};
    watcher.subscribe(room);
    Listener guest{node};
    node.on(0, [&] {
        room::Subscription& place = guest.subscribe_now(room);
        guest.user = "u1";
        node.rooms(0).identify(place, "u1", "");
        guest.unsubscribe_now(room);
    });
    node.settle();
    node.pass(milliseconds{5'100});
    CHECK(guest.lines.empty());
    CHECK(watcher.take() == Lines{"joined " + room + " at 0", room + " +u1", room + " -u1"});
    CHECK(node.presence(room).total == 1);
    CHECK(node.info(room).subscribers == 1);
}
