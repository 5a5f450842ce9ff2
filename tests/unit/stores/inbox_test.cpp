// delivery::InboxLog on a real file: orders, pages, attempts, acknowledgements.

#include "sqlite/database.hpp"
#include "support/inbox_node.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::test;
using delivery::Placed;
using delivery::Status;

namespace {

delivery::InboxOptions impatient(std::size_t attempts = 3) {
    delivery::InboxOptions options;
    options.ack_timeout = std::chrono::milliseconds{1};
    options.attempts = attempts;
    return options;
}

/// Takes what is due, again and again, until something came or nothing will.
delivery::Due due_soon(InboxNode& node, const std::string& user) {
    delivery::Due due;
    REQUIRE(node.wait([&] {
        due = node.take_due(user);
        return !due.messages.empty() || due.next == 0;
    }));
    return due;
}

Status status_of(InboxNode& node, const delivery::NotificationId& id) {
    return node.find(id).notification.status;
}

} // namespace

TEST_CASE("inbox: offsets count per user from 1, and the row comes with the first", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    CHECK_FALSE(node.view("a").known);
    const Placed first = node.place(node.order({"a", "b"}, R"({"n":1})"));
    REQUIRE(first.code == Code::ok);
    REQUIRE(first.notifications.size() == 2);
    CHECK(first.notifications[0].position.offset == 1);
    CHECK(first.notifications[1].position.offset == 1);
    CHECK(first.notifications[0].attempt == 0);
    CHECK_FALSE(first.duplicate);
    const Placed second = node.place("a");
    CHECK(second.notifications[0].position == Position{first.notifications[0].position.epoch, 2});

    const delivery::Found found = node.find(first.notifications[0].id);
    CHECK(found.notification.user == "a");
    CHECK(found.notification.data == R"({"n":1})");
    CHECK(found.notification.status == Status::pending);
    CHECK(node.timeline(first.notifications[0].id) == "accepted>pending");
    CHECK(node.find(delivery::NotificationId::make(0)).code == Code::not_found);
    CHECK(node.metrics.sum("inbox_depth") == 3);
}

TEST_CASE("inbox: what is recorded comes back as it was", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    delivery::Order order = node.order({"a"}, R"({"n":1})");
    order.category = "chat";
    order.collapse_key = "k";
    order.priority = delivery::Priority::critical;
    order.channels = delivery::realtime | delivery::push;
    const Placed placed = node.place(order);
    const delivery::Notification one = node.find(placed.notifications[0].id).notification;
    CHECK(one.category == "chat");
    CHECK(one.collapse_key == "k");
    CHECK(one.priority == delivery::Priority::critical);
    CHECK(one.channels == (delivery::realtime | delivery::push));
    CHECK(one.created == order.created);
    CHECK(one.expires == order.expires);
    CHECK(one.updated == order.created);
    CHECK(one.tried == 0);
    CHECK(one.attempts == 0);
}

TEST_CASE("inbox: a live user's notification is counted as sent where it is placed", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    delivery::PageWish wish = InboxNode::wish("a", "s1");
    const delivery::Page page = node.page(wish);
    CHECK(page.caught_up);
    CHECK(page.newest == Position{wish.fresh, 0});
    node.join("a", "s2");
    const Placed placed = node.place("a");
    CHECK(placed.notifications[0].attempt == 1);
    // Clients know the epoch already.
    CHECK(placed.notifications[0].position == Position{wish.fresh, 1});
    CHECK(node.timeline(placed.notifications[0].id) == "accepted>pending sent1(s1,s2)");

    node.leave("a", "s1");
    CHECK(node.place("a").notifications[0].attempt == 1);
    node.leave("a", "s2");
    CHECK(node.place("a").notifications[0].attempt == 0);
}

TEST_CASE("inbox: a user who lives twice with one session leaves once", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.join("a", "s1");
    node.join("a", "s1");
    node.leave("a", "s1");
    node.leave("a", "s1");
    CHECK(node.place("a").notifications[0].attempt == 0);
}

