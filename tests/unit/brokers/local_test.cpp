#include <fanfare/brokers/brokers.hpp>

#include <catch2/catch.hpp>

#include <support/rooms_node.hpp>

using namespace fanfare;
using test::Lines;
using test::Listener;
using test::RoomsNode;

namespace {

RoomsNode node_with_local_brokers(unsigned reactors) {
    return RoomsNode{reactors, {room::Rule{}}, {}, brokers::make_local};
}

} // namespace

TEST_CASE("local broker: the answer comes before the message is delivered", "[brokers]") {
    const auto reactors = GENERATE(1U, 2U, 3U);
    RoomsNode node = node_with_local_brokers(reactors);
    const std::string room = node.room_at(reactors - 1);
    Listener publisher{node};
    Listener other{node, reactors / 2};
    publisher.subscribe(room);
    other.subscribe(room);
    publisher.take();
    other.take();
    node.on(0, [&] {
        for (std::uint64_t i = 1; i <= 2; ++i)
            node.broker(0).publish(test::draft(room, "m"), {&publisher, &node.reactor(0), 0, i});
        CHECK(publisher.lines.empty()); // never in the call
        CHECK(node.metrics.sum("messages_published_total") == 0);
    });
    node.settle();
    CHECK(publisher.lines == Lines{"ok 1 #1", "ok 2 #2", room + "#1 ws " + room + "#1 m",
                                   room + "#2 ws " + room + "#2 m"});
    CHECK(other.lines == Lines{room + "#1 ws " + room + "#1 m", room + "#2 ws " + room + "#2 m"});
}

TEST_CASE("local broker: the answer names what was asked, and the position given", "[brokers]") {
    struct Client final : room::PublishClient {
        net::Handle who = 0;
        std::uint64_t request = 0;
        room::PublishResult result;
        net::Reactor* on = nullptr;
        void on_published(net::Handle handle, std::uint64_t number,
                          const room::PublishResult& answer) override {
            who = handle;
            request = number;
            result = answer;
            on = net::Reactor::current();
        }
    } client;
    RoomsNode node = node_with_local_brokers(2);
    const std::string room = node.room_at(1);
    const bool ephemeral = GENERATE(false, true);
    node.on(0, [&] {
        node.broker(0).publish(test::draft(room, "m", ephemeral),
                               {&client, &node.reactor(0), 11, 22});
    });
    node.settle();
    CHECK(client.on == &node.reactor(0));
    CHECK(client.who == 11);
    CHECK(client.request == 22);
    CHECK(client.result.code == Code::ok);
    CHECK_FALSE(client.result.duplicate);
    CHECK(client.result.ephemeral == ephemeral);
    CHECK(client.result.position == (ephemeral ? Position{} : node.info(room).position));
}

TEST_CASE("local broker: publishes of one reactor keep their order, nobody needs to wait",
          "[brokers]") {
    RoomsNode node = node_with_local_brokers(2);
    const std::string room = node.room_at(1);
    node.on(0, [&] {
        for (int i = 0; i < 100; ++i)
            node.broker(0).publish(test::draft(room, std::to_string(i)), {});
    });
    CHECK(node.metrics.sum("messages_published_total") == 0); // the home reactor's to do
    node.settle();
    const room::HistoryResult history = node.history(room);
    REQUIRE(history.messages.size() == 100);
    for (std::size_t i = 0; i < 100; ++i) REQUIRE(history.messages[i]->data() == std::to_string(i));
}
