// The entry point: publishing, history and other questions, and all of it on real threads.

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <support/rooms_node.hpp>

using namespace fanfare;
using room::HistoryQuery;
using room::HistoryResult;
using room::Options;
using room::Rule;
using test::DirectBroker;
using test::Lines;
using test::Listener;
using test::RoomsNode;
using namespace std::chrono_literals;

namespace {

using Offsets = std::vector<std::uint64_t>;
Offsets offsets(const HistoryResult& result) {
    Offsets all;
    for (const room::MessageRef& message : result.messages)
        all.push_back(message->position().offset);
    return all;
}

} // namespace

// --- publishing ---

TEST_CASE("rooms: publishes of a reactor to a room keep their order", "[room][rooms]") {
    RoomsNode node{2};
    const std::string room = node.room_at(1);
    Listener publisher{node};
    node.on(0, [&] {
        for (std::uint64_t i = 1; i <= 100; ++i)
            node.rooms(0).publish(test::draft(room, std::to_string(i)),
                                  {&publisher, &node.reactor(0), 0, i});
    });
    node.settle();
    REQUIRE(publisher.lines.size() == 100);
    for (std::size_t i = 1; i <= 100; ++i)
        REQUIRE(publisher.lines[i - 1] == "ok " + std::to_string(i) + " #" + std::to_string(i));
    HistoryQuery all;
    const HistoryResult history = node.history(room, all);
    REQUIRE(history.messages.size() == 100);
    for (std::size_t i = 0; i < 100; ++i)
        REQUIRE(history.messages[i]->data() == std::to_string(i + 1));
}

TEST_CASE("rooms: the answer to a publish comes before the message itself", "[room][rooms]") {
    const auto reactors = GENERATE(1U, 2U, 3U);
    RoomsNode node{reactors};
    const std::string room = node.room_at(reactors - 1);
    Listener listener{node};
    listener.subscribe(room);
    listener.take();
    node.on(0, [&] {
        node.rooms(0).publish(test::draft(room, "m"), {&listener, &node.reactor(0), 0, 7});
    });
    node.settle();
    CHECK(listener.lines == Lines{"ok 7 #1", room + "#1 ws " + room + "#1 m"});
}

TEST_CASE("rooms: nobody needs to wait for the answer", "[room][rooms]") {
    RoomsNode node{2};
    node.on(0, [&] { node.rooms(0).publish(test::draft("r", "m"), {}); });
    node.settle();
    CHECK(node.info("r").position.offset == 1);
}

TEST_CASE("rooms: a durable room is refused while there is no store", "[room][rooms]") {
    Rule durable;
    durable.match = "orders";
    durable.history.durable = true;
    RoomsNode node{1, {durable, Rule{}}};
    const room::PublishResult refused = node.publish("orders", "m");
    CHECK(refused.code == Code::unavailable);
    CHECK(refused.detail != nullptr);
    CHECK(static_cast<DirectBroker&>(node.broker(0)).publishes == 0);
    CHECK(node.publish(0, test::draft("orders", "typing", true)).code == Code::ok);
    CHECK(node.publish("other", "m").code == Code::ok);
}

TEST_CASE("rooms: a publish to an overloaded reactor is refused", "[room][rooms]") {
    Options options;
    options.backlog_max = 2;
    RoomsNode node{2, {Rule{}}, options};
    const std::string far = node.room_at(1);
    const std::string near = node.room_at(0);
    for (int i = 0; i < 3; ++i) node.reactor(1).post([] {});
    Listener publisher{node};
    const bool ephemeral = GENERATE(false, true);
    node.on(0, [&] {
        node.rooms(0).publish(test::draft(far, "m", ephemeral),
                              {&publisher, &node.reactor(0), 0, 1});
        node.rooms(0).publish(test::draft(near, "m", ephemeral),
                              {&publisher, &node.reactor(0), 0, 2});
    });
    CHECK(publisher.lines == Lines{"ok 1 unavailable", ephemeral ? "ok 2 #0" : "ok 2 #1"});
    node.settle(); // it has caught up
    CHECK(node.publish(far, "m").code == Code::ok);
}

