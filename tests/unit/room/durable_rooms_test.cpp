// Durable rooms over a store that answers when it is told to.

#include "support/memory_log.hpp"
#include "support/rooms_node.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace fanfare;
using namespace std::chrono_literals;
using test::Listener;
using test::MemoryLog;
using test::RoomsNode;
using Lines = std::vector<std::string>;

namespace {

room::Rule durable(std::size_t size = 1'000, std::chrono::milliseconds ttl = 1h) {
    room::Rule rule = test::rule_with_history(size, ttl);
    rule.history.durable = true;
    return rule;
}

struct World {
    explicit World(std::vector<room::Rule> rules = {durable()}, const room::Options& options = {},
                   unsigned reactors = 1)
        : node(reactors, std::move(rules), options, RoomsNode::direct(), &log) {}
    MemoryLog log; // outlives the node: it is asked by it
    RoomsNode node;

    struct Client final : room::PublishClient {
        Lines answers;
        void on_published(net::Handle who, std::uint64_t /*request*/,
                          const room::PublishResult& result) override {
            answers.push_back(std::to_string(who) + ":" +
                              (result.code == Code::ok ? std::to_string(result.position.offset)
                                                       : std::string{code_name(result.code)}));
        }
    } client;
    /// Does not wait for the answer.
    void send(net::Handle who, std::string_view room, std::string_view data) {
        node.on(0, [&] {
            node.rooms(0).publish(test::draft(room, data),
                                  {&client, &node.reactor(0), who, 0, nullptr});
        });
        node.settle();
    }
    void release_one() {
        log.release_one();
        node.settle();
    }
    void release_all() {
        while (!log.waiting.empty()) release_one();
    }
};

room::Options with_window(std::size_t messages) {
    room::Options options;
    options.window_max = messages;
    return options;
}

std::string offsets(const std::vector<room::MessageRef>& messages) {
    std::string text;
    for (const room::MessageRef& message : messages)
        text +=
            std::to_string(message->position().offset) + "=" + std::string{message->data()} + " ";
    return text;
}

} // namespace

TEST_CASE("durable room: nothing is seen before it was kept", "[room][durable]") {
    World world;
    Listener reader{world.node};
    reader.subscribe("r");
    CHECK(reader.take() == Lines{"joined r at 0"});
    world.log.hold = true;
    world.send(1, "r", "1");
    world.send(2, "r", "2");
    CHECK(world.client.answers.empty());
    CHECK(reader.take().empty());
    CHECK(world.node.info("r").position.offset == 0);
    world.release_one();
    CHECK(world.client.answers == Lines{"1:1"});
    CHECK(reader.take() == Lines{"r#1 ws r#1 1"});
    world.release_one();
    CHECK(world.client.answers == Lines{"1:1", "2:2"});
    CHECK(reader.take() == Lines{"r#2 ws r#2 2"});
}

TEST_CASE("durable room: what the store refuses leaves no hole", "[room][durable]") {
    World world;
    world.send(1, "r", "1");
    world.log.failing = "the store's disk is full";
    world.send(2, "r", "2");
    world.log.failing = nullptr;
    world.send(3, "r", "3");
    CHECK(world.client.answers == Lines{"1:1", "2:unavailable", "3:2"});
    CHECK(offsets(world.node.history("r").messages) == "1=1 2=3 ");
}

TEST_CASE("durable room: a full queue refuses", "[room][durable]") {
    World world;
    world.send(1, "r", "1");
    world.log.full = true;
    world.send(2, "r", "2");
    world.log.full = false;
    world.send(3, "r", "3");
    CHECK(world.client.answers == Lines{"1:1", "2:unavailable", "3:2"});
}

TEST_CASE("durable room: without a store it is refused", "[room][durable]") {
    RoomsNode node{1, {durable()}};
    const room::PublishResult result = node.publish("r", "1");
    CHECK(result.code == Code::unavailable);
}

TEST_CASE("durable room: ephemeral messages do not touch the store", "[room][durable]") {
    World world;
    Listener reader{world.node};
    reader.subscribe("r");
    reader.take();
    world.log.failing = "broken";
    CHECK(world.node.publish(0, test::draft("r", "typing", true)).code == Code::ok);
    CHECK(reader.take() == Lines{"r#- ws r#0 typing"});
}

TEST_CASE("durable room: commands wait until it was read", "[room][durable]") {
    World world;
    world.log.lives["r"] = {Epoch::fresh(), 7, {}};
    const Epoch epoch = world.log.lives["r"].epoch;
    world.log.hold = true;
    Listener reader{world.node};
    reader.subscribe("r");
    world.send(1, "r", "x");
    CHECK(reader.take().empty());
    world.release_all();
    CHECK(reader.take() == Lines{"joined r at 7", "r#8 ws r#8 x"});
    CHECK(world.client.answers == Lines{"1:8"});
    CHECK(world.log.opens == 1);
    world.log.hold = false;
    CHECK(world.node.info("r").position == Position{epoch, 8});
}

