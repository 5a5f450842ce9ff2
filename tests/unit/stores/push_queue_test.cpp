// From a notification to its jobs, and what becomes of them, on a real file.

#include "support/inbox_node.hpp"

#include <catch2/catch.hpp>

#include <optional>

namespace fanfare::stores {
namespace {

using namespace fanfare::test;
using delivery::Platform;
using delivery::Priority;
using delivery::PushJobs;
using delivery::PushResult;
using delivery::Status;
using Fate = delivery::PushResult::Fate;

constexpr delivery::Channels both = delivery::realtime | delivery::push;
delivery::PushReach all_platforms() {
    delivery::PushReach reach;
    for (const Platform platform : {Platform::ios, Platform::android, Platform::web})
        reach.serve(platform, "");
    return reach;
}

struct Pushes {
    explicit Pushes(const std::string& path, const delivery::PushReach& served = all_platforms(),
                    const std::string& vfs = {})
        : node(path, vfs) {
        options.pushes_to = served;
        options.ack_timeout = std::chrono::milliseconds{20};
        options.attempts = 2;
        node.set_options(options);
        node.store().push().on_work([this] { ++told; });
    }

    void add_device(const std::string& user, const std::string& name,
                    Platform platform = Platform::ios, WallMillis registered = 1'000,
                    const std::string& app = {}) {
        delivery::PushDevice device;
        device.user = user;
        device.name = name;
        device.platform = platform;
        device.token = name + "-token";
        device.registered = registered;
        device.app = app;
        const auto put = node.ask<delivery::Registered>(
            [&](auto done) { return node.store().devices().put(device, 20, std::move(done)); });
        REQUIRE(put.code == Code::ok);
    }
    delivery::NotificationId place(const std::string& user, delivery::Channels channels = both,
                                   Priority priority = Priority::normal,
                                   const std::string& collapse_key = {}) {
        delivery::Order order = node.order({user});
        order.channels = channels;
        order.priority = priority;
        order.collapse_key = collapse_key;
        const delivery::Placed placed = node.place(order);
        REQUIRE(placed.code == Code::ok);
        return placed.notifications.front().id;
    }
    PushJobs jobs(Priority lane = Priority::normal, delivery::PushCursor after = {},
                  std::size_t limit = 100, std::int64_t ahead = 0) {
        return node.ask<PushJobs>([&](auto done) {
            node.store().push().read(lane, after, system_clock().wall() + ahead, limit,
                                     std::move(done));
            return true;
        });
    }
    /// The devices of the jobs, "phone tablet".
    std::string shown(Priority lane = Priority::normal) {
        std::string text;
        for (const delivery::PushJob& job : jobs(lane).jobs)
            text += (text.empty() ? "" : " ") + job.device.name;
        return text;
    }
    static PushResult result(const delivery::PushJob& job, Fate fate, int status = 200) {
        PushResult made{job};
        made.fate = fate;
        made.provider = "apns";
        made.outcome.status = status;
        made.outcome.reason = status == 200 ? "" : "why";
        return made;
    }
    void settle(std::vector<PushResult> of) {
        const auto results = std::make_shared<const std::vector<PushResult>>(std::move(of));
        const auto settled = node.ask<delivery::Settled>([&](auto done) {
            node.store().push().settle(results, std::move(done));
            return true;
        });
        CHECK(settled.code == Code::ok);
    }
    Status status(const delivery::NotificationId& id) { return node.find(id).notification.status; }
    std::uint64_t depth(Priority lane = Priority::normal) {
        return node.store().push().depth(lane).jobs;
    }

