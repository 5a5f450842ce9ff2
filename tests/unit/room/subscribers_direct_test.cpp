// Messages that are written straight into subscribers' queues: what a turn brings a room is walked
// once and leaves as one piece.

#include <fanfare/net/out_queue.hpp>

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <support/memory_transport.hpp>
#include <support/rooms_node.hpp>

using namespace fanfare;
using room::Form;
using room::Subscription;
using test::Lines;
using test::Listener;
using test::RoomsNode;

namespace {

/// A Listener with a queue. What it is asked about comes as lines, the rest as bytes.
class Writer final : public room::Subscriber, net::OutQueue::Owner, net::TransportHandler {
  public:
    Writer(RoomsNode& node, std::size_t reactor, Form form, bool sole)
        : node_(node), reactor_(reactor), form_(form) {
        transport_.set_handler(*this);
        queue_.attach(&transport_);
        queue_.set_label(room::QueueLabel::of(form, sole));
    }
    ~Writer() {
        node_.on(reactor_, [this] { queue_.clear(); });
    }

    void subscribe(const std::string& room, Subscription& place) {
        node_.on(reactor_, [&] {
            room::JoinWish wish;
            wish.form = form_;
            rooms().subscribe(place, *this, room, wish);
        });
        node_.settle();
    }
    /// The peer takes `bytes` more.
    void drain(std::size_t bytes = std::size_t{1} << 20) {
        node_.on(reactor_, [&] { pipe->drain(bytes); });
    }
    void leave(Subscription& place) { rooms().unsubscribe(place, form_, {}); }

    void on_joined(Subscription& at, const room::JoinResult& result) override {
        REQUIRE(result.code == Code::ok);
        if (goes_live) rooms().go_live(at);
    }
    void on_replay(Subscription& at, const room::ReplayBatch& batch) override {
        for (const auto& message : batch.messages)
            lines.push_back("replayed " + std::string{message->data()});
        rooms().go_live(at);
    }
    void on_message(room::Delivery& delivery, Subscription* at) override {
        lines.push_back("asked " + std::string{delivery.message().data()});
        if (leaves_when_asked) leave(*at);
    }
    void on_presence(room::PresenceDelivery&, Subscription&) override {
        lines.emplace_back("presence");
        queue_.push(LocalBytes::copy_of("<presence>"));
    }
    void on_pattern_ready(std::string_view) override {}
    net::OutQueue* direct_queue() noexcept override { return direct ? &queue_ : nullptr; }

    [[nodiscard]] room::Rooms& rooms() { return node_.rooms(reactor_); }
    [[nodiscard]] net::OutQueue& queue() { return queue_; }

    std::shared_ptr<test::MemoryPipe> pipe = std::make_shared<test::MemoryPipe>();
    Lines lines;
    bool direct = true;
    bool goes_live = true;
    bool leaves_when_asked = false;
    Subscription* leaves_on_failure = nullptr;

  private:
    void on_drained() override {}
    void on_write_failed(error_code) override {
        lines.emplace_back("failed");
        if (leaves_on_failure != nullptr) leave(*leaves_on_failure);
    }
    void on_readable() override {}
    void on_writable() override { queue_.flush(); }

    RoomsNode& node_;
    std::size_t reactor_;
    Form form_;
    test::MemoryTransport transport_{pipe};
    net::OutQueue queue_{*this};
};

/// Publishes several at once, so that one turn brings them all.
void publish_burst(RoomsNode& node, const std::vector<std::pair<std::string, std::string>>& all) {
    node.on(0, [&] {
        for (const auto& [room, data] : all) node.rooms(0).publish(test::draft(room, data), {});
    });
    node.settle();
}

} // namespace

