// One message to many, on a real file: whom it reaches, once, and what is counted of it.

#include "support/device_node.hpp"
#include "support/test_vfs.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <set>
#include <sqlite3.h>
#include <string>
#include <vector>

namespace fanfare::stores {
namespace {

using namespace fanfare::test;
using delivery::Audience;
using delivery::NotificationId;
using delivery::Order;
using delivery::Placed;
using delivery::Priority;
using delivery::PushResult;
using delivery::SendSlice;
using delivery::SendView;
using delivery::Status;
using Fate = delivery::PushResult::Fate;
using Kind = delivery::Audience::Kind;

constexpr delivery::Channels both = delivery::realtime | delivery::push;

/// "u007": in the order of their numbers.
std::string name_of(std::size_t number) {
    std::string digits = std::to_string(number);
    return "u" + std::string(4 - digits.size(), '0') + digits;
}
std::vector<std::string> names(std::size_t count) {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < count; ++i) all.push_back(name_of(i));
    return all;
}

struct Sends : DeviceNode {
    explicit Sends(const std::string& path, const std::string& vfs = {})
        : DeviceNode(path, vfs, vfs.empty() ? Synchronous::off : Synchronous::full) {
        set(options);
    }
    void set(const delivery::InboxOptions& fresh) {
        options = fresh;
        set_options(fresh);
    }
    void pushes() {
        options.pushes_to.serve(delivery::Platform::ios, {});
        options.ack_timeout = std::chrono::milliseconds{20};
        options.attempts = 1;
        set_options(options);
    }

    Order send(Kind kind, const std::string& topic = {}) const {
        Order made = order({});
        made.channels = both;
        made.audience = Audience{kind, topic};
        made.later = true;
        return made;
    }
    Order send_to(std::vector<std::string> users, bool later) const {
        Order made = send(Kind::users);
        made.users = std::move(users);
        made.later = later;
        return made;
    }
    NotificationId accept(Order made) {
        const Placed placed = place(std::move(made));
        REQUIRE(placed.code == Code::ok);
        REQUIRE(placed.send.has_value());
        return *placed.send;
    }
    SendSlice next(Priority priority = Priority::normal, std::int64_t after = 0) {
        return ask<SendSlice>([&](auto done) {
            store().sends().next(priority, after, std::move(done));
            return true;
        });
    }
    /// Places slices until none is left; returns how many.
    std::size_t walk(Priority priority = Priority::normal) {
        std::size_t slices = 0;
        for (SendSlice slice = next(priority); !slice.none; slice = next(priority)) {
            REQUIRE(place(std::move(slice.order)).code == Code::ok);
            ++slices;
        }
        return slices;
    }
    SendView view_send(const NotificationId& id) {
        const delivery::Found found = find(id);
        REQUIRE(found.code == Code::ok);
        REQUIRE(found.send.has_value());
        return *found.send;
    }
    /// "accepted sent failed remaining status".
    std::string progress(const NotificationId& id) {
        const SendView send = view_send(id);
        return std::to_string(send.accepted) + " " + std::to_string(send.sent()) + " " +
               std::to_string(send.count(Status::failed)) + " " + std::to_string(send.remaining()) +
               " " + std::string{status_name(send.status())};
    }
    std::size_t notifications(const std::string& user) { return view(user).notifications.size(); }
    void device(const std::string& user, const std::string& name,
                std::vector<std::string> topics = {}) {
        delivery::PushDevice made = ios_device(user, name, user + "-" + name);
        made.topics = std::move(topics);
        REQUIRE(put(made).code == Code::ok);
    }
    std::vector<delivery::PushJob> jobs(Priority priority = Priority::normal) {
        return ask<delivery::PushJobs>([&](auto done) {
                   store().push().read(priority, {}, system_clock().wall() + 1'000, 1'000,
                                       std::move(done));
                   return true;
               })
            .jobs;
    }
    void settle(const delivery::PushJob& job, Fate fate) {
        PushResult result{job};
        result.fate = fate;
        result.provider = "apns";
        const auto settled = ask<delivery::Settled>([&](auto done) {
            store().push().settle(std::make_shared<const std::vector<PushResult>>(1, result),
                                  std::move(done));
            return true;
        });
        REQUIRE(settled.code == Code::ok);
    }
    delivery::InboxOptions options;
};

std::string number(const TestFolder& folder, const std::string& sql) {
    return StoredRows{folder.file()}.rows(sql).at(0).at(0);
}

} // namespace