TEST_CASE("inbox: a plain page has what waits, and counts it", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    std::vector<Placed> placed;
    for (int i = 1; i <= 5; ++i) placed.push_back(node.place("a", std::to_string(i)));
    node.acknowledge("a", 2);
    delivery::PageWish wish = InboxNode::wish("a");
    wish.messages_max = 2;
    const delivery::Page first = node.page(wish);
    CHECK(first.newest.offset == 5);
    CHECK(first.acked == 2);
    CHECK(first.after == 2);
    CHECK(first.unacknowledged);
    CHECK_FALSE(first.recovered);
    CHECK_FALSE(first.caught_up);
    CHECK(shown(first.messages) == "3:1 4:1");
    const room::Message& message = *first.messages[0];
    CHECK(message.room() == "@me");
    CHECK(message.room_hash() == hash_bytes("@me"));
    CHECK(message.id() == placed[2].notifications[0].id.text());
    CHECK(message.data() == "3");
    CHECK(message.position() == placed[2].notifications[0].position);
    CHECK(message.time() == node.find(placed[2].notifications[0].id).notification.created);
    CHECK(node.place("a").notifications[0].attempt == 0); // it is behind the page

    wish.first = false;
    wish.after = 4;
    const delivery::Page second = node.page(wish);
    CHECK(shown(second.messages) == "5:1 6:1");
    CHECK(second.caught_up);
    CHECK(node.place("a").notifications[0].attempt == 1);
    CHECK(node.metrics.sum("inbox_redeliveries_total") == 0);
}