TEST_CASE("durable room: one that cannot be read refuses and is tried again", "[room][durable]") {
    World world;
    world.log.failing = "the store's file is damaged";
    Listener reader{world.node};
    reader.subscribe("r");
    world.send(1, "r", "x");
    CHECK(reader.take() == Lines{"refused r unavailable"});
    CHECK(world.client.answers == Lines{"1:unavailable"});
    CHECK(world.node.info("r").code == Code::unavailable);
    CHECK(world.node.history("r").code == Code::unavailable);
    world.log.failing = nullptr;
    reader.subscribe("r");
    world.send(2, "r", "y");
    CHECK(reader.take() == Lines{"joined r at 0", "r#1 ws r#1 y"});
}

TEST_CASE("durable room: leaves memory and comes back as it was", "[room][durable]") {
    World world;
    for (int i = 1; i <= 5; ++i) world.node.publish("r", std::to_string(i));
    const Position before = world.node.info("r").position;
    world.node.pass(61s);
    CHECK(world.node.metrics.sum("rooms") == 0);
    CHECK(world.node.info("r").position == before);
    CHECK(offsets(world.node.history("r").messages) == "1=1 2=2 3=3 4=4 5=5 ");
    CHECK(world.log.opens == 2);
}

TEST_CASE("durable room: is not forgotten while the store has something of it", "[room][durable]") {
    room::Options options;
    options.rooms_max = 1;
    World world{{durable()}, options};
    world.log.hold = true;
    world.send(1, "a", "1"); // being read
    world.send(2, "b", "1");
    CHECK(world.client.answers == Lines{"2:limit_reached"});
    world.release_one(); // read; now being kept
    world.node.pass(61s);
    world.send(3, "b", "1");
    world.release_all();
    CHECK(world.client.answers == Lines{"2:limit_reached", "3:limit_reached", "1:1"});
    world.log.hold = false;
    world.send(4, "b", "1"); // `a` makes place now
    CHECK(world.client.answers.back() == "4:1");
}

