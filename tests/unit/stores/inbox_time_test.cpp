// What time does to notifications: the chores of the writer.

#include "sqlite/database.hpp"
#include "support/inbox_node.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace fanfare;
using namespace fanfare::test;
using delivery::Placed;
using delivery::Status;

namespace {

delivery::InboxOptions short_lived(std::chrono::milliseconds ttl, std::chrono::milliseconds keep) {
    delivery::InboxOptions options;
    options.ttl = ttl;
    options.keep = keep;
    return options;
}

std::int64_t stored(const TestFolder& folder, const char* sql) {
    return stores::Database{folder.file(), stores::Database::Mode::read_only}.number(sql);
}

} // namespace

TEST_CASE("inbox time: what is not acknowledged expires, and somebody is told", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(short_lived(std::chrono::milliseconds{50}, std::chrono::hours{1}));
    const Placed::One one = node.place("a").notifications[0];
    delivery::Order lasting = node.order({"a"});
    lasting.expires += 3'600'000;
    node.place(lasting);
    const auto began = std::chrono::steady_clock::now();
    REQUIRE(node.wait([&] { return !node.changes().empty(); }));
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds{5});
    const std::vector<delivery::StatusChange> changes = node.changes();
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].id == one.id);
    CHECK(changes[0].status == Status::expired);
    CHECK(changes[0].event == delivery::Event::expired);
    CHECK(node.timeline(one.id) == "accepted>pending expired>expired");
    CHECK(node.metrics.sum("inbox_depth") == 1);
    // It is a record now, and not shown; an acknowledgement comes too late.
    CHECK(node.view("a", false).notifications.size() == 1);
    CHECK(node.view("a", true).notifications.size() == 2);
    CHECK(shown(node.join("a").messages) == "2:1");
    CHECK(node.acknowledge("a", 2).changes.size() == 1);
    CHECK(node.find(one.id).notification.status == Status::expired);
}

TEST_CASE("inbox time: what is over is not shown, whether or not it was swept", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    delivery::Order order = node.order({"a"});
    order.expires = order.created - 1; // over as it comes: the sweep is behind in any case
    std::optional<Placed> placed;
    std::optional<delivery::Page> page;
    std::optional<delivery::Found> found;
    node.on_reactor([&] {
        REQUIRE(node.log().place(order, [&](Placed got) {
            node.log().find(got.notifications[0].id, false,
                            [&](delivery::Found one) { found = std::move(one); });
            placed = std::move(got);
        }));
        REQUIRE(node.log().page(InboxNode::wish("a"), [&](delivery::Page got) { page = got; }));
    });
    REQUIRE(node.wait([&] { return placed && page && found; }));
    CHECK(page->messages.empty());
    CHECK(page->caught_up);
    CHECK(found->notification.status == Status::expired);
}

TEST_CASE("inbox time: an acknowledged one is not moved, and records go after their time",
          "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(short_lived(std::chrono::milliseconds{100}, std::chrono::milliseconds{100}));
    const Placed::One one = node.place("a").notifications[0];
    const Placed::One other = node.place("b").notifications[0];
    node.acknowledge("a", 1, "phone");
    node.join("b"); // and stays
    REQUIRE(node.wait([&] { return node.find(one.id).code == Code::not_found; }));
    REQUIRE(node.wait([&] { return node.find(other.id).code == Code::not_found; }));
    REQUIRE(node.changes().size() == 1);
    CHECK(node.changes()[0].id == other.id);
    REQUIRE(node.wait([&] { return !node.view("a").known; }));
    CHECK(stored(folder, "SELECT count(*) FROM notification_events") == 0);
    CHECK(stored(folder, "SELECT count(*) FROM inbox_devices") == 0);
    // A user who is there keeps the inbox, with its position, until the end of the visit.
    CHECK(node.view("b").newest == other.position);
    node.leave("b");
    REQUIRE(node.wait([&] { return !node.view("b").known; }));
}

TEST_CASE("inbox time: what expired while the process was away is found", "[inbox]") {
    TestFolder folder;
    delivery::NotificationId id;
    {
        InboxNode node{folder.file()};
        delivery::Order order = node.order({"a"});
        order.expires = order.created + 20;
        id = node.place(order).notifications[0].id;
    }
    InboxNode node{folder.file()};
    REQUIRE(node.wait([&] {
        return stored(folder, "SELECT count(*) FROM notifications WHERE status = 9") == 1;
    }));
    CHECK(node.find(id).notification.status == Status::expired);
}

TEST_CASE("inbox time: many that expire at once go in slices, beside the work", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    std::vector<std::string> users;
    for (int i = 0; i < 5'000; ++i) users.push_back("u" + std::to_string(i));
    delivery::Order order = node.order(users);
    order.expires = order.created + 1;
    REQUIRE(node.place(order).code == Code::ok);
    int placed = 0;
    REQUIRE(node.wait([&] {
        node.place("a");
        ++placed;
        return node.changes().size() == 5'000;
    }));
    CHECK(node.metrics.sum("inbox_depth") == placed);
}