TEST_CASE("inbox: a page is bounded by bytes, and has one at least", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    const std::string large = '"' + std::string(1'000, 'x') + '"';
    for (int i = 0; i < 3; ++i) node.place("a", large);
    delivery::PageWish wish = InboxNode::wish("a");
    wish.bytes_max = 0;
    const delivery::Page none = node.page(wish);
    CHECK(none.messages.empty());
    CHECK_FALSE(none.caught_up);
    CHECK(none.newest.offset == 3);
    wish.bytes_max = 1;
    const delivery::Page one = node.page(wish);
    CHECK(shown(one.messages) == "1:1");
    CHECK_FALSE(one.caught_up);
    wish.bytes_max = 2'500;
    wish.first = false;
    wish.after = 1;
    const delivery::Page rest = node.page(wish);
    CHECK(shown(rest.messages) == "2:1 3:1");
    CHECK(rest.caught_up);
    // Nothing is behind: no bytes are needed to be live.
    wish.bytes_max = 0;
    wish.after = 3;
    CHECK(node.page(wish).caught_up);
}

TEST_CASE("inbox: a resume shows everything behind it, and counts what waits", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(impatient(1));
    const Epoch epoch = node.place("a").notifications[0].position.epoch;
    for (int i = 0; i < 3; ++i) node.place("a");
    node.join("a"); // all have had their one attempt
    node.set_options(impatient(2));
    node.place("a");
    node.acknowledge("a", 2);
    delivery::PageWish wish = InboxNode::wish("a", "s2");

    SECTION("known") {
        wish.since = Position{epoch, 1};
        const delivery::Page page = node.page(wish);
        CHECK(page.recovered == true);
        CHECK(page.after == 1);
        CHECK_FALSE(page.unacknowledged);
        CHECK(shown(page.messages) == "2:0 3:2 4:2 5:2");
        CHECK(page.caught_up);
    }
    SECTION("spent ones too") {
        node.set_options(impatient(1));
        wish.since = Position{epoch, 1};
        CHECK(shown(node.page(wish).messages) == "2:0 3:0 4:0 5:0");
    }
    SECTION("of which only the leading bits are known") {
        const std::string text{epoch.text()};
        std::array<std::uint8_t, 5> leading{};
        const std::string raw = *from_base64url(text);
        std::copy_n(raw.begin(), 5, leading.begin());
        wish.since = Position{Epoch::abridged(leading), 4};
        const delivery::Page page = node.page(wish);
        CHECK(page.recovered == true);
        CHECK(shown(page.messages) == "5:2");
    }
    SECTION("of another life") {
        wish.since = Position{Epoch::fresh(), 1};
        const delivery::Page page = node.page(wish);
        CHECK(page.recovered == false);
        CHECK(page.after == 2);
        CHECK(page.unacknowledged);
        CHECK(shown(page.messages) == "3:2 4:2 5:2");
    }
    SECTION("beyond the newest") {
        wish.since = Position{epoch, 6};
        CHECK(node.page(wish).recovered == false);
    }
    SECTION("at the newest") {
        wish.since = Position{epoch, 5};
        const delivery::Page page = node.page(wish);
        CHECK(page.recovered == true);
        CHECK(page.messages.empty());
        CHECK(page.caught_up);
    }
    SECTION("the newest so many") {
        wish.last = 3;
        const delivery::Page page = node.page(wish);
        CHECK_FALSE(page.recovered);
        CHECK(page.after == 2);
        CHECK(shown(page.messages) == "3:2 4:2 5:2");
        wish.last = 100;
        wish.session = "s3";
        CHECK(shown(node.page(wish).messages) == "1:0 2:0 3:0 4:0 5:0");
    }
}

TEST_CASE("inbox: what is due is sent again, and then waits", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(impatient(3));
    node.join("a");
    const Placed placed = node.place("a");
    const delivery::NotificationId id = placed.notifications[0].id;
    CHECK(shown(due_soon(node, "a").messages) == "1:2");
    CHECK(shown(due_soon(node, "a").messages) == "1:3");
    const delivery::Due last = due_soon(node, "a");
    CHECK(last.messages.empty());
    CHECK(last.next == 0);
    CHECK(status_of(node, id) == Status::pending);
    CHECK(node.timeline(id) ==
          "accepted>pending sent1(s1) not_acknowledged1 sent2(s1) not_acknowledged2 sent3(s1) "
          "not_acknowledged3 waiting(no further channel)");
    CHECK(node.find(id).notification.attempts == 3);
    CHECK(node.metrics.sum("inbox_redeliveries_total") == 2);
    // It is in the inbox, but is not sent any more, whoever comes.
    node.leave("a");
    const delivery::Page page = node.join("a");
    CHECK(page.messages.empty());
    CHECK(page.caught_up);
    CHECK(node.view("a", false).unread == 1);
    CHECK(node.acknowledge("a", 1).changes.size() == 1);
}

TEST_CASE("inbox: nothing is due of a user who is away", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(impatient());
    node.join("a");
    const Placed placed = node.place("a");
    node.leave("a");
    std::this_thread::sleep_for(std::chrono::milliseconds{3}); // it is over its time
    const delivery::Due due = node.take_due("a");
    CHECK(due.messages.empty());
    CHECK(due.next == 0);
    CHECK(node.find(placed.notifications[0].id).notification.attempts == 1);
    // Back again: the attempt before is over.
    CHECK(shown(node.join("a", "s9").messages) == "1:2");
    CHECK(node.timeline(placed.notifications[0].id) ==
          "accepted>pending sent1(s1) not_acknowledged1 sent2(s9)");
}

TEST_CASE("inbox: not yet due says when", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    delivery::InboxOptions options;
    options.ack_timeout = std::chrono::hours{1};
    node.set_options(options);
    node.join("a");
    node.place("a");
    const delivery::Due due = node.take_due("a");
    CHECK(due.messages.empty());
    CHECK(due.next > system_clock().wall() + 3'000'000);
}

TEST_CASE("inbox: what is due comes in bounded portions, in offset order", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(impatient(2));
    node.join("a");
    const std::string large = '"' + std::string(100'000, 'x') + '"';
    for (int i = 0; i < 8; ++i) node.place("a", large);
    delivery::Due due = due_soon(node, "a");
    std::size_t count = due.messages.size();
    CHECK(count <= 5);
    while (count < 8) {
        REQUIRE(due.next != 0);
        due = due_soon(node, "a");
        CHECK(std::is_sorted(due.messages.begin(), due.messages.end(),
                             [](const auto& a, const auto& b) {
                                 return a->position().offset < b->position().offset;
                             }));
        count += due.messages.size();
    }
    CHECK(count == 8);
}

TEST_CASE("inbox: an attempt that reached no one does not count", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(impatient(2));
    const delivery::NotificationId id = node.place("a").notifications[0].id;
    const delivery::Page page = node.join("a", "s1");
    REQUIRE(shown(page.messages) == "1:1");
    node.leave("a", "s1");
    node.give_back("a", page.messages);
    const delivery::Page again = node.join("a", "s2");
    CHECK(shown(again.messages) == "1:1");
    CHECK(node.timeline(id) == "accepted>pending sent1(s1) returned1 sent1(s2)");
    // One that was counted again since stays as it is.
    const delivery::Page third = node.join("a", "s3");
    REQUIRE(shown(third.messages) == "1:2");
    node.give_back("a", again.messages);
    CHECK(node.find(id).notification.attempts == 2);
    // Nor does it move what is acknowledged.
    node.acknowledge("a", 1);
    node.give_back("a", third.messages);
    CHECK(node.find(id).notification.attempts == 2);
    CHECK(status_of(node, id) == Status::delivered);
}

TEST_CASE("inbox: attempts are counted across restarts", "[inbox]") {
    TestFolder folder;
    std::vector<std::string> all;
    delivery::NotificationId id;
    for (int life = 0; life < 5; ++life) {
        InboxNode node{folder.file()};
        node.set_options(impatient(3));
        if (life == 0) id = node.place("a").notifications[0].id;
        all.push_back(shown(node.join("a").messages));
    }
    CHECK(all == std::vector<std::string>{"1:1", "1:2", "1:3", "", ""});
    InboxNode node{folder.file()};
    CHECK(node.find(id).notification.attempts == 3);
    CHECK(status_of(node, id) == Status::pending);
}

TEST_CASE("inbox: an acknowledgement covers all up to it", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    std::vector<delivery::NotificationId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(node.place("a").notifications[0].id);
    delivery::Acked acked = node.acknowledge("a", 2, "phone");
    CHECK(acked.acked == 2);
    CHECK(acked.moved);
    CHECK(acked.unread == 2);
    REQUIRE(acked.changes.size() == 2);
    CHECK(acked.changes[0].id == ids[0]);
    CHECK(acked.changes[0].status == Status::delivered);
    CHECK(acked.changes[0].event == delivery::Event::acknowledged);
    CHECK(node.timeline(ids[1]) == "accepted>pending acknowledged>delivered(s1)");
    CHECK(node.metrics.sum("inbox_depth") == 2);

    acked = node.acknowledge("a", 1, "tablet"); // behind: only the device's position
    CHECK(acked.acked == 2);
    CHECK_FALSE(acked.moved);
    CHECK(acked.changes.empty());
    acked = node.acknowledge("a", 99); // beyond: all
    CHECK(acked.acked == 4);
    CHECK(acked.unread == 0);
    node.acknowledge("a", 1, "phone"); // never back
    const delivery::InboxView view = node.view("a");
    REQUIRE(view.devices.size() == 3);
    CHECK(view.devices[0].name.empty());
    CHECK(view.devices[0].offset == 4);
    CHECK(view.devices[1].name == "phone");
    CHECK(view.devices[1].offset == 2);
    CHECK(view.devices[2].name == "tablet");
    CHECK(view.devices[2].offset == 1);
    CHECK(view.devices[2].seen > 0);
    CHECK(view.acked == 4);

    acked = node.acknowledge("nobody", 5);
    CHECK(acked.code == Code::ok);
    CHECK(acked.acked == 0);
    CHECK_FALSE(acked.moved);
}

TEST_CASE("inbox: a user's devices are bounded", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.place("a");
    for (int i = 0; i < 130; ++i) node.acknowledge("a", 1, "d" + std::to_string(i));
    CHECK(node.view("a").devices.size() == 100);
}

TEST_CASE("inbox: what is acknowledged is not due", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.set_options(impatient());
    node.join("a");
    node.place("a");
    node.acknowledge("a", 1);
    const delivery::Due due = node.take_due("a");
    CHECK(due.next == 0);
    CHECK(due.messages.empty());
}

TEST_CASE("inbox: a collapse key leaves the newest", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    const auto place = [&](const std::string& key, std::vector<std::string> users = {"a"}) {
        delivery::Order order = node.order(std::move(users));
        order.collapse_key = key;
        return node.place(order).notifications[0];
    };
    const Placed::One read = place("k");
    node.acknowledge("a", 1);
    const Placed::One first = place("k");
    const Placed::One other = place("l");
    const Placed::One elsewhere = place("k", {"b"});
    CHECK(first.collapsed.empty()); // what is read is not replaced
    CHECK(elsewhere.collapsed.empty());
    node.join("a");
    const Placed::One second = place("k");
    REQUIRE(second.collapsed == std::vector{first.id});
    CHECK(status_of(node, first.id) == Status::suppressed);
    CHECK(status_of(node, read.id) == Status::delivered);
    CHECK(status_of(node, other.id) == Status::pending);
    CHECK(node.timeline(first.id) ==
          "accepted>pending sent1(s1) collapsed>suppressed(" + second.id.text() + ")");
    // It is neither shown nor due, nor does an acknowledgement move it.
    CHECK(node.view("a", false).notifications.size() == 3);
    CHECK(node.view("a", true).notifications.size() == 4);
    CHECK(node.acknowledge("a", 4).changes.size() == 2);
    CHECK(node.metrics.sum("inbox_depth") == 1); // b's
}

TEST_CASE("inbox: without realtime a notification is no part of the inbox", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    delivery::Order order = node.order({"a"});
    order.channels = delivery::push | delivery::email;
    node.join("a");
    const Placed placed = node.place(order);
    CHECK(placed.notifications[0].position.offset == 1);
    CHECK(placed.notifications[0].attempt == 0);
    const delivery::NotificationId id = placed.notifications[0].id;
    CHECK(status_of(node, id) == Status::failed);
    CHECK(node.timeline(id) == "accepted>pending processing>processing "
                               "failed>failed(no provider is configured for its channels)");
    CHECK(node.place("a").notifications[0].position.offset == 2);
    CHECK(node.view("a", false).notifications.size() == 1);
    CHECK(node.view("a", false).unread == 1);
    CHECK(node.view("a", true).notifications.size() == 2);
    CHECK(node.join("a", "s2").messages.size() == 1);
    CHECK(node.acknowledge("a", 2).changes.size() == 1); // nobody was shown the other
    CHECK(node.metrics.sum("inbox_depth") == 0);
}

TEST_CASE("inbox: a key answers as it did the first time", "[inbox]") {
    TestFolder folder;
    delivery::Order order;
    Placed first;
    {
        InboxNode node{folder.file()};
        order = node.order({"a", "b"});
        order.key = "caller/call/key";
        order.fingerprint = 7;
        first = node.place(order);
        const Placed second = node.place(order);
        CHECK(second.code == Code::ok);
        CHECK(second.duplicate);
        REQUIRE(second.notifications.size() == 2);
        CHECK(second.notifications[1].id == first.notifications[1].id);
        CHECK(second.notifications[1].position == first.notifications[1].position);
        CHECK(node.view("a").newest.offset == 1);
    }
    InboxNode node{folder.file()}; // a restart does not forget it
    CHECK(node.place(order).duplicate);
    order.fingerprint = 8;
    const Placed other = node.place(order);
    CHECK(other.code == Code::conflict);
    CHECK(other.detail != nullptr);
    CHECK(other.notifications.empty());
    CHECK(node.view("a").newest.offset == 1);
}

TEST_CASE("inbox: a key's time ends", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    delivery::Order order = node.order({"a", "b", "c"});
    order.key = "k";
    order.fingerprint = 7;
    order.key_expires = system_clock().wall(); // over at once
    node.place(order);
    order.users = {"a"};
    order.fingerprint = 8;
    order.key_expires += 60'000;
    CHECK_FALSE(node.place(order).duplicate);
    const Placed again = node.place(order);
    CHECK(again.duplicate);
    CHECK(again.notifications.size() == 1);
}

TEST_CASE("inbox: of two calls at once with one key one is done", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    delivery::Order order = node.order({"a"});
    order.key = "k";
    std::vector<Placed> answers;
    node.on_reactor([&] {
        for (int i = 0; i < 2; ++i)
            REQUIRE(node.log().place(order, [&](Placed placed) { answers.push_back(placed); }));
    });
    REQUIRE(node.wait([&] { return answers.size() == 2; }));
    CHECK_FALSE(answers[0].duplicate);
    CHECK(answers[1].duplicate);
    CHECK(answers[0].notifications[0].id == answers[1].notifications[0].id);
    CHECK(node.view("a").newest.offset == 1);
}

TEST_CASE("inbox: erasing leaves nothing, and live sessions go on in the next life", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.join("a");
    const Placed placed = node.place("a");
    node.place("b");
    node.acknowledge("a", 1, "phone");
    node.place("a");
    const Epoch fresh = Epoch::fresh();
    const delivery::Erased erased = node.erase("a", fresh);
    CHECK(erased.notifications == 2);
    CHECK(erased.devices == 1);
    CHECK(erased.epoch == fresh);
    CHECK_FALSE(node.view("a").known);
    CHECK(node.find(placed.notifications[0].id).code == Code::not_found);
    CHECK(node.view("b").known);
    CHECK(node.metrics.sum("inbox_depth") == 1);
    stores::Database file{folder.file(), stores::Database::Mode::read_only};
    CHECK(file.number("SELECT count(*) FROM notification_events") == 0);

    const Placed next = node.place("a");
    CHECK(next.notifications[0].position == Position{fresh, 1});
    CHECK(next.notifications[0].attempt == 1);
    node.leave("a");
    node.erase("a");
    CHECK(node.erase("nobody").notifications == 0);
    CHECK(node.place("a").notifications[0].attempt == 0);
}

TEST_CASE("inbox: an inbox is walked in both directions", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    for (int i = 1; i <= 5; ++i) node.place("a", std::to_string(i));
    node.acknowledge("a", 2);
    const auto walked = [&](const delivery::InboxQuery& query) {
        const delivery::InboxView view = node.view(query);
        std::string text;
        for (const delivery::Notification& each : view.notifications)
            text += std::to_string(each.offset);
        return text + (view.more ? "+" : "");
    };
    delivery::InboxQuery query;
    query.user = "a";
    CHECK(walked(query) == "12345");
    query.limit = 2;
    CHECK(walked(query) == "12+");
    query.first = 4;
    CHECK(walked(query) == "45");
    query.reverse = true;
    CHECK(walked(query) == "43+");
    query.first = std::numeric_limits<std::uint64_t>::max();
    query.limit = 100;
    CHECK(walked(query) == "54321");
    query.unread_only = true;
    CHECK(walked(query) == "543");
    query.bytes_max = 1;
    CHECK(walked(query) == "5+");
    query.limit = 0;
    CHECK(walked(query).empty());
    CHECK(node.view(query).unread == 3);
}

TEST_CASE("inbox: timelines come by offset", "[inbox]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    node.place("a");
    node.place("a");
    node.acknowledge("a", 1);
    using Timelines = std::vector<std::vector<delivery::TimelineEntry>>;
    const auto ask = [&](const std::string& user, std::vector<std::uint64_t> offsets) {
        return node.ask<Timelines>([&](auto done) {
            node.log().timelines(user, std::move(offsets), std::move(done));
            return true;
        });
    };
    const Timelines found = ask("a", {2, 1, 9});
    REQUIRE(found.size() == 3);
    CHECK(found[0].size() == 1);
    CHECK(found[1].size() == 2);
    CHECK(found[1][1].status == Status::delivered);
    CHECK(found[2].empty());
    CHECK(ask("nobody", {1}).at(0).empty());
}

TEST_CASE("inbox: the figure of what is pending is found again by a restart", "[inbox]") {
    TestFolder folder;
    {
        InboxNode node{folder.file()};
        for (int i = 0; i < 5; ++i) node.place(node.order({"a", "b"}));
        node.acknowledge("a", 3);
    }
    InboxNode node{folder.file()};
    node.place("c");
    REQUIRE(node.wait([&] { return node.metrics.sum("inbox_depth") >= 8; }));
    CHECK(node.metrics.sum("inbox_depth") == 8);
}