TEST_CASE("sends: a few named users are placed at once, and are one send", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    Order order = node.send_to({"a", "b"}, false);
    order.data = R"({"n":1})";
    order.category = "c";
    const Placed placed = node.place(order);
    REQUIRE(placed.notifications.size() == 2);
    const SendView send = node.view_send(*placed.send);
    CHECK(send.audience.kind == Kind::users);
    CHECK(send.data == R"({"n":1})");
    CHECK(send.category == "c");
    CHECK(send.expanded != 0);
    CHECK(node.progress(*placed.send) == "2 0 0 2 processing");
    CHECK(node.next().none); // nothing is left to be walked
    // Its text is there once, and every reader finds it.
    CHECK(number(folder, "SELECT count(*) FROM notifications WHERE data <> ''") == "0");
    const delivery::Notification one = node.find(placed.notifications[0].id).notification;
    CHECK(one.data == R"({"n":1})");
    CHECK(one.category == "c");
    CHECK(one.send == placed.send);
    CHECK(node.view("b").notifications.at(0).data == R"({"n":1})");
    CHECK(node.join("b").messages.at(0)->data() == R"({"n":1})");
    const delivery::Notification alone =
        node.find(node.place("c").notifications[0].id).notification;
    CHECK(alone.data == "1");
    CHECK_FALSE(alone.send.has_value());
}

TEST_CASE("sends: many named users are placed in slices, each once", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    const NotificationId id = node.accept(node.send_to(names(250), true));
    CHECK(node.progress(id) == "250 0 0 250 pending");
    CHECK(node.metrics.sum("sends_open") == 1);
    std::vector<std::size_t> sizes;
    for (SendSlice slice = node.next(); !slice.none; slice = node.next()) {
        sizes.push_back(slice.order.users.size());
        const Order again = slice.order;
        const Placed placed = node.place(std::move(slice.order));
        REQUIRE(placed.code == Code::ok);
        CHECK(placed.notifications.size() == sizes.back());
        // What was read before the cursor moved does nothing.
        CHECK(node.place(again).code == Code::conflict);
        CHECK(node.progress(id) == "250 0 0 250 processing");
    }
    CHECK(sizes == std::vector<std::size_t>{32, 32, 32, 32, 32, 32, 32, 26});
    for (const std::string& user : names(250)) CHECK(node.notifications(user) == 1);
    CHECK(node.view_send(id).expanded != 0);
    CHECK(number(folder, "SELECT count(*) FROM send_users") == "0");
    CHECK(node.metrics.sum("sends_open") == 0);
    CHECK(node.metrics.sum("send_users_total") == 250);
}

TEST_CASE("sends: what a crash interrupts goes on where it was", "[stores][sends]") {
    TestFolder folder;
    TestVfs vfs;
    NotificationId id = NotificationId::make(0);
    {
        Sends node{folder.file(), vfs.name()};
        for (const std::string& user : names(250)) node.device(user, "phone");
        id = node.accept(node.send(Kind::broadcast));
        REQUIRE(node.place(node.next().order).code == Code::ok);
        const SendSlice lost = node.next();
        // Neither its notifications nor its cursor are kept.
        vfs.fail_nth(1, SQLITE_IOERR);
        CHECK(node.place(lost.order).code == Code::unavailable);
        vfs.heal();
        CHECK(node.notifications(lost.order.users.front()) == 0);
        CHECK(node.progress(id) == "32 0 0 32 processing");
        CHECK(node.metrics.sum("send_users_total") == 32);
        const SendSlice same = node.next();
        CHECK(same.order.users == lost.order.users);
        CHECK(same.order.step->from == lost.order.step->from);
    }
    Sends node{folder.file(), vfs.name()};
    CHECK(node.metrics.sum("sends_open") == 1);
    CHECK(node.walk() == 7);
    for (const std::string& user : names(250)) CHECK(node.notifications(user) == 1);
    CHECK(node.progress(id) == "250 0 0 250 processing");
}

