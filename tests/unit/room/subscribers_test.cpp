// The local side: joining, replay, live, leaving. Walks over many and patterns have their own
// files.

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <support/rooms_node.hpp>

using namespace fanfare;
using room::Form;
using room::Options;
using room::Rule;
using room::Subscription;
using test::Lines;
using test::Listener;
using test::RoomsNode;
using State = Subscription::State;
using std::chrono::milliseconds;

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

// --- join, replay, live ---

TEST_CASE("subscribers: live messages come after the join, wherever the room's home is",
          "[room][subscribers]") {
    const auto reactors = GENERATE(1U, 2U, 3U);
    RoomsNode node{reactors};
    const std::string room = node.room_at(reactors - 1);
    publish_some(node, room, 2);
    Listener listener{node};
    listener.subscribe(room);
    node.publish(room, "live");
    CHECK(listener.lines == Lines{"joined " + room + " at 2", room + "#3 ws " + room + "#3 live"});
    CHECK(listener.subscription(room).state == State::live);
    CHECK(node.info(room).subscribers == 1);
    CHECK(node.metrics.sum("subscriptions") == 1);
    listener.unsubscribe(room);
    CHECK(listener.subscription(room).state == State::idle);
    node.publish(room, "unheard");
    CHECK(listener.lines.size() == 2);
    CHECK(node.info(room).subscribers == 0);
    CHECK(node.metrics.sum("subscriptions") == 0);
}

TEST_CASE("subscribers: a resume replays what came after, then goes live without a seam",
          "[room][subscribers]") {
    const auto reactors = GENERATE(1U, 2U, 3U);
    RoomsNode node{reactors, {history_rule()}};
    const std::string room = node.room_at(reactors - 1);
    publish_some(node, room, 5);
    Listener listener{node};
    listener.subscribe_since(room, {node.info(room).position.epoch, 2});
    publish_some(node, room, 1);
    CHECK(listener.lines == Lines{"joined " + room + " at 5 recovered",
                                  "replay " + room + " 3..5 caught up",
                                  room + "#6 ws " + room + "#6 m"});
}

TEST_CASE("subscribers: what is published between the join and each pull is replayed, not lost",
          "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1);
    publish_some(node, room, 3);
    Listener listener{node};
    listener.pull_bytes = 1; // one message a batch
    int more = 2;
    const auto publish_one = [&] {
        if (more-- > 0) node.rooms(0).publish(test::draft(room, "meanwhile"), {});
    };
    listener.when_joined = [&](Subscription& at, const room::JoinResult&) {
        publish_one();
        node.rooms(0).pull(at, 1);
    };
    listener.when_replayed = [&](Subscription& at, const room::ReplayBatch& batch) {
        publish_one();
        if (batch.caught_up)
            node.rooms(0).go_live(at);
        else
            node.rooms(0).pull(at, 1);
    };
    listener.subscribe_since(room, {node.info(room).position.epoch, 0});
    node.publish(room, "live");
    CHECK(listener.lines == Lines{"joined " + room + " at 3 recovered", "replay " + room + " 1..1",
                                  "replay " + room + " 2..2", "replay " + room + " 3..3",
                                  "replay " + room + " 4..4", "replay " + room + " 5..5 caught up",
                                  room + "#6 ws " + room + "#6 live"});
}