TEST_CASE("durable room: a position behind the window is resumed from the store",
          "[room][durable]") {
    World world{{durable()}, with_window(3)};
    for (int i = 1; i <= 20; ++i) world.node.publish("r", std::to_string(i));
    const Epoch epoch = world.node.info("r").position.epoch;
    Listener reader{world.node};
    reader.subscribe_since("r", {epoch, 4});
    CHECK(reader.take() ==
          Lines{"joined r at 20 recovered", "replay r 5..20", "replay r none caught up"});
    world.node.publish("r", "21");
    CHECK(reader.take() == Lines{"r#21 ws r#21 21"});

    Listener other{world.node};
    other.subscribe_last("r", 10);
    CHECK(other.take() == Lines{"joined r at 21", "replay r 12..21", "replay r none caught up"});
    Listener greedy{world.node};
    greedy.subscribe_last("r", 1'000);
    CHECK(greedy.take() == Lines{"joined r at 21", "replay r 1..21", "replay r none caught up"});
}

TEST_CASE("durable room: what comes while a join asks the store is neither lost nor doubled",
          "[room][durable]") {
    World world{{durable()}, with_window(2)};
    for (int i = 1; i <= 5; ++i) world.node.publish("r", std::to_string(i));
    const Epoch epoch = world.node.info("r").position.epoch;
    world.log.hold = true;
    Listener reader{world.node};
    const bool known = GENERATE(true, false);
    reader.subscribe_since("r", {known ? epoch : Epoch::fresh(), 1});
    if (known) {
        CHECK(reader.take().empty());
        world.send(1, "r", "6"); // kept behind the question
        world.release_one();     // the question
        world.release_all();
        CHECK(reader.take() ==
              Lines{"joined r at 5 recovered", "replay r 2..6", "replay r none caught up"});
    } else {
        CHECK(reader.take() == Lines{"joined r at 5 lost"});
    }
}

TEST_CASE("durable room: a join that was lost begins where its answer says", "[room][durable]") {
    World world{{durable(10)}, with_window(2)};
    for (int i = 1; i <= 8; ++i) world.node.publish("r", std::to_string(i));
    const Epoch epoch = world.node.info("r").position.epoch;
    world.log.lives["r"].messages.erase(3); // too old meanwhile, say
    world.log.lives["r"].messages.erase(2);
    world.log.hold = true;
    Listener reader{world.node};
    reader.subscribe_since("r", {epoch, 1});
    world.send(1, "r", "9");
    std::swap(world.log.waiting[0], world.log.waiting[1]); // it is kept before the answer
    world.release_one();
    CHECK(reader.take().empty());
    world.release_one();
    CHECK(reader.take() == Lines{"joined r at 9 lost"});
    world.log.hold = false;
    world.node.publish("r", "10");
    CHECK(reader.take() == Lines{"r#10 ws r#10 10"});
}

TEST_CASE("durable room: history is the same wherever it is read", "[room][durable]") {
    constexpr std::size_t size = 40;
    World world{{durable(size)}, with_window(5)};
    RoomsNode memory{1, {test::rule_with_history(size, 1h)}};
    std::mt19937 random{GENERATE(1U, 2U, 3U)};
    const auto below = [&random](std::uint64_t n) { return random() % n; };
    for (int i = 1; i <= 60; ++i) {
        const std::string data(1 + below(300), 'x');
        world.node.publish("r", data);
        memory.publish("r", data);
    }
    for (int i = 0; i < 500; ++i) {
        room::HistoryQuery query;
        if (below(3) != 0) {
            query.since = Position{{}, below(70)};
            query.any_epoch = true;
        }
        query.limit = below(50);
        query.reverse = below(2) == 0;
        if (below(2) == 0) query.bytes_max = below(6'000);
        CAPTURE(query.since ? query.since->offset : 999, query.limit, query.reverse,
                query.bytes_max);
        const room::HistoryResult ours = world.node.history("r", query);
        const room::HistoryResult theirs = memory.history("r", query);
        REQUIRE(offsets(ours.messages) == offsets(theirs.messages));
        REQUIRE(ours.more == theirs.more);
        REQUIRE(ours.position.offset == theirs.position.offset);
    }
    CHECK(world.log.reads > 50);
}

TEST_CASE("durable room: a replay that the store has trimmed says so", "[room][durable]") {
    World world{{durable(100)}, with_window(2)};
    for (int i = 1; i <= 30; ++i) world.node.publish("r", std::to_string(i));
    const Epoch epoch = world.node.info("r").position.epoch;
    Listener reader{world.node};
    reader.pull_bytes = 400; // two at a time
    int batches = 0;
    reader.when_replayed = [&](room::Subscription& subscription, const room::ReplayBatch& batch) {
        if (++batches == 2) world.log.lives["r"].messages.erase(9);
        if (batch.trimmed || batch.caught_up)
            reader.rooms().go_live(subscription);
        else
            reader.rooms().pull(subscription, reader.pull_bytes);
    };
    reader.subscribe_since("r", {epoch, 4});
    CHECK(reader.take() ==
          Lines{"joined r at 30 recovered", "replay r 5..6", "replay r 7..8", "trimmed r at 30"});
}

TEST_CASE("durable room: the store is told what is no longer wanted", "[room][durable]") {
    World world{{durable(20)}};
    for (int i = 1; i <= 100; ++i) world.node.publish("r", std::to_string(i));
    CHECK(world.log.trims > 0);
    CHECK(world.log.trims < 10);
    CHECK(world.log.lives["r"].messages.size() < 20 + 20);
    CHECK(world.log.lives["r"].messages.size() >= 20);
}

TEST_CASE("durable room: a rule that becomes durable, or ceases to be", "[room][durable]") {
    World world{{test::rule_with_history(100, 1h)}};
    world.log.lives["r"] = {Epoch::fresh(), 99, {}}; // of a life before
    for (int i = 1; i <= 3; ++i) world.node.publish("r", std::to_string(i));
    const Epoch epoch = world.node.info("r").position.epoch;
    Listener reader{world.node};
    reader.subscribe("r");
    world.node.set_rules({durable()});
    CHECK(world.node.publish("r", "4").position == Position{epoch, 4});
    CHECK(reader.take() == Lines{"joined r at 3", "r#4 ws r#4 4"});
    CHECK(world.log.lives["r"].newest == 4);
    CHECK(world.log.lives["r"].epoch == epoch);

    world.log.hold = true;
    world.send(1, "r", "5");
    world.node.set_rules({test::rule_with_history(100, 1h)});
    world.send(2, "r", "6"); // 5 is under way: 6 must not pass it
    world.release_all();
    world.log.hold = false;
    CHECK(world.node.publish("r", "7").position == Position{epoch, 7});
    CHECK(world.log.lives.empty());
    CHECK(reader.take() == Lines{"r#5 ws r#5 5", "r#6 ws r#6 6", "r#7 ws r#7 7"});
}

TEST_CASE("durable room: publishes from several reactors have one order", "[room][durable]") {
    World world{{durable()}, {}, 3};
    const std::string name = world.node.room_at(2);
    Listener near{world.node, 2};
    Listener far{world.node, 0};
    near.subscribe(name);
    far.subscribe(name);
    for (std::size_t i = 0; i < 30; ++i)
        CHECK(world.node.publish(i % 3, test::draft(name, std::to_string(i))).position.offset ==
              i + 1);
    CHECK(near.take() == far.take());
}