TEST_CASE("subscribers: what a turn brings a room leaves in one write per subscriber",
          "[room][subscribers][direct]") {
    const auto reactors = GENERATE(1U, 2U);
    const bool sole = GENERATE(true, false);
    RoomsNode node{reactors};
    const std::string room = node.room_at(reactors - 1);
    Writer a{node, 0, Form::ws_json, sole};
    Writer b{node, reactors - 1, Form::sse, sole};
    Subscription at_a;
    Subscription at_b;
    a.subscribe(room, at_a);
    b.subscribe(room, at_b);
    publish_burst(node, {{room, "1"}, {room, "2"}, {room, "3"}});
    const std::string r = room;
    CHECK(a.pipe->output == "ws " + r + "#1 1ws " + r + "#2 2ws " + r + "#3 3");
    CHECK(b.pipe->output == "sse " + r + "#1 1sse " + r + "#2 2sse " + r + "#3 3");
    CHECK(a.pipe->writes == 1);
    CHECK(b.pipe->writes == 1);
    CHECK(a.lines.empty()); // nobody was asked
    CHECK(node.metrics.sum("messages_out_total") == 6);
    CHECK(node.metrics.sum("message_bytes_out_total") ==
          static_cast<double>(a.pipe->output.size() + b.pipe->output.size()));
    node.publish(room, "4");
    CHECK(a.pipe->writes == 2);
    CHECK(node.metrics.sum("messages_out_total") == 8);
}

TEST_CASE("subscribers: one message is shared, not copied, by those of a form",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer a{node, 0, Form::ws_json, true};
    Writer b{node, 0, Form::ws_json, true};
    Subscription at_a;
    Subscription at_b;
    a.subscribe("r", at_a);
    b.subscribe("r", at_b);
    a.pipe->room = b.pipe->room = 0; // both queue it
    node.publish("r", "m");
    CHECK(node.encoded[static_cast<std::size_t>(Form::ws_json)] == 1);
    CHECK(a.queue().queued_bytes() == b.queue().queued_bytes());
    CHECK(a.queue().blocked());
    a.drain(3); // the rest of a partly sent one comes later
    CHECK(a.pipe->output == "ws ");
    a.drain();
    CHECK(a.pipe->output == "ws r#1 m");
    CHECK(b.pipe->output.empty());
    b.drain();
    CHECK(b.pipe->output == "ws r#1 m");
}

TEST_CASE("subscribers: messages of several rooms leave in one write at the turn's end",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer a{node, 0, Form::ws_json, false};
    Subscription one;
    Subscription two;
    a.subscribe("one", one);
    a.subscribe("two", two);
    publish_burst(node, {{"one", "1"}, {"two", "2"}, {"one", "3"}});
    // Each room in its own order.
    CHECK(a.pipe->output == "ws one#1 1ws one#2 3ws two#1 2");
    CHECK(a.pipe->writes == 1);
}

TEST_CASE("subscribers: what waits in a queue goes before what is written",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer a{node, 0, Form::ws_json, true};
    Subscription at;
    a.subscribe("r", at);
    a.pipe->room = 0;
    node.on(0, [&] { a.queue().push(LocalBytes::copy_of("first ")); });
    node.publish("r", "m");
    a.drain();
    CHECK(a.pipe->output == "first ws r#1 m");
}