TEST_CASE("subscribers: recovered is true only if nothing is missing", "[room][subscribers]") {
    struct Case {
        const char* name;
        std::uint64_t offset;
        enum { same, other, none, abridged } epoch;
        const char* expected;
    };
    // 1 … 5 are published, 3 … 5 are kept.
    const auto c = GENERATE(values<Case>({
        {"the newest", 5, Case::same, "joined at 5 recovered"},
        {"the one before", 4, Case::same, "joined at 5 recovered|replay 5..5 caught up"},
        {"the last that is covered", 2, Case::same, "joined at 5 recovered|replay 3..5 caught up"},
        {"one too old", 1, Case::same, "joined at 5 lost"},
        {"the very beginning", 0, Case::same, "joined at 5 lost"},
        {"beyond the newest", 6, Case::same, "joined at 5 lost"},
        {"far beyond", ~std::uint64_t{0}, Case::same, "joined at 5 lost"},
        {"another epoch", 5, Case::other, "joined at 5 lost"},
        {"no epoch", 5, Case::none, "joined at 5 lost"},
        {"the epoch's leading bits", 4, Case::abridged,
         "joined at 5 recovered|replay 5..5 caught up"},
    }));
    CAPTURE(c.name);
    RoomsNode node{2, {history_rule(3)}};
    const std::string room = node.room_at(1);
    publish_some(node, room, 5);
    Position since{node.info(room).position.epoch, c.offset};
    if (c.epoch == Case::other) since.epoch = Epoch::fresh();
    if (c.epoch == Case::none) since.epoch = Epoch{};
    if (c.epoch == Case::abridged) {
        const std::string bytes = from_base64url(since.epoch.text()).value();
        std::array<std::uint8_t, 5> leading{};
        std::copy_n(bytes.begin(), 5, leading.begin());
        since.epoch = Epoch::abridged(leading);
    }
    Listener listener{node};
    listener.subscribe_since(room, since);
    std::string seen;
    for (std::string line : listener.take()) {
        line.erase(line.find(room), room.size() + 1);
        seen += (seen.empty() ? "" : "|") + line;
    }
    CHECK(seen == c.expected);
    // Live starts right after the newest in all cases.
    publish_some(node, room, 1);
    CHECK(listener.take() == Lines{room + "#6 ws " + room + "#6 m"});
}

TEST_CASE("subscribers: without history the newest position recovers and no other",
          "[room][subscribers]") {
    RoomsNode node{1, {test::rule_with_history(0, milliseconds{0})}};
    publish_some(node, "r", 2);
    const Epoch epoch = node.info("r").position.epoch;
    Listener newest{node};
    newest.subscribe_since("r", {epoch, 2});
    CHECK(newest.lines == Lines{"joined r at 2 recovered"});
    Listener older{node};
    older.subscribe_since("r", {epoch, 1});
    CHECK(older.lines == Lines{"joined r at 2 lost"});
}

TEST_CASE("subscribers: a room that was never published to can be resumed from its start",
          "[room][subscribers]") {
    RoomsNode node{1, {history_rule()}};
    const Epoch epoch = node.info("r").position.epoch;
    Listener listener{node};
    listener.subscribe_since("r", {epoch, 0});
    CHECK(listener.lines == Lines{"joined r at 0 recovered"});
}

