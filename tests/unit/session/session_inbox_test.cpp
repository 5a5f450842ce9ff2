// A session's place in `@me`, over an inbox whose answers are the test's.

#include "support/session_client.hpp"

#include <fanfare/session/inboxes.hpp>

#include <catch2/catch.hpp>

namespace fanfare::session {
namespace {

using namespace test;

/// Takes down what it is asked.
class InboxDesk final : public Inboxes {
  public:
    struct Subscribe {
        InboxPlace place;
        std::optional<Position> since;
        std::uint32_t last;
        std::size_t bytes_max;
    };
    struct Acknowledge {
        InboxPlace place;
        std::uint64_t offset;
        std::string device;
        std::function<void(const Error&, std::uint64_t)> done;
    };
    void subscribe(const InboxPlace& place, const std::optional<Position>& since,
                   std::uint32_t last, std::size_t bytes_max) override {
        subscribes.push_back({place, since, last, bytes_max});
    }
    void pull(const InboxPlace& place, std::size_t bytes_max) override {
        pulls.emplace_back(place.visit, bytes_max);
    }
    void unsubscribe(const InboxPlace& place) override { left.push_back(place.visit); }
    void acknowledge(const InboxPlace& place, std::uint64_t offset, const std::string& device,
                     std::function<void(const Error&, std::uint64_t)> done) override {
        acks.push_back({place, offset, device, std::move(done)});
    }
    void history(const std::string& user, const room::HistoryQuery& query,
                 std::function<void(const room::HistoryResult&)> done) override {
        histories.push_back(user + " " + std::to_string(query.limit));
        room::HistoryResult result;
        result.messages = {message(3)};
        done(result);
    }

    static room::MessageRef message(std::uint64_t offset, std::size_t bytes = 1) {
        const std::string data = "\"" + std::string(bytes, 'x') + "\"";
        room::Message::Parts parts;
        parts.room = inbox_room;
        parts.data = data;
        const room::DraftRef made = room::Message::make(parts, hash_bytes(inbox_room));
        made->number({Epoch::parse("AAAAAAAA"), offset}, 0, 0);
        return made;
    }
    static InboxJoined joined(std::uint64_t newest, std::uint64_t after) {
        InboxJoined answer;
        answer.position = {Epoch::parse("AAAAAAAA"), newest};
        answer.after = after;
        return answer;
    }