TEST_CASE("sends: a broadcast reaches everyone with a device, once", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    for (const std::string& user : names(230)) {
        node.device(user, "phone");
        node.device(user, "tablet");
    }
    node.place("nobody"); // has an inbox and no device
    REQUIRE(node.put(expiring(ios_device("u9999", "old", "t"), -1)).code == Code::ok);
    const NotificationId id = node.accept(node.send(Kind::broadcast));
    REQUIRE(node.place(node.next().order).code == Code::ok);
    node.device("u0000", "third");  // behind the cursor: it was reached
    node.device("a-late", "phone"); // behind it, too
    node.device("u0150", "third");
    node.unregister("u0200");
    CHECK(node.walk() == 7);
    for (std::size_t i = 0; i < 230; ++i)
        CHECK(node.notifications(name_of(i)) == (i == 200 ? 0 : 1));
    CHECK(node.notifications("a-late") == 0);
    CHECK(node.notifications("nobody") == 1);
    CHECK(node.notifications("u9999") == 0);
    CHECK(node.view_send(id).accepted == 229);
}

TEST_CASE("sends: a topic reaches whoever has it, once, whatever devices come and go",
          "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    // First phones, then tablets: whoever has both is met in two slices.
    for (const std::string& user : names(150)) node.device(user, "phone", {"news"});
    for (const std::string& user : names(150)) node.device(user, "tablet", {"news", "sport"});
    node.device("other", "phone", {"sport"});
    node.device("early", "phone");
    node.device("lasting", "first");
    node.device("lasting", "phone", {"news"});
    const NotificationId id = node.accept(node.send(Kind::topic, "news"));
    SendSlice first = node.next();
    CHECK(first.order.users == names(32));
    REQUIRE(node.place(std::move(first.order)).code == Code::ok);
    node.unregister("u0003", "phone"); // it was reached by it
    // A lower device gets the topic when the cursor is beyond it: the higher one counts.
    node.device("early", "another", {"news"});
    delivery::PushDevice low = ios_device("lasting", "first", "lasting-first");
    low.topics = {"news"};
    REQUIRE(node.put(low).code == Code::ok);
    node.walk();
    for (const std::string& user : names(150)) CHECK(node.notifications(user) == 1);
    CHECK(node.notifications("lasting") == 1);
    CHECK(node.notifications("other") == 0);
    CHECK(node.view_send(id).accepted == 152); // and "early"
    CHECK(node.view_send(id).audience.topic == "news");
}

TEST_CASE("sends: of a topic is pushed to the devices that have it", "[stores][sends][push]") {
    TestFolder folder;
    Sends node{folder.file()};
    node.pushes();
    node.device("a", "phone", {"news"});
    node.device("a", "tablet", {"sport"});
    node.device("b", "phone", {"news"});
    node.join("b"); // who is there has it in realtime first …
    const NotificationId id = node.accept(node.send(Kind::topic, "news"));
    node.walk();
    REQUIRE(node.jobs().size() == 1);
    CHECK(node.jobs()[0].device.user == "a");
    CHECK(node.jobs()[0].device.name == "phone");
    CHECK(node.jobs()[0].notification.data == "1");
    CHECK(node.view("b").notifications[0].attempts == 1);
    node.device("b", "tablet", {"sport"});
    REQUIRE(node.wait(
        [&] { return node.view("b").notifications[0].tried + 20 <= system_clock().wall(); }));
    node.take_due("b"); // … and by push when it was not acknowledged
    CHECK(node.jobs().size() == 2);
    CHECK(node.progress(id) == "2 0 0 2 processing");
}

