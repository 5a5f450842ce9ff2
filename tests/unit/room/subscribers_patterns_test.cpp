// The local side: patterns. The other side is real.

#include <catch2/catch.hpp>

#include <algorithm>
#include <support/rooms_node.hpp>

using namespace fanfare;
using room::Rule;
using room::Subscription;
using test::Lines;
using test::Listener;
using test::RoomsNode;

namespace {

Rule pattern_rule(const std::string& match = "*") {
    Rule rule = test::rule(match);
    rule.patterns = true;
    return rule;
}

std::vector<bool> bits(unsigned mask, std::size_t count) {
    std::vector<bool> all(count);
    for (std::size_t i = 0; i < count; ++i) all[i] = (mask >> i & 1U) != 0;
    return all;
}

} // namespace

TEST_CASE("subscribers: a pattern is ready when all reactors know it",
          "[room][subscribers][patterns]") {
    RoomsNode node{3, {pattern_rule()}};
    Listener listener{node};
    node.on(0, [&] { node.rooms(0).subscribe_pattern(listener, "a*"); });
    CHECK(listener.lines.empty());
    node.turn(1);
    node.turn(0);
    CHECK(listener.lines.empty());
    node.turn(2);
    CHECK(listener.lines.empty()); // the last answer is on its way
    node.turn(0);
    CHECK(listener.take() == Lines{"ready a*"});
    // From then on rooms of every home are heard.
    for (std::size_t home = 0; home < 3; ++home) {
        const std::string room = node.room_at(home, "a");
        node.publish(home, test::draft(room, "m"));
        CHECK(listener.take() == Lines{"~" + room + "#1 ws " + room + "#1 m"});
    }
}

TEST_CASE("subscribers: further subscribers of a pattern wait no longer than the first",
          "[room][subscribers][patterns]") {
    RoomsNode node{2, {pattern_rule()}};
    Listener first{node};
    Listener second{node};
    Listener third{node};
    Listener gone{node};
    node.on(0, [&] {
        for (Listener* const listener : {&first, &gone, &second})
            node.rooms(0).subscribe_pattern(*listener, "a*");
        node.rooms(0).unsubscribe_pattern(gone, "a*");
        CHECK(first.lines.empty());
    });
    node.settle();
    CHECK(first.take() == Lines{"ready a*"});
    CHECK(second.take() == Lines{"ready a*"});
    CHECK(gone.take().empty());
    node.on(0, [&] {
        node.rooms(0).subscribe_pattern(third, "a*");
        CHECK(third.take() == Lines{"ready a*"}); // at once
    });
    CHECK(node.metrics.sum("pattern_subscriptions") == 3);
}

TEST_CASE("subscribers: a pattern given up and taken again waits for its own answers",
          "[room][subscribers][patterns]") {
    RoomsNode node{2, {pattern_rule()}};
    Listener listener{node};
    node.on(0, [&] { node.rooms(0).subscribe_pattern(listener, "a*"); });
    node.turn(1); // its answer is on its way
    node.reactor(0).post(std::function<void()>{[&] {
        // Runs before or after that answer: neither may make the new one ready.
        node.rooms(0).unsubscribe_pattern(listener, "a*");
        node.rooms(0).subscribe_pattern(listener, "a*");
    }});
    listener.take();
    node.turn(0);
    CHECK(listener.take().size() <= 1);
    listener.take();
    node.settle();
    node.publish("a1", "m");
    const Lines lines = listener.take();
    CHECK(lines.back() == "~a1#1 ws a1#1 m");
    CHECK(std::count(lines.begin(), lines.end(), "ready a*") <= 1);
    listener.unsubscribe_pattern("a*");
    node.publish("a1", "m");
    CHECK(listener.take().empty());
}

TEST_CASE("subscribers: who subscribes, leaves and subscribes a pattern in one turn is ready once",
          "[room][subscribers][patterns]") {
    RoomsNode node{2, {pattern_rule()}};
    Listener listener{node};
    node.on(0, [&] {
        node.rooms(0).subscribe_pattern(listener, "a*");
        node.rooms(0).unsubscribe_pattern(listener, "a*");
        node.rooms(0).subscribe_pattern(listener, "a*");
    });
    CHECK(listener.lines.empty());
    node.settle();
    CHECK(listener.take() == Lines{"ready a*"});
    node.publish("a1", "m");
    CHECK(listener.take() == Lines{"~a1#1 ws a1#1 m"});
}