TEST_CASE("rooms: the rule of a room is the first that matches", "[room][rooms]") {
    RoomsNode node{1, {test::rule("chat:*")}};
    REQUIRE(node.rooms(0).rule("chat:1") != nullptr);
    CHECK(node.rooms(0).rule("chat:1")->match == "chat:*");
    CHECK(node.rooms(0).rule("news") == nullptr);
    CHECK(node.rooms(0).rule("@me") == nullptr);
}

// --- history ---

TEST_CASE("rooms: history by count, place and direction", "[room][rooms][history]") {
    constexpr std::uint64_t none = ~std::uint64_t{0} - 1; // no `since`
    struct Case {
        const char* name;
        std::uint64_t since;
        std::size_t limit;
        bool reverse;
        Offsets expected;
        bool more;
    };
    // 1 … 10 are published, 4 … 10 are kept.
    const auto c = GENERATE_COPY(values<Case>({
        {"everything", none, 100, false, {4, 5, 6, 7, 8, 9, 10}, false},
        {"exactly everything", none, 7, false, {4, 5, 6, 7, 8, 9, 10}, false},
        {"the newest three, oldest first", none, 3, false, {8, 9, 10}, true},
        {"after 6", 6, 100, false, {7, 8, 9, 10}, false},
        {"two after 6", 6, 2, false, {7, 8}, true},
        {"after the newest", 10, 100, false, {}, false},
        {"after what does not exist yet", 11, 100, false, {}, false},
        {"after the end of numbers", ~std::uint64_t{0}, 100, false, {}, false},
        {"after what is gone", 1, 2, false, {4, 5}, true},
        {"from the start", 0, 100, false, {4, 5, 6, 7, 8, 9, 10}, false},
        {"newest first", none, 100, true, {10, 9, 8, 7, 6, 5, 4}, false},
        {"the newest two, newest first", none, 2, true, {10, 9}, true},
        {"backwards from 8", 8, 2, true, {7, 6}, true},
        {"backwards to the end", 6, 100, true, {5, 4}, false},
        {"backwards from the oldest kept", 4, 100, true, {}, false},
        {"backwards from what is gone", 2, 100, true, {}, false},
        {"backwards from the start", 0, 100, true, {}, false},
        {"backwards from beyond", 99, 2, true, {10, 9}, true},
    }));
    CAPTURE(c.name);
    RoomsNode node{2, {test::rule_with_history(7, 1h)}};
    const std::string room = node.room_at(1);
    for (int i = 0; i < 10; ++i) node.publish(room, "m");
    HistoryQuery query;
    query.limit = c.limit;
    query.reverse = c.reverse;
    // Any epoch, or the right one.
    const bool named = GENERATE(false, true);
    const Epoch epoch = named ? node.info(room).position.epoch : Epoch{};
    query.any_epoch = !named;
    if (c.since != none) query.since = Position{epoch, c.since};
    const HistoryResult result = node.history(room, query);
    CHECK(result.code == Code::ok);
    CHECK(offsets(result) == c.expected);
    CHECK(result.more == c.more);
    CHECK(result.position == node.info(room).position);
}

TEST_CASE("rooms: a position of another life is no place in this one", "[room][rooms][history]") {
    RoomsNode node{1, {test::rule_with_history(10, 1h)}};
    for (int i = 0; i < 4; ++i) node.publish("r", "m");
    HistoryQuery query;
    query.since = Position{Epoch::fresh(), 2};
    CHECK(offsets(node.history("r", query)) == Offsets{1, 2, 3, 4});
    query.reverse = true;
    CHECK(offsets(node.history("r", query)) == Offsets{4, 3, 2, 1});
}