TEST_CASE("sends: every status is counted, whatever moves it", "[stores][sends][push]") {
    TestFolder folder;
    Sends node{folder.file()};
    node.pushes();
    for (const char* const user : {"a", "b", "c"}) node.device(user, "phone");
    Order order = node.send_to({"a", "b", "c", "d"}, false);
    order.collapse_key = "k";
    const NotificationId id = node.accept(order);
    const auto counts = [&] {
        std::string text;
        const SendView send = node.view_send(id);
        for (std::size_t i = 0; i < send.counts.size(); ++i)
            if (send.counts[i] != 0)
                text += (text.empty() ? "" : " ") +
                        std::string{status_name(static_cast<Status>(i))} +
                        std::to_string(send.counts[i]);
        return text;
    };
    CHECK(counts() == "pending1 processing3");
    std::map<std::string, delivery::PushJob> jobs;
    for (const delivery::PushJob& job : node.jobs()) jobs[job.device.user] = job;
    node.settle(jobs["a"], Fate::sent);
    CHECK(counts() == "pending1 processing2 sent1");
    node.settle(jobs["b"], Fate::again);
    CHECK(counts() == "pending1 processing1 sent1 retry1");
    node.settle(jobs["c"], Fate::dead);
    CHECK(counts() == "pending1 sent1 retry1 failed1");
    CHECK(node.progress(id) == "4 1 1 2 processing");
    node.acknowledge("c", 1); // late
    CHECK(counts() == "pending1 sent1 delivered1 retry1");
    CHECK(node.progress(id) == "4 2 0 2 processing");
    Order newer = node.order({"d"});
    newer.collapse_key = "k";
    node.place(newer);
    CHECK(counts() == "sent1 delivered1 retry1 suppressed1");
    REQUIRE(node.jobs().size() == 1); // it has another turn now
    node.settle(node.jobs()[0], Fate::sent);
    CHECK(counts() == "sent2 delivered1 suppressed1");
    CHECK(node.progress(id) == "4 3 0 0 sent");
    // Whoever is erased was never asked for.
    CHECK(node.erase("a").notifications == 1);
    CHECK(counts() == "sent1 delivered1 suppressed1");
    CHECK(node.progress(id) == "3 2 0 0 sent");
}

TEST_CASE("sends: what has nowhere to go is failed, all of it", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    Order order = node.send_to({"a", "b"}, false);
    order.channels = delivery::push;
    const NotificationId id = node.accept(order);
    CHECK(node.progress(id) == "2 0 2 0 failed");
    // Nobody is there to be reached: that has been done.
    const NotificationId none = node.accept(node.send(Kind::topic, "none"));
    CHECK(node.progress(none) == "0 0 0 1 pending");
    CHECK(node.walk() == 1);
    CHECK(node.progress(none) == "0 0 0 0 sent");
}

TEST_CASE("sends: when its time is over the rest is not placed", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    Order order = node.send_to(names(150), true);
    order.expires = order.created + 400;
    const NotificationId named = node.accept(order);
    REQUIRE(node.place(node.next().order).code == Code::ok);
    SECTION("the step that comes too late finds it") {
        const SendSlice late = node.next();
        REQUIRE(node.wait([&] { return system_clock().wall() > order.expires; }));
        const Placed placed = node.place(late.order);
        CHECK((placed.code == Code::ok || placed.code == Code::conflict)); // the sweep was first
        CHECK(placed.notifications.empty());
    }
    SECTION("or the sweep, if no step comes") {}
    REQUIRE(node.wait([&] { return node.view_send(named).expanded != 0; }));
    CHECK(node.next().none);
    REQUIRE(node.wait([&] { return node.view_send(named).count(Status::expired) == 150; }));
    CHECK(node.view_send(named).cut);
    CHECK(node.progress(named) == "150 0 0 0 expired");
    CHECK(node.notifications(name_of(149)) == 0);
    CHECK(number(folder, "SELECT count(*) FROM send_users") == "0");
    CHECK(node.metrics.sum("sends_open") == 0);
}