TEST_CASE("subscribers: a subscriber may leave its pattern when it is ready",
          "[room][subscribers][patterns]") {
    RoomsNode node{2, {pattern_rule()}};
    Listener leaves{node};
    Listener stays{node};
    leaves.when_ready = [&](std::string_view) { node.rooms(0).unsubscribe_pattern(leaves, "a*"); };
    node.on(0, [&] {
        node.rooms(0).subscribe_pattern(stays, "a*");
        node.rooms(0).subscribe_pattern(leaves, "a*");
    });
    node.settle();
    CHECK(leaves.take() == Lines{"ready a*"});
    CHECK(stays.take() == Lines{"ready a*"});
    leaves.when_ready = [&](std::string_view pattern) {
        node.rooms(0).unsubscribe_pattern(leaves, pattern);
    };
    leaves.subscribe_pattern("b*"); // the only one
    CHECK(leaves.take() == Lines{"ready b*"});
    node.publish("b", "m");
    CHECK(leaves.take().empty());
}

TEST_CASE("subscribers: a message comes once, however many patterns match",
          "[room][subscribers][patterns]") {
    RoomsNode node{2, {pattern_rule()}};
    Listener listener{node};
    for (const char* pattern : {"a*", "*1", "*", "b*"}) listener.subscribe_pattern(pattern);
    listener.take();
    node.publish("a1", "m");
    CHECK(listener.take() == Lines{"~a1#1 ws a1#1 m"});
    listener.unsubscribe_pattern("a*");
    listener.unsubscribe_pattern("*");
    node.publish("a1", "m");
    CHECK(listener.take() == Lines{"~a1#2 ws a1#2 m"});
    node.publish("a2", "m");
    CHECK(listener.take().empty());
    listener.unsubscribe_pattern("never had");
}

TEST_CASE("subscribers: who is there by name and by pattern is told of both",
          "[room][subscribers][patterns]") {
    const auto reactors = GENERATE(1U, 2U);
    RoomsNode node{reactors, {pattern_rule()}};
    const std::string room = node.room_at(reactors - 1, "a");
    Listener listener{node};
    listener.subscribe_pattern("a*");
    listener.subscribe(room);
    listener.take();
    node.publish(room, "m");
    // The subscriber can tell, and decides.
    CHECK(listener.take() ==
          Lines{"~" + room + "#1 ws " + room + "#1 m", room + "#1 ws " + room + "#1 m"});
}

TEST_CASE("subscribers: rooms whose rule does not say patterns are skipped",
          "[room][subscribers][patterns]") {
    RoomsNode node{2, {test::rule("a-secret*"), pattern_rule("a*")}};
    Listener listener{node};
    listener.subscribe_pattern("*");
    listener.take();
    node.publish("a-secret", "m");
    node.publish("b", "m"); // no rule at all
    node.publish(0, test::draft("a-secret", "m", true));
    CHECK(listener.take().empty());
    node.publish("a-open", "m");
    CHECK(listener.take() == Lines{"~a-open#1 ws a-open#1 m"});
}

TEST_CASE("subscribers: an ephemeral message passes through patterns and makes no room",
          "[room][subscribers][patterns]") {
    RoomsNode node{2, {pattern_rule("a*")}};
    Listener listener{node};
    listener.subscribe_pattern("*");
    listener.take();
    const auto result = node.publish(1, test::draft("a1", "typing", true));
    CHECK(result.code == Code::ok);
    CHECK(result.position == Position{});
    CHECK(listener.take() == Lines{"~a1#- ws a1#0 typing"});
    node.publish(1, test::draft("no-rule", "typing", true));
    CHECK(listener.take().empty());
    CHECK(node.metrics.sum("rooms") == 0);
}

TEST_CASE("subscribers: any of them may leave its pattern in the walk",
          "[room][subscribers][patterns]") {
    const auto mask = bits(GENERATE(range(0U, 16U)), 4);
    CAPTURE(mask);
    RoomsNode node{1, {pattern_rule()}};
    std::vector<std::unique_ptr<Listener>> all;
    for (std::size_t i = 0; i < 4; ++i) {
        Listener& listener = *all.emplace_back(std::make_unique<Listener>(node));
        listener.subscribe_pattern("a*");
        listener.take();
        if (mask[i])
            listener.when_message = [&node, &listener](Subscription*) {
                node.rooms(0).unsubscribe_pattern(listener, "a*");
            };
    }
    node.publish("a", "1");
    node.publish("a", "2");
    for (std::size_t i = 0; i < 4; ++i) CHECK(all[i]->lines.size() == (mask[i] ? 1U : 2U));
    CHECK(node.metrics.sum("pattern_subscriptions") ==
          static_cast<double>(std::count(mask.begin(), mask.end(), false)));
}

TEST_CASE("subscribers: patterns of one reactor do not wake the others",
          "[room][subscribers][patterns]") {
    RoomsNode node{3, {pattern_rule()}};
    const std::string room = node.room_at(0, "a");
    Listener listener{node, 1};
    listener.subscribe_pattern("a*");
    node.on(0, [&] { node.rooms(0).publish(test::draft(room, "m"), {}); });
    CHECK(node.reactor(1).mailbox().backlog() == 1);
    CHECK(node.reactor(2).mailbox().backlog() == 0);
}