TEST_CASE("subscribers: history that is too old does not recover", "[room][subscribers]") {
    // Between two ticks of the timers: nothing else has expired it.
    RoomsNode node{1, {test::rule_with_history(10, milliseconds{1'010})}};
    publish_some(node, "r", 2);
    const Epoch epoch = node.info("r").position.epoch;
    node.clock.advance(1'010);
    Listener older{node};
    older.subscribe_since("r", {epoch, 1});
    CHECK(older.lines == Lines{"joined r at 2 lost"});
    Listener newest{node};
    newest.subscribe_since("r", {epoch, 2});
    CHECK(newest.lines == Lines{"joined r at 2 recovered"});
}

TEST_CASE("subscribers: last N replays the newest N that are kept", "[room][subscribers]") {
    struct Case {
        std::uint32_t last;
        const char* replay;
    };
    const auto c = GENERATE(values<Case>({{1, "replay r 5..5 caught up"},
                                          {2, "replay r 4..5 caught up"},
                                          {3, "replay r 3..5 caught up"},
                                          {4, "replay r 3..5 caught up"},
                                          {~0U, "replay r 3..5 caught up"}}));
    RoomsNode node{1, {history_rule(3)}};
    publish_some(node, "r", 5);
    Listener listener{node};
    listener.subscribe_last("r", c.last);
    CHECK(listener.lines == Lines{"joined r at 5", c.replay});
}

TEST_CASE("subscribers: last N of nothing goes live at once; since goes before last",
          "[room][subscribers]") {
    RoomsNode node{1, {history_rule()}};
    Listener empty{node};
    empty.subscribe_last("r", 10);
    CHECK(empty.lines == Lines{"joined r at 0"});
    publish_some(node, "r", 5);
    Listener both{node};
    room::JoinWish wish;
    wish.since = Position{node.info("r").position.epoch, 4};
    wish.last = 3;
    both.subscribe("r", wish);
    CHECK(both.lines == Lines{"joined r at 5 recovered", "replay r 5..5 caught up"});
}

TEST_CASE("subscribers: history trimmed under a replay is told, and live goes on after it",
          "[room][subscribers]") {
    const auto reactors = GENERATE(1U, 2U);
    RoomsNode node{reactors, {history_rule(3)}};
    const std::string room = node.room_at(reactors - 1);
    publish_some(node, room, 3);
    Listener listener{node};
    listener.pull_bytes = 1;
    listener.when_replayed = [](Subscription&, const room::ReplayBatch&) {}; // the socket is full
    listener.subscribe_since(room, {node.info(room).position.epoch, 0});
    CHECK(listener.take() ==
          Lines{"joined " + room + " at 3 recovered", "replay " + room + " 1..1"});
    publish_some(node, room, 2); // 3, 4, 5 are kept: 2 is gone
    listener.when_replayed = nullptr;
    node.on(0, [&] { node.rooms(0).pull(listener.subscription(room), 1); });
    node.settle();
    publish_some(node, room, 1);
    CHECK(listener.take() == Lines{"trimmed " + room + " at 5", room + "#6 ws " + room + "#6 m"});
}

TEST_CASE("subscribers: ephemeral messages are live only", "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1);
    publish_some(node, room, 1);
    Listener live{node};
    live.subscribe(room);
    Listener replaying{node};
    replaying.when_joined = [](Subscription&, const room::JoinResult&) {};
    replaying.subscribe_last(room, 1);
    const auto result = node.publish(0, test::draft(room, "typing", true));
    CHECK(result.code == Code::ok);
    CHECK(result.ephemeral);
    CHECK(result.position == Position{});
    publish_some(node, room, 1); // the numbering has no hole
    CHECK(live.lines == Lines{"joined " + room + " at 1", room + "#- ws " + room + "#0 typing",
                              room + "#2 ws " + room + "#2 m"});
    CHECK(replaying.lines == Lines{"joined " + room + " at 1"});
    CHECK(node.history(room).messages.size() == 2);
}

// --- leaving in any state ---

TEST_CASE("subscribers: left while joining, it hears nothing and counts nowhere",
          "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1);
    Listener listener{node};
    node.on(0, [&] {
        listener.subscribe_now(room);
        listener.unsubscribe_now(room);
        CHECK(listener.subscription(room).state == State::idle);
    });
    node.settle();
    CHECK(listener.lines.empty());
    CHECK(node.info(room).subscribers == 0);
    CHECK(node.metrics.sum("subscriptions") == 0);
    node.publish(room, "m");
    CHECK(listener.lines.empty());
}

TEST_CASE("subscribers: left and joined again while joining, only the last one counts",
          "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1);
    Listener listener{node};
    node.on(0, [&] {
        for (int i = 0; i < 3; ++i) {
            listener.subscribe_now(room);
            listener.unsubscribe_now(room);
        }
        listener.subscribe_now(room); // the earlier subscriptions are destroyed
    });
    node.settle();
    CHECK(listener.take() == Lines{"joined " + room + " at 0"});
    CHECK(node.info(room).subscribers == 1);
    publish_some(node, room, 1);
    CHECK(listener.take() == Lines{room + "#1 ws " + room + "#1 m"});
    listener.unsubscribe(room);
    CHECK(node.info(room).subscribers == 0);
}

TEST_CASE("subscribers: an abandoned join does not take the room from those who stay",
          "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1);
    Listener stays{node};
    Listener goes{node};
    stays.subscribe(room);
    node.on(0, [&] {
        goes.subscribe_now(room);
        goes.unsubscribe_now(room);
    });
    node.settle();
    publish_some(node, room, 1);
    CHECK(stays.lines.size() == 2);
    CHECK(node.info(room).subscribers == 1);
}

TEST_CASE("subscribers: left while a batch is on its way, it is not called",
          "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1);
    publish_some(node, room, 3);
    Listener listener{node};
    listener.when_joined = [&](Subscription& at, const room::JoinResult&) {
        node.rooms(0).pull(at, 1'000);
        listener.unsubscribe_now(room);
    };
    listener.subscribe_last(room, 3);
    CHECK(listener.lines == Lines{"joined " + room + " at 3"});
    CHECK(node.info(room).subscribers == 0);
    // Its ticket's slot is used again: a late batch must not reach the new one.
    listener.when_joined = nullptr;
    listener.take();
    listener.subscribe(room);
    CHECK(listener.lines == Lines{"joined " + room + " at 3"});
}

TEST_CASE("subscribers: may leave in any call", "[room][subscribers]") {
    RoomsNode node{2, {presence_rule()}};
    const std::string room = node.room_at(1);
    publish_some(node, room, 2);
    Listener listener{node};
    const auto leave = [&] { listener.unsubscribe_now(room); };
    SECTION("when it has joined") {
        listener.when_joined = [&](Subscription&, const room::JoinResult&) { leave(); };
        listener.subscribe(room);
        CHECK(listener.lines.size() == 1);
    }
    SECTION("when it is given history") {
        listener.when_replayed = [&](Subscription&, const room::ReplayBatch&) { leave(); };
        listener.subscribe_last(room, 2);
        CHECK(listener.lines.size() == 2);
    }
    SECTION("when it is given a message") {
        listener.when_message = [&](Subscription*) { leave(); };
        listener.subscribe(room);
        publish_some(node, room, 2);
        CHECK(listener.lines.size() == 2);
    }
    SECTION("when someone comes") {
        listener.when_presence = [&](Subscription&) { leave(); };
        listener.subscribe(room);
        Listener other{node, 1};
        other.user = "u2";
        other.subscribe(room);
        other.unsubscribe(room);
        CHECK(listener.lines == Lines{"joined " + room + " at 2", room + " +u2"});
    }
    node.settle();
    CHECK(listener.subscription(room).state == State::idle);
    CHECK(node.info(room).subscribers == 0);
}

TEST_CASE("subscribers: a join that is refused says why and leaves nothing behind",
          "[room][subscribers]") {
    Options options;
    options.rooms_max = 1;
    RoomsNode node{1, {history_rule()}, options};
    Listener first{node};
    first.subscribe("a");
    Listener second{node};
    bool leaves = GENERATE(false, true); // in the call: there is nothing to leave
    second.when_joined = [&](Subscription& at, const room::JoinResult& result) {
        CHECK(at.state == State::idle);
        CHECK(result.detail != nullptr);
        if (leaves) second.unsubscribe_now("b");
    };
    second.subscribe("b");
    CHECK(second.take() == Lines{"refused b limit_reached"});
    CHECK(node.metrics.sum("subscriptions") == 1);
    first.unsubscribe("a");
    second.when_joined = nullptr;
    second.subscribe("b"); // the other room's place is free now
    CHECK(second.take() == Lines{"joined b at 0"});
}

TEST_CASE("subscribers: any schedule of publishes, turns, joins and leaves keeps every order",
          "[room][subscribers][property]") {
    // Each subscriber checks its own stream: from the position that it joined with, offsets rise by
    // one until it leaves, whatever happens on the three reactors in between.
    struct Checker final : room::Subscriber {
        RoomsNode* node = nullptr;
        std::size_t reactor = 0;
        std::mt19937* random = nullptr;
        Subscription place;
        std::uint64_t next = 0;
        std::size_t seen = 0;
        std::size_t trims = 0;
        bool pulling = false;
        bool ok = true;

        void pull() {
            pulling = true;
            node->rooms(reactor).pull(place, (*random)() % 2'000);
        }
        void join(const std::string& room, std::optional<Position> since) {
            room::JoinWish wish;
            wish.since = since;
            wish.last = static_cast<std::uint32_t>((*random)() % 5);
            pulling = false;
            node->rooms(reactor).subscribe(place, *this, room, wish);
        }
        void on_joined(Subscription& at, const room::JoinResult& result) override {
            ok = ok && result.code == Code::ok && result.replay_after <= result.position.offset;
            next = result.replay_after + 1;
            if (result.replay_after == result.position.offset)
                node->rooms(reactor).go_live(at);
            else
                pull();
        }
        void on_replay(Subscription& at, const room::ReplayBatch& batch) override {
            pulling = false;
            for (const room::MessageRef& message : batch.messages) {
                ok = ok && message->position().offset == next++;
                ++seen;
            }
            node->rooms(reactor).set_replayed(at, next - 1);
            if (batch.trimmed) {
                ++trims;
                ok = ok && batch.newest.offset >= next;
                next = batch.newest.offset + 1;
                node->rooms(reactor).go_live(at);
            } else if (batch.caught_up) {
                ok = ok && batch.newest.offset + 1 == next;
                node->rooms(reactor).go_live(at);
            } // else it pulls when the schedule says so
        }
        void on_message(room::Delivery& delivery, Subscription* at) override {
            ok = ok && at == &place && delivery.message().position().offset == next++;
            ++seen;
        }
        void on_presence(room::PresenceDelivery&, Subscription&) override {}
        void on_pattern_ready(std::string_view) override {}
    };

    const auto seed = GENERATE(range(1U, 13U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    RoomsNode node{3, {history_rule(20)}};
    const std::vector<std::string> rooms{node.room_at(0), node.room_at(1), node.room_at(2)};
    std::vector<Checker> checkers(9);
    for (std::size_t i = 0; i < checkers.size(); ++i) {
        checkers[i].node = &node;
        checkers[i].reactor = i % 3;
        checkers[i].random = &random;
    }
    std::map<std::string, Epoch> epochs;
    for (const std::string& room : rooms) epochs[room] = node.info(room).position.epoch;
    std::uint64_t published = 0;
    for (int step = 0; step < 6'000; ++step) {
        const std::size_t reactor = random() % 3;
        const std::string& room = rooms[random() % rooms.size()];
        Checker& checker = checkers[random() % checkers.size()];
        switch (random() % 6) {
        case 0:
        case 1:
            ++published;
            // Posted, not run: the schedule decides when the reactor turns.
            node.reactor(reactor).post(std::function<void()>{[&node, room, reactor] {
                node.rooms(reactor).publish(test::draft(room, "m"), {});
            }});
            break;
        case 2:
            node.on(checker.reactor, [&] {
                if (checker.place.state == State::idle) {
                    std::optional<Position> since;
                    if (random() % 2 == 0)
                        since = Position{epochs[room],
                                         random() % (static_cast<std::uint64_t>(step) / 18 + 1)};
                    checker.join(room, since);
                } else if (random() % 4 == 0) {
                    node.rooms(checker.reactor).unsubscribe(checker.place, Form::ws_json, {});
                }
            });
            break;
        case 3:
            node.on(checker.reactor, [&] {
                if (checker.place.state == State::replaying && !checker.pulling) checker.pull();
            });
            break;
        default:
            node.turn(reactor);
            break;
        }
    }
    node.settle();
    std::size_t seen = 0;
    for (const Checker& checker : checkers) {
        CHECK(checker.ok);
        seen += checker.seen;
        if (checker.place.state == State::live)
            CHECK(checker.next == node.info(std::string{checker.place.name()}).position.offset + 1);
    }
    CHECK(seen > published);
    std::uint64_t numbered = 0;
    for (const std::string& room : rooms) numbered += node.info(room).position.offset;
    CHECK(numbered == published);
}

TEST_CASE("subscribers: the time from publish to write counts each live delivery once",
          "[room][subscribers]") {
    RoomsNode node{2, {history_rule()}};
    const std::string room = node.room_at(1, "news");
    node.publish(room, "nobody");
    Listener here{node, 0};
    Listener there{node, 1};
    Listener by_pattern{node, 0};
    here.subscribe_last(room, 1); // a replay is no live delivery
    there.subscribe(room);
    CHECK(node.metrics.sum("publish_to_write_seconds") == 0);
    node.on(0, [&] { node.rooms(0).publish(test::draft(room, "m"), {}); });
    node.clock.advance(7); // on its way to its home
    node.turn(1);
    node.clock.advance(50);
    node.settle();
    CHECK(node.metrics.sum("publish_to_write_seconds") == 2);
    const std::string text = node.metrics.text();
    // On its home's reactor after 7 ms, on the other after 57 ms.
    CHECK(text.find("fanfare_publish_to_write_seconds_bucket{le=\"0.01\"} 1\n") !=
          std::string::npos);
    CHECK(text.find("fanfare_publish_to_write_seconds_sum 0.064\n") != std::string::npos);
}
