// The home side: which rooms are kept, for how long, and what happens when there are too many.

#include "home_rooms.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <support/rooms_node.hpp>

using namespace fanfare;
using room::Options;
using room::Rule;
using test::Lines;
using test::Listener;
using test::RoomsNode;
using namespace std::chrono_literals;

namespace {

Options with_ttl(std::chrono::milliseconds position_ttl) {
    Options options;
    options.position_ttl = position_ttl;
    return options;
}
Options with_rooms(std::size_t rooms_max) {
    Options options;
    options.rooms_max = rooms_max;
    return options;
}

/// Timer wake-ups that the reactor asks for within a second. A turn of the wheel's lowest level
/// explains one.
int wake_ups(RoomsNode& node) {
    int count = 0;
    for (int tick = 0; tick < 40; ++tick) {
        if (node.reactor(0).timers().next_in(node.clock.mono(), 1'000) <= 25) ++count;
        node.pass(25ms);
    }
    return count;
}

} // namespace

TEST_CASE("home rooms: a position outlives its history, for position_ttl after the last publish",
          "[room][home_rooms]") {
    RoomsNode node{1, {test::rule_with_history(10, 60s)}, with_ttl(10min)};
    node.publish("r", "1");
    node.pass(5min);
    const Position position = node.publish("r", "2").position;
    CHECK(position.offset == 2);
    node.pass(9min + 50s);
    CHECK(node.info("r").position == position);
    CHECK(node.history("r").messages.empty());
    node.pass(20s);
    CHECK(node.metrics.sum("rooms") == 0);
    const Position fresh = node.info("r").position;
    CHECK(fresh.epoch != position.epoch);
    CHECK(fresh.offset == 0);
}

TEST_CASE("home rooms: a room with subscribers keeps its position", "[room][home_rooms]") {
    RoomsNode node{1, {test::rule_with_history(10, 60s)}, with_ttl(10min)};
    const Position position = node.publish("r", "1").position;
    Listener listener{node};
    listener.subscribe("r");
    node.pass(24h);
    CHECK(node.info("r").position == position);
    listener.unsubscribe("r");
    node.pass(1s);
    CHECK(node.metrics.sum("rooms") == 0); // its time was over long ago
}

TEST_CASE("home rooms: a room with messages keeps its position, and rests meanwhile",
          "[room][home_rooms]") {
    RoomsNode node{1, {test::rule_with_history(10, 1h)}, with_ttl(10min)};
    const Position position = node.publish("r", "1").position;
    node.pass(30min);
    CHECK(node.info("r").position == position);
    CHECK(node.history("r").messages.size() == 1);
    CHECK(wake_ups(node) <= 2);
    node.pass(31min);
    CHECK(node.metrics.sum("rooms") == 0);
}

TEST_CASE("home rooms: one that was never published to is forgotten after a minute",
          "[room][home_rooms]") {
    RoomsNode node{1, {Rule{}}, with_ttl(24h)};
    const Position position = node.info("r").position;
    node.pass(59s);
    CHECK(node.info("r").position == position);
    CHECK(node.metrics.sum("rooms") == 1);
    node.pass(2s);
    CHECK(node.metrics.sum("rooms") == 0);
}

TEST_CASE("home rooms: the minute counts from when the last subscriber left",
          "[room][home_rooms]") {
    RoomsNode node{1, {Rule{}}, with_ttl(24h)};
    Listener listener{node};
    listener.subscribe("r");
    node.pass(1h);
    const Position position = node.info("r").position;
    listener.unsubscribe("r");
    node.pass(59s);
    CHECK(node.info("r").position == position);
    node.pass(2s);
    CHECK(node.metrics.sum("rooms") == 0);
}

TEST_CASE("home rooms: a short position_ttl holds for unpublished rooms too",
          "[room][home_rooms]") {
    RoomsNode node{1, {Rule{}}, with_ttl(10s)};
    (void)node.info("r");
    node.pass(11s);
    CHECK(node.metrics.sum("rooms") == 0);
}

TEST_CASE("home rooms: messages are let go of at their age, read or not", "[room][home_rooms]") {
    RoomsNode node{1, {test::rule_with_history(10, 5s)}, with_ttl(24h)};
    const room::RoomNameRef name = room::RoomName::make("r", hash_bytes("r"));
    // A replay looks at what is there without cleaning up first.
    const auto kept = [&](const Position& after) {
        std::size_t count = 0;
        node.on(0, [&] {
            node.rooms(0).home().replay(*name, after, 10'000, [&](const room::ReplayBatch& batch) {
                count = batch.messages.size();
            });
        });
        return count;
    };
    Position before = node.info("r").position; // waits for the end of its minute
    node.publish("r", "1");
    CHECK(kept(before) == 1);
    node.pass(5s + 50ms);
    CHECK(kept(before) == 0);
    // The room waits for the end of its day now.
    before = node.publish("r", "2").position;
    node.publish("r", "3");
    CHECK(kept(before) == 1);
    node.pass(5s + 50ms);
    CHECK(kept(before) == 0);
}

TEST_CASE("home rooms: with rooms_max reached the one idle longest goes", "[room][home_rooms]") {
    RoomsNode node{1, {Rule{}}, with_rooms(3)};
    std::map<std::string, Epoch> epochs;
    for (const char* room : {"a", "b", "c"}) epochs[room] = node.publish(room, "m").position.epoch;
    node.publish("a", "m"); // young again
    SECTION("a publish makes place") {
        epochs["d"] = node.publish("d", "m").position.epoch;
    }
    SECTION("a join makes place") {
        Listener listener{node};
        listener.subscribe("d");
        CHECK(listener.lines == Lines{"joined d at 0"});
        epochs["d"] = node.info("d").position.epoch;
    }
    CHECK(node.metrics.sum("rooms_evicted_total") == 1);
    CHECK(node.metrics.sum("rooms") == 3);
    for (const char* room : {"a", "c", "d"}) CHECK(node.info(room).position.epoch == epochs[room]);
    CHECK(node.info("b").position.epoch != epochs["b"]);
}

TEST_CASE("home rooms: rooms with subscribers are not evicted, and are young when they are left",
          "[room][home_rooms]") {
    RoomsNode node{1, {Rule{}}, with_rooms(3)};
    const Epoch oldest = node.publish("a", "m").position.epoch;
    Listener listener{node};
    listener.subscribe("a");
    const Epoch b = node.publish("b", "m").position.epoch;
    const Epoch c = node.publish("c", "m").position.epoch;
    node.publish("d", "m"); // b goes
    CHECK(node.info("a").position.epoch == oldest);
    listener.unsubscribe("a");
    node.publish("e", "m"); // c goes: a was left later
    CHECK(node.info("a").position.epoch == oldest);
    CHECK(node.metrics.sum("rooms_evicted_total") == 2);
    CHECK(node.info("b").position.epoch != b);
    CHECK(node.info("c").position.epoch != c);
}

TEST_CASE("home rooms: when all are busy, another one is refused", "[room][home_rooms]") {
    RoomsNode node{1, {Rule{}}, with_rooms(2)};
    Listener listener{node};
    listener.subscribe("a");
    listener.subscribe("b");
    const room::PublishResult refused = node.publish("c", "m");
    CHECK(refused.code == Code::limit_reached);
    CHECK(refused.detail != nullptr);
    Listener late{node};
    late.subscribe("c");
    CHECK(late.lines == Lines{"refused c limit_reached"});
    CHECK(node.history("c").code == Code::limit_reached);
    CHECK(node.info("c").position == Position{});
    // What needs no room goes on.
    CHECK(node.publish(0, test::draft("c", "m", true)).code == Code::ok);
    CHECK(node.publish("a", "m").position.offset == 1);
    listener.unsubscribe("b");
    CHECK(node.publish("c", "m").code == Code::ok);
}

TEST_CASE("home rooms: rooms_max is shared by the reactors", "[room][home_rooms]") {
    RoomsNode node{2, {Rule{}}, with_rooms(4)};
    for (int i = 0; i < 20; ++i) node.publish("r" + std::to_string(i), "m");
    CHECK(node.metrics.sum("rooms") == 4);
}

TEST_CASE("home rooms: asking for members makes no room", "[room][home_rooms]") {
    RoomsNode node{1};
    CHECK(node.presence("r").total == 0);
    CHECK(node.metrics.sum("rooms") == 0);
}

TEST_CASE("home rooms: patterns of as many reactors as a configuration may ask for",
          "[room][home_rooms][patterns]") {
    RoomsNode node{1};
    room::HomeRooms& home = node.rooms(0).home();
    constexpr unsigned last = 1'023; // `server.reactors` is at most 1024
    home.add_pattern("a*", 0);
    home.add_pattern("a*", last);
    home.add_pattern("*1", 7);
    CHECK(home.pattern_reactors("a1").count() == 3);
    CHECK(home.pattern_reactors("a").test(last));
    CHECK(home.pattern_reactors("b").none());
    home.remove_pattern("a*", last);
    home.remove_pattern("never added", 1);
    CHECK(home.pattern_reactors("a").count() == 1);
    home.remove_pattern("a*", 0);
    CHECK(home.pattern_reactors("a").none());
}

TEST_CASE("home rooms: counts what is published", "[room][home_rooms]") {
    RoomsNode node{1};
    node.publish("r", "12345");
    node.publish(0, test::draft("r", "123", true));
    CHECK(node.metrics.sum("messages_published_total") == 2);
    CHECK(node.metrics.sum("published_bytes_total") == 8);
}

// --- presence bound ---

TEST_CASE("home rooms: above the bound members are counted, not listed or announced",
          "[room][home_rooms][presence]") {
    Options options;
    options.presence_members_max = 3;
    Rule rule;
    rule.presence = true;
    RoomsNode node{1, {rule}, options};
    Listener watcher{node};
    watcher.subscribe("r");
    std::vector<std::unique_ptr<Listener>> users;
    for (int i = 0; i < 5; ++i) {
        users.push_back(std::make_unique<Listener>(node));
        users.back()->user = "u" + std::to_string(i);
        room::JoinWish wish;
        wish.info = "{\"n\":" + std::to_string(i) + "}";
        users.back()->subscribe("r", wish);
    }
    CHECK(watcher.take() == Lines{"joined r at 0", "r +u0", "r +u1", "r +u2"});
    const room::PresenceResult here = node.presence("r");
    REQUIRE(here.members.size() == 3);
    CHECK(here.members[0].user == "u0");
    CHECK(here.members[0].sessions == 1);
    CHECK(here.members[0].info == "{\"n\":0}");
    CHECK(here.total == 6); // the watcher is anonymous
    users[0]->unsubscribe("r");
    node.pass(5'100ms);
    CHECK(watcher.take().empty()); // four are here: above the bound still
    users[1]->unsubscribe("r");
    users[2]->unsubscribe("r");
    node.pass(5'100ms);
    CHECK(watcher.take() == Lines{"r -u1", "r -u2"});
}

// --- lists ---

TEST_CASE("home rooms: lists the rooms with subscribers by name, page by page",
          "[room][home_rooms]") {
    RoomsNode node{3};
    std::vector<std::unique_ptr<Listener>> listeners;
    Lines all;
    for (int i = 0; i < 30; ++i) {
        const std::string room = "chat:" + std::to_string(100 + i);
        for (int n = 0; n <= i % 3; ++n) {
            listeners.push_back(std::make_unique<Listener>(node, static_cast<std::size_t>(n)));
            listeners.back()->subscribe(room);
        }
        all.push_back(room + ":" + std::to_string(i % 3 + 1));
    }
    listeners[0]->subscribe("news");
    node.publish("chat:empty", "m"); // nobody is there

    CHECK(node.list("chat:", "", 100) == all);
    CHECK(node.list("chat:11", "", 100) == Lines(all.begin() + 10, all.begin() + 20));
    CHECK(node.list("", "chat:129", 100) == Lines{"news:1"});
    CHECK(node.list("nothing", "", 100).empty());
    CHECK(node.list("", "", 0).empty());
    const std::size_t limit = GENERATE(as<std::size_t>{}, 1, 7, 29, 30, 31);
    CAPTURE(limit);
    Lines paged;
    std::string after;
    while (true) {
        const Lines page = node.list("chat:", after, limit);
        CHECK(page.size() <= limit);
        if (page.empty()) break;
        paged.insert(paged.end(), page.begin(), page.end());
        after = page.back().substr(0, page.back().rfind(':'));
    }
    CHECK(paged == all);
}

// --- rules that change ---

TEST_CASE("home rooms: follow new rules from their next use on", "[room][home_rooms][rules]") {
    RoomsNode node{2, {test::rule_with_history(10, 1h)}};
    const std::string room = node.room_at(1);
    for (int i = 0; i < 5; ++i) node.publish(room, "m");
    node.set_rules({test::rule_with_history(2, 1h)});
    CHECK(node.history(room).messages.size() == 2);
    node.publish(room, "m");
    CHECK(node.history(room).messages.front()->position().offset == 5);
    node.set_rules({test::rule_with_history(4, 1h)});
    for (int i = 0; i < 4; ++i) node.publish(room, "m");
    CHECK(node.history(room).messages.size() == 4);
    CHECK(node.history(room).position.offset == 10);
}

TEST_CASE("home rooms: a room that is not used follows them too", "[room][home_rooms][rules]") {
    // Its timer is set by the old rule, and runs under the new one: the old ones are gone.
    RoomsNode node{1, {test::rule_with_history(10, 1min)}, with_ttl(24h)};
    node.publish("r", "m");
    node.set_rules({test::rule_with_history(10, 1h)});
    node.pass(10min);
    CHECK(node.history("r").messages.size() == 1);
    node.pass(51min);
    CHECK(node.history("r").messages.empty());
}

TEST_CASE("home rooms: presence follows the rules", "[room][home_rooms][rules]") {
    Rule with;
    with.presence = true;
    RoomsNode node{1, {with}};
    Listener u1{node};
    u1.user = "u1";
    u1.subscribe("r");
    CHECK(node.presence("r").total == 1);
    node.set_rules({Rule{}});
    CHECK(node.presence("r").total == 0);
    node.set_rules({with});
    Listener u2{node};
    u2.user = "u2";
    u2.subscribe("r");
    CHECK(node.presence("r").total == 1); // who came before is not known
    u1.unsubscribe("r");
    node.pass(6s);
    CHECK(node.presence("r").total == 1);
}

TEST_CASE("home rooms: patterns follow the rules", "[room][home_rooms][rules]") {
    Rule with;
    with.patterns = true;
    RoomsNode node{2, {with}};
    Listener listener{node};
    listener.subscribe_pattern("*");
    node.publish("r", "1");
    node.set_rules({Rule{}});
    node.publish("r", "2");
    node.set_rules({with});
    node.publish("r", "3");
    CHECK(listener.lines == Lines{"ready *", "~r#1 ws r#1 1", "~r#3 ws r#3 3"});
}

TEST_CASE("home rooms: one that no rule matches any more keeps its numbering straight",
          "[room][home_rooms][rules]") {
    RoomsNode node{1, {test::rule_with_history(10, 1h)}};
    Listener listener{node};
    listener.subscribe("r");
    for (int i = 0; i < 3; ++i) node.publish("r", "m");
    node.set_rules({});
    CHECK(node.publish("r", "on its way").position.offset == 4);
    node.set_rules({test::rule_with_history(10, 1h)});
    node.publish("r", "m");
    // What was not kept makes a hole: what is before it cannot be kept either.
    const room::HistoryResult history = node.history("r");
    CHECK(history.position.offset == 5);
    REQUIRE(history.messages.size() == 1);
    CHECK(history.messages[0]->position().offset == 5);
    CHECK(listener.lines.size() == 6);
}

TEST_CASE("home rooms: one that no rule matches any more is forgotten in its time",
          "[room][home_rooms][rules]") {
    RoomsNode node{1, {test::rule_with_history(10, 1min)}, with_ttl(10min)};
    node.publish("r", "m");
    node.set_rules({});
    node.pass(9min);
    CHECK(node.metrics.sum("rooms") == 1);
    node.pass(2min);
    CHECK(node.metrics.sum("rooms") == 0);
    CHECK(wake_ups(node) <= 2);
}