TEST_CASE("sends: records go when their time is over, the send with the last", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    delivery::InboxOptions options;
    options.keep = std::chrono::milliseconds{1'500};
    node.set(options);
    Order order = node.send_to({"a", "b"}, false);
    order.expires = order.created + 100;
    const NotificationId id = node.accept(order);
    REQUIRE(node.wait([&] { return node.view_send(id).count(Status::expired) == 2; }));
    REQUIRE(node.wait([&] { return node.notifications("a") + node.notifications("b") == 0; }));
    const delivery::Found found = node.find(id);
    // Forgotten ones stay counted.
    if (found.send) CHECK(found.send->count(Status::expired) == 2);
    REQUIRE(node.wait([&] { return node.find(id).code == Code::not_found; }));
    CHECK(number(folder, "SELECT count(*) FROM sends") == "0");
    CHECK(number(folder, "SELECT count(*) FROM send_progress") == "0");
}

TEST_CASE("sends: a repeat under its key is the same send", "[stores][sends][idempotency]") {
    TestFolder folder;
    NotificationId first = NotificationId::make(0);
    std::vector<Placed::One> placed_at_once;
    const auto keyed = [](Order order, const char* key, std::uint64_t fingerprint) {
        order.key = key;
        order.fingerprint = fingerprint;
        return order;
    };
    {
        Sends node{folder.file()};
        first = node.accept(keyed(node.send(Kind::broadcast), "k", 7));
        placed_at_once = node.place(keyed(node.send_to({"a", "b"}, false), "l", 8)).notifications;
    }
    Sends node{folder.file()};
    const Placed again = node.place(keyed(node.send(Kind::broadcast), "k", 7));
    CHECK(again.duplicate);
    CHECK(again.send == first);
    CHECK(again.notifications.empty());
    CHECK(node.place(keyed(node.send(Kind::broadcast), "k", 9)).code == Code::conflict);
    CHECK(number(folder, "SELECT count(*) FROM sends") == "2");
    const Placed both_again = node.place(keyed(node.send_to({"a", "b"}, false), "l", 8));
    CHECK(both_again.duplicate);
    CHECK(both_again.send.has_value());
    REQUIRE(both_again.notifications.size() == 2);
    for (std::size_t i = 0; i < 2; ++i)
        CHECK(both_again.notifications[i].id == placed_at_once[i].id);
    CHECK(node.notifications("a") == 1);
    CHECK(check_sqlite(folder.file()).faults.empty());
}

TEST_CASE("sends: those of one priority take turns, others do not mix", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    const NotificationId one = node.accept(node.send_to(names(150), true));
    const NotificationId two = node.accept(node.send_to(names(150), true));
    Order urgent = node.send_to(names(120), true);
    urgent.priority = Priority::critical;
    const NotificationId three = node.accept(urgent);
    CHECK(node.next(Priority::critical).order.step->id == three);
    CHECK(node.next(Priority::low).none);
    SendSlice slice = node.next();
    CHECK(slice.order.step->id == one);
    CHECK(slice.order.priority == Priority::normal);
    slice = node.next(Priority::normal, slice.order.step->send);
    CHECK(slice.order.step->id == two);
    slice = node.next(Priority::normal, slice.order.step->send);
    CHECK(slice.order.step->id == one);
}

TEST_CASE("sends: whoever waits for work is told of it", "[stores][sends]") {
    TestFolder folder;
    Sends node{folder.file()};
    std::atomic<int> told{0};
    node.store().sends().on_work([&] { ++told; });
    node.accept(node.send_to({"a"}, false));
    node.place("a");
    CHECK(told == 0);
    node.accept(node.send(Kind::broadcast));
    CHECK(told == 1);
}

TEST_CASE("sends: the check of a file finds what does not fit", "[stores][sends][tools]") {
    TestFolder folder;
    {
        Sends node{folder.file()};
        node.accept(node.send_to({"a", "b"}, false));
        node.accept(node.send_to(names(150), true));
        node.walk();
    }
    CHECK(check_sqlite(folder.file()).faults.empty());
    const auto faults_after = [&](const std::string& sql) {
        static_cast<void>(StoredRows{folder.file()}.rows(sql));
        return check_sqlite(folder.file()).faults;
    };
    CHECK(faults_after("UPDATE send_progress SET kept = 3 WHERE send = 1") ==
          std::vector<std::string>{"send 1 has 2 notifications, and counts 3"});
    CHECK(faults_after("UPDATE sends SET data = '{' WHERE id = 1").size() == 2);
    CHECK(faults_after("DELETE FROM sends WHERE id = 1") ==
          std::vector<std::string>{"send 1 is missing, and 2 notifications of it are there"});
}

} // namespace fanfare::stores