    InboxNode node;
    delivery::InboxOptions options;
    std::atomic<int> told{0};
};

} // namespace

TEST_CASE("push: who is away is pushed to at once, on each device", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    push.add_device("ada", "browser", Platform::web);
    push.add_device("bo", "other");
    const auto id = push.place("ada", both, Priority::high);
    CHECK(push.shown(Priority::high) == "phone browser");
    CHECK(push.shown().empty());
    CHECK(push.depth(Priority::high) == 2);
    CHECK(push.told == 1);
    CHECK(push.status(id) == Status::processing);
    const PushJobs found = push.jobs(Priority::high);
    CHECK(found.jobs[0].notification.id == id);
    CHECK(found.jobs[0].notification.user == "ada");
    CHECK(found.jobs[0].notification.data == "1");
    CHECK(found.jobs[0].device.token == "phone-token");
    CHECK(found.jobs[0].attempts == 0);
    CHECK_FALSE(found.more);
    CHECK(found.next == 0);
    CHECK(push.node.changes().size() == 1); // processing
}

TEST_CASE("push: only to platforms that are served, and where the route goes there",
          "[stores][push]") {
    TestFolder folder;
    delivery::PushReach served;
    served.serve(Platform::web, "");
    Pushes push{folder.file(), served};
    push.add_device("ada", "phone");
    push.add_device("bo", "browser", Platform::web);
    CHECK(push.status(push.place("ada")) == Status::pending); // it waits in the inbox
    CHECK(push.status(push.place("ada", delivery::push)) == Status::failed);
    CHECK(push.status(push.place("bo", delivery::realtime)) == Status::pending);
    CHECK(push.depth() == 0);
    CHECK(push.status(push.place("bo")) == Status::processing);
    CHECK(push.status(push.place("bo", delivery::push)) == Status::processing);
    CHECK(push.depth() == 2);
}

TEST_CASE("push: only to apps that have a credential for the platform", "[stores][push]") {
    TestFolder folder;
    delivery::PushReach served;
    served.serve(Platform::ios, "");
    served.serve(Platform::ios, "shop");
    served.serve(Platform::web, "shop");
    Pushes push{folder.file(), served};
    push.add_device("ada", "plain");
    push.add_device("ada", "shop", Platform::ios, 1'000, "shop");
    push.add_device("ada", "unknown", Platform::ios, 1'000, "sho");
    push.add_device("ada", "browser", Platform::web);
    push.add_device("bo", "browser-2", Platform::web, 1'000, "shop");
    CHECK(push.status(push.place("ada")) == Status::processing);
    CHECK(push.status(push.place("bo", delivery::push)) == Status::processing);
    const PushJobs jobs = push.jobs();
    REQUIRE(jobs.jobs.size() == 3);
    CHECK(jobs.jobs[0].device.name == "plain");
    CHECK(jobs.jobs[1].device.name == "shop");
    CHECK(jobs.jobs[1].device.app == "shop");
    CHECK(jobs.jobs[2].device.name == "browser-2");
}

TEST_CASE("push: what is for push alone comes with the job", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    delivery::Order order = push.node.order({"ada"});
    order.channels = delivery::push;
    order.push_options = R"({"badge":3})";
    REQUIRE(push.node.place(order).code == Code::ok);
    push.place("ada", delivery::push);
    const PushJobs jobs = push.jobs();
    REQUIRE(jobs.jobs.size() == 2);
    CHECK(jobs.jobs[0].notification.push_options == R"({"badge":3})");
    CHECK(jobs.jobs[1].notification.push_options.empty());
}

TEST_CASE("push: what was for a device that is no more never goes to another", "[stores][push]") {
    TestFolder folder;
    std::optional<Pushes> push{std::in_place, folder.file()};
    push->add_device("ada", "phone");
    const auto id = push->place("ada", delivery::push);
    const auto removed = push->node.ask<delivery::Unregistered>([&](auto done) {
        return push->node.store().devices().remove("ada", "phone", std::move(done));
    });
    REQUIRE(removed.devices == 1);
    SECTION("in the same process") {}
    SECTION("after a restart") {
        push.reset();
        push.emplace(folder.file());
    }
    push->add_device("bo", "tablet"); // the newest row, as the phone was
    CHECK(push->jobs().jobs.empty());
    REQUIRE(push->node.wait([&] { return push->depth() == 0; }));
    CHECK(push->status(id) == Status::failed);
}

TEST_CASE("push: after the last attempt in realtime, for critical after the first",
          "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    push.node.join("ada");
    const auto normal = push.place("ada");
    const auto critical = push.place("ada", both, Priority::critical);
    CHECK(push.depth() + push.depth(Priority::critical) == 0);
    REQUIRE(push.node.wait([&] {
        static_cast<void>(push.node.take_due("ada"));
        return push.depth(Priority::critical) == 1;
    }));
    CHECK(push.node.find(critical).notification.attempts == 2); // both ways at once
    CHECK(push.shown(Priority::critical) == "phone");
    REQUIRE(push.node.wait([&] {
        static_cast<void>(push.node.take_due("ada"));
        return push.depth() == 1;
    }));
    CHECK(push.shown() == "phone");
    CHECK(push.depth(Priority::critical) == 1); // not twice
    CHECK(push.status(normal) == Status::processing);
    CHECK(push.status(critical) == Status::processing);
    // It is in the inbox all the same, and an acknowledgement ends both ways.
    push.node.acknowledge("ada", 2);
    CHECK(push.depth() + push.depth(Priority::critical) == 0);
    CHECK(push.status(normal) == Status::delivered);
    CHECK(push.status(critical) == Status::delivered);
}

TEST_CASE("push: who leaves without acknowledging is pushed to", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    push.node.join("ada");
    const auto id = push.place("ada");
    push.node.leave("ada");
    REQUIRE(push.node.wait([&] { return push.depth() == 1; }));
    CHECK(push.node.timeline(id) == "accepted>pending sent1(s1) not_acknowledged1 "
                                    "processing>processing(push)");
    // Back again, the inbox still has it.
    CHECK(shown(push.node.join("ada").messages) == "1:2");
}

TEST_CASE("push: sent when the first service takes it, delivered by a late ack", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    push.add_device("ada", "tablet");
    const auto id = push.place("ada");
    const PushJobs found = push.jobs();
    PushResult sent = Pushes::result(found.jobs[1], Fate::sent);
    sent.outcome.provider_id = "abc";
    push.settle({sent});
    CHECK(push.status(id) == Status::sent);
    push.settle({Pushes::result(found.jobs[0], Fate::dead, 400)});
    CHECK(push.status(id) == Status::sent);
    CHECK(push.depth() == 0);
    push.node.join("ada");
    push.node.acknowledge("ada", 1);
    CHECK(push.status(id) == Status::delivered);
    CHECK(push.node.timeline(id) ==
          "accepted>pending processing>processing(push) "
          "push_sent1>sent({\"device\":\"tablet\",\"provider\":\"apns\",\"status\":200,"
          "\"provider_id\":\"abc\"}) "
          "push_failed1({\"device\":\"phone\",\"provider\":\"apns\",\"status\":400,"
          "\"reason\":\"why\"}) sent1(s1) acknowledged>delivered(s1)");
    push.settle({sent}); // told twice: nothing happens
    CHECK(push.status(id) == Status::delivered);
}

TEST_CASE("push: again later, with its attempts counted", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    const auto id = push.place("ada");
    const delivery::PushJob job = push.jobs().jobs.front();
    PushResult again = Pushes::result(job, Fate::again, 503);
    again.again_at = system_clock().wall() + 60'000;
    push.settle({again});
    CHECK(push.status(id) == Status::retry);
    CHECK(push.jobs().jobs.empty());
    CHECK(push.jobs().next == again.again_at);
    const auto waiting = [&] { return push.jobs(Priority::normal, {}, 10, 61'000).jobs.front(); };
    CHECK(waiting().attempts == 1);
    PushResult uncounted = Pushes::result(waiting(), Fate::again, 429);
    uncounted.again_at = again.again_at;
    uncounted.counts = false;
    push.settle({uncounted});
    CHECK(waiting().attempts == 1);
    push.settle({Pushes::result(waiting(), Fate::sent)});
    CHECK(push.status(id) == Status::sent);
    CHECK(push.node.timeline(id) ==
          "accepted>pending processing>processing(push) "
          "push_retry1({\"device\":\"phone\",\"provider\":\"apns\",\"status\":503,"
          "\"reason\":\"why\"}) push_retry>retry processing>processing(push) "
          "push_sent2>sent({\"device\":\"phone\",\"provider\":\"apns\",\"status\":200})");
}

TEST_CASE("push: failed when every device's service has refused", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    push.add_device("ada", "tablet");
    const auto id = push.place("ada");
    const PushJobs found = push.jobs();
    push.settle({Pushes::result(found.jobs[0], Fate::dead, 400)});
    CHECK(push.status(id) == Status::processing);
    push.settle({Pushes::result(found.jobs[1], Fate::dead, 413)});
    CHECK(push.status(id) == Status::failed);
    push.node.join("ada");
    push.node.acknowledge("ada", 1);
    CHECK(push.status(id) == Status::delivered);
}

TEST_CASE("push: a dead device goes with all that waits for it", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone", Platform::ios, 5'000);
    const auto one = push.place("ada");
    const auto two = push.place("ada");
    const delivery::PushJob job = push.jobs().jobs.front();
    PushResult dropped = Pushes::result(job, Fate::dropped, 410);
    dropped.outcome.dead_since = 4'000; // before it was registered: it is alive
    push.settle({dropped});
    CHECK(push.depth() == 2);
    for (const delivery::PushJob& each : push.jobs().jobs)
        if (each.id == job.id) dropped = Pushes::result(each, Fate::dropped, 410);
    dropped.outcome.dead_since = 5'000;
    push.settle({dropped});
    CHECK(push.depth() == 0);
    CHECK(push.status(one) == Status::failed);
    CHECK(push.status(two) == Status::failed);
    const auto devices = push.node.ask<delivery::DeviceList>([&](auto done) {
        push.node.store().devices().list("ada", std::move(done));
        return true;
    });
    CHECK(devices.devices.empty());
}

TEST_CASE("push: jobs of a device that was unregistered end", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    const auto id = push.place("ada");
    static_cast<void>(push.node.ask<delivery::Unregistered>([&](auto done) {
        return push.node.store().devices().remove("ada", "phone", std::move(done));
    }));
    CHECK(push.jobs().jobs.empty());
    REQUIRE(push.node.wait([&] { return push.depth() == 0; }));
    CHECK(push.status(id) == Status::failed);
}

TEST_CASE("push: what is collapsed, expired or erased is not pushed", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    const auto first = push.place("ada", both, Priority::normal, "count");
    const auto second = push.place("ada", both, Priority::normal, "count");
    CHECK(push.status(first) == Status::suppressed);
    REQUIRE(push.jobs().jobs.size() == 1);
    CHECK(push.jobs().jobs.front().notification.id == second);
    delivery::Order order = push.node.order({"ada"});
    order.channels = both;
    order.expires = order.created + 30;
    static_cast<void>(push.node.place(order));
    REQUIRE(push.node.wait([&] { return push.depth() == 1; })); // the sweep
    static_cast<void>(push.node.erase("ada"));
    CHECK(push.depth() == 0);
    CHECK(push.jobs().jobs.empty());
}

TEST_CASE("push: a lane is read page by page", "[stores][push]") {
    TestFolder folder;
    Pushes push{folder.file()};
    push.add_device("ada", "phone");
    for (int i = 0; i < 5; ++i) push.place("ada");
    PushJobs page = push.jobs(Priority::normal, {}, 2);
    CHECK(page.jobs.size() == 2);
    CHECK(page.more);
    std::size_t seen = page.jobs.size();
    while (page.more) {
        page = push.jobs(Priority::normal, page.end, 2);
        seen += page.jobs.size();
    }
    CHECK(seen == 5);
    CHECK(push.jobs(Priority::normal, page.end, 2).jobs.empty());
}

TEST_CASE("push: the queue is there again after a restart", "[stores][push]") {
    TestFolder folder;
    delivery::NotificationId id;
    {
        Pushes push{folder.file()};
        push.add_device("ada", "phone");
        id = push.place("ada");
    }
    Pushes push{folder.file()};
    CHECK(push.depth() == 1);
    CHECK(push.shown() == "phone");
    CHECK(push.node.store().push().depth(Priority::normal).oldest > 0);
    push.settle({Pushes::result(push.jobs().jobs.front(), Fate::sent)});
    CHECK(push.status(id) == Status::sent);
}

} // namespace fanfare::stores