    std::vector<Subscribe> subscribes;
    std::vector<std::pair<std::uint32_t, std::size_t>> pulls;
    std::vector<std::uint32_t> left;
    std::vector<Acknowledge> acks;
    Lines histories;
};

struct InboxWorld {
    explicit InboxWorld(Options options = {}) : world(std::move(options)) {
        world.tokens.grants.closes = 4'000'000'000;
        world.tokens.grants.device = "phone";
        world.sessions[0]->set_inboxes(&desk);
    }
    InboxDesk desk;
    World world;
};

} // namespace

TEST_CASE("inbox: join, then what was missed, then live", "[session][inbox]") {
    InboxWorld w;
    Client client{w.world};
    client.open("u1");
    CHECK(client.subscribe("@me").empty());
    REQUIRE(w.desk.subscribes.size() == 1);
    const auto& asked = w.desk.subscribes[0];
    CHECK(asked.place.user == "u1");
    CHECK(asked.place.session_id == client.session->id());
    CHECK_FALSE(asked.since);
    CHECK(asked.bytes_max == w.world.options.send_queue_max / 2);
    CHECK(client.subscribe("@me", 2) == Lines{"error 2 already_subscribed"});
    CHECK(client.run([](Session& s) { s.on_inbox_joined(1, InboxDesk::joined(5, 2)); }) ==
          Lines{"ok 1 @me @5"});
    const auto page = [&](std::uint64_t first, std::uint64_t last, bool caught_up) {
        InboxPage piece;
        for (auto at = first; at <= last; ++at) piece.messages.push_back(InboxDesk::message(at));
        piece.caught_up = caught_up;
        return client.run([&](Session& s) { s.on_inbox_page(1, piece); });
    };
    CHECK(page(3, 4, false) == Lines{"inbox 3:\"x\";", "inbox 4:\"x\";"});
    CHECK(w.desk.pulls.size() == 1);
    CHECK(page(5, 5, true) == Lines{"inbox 5:\"x\";"});
    CHECK(w.desk.pulls.size() == 1);
    const auto live = [&](std::uint64_t offset, std::uint32_t visit = 1) {
        return client.run(
            [&](Session& s) { s.on_inbox_message(visit, InboxDesk::message(offset)); });
    };
    CHECK(live(6) == Lines{"inbox 6:\"x\";"});
    CHECK(live(4) == Lines{"repeat 4:\"x\";"});
    CHECK(live(6, 2).empty()); // of another visit
    CHECK(client.run([](Session& s) { s.on_inbox_acked(1, 6); }) == Lines{"acked @6"});
    CHECK(client.run([](Session& s) {
        s.on_inbox_reset(1, {Epoch::parse("BBBBBBBB"), 0});
    }) == Lines{"reset @me @0"});
    CHECK(client.unsubscribe("@me") == Lines{"left 2 @me"});
    CHECK(w.desk.left == std::vector<std::uint32_t>{1});
    CHECK(live(7).empty());
    CHECK(client.unsubscribe("@me") == Lines{"error 2 not_subscribed"});
    client.subscribe("@me", 3);
    CHECK(w.desk.subscribes.back().place.visit == 2);
    client.run([](Session& s) { s.close(CloseReason::normal, ""); });
    CHECK(w.desk.left == std::vector<std::uint32_t>{1, 2});
}

TEST_CASE("inbox: unsubscribing while it joins is answered in order", "[session][inbox]") {
    InboxWorld w;
    Client client{w.world};
    client.open("u1");
    client.subscribe("@me");
    CHECK(client.unsubscribe("@me").empty());
    CHECK(client.unsubscribe("@me", 3) == Lines{"error 3 not_subscribed"});
    CHECK(client.run([](Session& s) { s.on_inbox_joined(1, InboxDesk::joined(0, 0)); }) ==
          Lines{"ok 1 @me @0", "left 2 @me"});
    CHECK(w.desk.left.size() == 1);
}

TEST_CASE("inbox: a store that cannot be read", "[session][inbox]") {
    InboxWorld w;
    Client client{w.world};
    client.open("u1");
    client.subscribe("@me");
    client.unsubscribe("@me");
    InboxJoined refused;
    refused.code = Code::unavailable;
    refused.detail = "the store's disk is full";
    CHECK(client.run([&](Session& s) { s.on_inbox_joined(1, refused); }) ==
          Lines{"error 1 unavailable", "error 2 not_subscribed"});
    client.subscribe("@me");
    client.run([](Session& s) { s.on_inbox_joined(2, InboxDesk::joined(5, 0)); });
    InboxPage none;
    none.code = Code::unavailable;
    CHECK(client.run([&](Session& s) { s.on_inbox_page(2, none); }) ==
          Lines{"unsubscribed @me unavailable"});
    CHECK(w.desk.left == std::vector<std::uint32_t>{1, 2});
}

TEST_CASE("inbox: what is missed fills half of the queue at most", "[session][inbox]") {
    InboxWorld w;
    Client client{w.world};
    client.open("u1");
    client.subscribe("@me");
    client.run([](Session& s) { s.on_inbox_joined(1, InboxDesk::joined(5, 0)); });
    client.queued = w.world.options.send_queue_max / 4;
    InboxPage page;
    page.messages = {InboxDesk::message(1)};
    client.run([&](Session& s) { s.on_inbox_page(1, page); });
    CHECK(w.desk.pulls.empty());
    client.queued = 100;
    client.run([](Session& s) { s.drained(); });
    REQUIRE(w.desk.pulls.size() == 1);
    CHECK(w.desk.pulls[0].second == w.world.options.send_queue_max / 2 - 100);
    client.run([](Session& s) { s.drained(); });
    CHECK(w.desk.pulls.size() == 1); // one at a time
}

TEST_CASE("inbox: acknowledging", "[session][inbox]") {
    InboxWorld w;
    Client client{w.world};
    client.open("u1");
    const auto ack = [&](std::uint64_t offset, RequestId id = 9) {
        return client.run([&](Session& s) { s.acknowledge(id, "@me", offset); });
    };
    CHECK(ack(1) == Lines{"error 9 bad_request"});
    CHECK(ack(0) == Lines{"ack 9 @0"});
    client.subscribe("@me");
    client.run([](Session& s) { s.on_inbox_joined(1, InboxDesk::joined(5, 2)); });
    CHECK(ack(3) == Lines{"error 9 bad_request"});
    CHECK(ack(2).empty()); // what it resumed behind was its own
    REQUIRE(w.desk.acks.size() == 1);
    CHECK(w.desk.acks[0].device == "phone"); // the token's
    CHECK(client.run([&](Session&) { w.desk.acks[0].done({}, 2); }) == Lines{"ack 9 @2"});
    client.run([](Session& s) { s.on_inbox_message(1, InboxDesk::message(6)); });
    client.unsubscribe("@me");
    CHECK(ack(6).empty()); // also afterwards
    REQUIRE(w.desk.acks.size() == 2);
    CHECK(client.run([&](Session&) {
        w.desk.acks[1].done({Code::unavailable, "full", {}}, 0);
    }) == Lines{"error 9 unavailable"});
    CHECK(ack(7) == Lines{"error 9 bad_request"});
    ack(6);
    client.run([](Session& s) { s.close(CloseReason::normal, ""); });
    client.run([&](Session&) { w.desk.acks[2].done({}, 6); }); // nobody is there to hear it
    CHECK(client.take().empty());
}

TEST_CASE("inbox: the device is the request's, else the token's", "[session][inbox]") {
    InboxWorld w;
    Client client{w.world};
    client.open("u1");
    client.run([](Session& s) { s.subscribe(1, {"@me", Position{{}, 4}, 0, "tablet"}); });
    REQUIRE(w.desk.subscribes.size() == 1);
    CHECK(w.desk.subscribes[0].since->offset == 4);
    client.run([](Session& s) { s.on_inbox_joined(1, InboxDesk::joined(5, 4)); });
    client.run([](Session& s) { s.acknowledge(2, "@me", 4); });
    CHECK(w.desk.acks.at(0).device == "tablet");
}

TEST_CASE("inbox: it is one of the session's rooms, has a history and no presence",
          "[session][inbox]") {
    Options options;
    options.rooms_max = 1;
    options.anonymous = true;
    InboxWorld w{options};
    Client client{w.world};
    client.open("u1");
    client.subscribe("@me");
    CHECK(client.subscribe("open:1", 2) == Lines{"error 2 limit_reached"});
    client.run([](Session& s) { s.on_inbox_joined(1, InboxDesk::joined(0, 0)); });
    client.unsubscribe("@me");
    CHECK(client.subscribe("open:1", 2) == Lines{"ok 2 open:1 @0"});
    CHECK(client.subscribe("@me", 3) == Lines{"error 3 limit_reached"});
    CHECK(client.run([](Session& s) {
        s.history(4, {"@me", {}, 7, false});
    }) == Lines{"history 4 \"x\" end"});
    CHECK(w.desk.histories == Lines{"u1 7"});
    CHECK(client.run([](Session& s) { s.presence(5, "@me"); }) == Lines{"error 5 bad_request"});
    CHECK(client.publish("@me", "1") == Lines{"error 4 forbidden"});
    Client nobody{w.world};
    nobody.open();
    CHECK(nobody.subscribe("@me") == Lines{"error 1 unauthorized"});
}

TEST_CASE("notifications: only a token that grants it follows one", "[session][inbox]") {
    InboxWorld w;
    Client client{w.world};
    client.open("u1");
    CHECK(client.subscribe("@notifications:abc") == Lines{"error 1 forbidden"});
    w.world.tokens.grants.subscribe = {"@notifications:abc"};
    Client follower{w.world};
    follower.open("u2");
    CHECK(follower.subscribe("@notifications:abc") == Lines{"ok 1 @notifications:abc @0"});
    CHECK(follower.subscribe("@notifications:abd") == Lines{"error 1 forbidden"});
    CHECK(follower.subscribe("@other") == Lines{"error 1 not_found"});
    CHECK(follower.publish("@notifications:abc", "1") == Lines{"error 4 forbidden"});
    w.world.publish("@notifications:abc", "1");
    CHECK(follower.take() == Lines{"@notifications:abc 1:1;"});
    // Where nobody listens, nothing is made.
    const std::int64_t rooms = w.world.metrics.gauge("rooms", "").value();
    w.world.publish("@notifications:xyz", "1");
    CHECK(w.world.metrics.gauge("rooms", "").value() == rooms);
}

} // namespace fanfare::session