TEST_CASE("subscribers: who goes live in a turn that brings messages gets them once",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer there{node, 0, Form::ws_json, true};
    Writer fresh{node, 0, Form::ws_json, true};
    Subscription at_there;
    Subscription at_fresh;
    there.subscribe("r", at_there);
    fresh.goes_live = false;
    fresh.subscribe("r", at_fresh);
    // The first message is in the replay, the second comes behind the moment of going live, all of
    // it in one turn.
    node.on(0, [&] {
        node.rooms(0).publish(test::draft("r", "1"), {});
        node.reactor(0).post([&] {
            node.rooms(0).pull(at_fresh, 1'000);
            node.reactor(0).post([&] { node.rooms(0).publish(test::draft("r", "2"), {}); });
        });
    });
    node.settle();
    CHECK(fresh.lines == Lines{"replayed 1"});
    CHECK(fresh.pipe->output == "ws r#2 2");
    CHECK(there.pipe->output == "ws r#1 1ws r#2 2");
}

TEST_CASE("subscribers: an ephemeral message is asked about, behind those before it",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer a{node, 0, Form::ws_json, true};
    Subscription at;
    a.subscribe("r", at);
    node.on(0, [&] {
        node.rooms(0).publish(test::draft("r", "1"), {});
        node.rooms(0).publish(test::draft("r", "typing", true), {});
        node.rooms(0).publish(test::draft("r", "2"), {});
    });
    std::string output_when_asked;
    node.settle();
    CHECK(a.lines == Lines{"asked typing"});
    CHECK(a.pipe->output == "ws r#1 1ws r#2 2");
    CHECK(a.pipe->writes == 2); // what came before it was handed out before it
}

TEST_CASE("subscribers: presence keeps its place among messages", "[room][subscribers][direct]") {
    room::Rule rule;
    rule.presence = true;
    RoomsNode node{1, {rule}};
    Writer a{node, 0, Form::ws_json, true};
    Subscription at;
    a.subscribe("r", at);
    Listener other{node};
    other.user = "u";
    node.on(0, [&] {
        node.rooms(0).publish(test::draft("r", "1"), {});
        other.subscribe_now("r");
        node.rooms(0).publish(test::draft("r", "2"), {});
    });
    node.settle();
    CHECK(a.pipe->output == "ws r#1 1<presence>ws r#2 2");
    other.unsubscribe("r");
}

TEST_CASE("subscribers: a queue without room for the turn's piece is asked about each message",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    node.rooms(0).set_queue_bytes_max(40);
    Writer full{node, 0, Form::ws_json, true};
    Writer fine{node, 0, Form::ws_json, true};
    Subscription at_full;
    Subscription at_fine;
    full.subscribe("r", at_full);
    fine.subscribe("r", at_fine);
    full.pipe->room = 0;
    const std::string large(60, 'x');
    node.publish("r", large); // one piece always fits an empty queue
    CHECK(full.lines.empty());
    publish_burst(node, {{"r", "2"}, {"r", "3"}});
    CHECK(full.lines == Lines{"asked 2", "asked 3"});
    CHECK(fine.lines.empty());
    SECTION("and one that leaves at the first is not asked again") {
        full.lines.clear();
        full.leaves_when_asked = true;
        publish_burst(node, {{"r", "4"}, {"r", "5"}});
        CHECK(full.lines == Lines{"asked 4"});
        CHECK(node.info("r").subscribers == 1);
    }
    CHECK(fine.pipe->output.ends_with("3") != fine.pipe->output.ends_with("5"));
}

TEST_CASE("subscribers: one whose write fails may leave in the walk",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    constexpr std::size_t count = 20;
    std::vector<std::unique_ptr<Writer>> all;
    std::vector<Subscription> places(count);
    for (std::size_t i = 0; i < count; ++i) {
        all.push_back(std::make_unique<Writer>(node, 0, Form::ws_json, true));
        all.back()->subscribe("r", places[i]);
        all.back()->leaves_on_failure = &places[i];
    }
    for (std::size_t i = 0; i < count; i += 3) all[i]->pipe->reset = true;
    publish_burst(node, {{"r", "1"}, {"r", "2"}});
    for (std::size_t i = 0; i < count; ++i) {
        CAPTURE(i);
        if (i % 3 == 0) {
            CHECK(all[i]->lines == Lines{"failed"});
        } else {
            CHECK(all[i]->pipe->output == "ws r#1 1ws r#2 2");
        }
    }
    CHECK(node.info("r").subscribers == count - (count + 2) / 3);
}

TEST_CASE("subscribers: more than a piece may hold leaves in several",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer a{node, 0, Form::ws_json, true};
    Subscription at;
    a.subscribe("r", at);
    const auto [messages, bytes, writes] = GENERATE(
        table<int, std::size_t, int>({{64, 1, 1}, {65, 1, 2}, {200, 1, 4}, {4, 40'000, 2}}));
    CAPTURE(messages, bytes);
    node.on(0, [&, count = messages, size = bytes] {
        for (int i = 0; i < count; ++i)
            node.rooms(0).publish(test::draft("r", std::string(size, 'm')), {});
    });
    node.settle();
    CHECK(a.pipe->writes == writes);
    CHECK(node.metrics.sum("messages_out_total") == messages);
    for (int i = 1; i <= messages; ++i)
        REQUIRE(a.pipe->output.find("#" + std::to_string(i) + " ") != std::string::npos);
}

TEST_CASE("subscribers: a subscriber that changes its mind is asked again",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer a{node, 0, Form::ws_json, true};
    Subscription at;
    a.subscribe("r", at);
    const auto review = [&](bool direct) {
        a.direct = direct;
        node.on(0, [&] { node.rooms(0).review_queue(at); });
    };
    review(false);
    node.publish("r", "1");
    CHECK(a.lines == Lines{"asked 1"});
    review(true);
    node.publish("r", "2");
    CHECK(a.pipe->output == "ws r#2 2");
    node.on(0, [&] { a.leave(at); });
    review(true); // nothing to do
    node.publish("r", "3");
    CHECK(a.pipe->output == "ws r#2 2");
}

TEST_CASE("subscribers: a room that its last subscriber leaves in mid-turn forgets the messages",
          "[room][subscribers][direct]") {
    RoomsNode node{1};
    Writer a{node, 0, Form::ws_json, true};
    Subscription at;
    a.subscribe("r", at);
    node.on(0, [&] {
        node.rooms(0).publish(test::draft("r", "1"), {});
        node.reactor(0).post(
            [&] { node.reactor(0).post([&] { node.reactor(0).post([&] { a.leave(at); }); }); });
    });
    node.settle();
    CHECK(at.state == Subscription::State::idle);
    a.subscribe("r", at);
    node.publish("r", "2");
    CHECK(a.pipe->output.ends_with("ws r#2 2"));
}

TEST_CASE("subscribers: a room whose rule says batch waits for company",
          "[room][subscribers][direct][batch]") {
    room::Rule rule;
    rule.batch = std::chrono::milliseconds{20};
    rule.presence = true;
    RoomsNode node{GENERATE(1U, 2U), {rule}};
    Writer a{node, 0, Form::ws_json, true};
    Subscription at;
    a.subscribe("r", at);
    node.publish("r", "1");
    node.pass(std::chrono::milliseconds{10});
    node.publish("r", "2");
    CHECK(a.pipe->output.empty());
    node.pass(std::chrono::milliseconds{9});
    CHECK(a.pipe->output.empty());
    SECTION("and they leave in one write when the first one's time is over") {
        node.pass(std::chrono::milliseconds{1});
        CHECK(a.pipe->output == "ws r#1 1ws r#2 2");
        CHECK(a.pipe->writes == 1);
        node.publish("r", "3"); // a time of its own
        node.pass(std::chrono::milliseconds{19});
        CHECK(a.pipe->writes == 1);
        node.pass(std::chrono::milliseconds{1});
        CHECK(a.pipe->output.ends_with("ws r#3 3"));
        CHECK(a.pipe->writes == 2);
    }
    SECTION("or before what must stay behind them") {
        Listener other{node};
        other.user = "u";
        other.subscribe("r");
        CHECK(a.pipe->output == "ws r#1 1ws r#2 2<presence>");
        CHECK(other.take() == Lines{"joined r at 2"}); // not what came before it
        node.pass(std::chrono::milliseconds{100});
        CHECK(a.pipe->writes == 2);
        other.unsubscribe("r");
    }
    SECTION("or when a piece is full") {
        publish_burst(node, std::vector<std::pair<std::string, std::string>>(62, {"r", "m"}));
        CHECK(a.pipe->writes == 1);
    }
    SECTION("or when the rule says so no more") {
        rule.batch = {};
        node.set_rules({rule});
        node.publish("r", "3");
        CHECK(a.pipe->output == "ws r#1 1ws r#2 2ws r#3 3");
        node.pass(std::chrono::milliseconds{100});
        CHECK(a.pipe->writes == 1);
    }
    SECTION("and are forgotten with their last subscriber") {
        node.on(0, [&] { a.leave(at); });
        node.pass(std::chrono::milliseconds{100});
        CHECK(a.pipe->output.empty());
        CHECK(node.metrics.sum("messages_out_total") == 0);
    }
}

TEST_CASE("subscribers: rooms that wait and rooms that do not share places",
          "[room][subscribers][direct][batch]") {
    room::Rule slow;
    slow.match = "slow*";
    slow.batch = std::chrono::milliseconds{20};
    RoomsNode node{1, {slow, test::rule("*")}};
    Writer a{node, 0, Form::ws_json, false};
    std::vector<Subscription> places(6);
    for (std::size_t i = 0; i < places.size(); ++i)
        a.subscribe((i % 2 == 0 ? "slow" : "fast") + std::to_string(i), places[i]);
    for (int turn = 0; turn < 5; ++turn) {
        publish_burst(node, {{"slow0", "m"}, {"fast1", "m"}, {"slow2", "m"}, {"fast3", "m"}});
        CHECK(a.pipe->output.find("slow") == std::string::npos);
        CHECK(a.pipe->take_output().find("fast3") != std::string::npos);
        node.pass(std::chrono::milliseconds{20});
        const std::string later = a.pipe->take_output();
        CHECK(later.find("slow0#" + std::to_string(turn + 1)) != std::string::npos);
        CHECK(later.find("slow2#" + std::to_string(turn + 1)) != std::string::npos);
    }
}