TEST_CASE("rooms: history is bounded in bytes, and gives one message at least",
          "[room][rooms][history]") {
    RoomsNode node{1, {test::rule_with_history(10, 1h)}};
    for (int i = 0; i < 5; ++i) node.publish("r", std::string(1'000, 'x'));
    struct Case {
        bool reverse;
        bool since;
        std::size_t bytes_max;
        Offsets expected;
    };
    const auto c = GENERATE(values<Case>({
        {false, false, 1, {5}},
        {false, false, 2'500, {4, 5}},
        {true, false, 1, {5}},
        {true, false, 2'500, {5, 4}},
        {false, true, 1, {1}},
        {false, true, 2'500, {1, 2}},
    }));
    HistoryQuery query;
    query.reverse = c.reverse;
    query.bytes_max = c.bytes_max;
    if (c.since) query.since = Position{Epoch{}, 0};
    const HistoryResult result = node.history("r", query);
    CHECK(offsets(result) == c.expected);
    CHECK(result.more);
}

TEST_CASE("rooms: history has the time of each message, and none that is too old",
          "[room][rooms][history]") {
    RoomsNode node{1, {test::rule_with_history(10, 10s)}};
    const WallMillis first = node.clock.wall();
    node.publish("r", "m");
    node.clock.advance(9s);
    node.publish("r", "m");
    const HistoryResult both = node.history("r");
    REQUIRE(both.messages.size() == 2);
    CHECK(both.messages[0]->time() == first);
    CHECK(both.messages[1]->time() == first + 9'000);
    node.clock.set_wall(first - 1'000'000); // ages are not the wall clock's business
    node.clock.advance(1s);
    CHECK(offsets(node.history("r")) == Offsets{2});
}

TEST_CASE("rooms: a room that nobody knows has an empty history and a position",
          "[room][rooms][history]") {
    RoomsNode node{2};
    const HistoryResult result = node.history("r");
    CHECK(result.code == Code::ok);
    CHECK(result.messages.empty());
    CHECK_FALSE(result.more);
    CHECK(result.position.offset == 0);
    CHECK_FALSE(result.position.epoch.none());
    CHECK(node.info("r").position == result.position);
}

// --- questions ---

TEST_CASE("rooms: answers come on the reactor that asked", "[room][rooms]") {
    RoomsNode node{3};
    const std::string room = node.room_at(2);
    std::vector<unsigned> seen;
    const auto note = [&](const auto&) { seen.push_back(net::Reactor::current()->index()); };
    node.on(1, [&] {
        node.rooms(1).history(room, {}, note);
        node.rooms(1).presence(room, note);
        node.rooms(1).info(room, note);
        node.rooms(1).list("", "", 10, note);
        CHECK(seen.empty()); // never in the call
    });
    node.settle();
    CHECK(seen == std::vector<unsigned>{1, 1, 1, 1});
}

TEST_CASE("rooms: options follow a reload", "[room][rooms]") {
    Rule rule;
    rule.presence = true;
    RoomsNode node{1, {rule}};
    Options options;
    options.presence_linger = 60s;
    options.presence_members_max = 1;
    node.on(0, [&] { node.rooms(0).set_options(options); });
    CHECK(node.rooms(0).options().presence_linger == 60s);
    std::vector<std::unique_ptr<Listener>> users;
    for (const char* name : {"a", "b"}) {
        users.push_back(std::make_unique<Listener>(node));
        users.back()->user = name;
        users.back()->subscribe("r");
    }
    CHECK(node.presence("r").members.size() == 1);
    users[0]->unsubscribe("r");
    node.pass(30s);
    CHECK(node.presence("r").total == 2);
    node.pass(31s);
    CHECK(node.presence("r").total == 1);
}

TEST_CASE("rooms: questions that were never answered are destroyed with everything",
          "[room][rooms]") {
    const auto alive = std::make_shared<int>(0);
    {
        RoomsNode node{2};
        node.on(0, [&] {
            node.rooms(0).info(node.room_at(1), [alive](const auto&) {});
            node.rooms(0).list("", "", 10, [alive](const auto&) {});
        });
        node.on(0, [&] { node.rooms(0).publish(test::draft(node.room_at(1), "m"), {}); });
    }
    CHECK(alive.use_count() == 1);
}

// --- threads ---

TEST_CASE("rooms: on real threads every subscriber sees every message in order",
          "[room][rooms][threads]") {
    static constexpr std::size_t reactors = 3;
    static constexpr std::uint64_t each = 1'000;
    struct Reader final : room::Subscriber {
        room::Rooms* rooms = nullptr;
        room::Subscription place;
        std::uint64_t next = 1;
        bool ok = true;
        std::promise<void> joined;
        std::promise<void> done;
        void on_joined(room::Subscription& at, const room::JoinResult& result) override {
            ok = result.code == Code::ok;
            joined.set_value();
            if (result.replay_after < result.position.offset)
                rooms->pull(at, 1'000);
            else
                rooms->go_live(at);
        }
        void on_replay(room::Subscription& at, const room::ReplayBatch& batch) override {
            ok = ok && !batch.trimmed;
            for (const room::MessageRef& message : batch.messages) take(*message);
            rooms->set_replayed(at, next - 1);
            if (batch.caught_up)
                rooms->go_live(at);
            else
                rooms->pull(at, 1'000);
        }
        void on_message(room::Delivery& delivery, room::Subscription*) override {
            ok = ok && !delivery.bytes(room::Form::sse)->view().empty();
            take(delivery.message());
        }
        void on_presence(room::PresenceDelivery&, room::Subscription&) override {}
        void on_pattern_ready(std::string_view) override {}
        void take(const room::Message& message) {
            ok = ok && message.position().offset == next++;
            if (next == 1 + reactors * each) done.set_value();
        }
    };

    // The node's encoder counts are plain: each reactor needs its own, so this one is built here.
    Metrics metrics;
    net::Reactors loops{reactors, system_clock(), metrics};
    std::array<std::array<int, room::form_count>, reactors> calls{};
    std::vector<std::unique_ptr<room::Rooms>> rooms;
    std::vector<std::unique_ptr<DirectBroker>> brokers;
    std::vector<room::Rooms*> all;
    for (unsigned i = 0; i < reactors; ++i) {
        room::Encoders encoders;
        for (std::size_t form = 0; form < room::form_count; ++form)
            encoders[form] =
                std::make_unique<test::TextEncoder>(static_cast<room::Form>(form), calls[i]);
        rooms.push_back(std::make_unique<room::Rooms>(
            loops[i], std::move(encoders), test::rules({test::rule_with_history(5'000, 1h)}),
            Options{}, static_cast<unsigned>(reactors)));
        all.push_back(rooms.back().get());
        brokers.push_back(std::make_unique<DirectBroker>(*rooms.back()));
    }
    for (unsigned i = 0; i < reactors; ++i) rooms[i]->connect(all, *brokers[i]);

    std::vector<Reader> readers(6);
    std::vector<std::future<void>> waits;
    loops.start();
    // Half of them are there from the start, half join from the beginning while it goes on.
    const auto join = [&](std::size_t i) {
        Reader& reader = readers[i];
        reader.rooms = rooms[i % reactors].get();
        waits.push_back(reader.done.get_future());
        auto joined = reader.joined.get_future();
        loops[i % reactors].post(std::function<void()>{[&reader] {
            room::JoinWish wish;
            wish.last = 5'000;
            wish.form = room::Form::sse;
            reader.rooms->subscribe(reader.place, reader, "r", wish);
        }});
        return joined.wait_for(60s) == std::future_status::ready;
    };
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(join(i));
    for (std::size_t i = 0; i < reactors; ++i)
        loops[i].post(std::function<void()>{[&rooms, i] {
            for (std::uint64_t n = 0; n < each; ++n) rooms[i]->publish(test::draft("r", "m"), {});
        }});
    for (std::size_t i = 3; i < readers.size(); ++i) CHECK(join(i));
    for (auto& wait : waits) CHECK(wait.wait_for(60s) == std::future_status::ready);
    loops.stop();
    for (const Reader& reader : readers) {
        CHECK(reader.ok);
        CHECK(reader.next == 1 + reactors * each);
    }
}
