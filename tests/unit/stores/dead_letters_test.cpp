// Pushes that were given up: found, mended, sent again and thrown away, on a real file.

#include "support/inbox_node.hpp"

#include <fanfare/delivery/dead_letters.hpp>

#include <catch2/catch.hpp>
#include <fmt/format.h>

namespace fanfare::stores {
namespace {

using namespace fanfare::test;
using delivery::DeadLetter;
using delivery::LetterEdit;
using delivery::LetterFilter;
using delivery::LetterOrder;
using delivery::LetterPage;
using delivery::LetterQuery;
using delivery::LettersDone;
using delivery::LetterSkip;
using delivery::NotificationId;
using delivery::Platform;
using delivery::PushResult;
using delivery::Status;
using Act = delivery::LetterOrder::Act;
using Fate = delivery::PushResult::Fate;

constexpr delivery::Channels both = delivery::realtime | delivery::push;
constexpr std::size_t bytes_max = 1'000;
delivery::PushReach reach(std::initializer_list<Platform> platforms, std::string_view app = {}) {
    delivery::PushReach made;
    for (const Platform platform : platforms) made.serve(platform, app);
    return made;
}

struct Letters {
    explicit Letters(const std::string& path, const std::string& vfs = {}) : node(path, vfs) {
        options.pushes_to = reach({Platform::ios, Platform::android, Platform::web});
        options.keep = std::chrono::hours{1};
        node.set_options(options);
        node.store().push().on_work([this] { ++told; });
    }
    [[nodiscard]] delivery::DeadLetters& letters() { return node.store().dead_letters(); }

    void add_device(const std::string& user, const std::string& name = "phone",
                    Platform platform = Platform::ios) {
        delivery::PushDevice device;
        device.user = user;
        device.name = name;
        device.platform = platform;
        device.token = user + "-" + name;
        device.registered = 1'000;
        const auto put = node.ask<delivery::Registered>(
            [&](auto done) { return node.store().devices().put(device, 20, std::move(done)); });
        REQUIRE(put.code == Code::ok);
    }
    void remove_device(const std::string& user) {
        static_cast<void>(node.ask<delivery::Unregistered>(
            [&](auto done) { return node.store().devices().remove(user, {}, std::move(done)); }));
    }
    delivery::Order order(const std::string& user) {
        delivery::Order order = node.order({user}, R"({"title":"t","data":[1],"priority":"high"})");
        order.channels = both;
        order.category = "orders";
        return order;
    }
    std::vector<delivery::PushJob> jobs() {
        return node
            .ask<delivery::PushJobs>([&](auto done) {
                node.store().push().read(delivery::Priority::normal, {}, system_clock().wall(),
                                         20'000, std::move(done));
                return true;
            })
            .jobs;
    }
    void settle(const delivery::PushJob& job, Fate fate, int status = 413,
                const std::string& reason = "PayloadTooLarge",
                const std::string& provider = "apns") {
        std::vector<PushResult> results{PushResult{job}};
        results[0].fate = fate;
        results[0].provider = provider;
        results[0].outcome.status = status;
        results[0].outcome.reason = reason;
        const auto settled = node.ask<delivery::Settled>([&](auto done) {
            node.store().push().settle(
                std::make_shared<const std::vector<PushResult>>(std::move(results)),
                std::move(done));
            return true;
        });
        REQUIRE(settled.code == Code::ok);
    }
    /// All jobs there are become letters.
    void bury(int status = 413, const std::string& reason = "PayloadTooLarge",
              const std::string& provider = "apns") {
        for (const delivery::PushJob& job : jobs())
            settle(job, Fate::dead, status, reason, provider);
    }
    /// A notification whose push to each of the user's devices was given up.
    NotificationId lost(const std::string& user, int status = 413,
                        const std::string& reason = "PayloadTooLarge",
                        const std::string& provider = "apns") {
        const auto placed = node.place(order(user));
        REQUIRE(placed.code == Code::ok);
        bury(status, reason, provider);
        return placed.notifications.front().id;
    }

    LetterPage page(LetterQuery query) {
        return node.ask<LetterPage>([&](auto done) {
            letters().list(std::move(query), std::move(done));
            return true;
        });
    }
    std::string ids(const LetterFilter& filter = {}, bool oldest_first = true) {
        LetterQuery query;
        query.filter = filter;
        query.oldest_first = oldest_first;
        return shown(page(query).letters);
    }
    static std::string shown(const std::vector<DeadLetter>& letters) {
        std::string text;
        for (const DeadLetter& letter : letters)
            text += (text.empty() ? "" : " ") + std::to_string(letter.id);
        return text;
    }
    delivery::FoundLetter find(std::int64_t id) {
        return node.ask<delivery::FoundLetter>([&](auto done) {
            letters().find(id, std::move(done));
            return true;
        });
    }
    Error edit(std::int64_t id, LetterEdit edit) {
        return node.ask<Error>([&](auto done) {
            return letters().edit(id, std::move(edit), bytes_max, std::move(done));
        });
    }
    LettersDone carry_out(LetterOrder order) {
        return node.ask<LettersDone>([&](auto done) {
            letters().carry_out(std::move(order), std::move(done));
            return true;
        });
    }
    /// "2 device_gone1 remaining3".
    std::string act(Act act, std::vector<std::int64_t> ids, const LetterFilter& filter = {},
                    std::size_t limit = 1'000) {
        LetterOrder order;
        order.act = act;
        order.ids = std::move(ids);
        order.filter = filter;
        order.limit = limit;
        const LettersDone done = carry_out(order);
        CHECK(done.code == Code::ok);
        std::string text = std::to_string(done.done);
        for (std::size_t i = 0; i < done.skipped.size(); ++i)
            if (done.skipped[i] != 0)
                text += fmt::format(" {}{}", letter_skip_name(static_cast<LetterSkip>(i)),
                                    done.skipped[i]);
        if (done.remaining != 0) text += " remaining" + std::to_string(done.remaining);
        return text;
    }
    std::string redrive(std::vector<std::int64_t> ids, const LetterFilter& filter = {},
                        std::size_t limit = 1'000) {
        return act(Act::redrive, std::move(ids), filter, limit);
    }
    Status status(const NotificationId& id) { return node.find(id).notification.status; }
    [[nodiscard]] long figure() const {
        const std::string text = node.metrics.text();
        const std::string series = "\nfanfare_dead_letters ";
        const std::size_t at = text.find(series);
        return at == std::string::npos ? -1 : std::stol(text.substr(at + series.size()));
    }

    InboxNode node;
    delivery::InboxOptions options;
    std::atomic<int> told{0};
};

LetterFilter of_user(const std::string& user) {
    LetterFilter filter;
    filter.user = user;
    return filter;
}

} // namespace

TEST_CASE("dead letters: what is kept of one", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    const WallMillis before = system_clock().wall();
    const NotificationId id = letters.lost("ada");
    const delivery::FoundLetter found = letters.find(1);
    REQUIRE(found.code == Code::ok);
    const DeadLetter& letter = found.letter;
    CHECK(letter.notification == id);
    CHECK(letter.user == "ada");
    CHECK(letter.device == "phone");
    CHECK(letter.platform == Platform::ios);
    CHECK(letter.provider == "apns");
    CHECK(letter.status == 413);
    CHECK(letter.reason == "PayloadTooLarge");
    CHECK(letter.attempts == 1);
    CHECK(letter.time >= before);
    CHECK(letter.notification_status == Status::failed);
    CHECK(letter.expires > letter.time);
    CHECK(letter.priority == delivery::Priority::normal);
    CHECK(letter.category == "orders");
    CHECK_FALSE(letter.edited);
    CHECK_FALSE(letter.ttl);
    CHECK(letter.content == R"({"title":"t","data":[1],"priority":"high"})");
    CHECK(letters.figure() == 1);
    // Listed without its content; the device may have gone meanwhile.
    letters.remove_device("ada");
    const LetterPage page = letters.page({});
    REQUIRE(page.letters.size() == 1);
    CHECK(page.letters.front().content.empty());
    CHECK_FALSE(page.letters.front().platform);
    CHECK(letters.find(2).code == Code::not_found);
}

TEST_CASE("dead letters: listed page by page, in both orders", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    for (int i = 0; i < 5; ++i) letters.lost("ada");
    LetterQuery query;
    query.limit = 2;
    std::string seen;
    while (true) {
        const LetterPage page = letters.page(query);
        seen += (seen.empty() ? "" : " | ") + Letters::shown(page.letters);
        if (!page.more) break;
        query.after = page.letters.back().id;
    }
    CHECK(seen == "5 4 | 3 2 | 1");
    query.oldest_first = true;
    query.after = 2;
    const LetterPage page = letters.page(query);
    CHECK(Letters::shown(page.letters) == "3 4");
    CHECK(page.more);
    query.after = 3; // as many as fit are left
    CHECK_FALSE(letters.page(query).more);
}

TEST_CASE("dead letters: each filter restricts, and all of them do", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    letters.add_device("ada", "browser", Platform::web);
    letters.add_device("bo");
    const NotificationId first = letters.lost("ada");  // 1 and 2
    letters.lost("bo", 400, "BadTopic");               // 3
    letters.lost("bo", 503, "again and again", "fcm"); // 4
    const WallMillis third = letters.find(3).letter.time;

    CHECK(letters.ids() == "1 2 3 4");
    CHECK(letters.ids(of_user("ada")) == "1 2");
    CHECK(letters.ids(of_user("bo"), false) == "4 3");
    CHECK(letters.ids(of_user("nobody")).empty());
    LetterFilter filter;
    filter.device = "browser";
    CHECK(letters.ids(filter) == "2");
    filter = {};
    filter.provider = "fcm";
    CHECK(letters.ids(filter) == "4");
    filter = {};
    filter.reason = "BadTopic";
    CHECK(letters.ids(filter) == "3");
    filter.reason = "BadTop"; // the whole of it
    CHECK(letters.ids(filter).empty());
    filter = {};
    filter.notification = first;
    CHECK(letters.ids(filter) == "1 2");
    filter.user = "bo"; // it is ada's
    CHECK(letters.ids(filter).empty());
    filter.user = "ada";
    filter.device = "phone";
    CHECK(letters.ids(filter) == "1");
    filter.notification = NotificationId::make(1);
    CHECK(letters.ids(filter).empty());
    {
        StoredRows rows{folder.file()};
        static_cast<void>(
            rows.rows(fmt::format("UPDATE dead_letters SET time = {} + (id - 3) * 1000", third)));
    }
    filter = {};
    filter.since = third;
    CHECK(letters.ids(filter) == "3 4");
    filter.until = third + 1'000;
    CHECK(letters.ids(filter) == "3");
    filter.since.reset();
    CHECK(letters.ids(filter) == "1 2 3");
}

TEST_CASE("dead letters: an edit is the letter's own", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    const NotificationId id = letters.lost("ada");
    LetterEdit edit;
    edit.title = R"("shorter")";
    edit.data = "";
    REQUIRE_FALSE(letters.edit(1, edit));
    DeadLetter letter = letters.find(1).letter;
    CHECK(letter.edited);
    CHECK(letter.content == R"({"title":"shorter","priority":"high"})");
    // What was edited before is what the next edit changes.
    edit = {};
    edit.body = R"("b")";
    edit.ttl = std::chrono::seconds{60};
    REQUIRE_FALSE(letters.edit(1, edit));
    letter = letters.find(1).letter;
    CHECK(letter.content == R"({"title":"shorter","body":"b","priority":"high"})");
    CHECK(letter.ttl == std::chrono::seconds{60});
    edit = {};
    edit.ttl = std::chrono::seconds{0};
    REQUIRE_FALSE(letters.edit(1, edit));
    CHECK_FALSE(letters.find(1).letter.ttl);
    // The inbox has what it had.
    CHECK(letters.node.find(id).notification.data ==
          R"({"title":"t","data":[1],"priority":"high"})");

    edit = {};
    edit.title = "";
    edit.body = "";
    Error error = letters.edit(1, edit);
    CHECK(error.code == Code::bad_request);
    CHECK(error.field == "title");
    edit = {};
    edit.data = "\"" + std::string(bytes_max, 'x') + "\"";
    CHECK(letters.edit(1, edit).code == Code::too_large);
    CHECK(letters.edit(2, edit).code == Code::not_found);
    CHECK(letters.find(1).letter.content == letter.content); // nothing of that has happened
}

TEST_CASE("dead letters: redriven, one is a job again, with its own content", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    const NotificationId id = letters.lost("ada");
    LetterEdit edit;
    edit.title = R"("shorter")";
    REQUIRE_FALSE(letters.edit(1, edit));
    const int told = letters.told;
    CHECK(letters.redrive({1}) == "1");
    CHECK(letters.told == told + 1); // the dispatcher looks at once
    CHECK(letters.figure() == 0);
    CHECK(letters.ids().empty());
    CHECK(letters.status(id) == Status::processing);
    CHECK(letters.node.store().push().depth(delivery::Priority::normal).jobs == 1);
    std::vector<delivery::PushJob> jobs = letters.jobs();
    REQUIRE(jobs.size() == 1);
    CHECK(jobs[0].attempts == 0);
    CHECK(jobs[0].device.token == "ada-phone");
    CHECK(jobs[0].notification.id == id);
    CHECK(jobs[0].notification.data == R"({"title":"shorter","data":[1],"priority":"high"})");
    // Given up again, the new letter says the same.
    letters.bury(400, "BadTopic");
    CHECK(letters.status(id) == Status::failed);
    const DeadLetter again = letters.find(2).letter;
    CHECK(again.content == R"({"title":"shorter","data":[1],"priority":"high"})");
    CHECK(again.edited);
    CHECK(letters.redrive({2}) == "1");
    letters.settle(letters.jobs().at(0), Fate::sent, 200, "");
    CHECK(letters.status(id) == Status::sent);
    const std::string failed = R"({"device":"phone","provider":"apns","status":413,)"
                               R"("reason":"PayloadTooLarge"})";
    CHECK(letters.node.timeline(id) ==
          "accepted>pending processing>processing(push) push_failed1(" + failed +
              ") failed>failed(no service took it) "
              "redriven>processing({\"device\":\"phone\",\"provider\":\"apns\",\"letter\":1,"
              "\"edited\":true}) push_failed1({\"device\":\"phone\",\"provider\":\"apns\","
              "\"status\":400,\"reason\":\"BadTopic\"}) failed>failed(no service took it) "
              "redriven>processing({\"device\":\"phone\",\"provider\":\"apns\",\"letter\":2,"
              "\"edited\":true}) push_sent1>sent({\"device\":\"phone\",\"provider\":\"apns\","
              "\"status\":200})");
    CHECK(letters.redrive({2, 7}) == "0 not_found2");
}

TEST_CASE("dead letters: one of a notification that is at another device", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    letters.add_device("ada", "tablet");
    const NotificationId id = letters.node.place(letters.order("ada")).notifications.front().id;
    const std::vector<delivery::PushJob> jobs = letters.jobs();
    letters.settle(jobs.at(0), Fate::dead);
    letters.settle(jobs.at(1), Fate::sent, 200, "");
    CHECK(letters.redrive({1}) == "1");
    CHECK(letters.status(id) == Status::sent); // as it was
    letters.bury();
    CHECK(letters.status(id) == Status::sent);
}

TEST_CASE("dead letters: what cannot be redriven stays, and says why", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    SECTION("the device is gone") {
        letters.lost("ada");
        letters.remove_device("ada");
        letters.add_device("bo");
        CHECK(letters.redrive({}) == "0 device_gone1");
        letters.add_device("ada"); // registered again, under its name
        CHECK(letters.redrive({}) == "1");
        CHECK(letters.jobs().at(0).device.token == "ada-phone");
        return;
    }
    SECTION("nobody serves the device") {
        letters.lost("ada");
        letters.options.pushes_to =
            GENERATE(reach({Platform::web}), reach({Platform::ios}, "another"));
        letters.node.set_options(letters.options);
        CHECK(letters.redrive({}) == "0 no_provider1");
    }
    SECTION("the user knows") {
        const NotificationId id = letters.lost("ada");
        letters.node.join("ada");
        letters.node.acknowledge("ada", 1);
        CHECK(letters.redrive({}) == "0 acknowledged1");
        CHECK(letters.status(id) == Status::delivered);
    }
    SECTION("a newer one said it") {
        letters.add_device("ada", "tablet");
        delivery::Order order = letters.order("ada");
        order.collapse_key = "k";
        static_cast<void>(letters.node.place(order));
        letters.settle(letters.jobs().at(0), Fate::dead);
        static_cast<void>(letters.node.place(order));
        CHECK(letters.redrive({1}) == "0 over1");
    }
    CHECK(letters.ids() == "1");
    CHECK(letters.figure() == 1);
}

TEST_CASE("dead letters: what has expired needs a new time to live", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    letters.add_device("ada", "tablet");
    delivery::Order order = letters.order("ada");
    order.expires = order.created + 400;
    const NotificationId id = letters.node.place(order).notifications.front().id;
    const bool failed = GENERATE(true, false);
    if (failed)
        letters.bury();
    else
        letters.settle(letters.jobs().at(0), Fate::dead); // the other one waits until it is over
    REQUIRE(letters.node.wait([&] {
        return system_clock().wall() > order.expires &&
               letters.status(id) == (failed ? Status::failed : Status::expired) &&
               letters.node.store().push().depth(delivery::Priority::normal).jobs == 0;
    }));
    CHECK(letters.redrive({1}) == "0 expired1");
    LetterEdit edit;
    edit.ttl = std::chrono::seconds{3'600};
    REQUIRE_FALSE(letters.edit(1, edit));
    CHECK(letters.redrive({1}) == "1");
    CHECK(letters.status(id) == Status::processing);
    const std::vector<delivery::PushJob> jobs = letters.jobs();
    REQUIRE(jobs.size() == 1);
    CHECK(jobs[0].notification.expires > system_clock().wall() + 3'000'000);
    CHECK(jobs[0].notification.expires == letters.node.find(id).notification.expires);
    letters.settle(jobs[0], Fate::sent, 200, "");
    CHECK(letters.status(id) == Status::sent);
    // A shorter one than there is takes nothing away.
    const WallMillis expires = letters.node.find(id).notification.expires;
    if (!failed) return;
    edit.ttl = std::chrono::seconds{1};
    REQUIRE_FALSE(letters.edit(2, edit));
    CHECK(letters.redrive({2}) == "1");
    CHECK(letters.node.find(id).notification.expires == expires);
}

TEST_CASE("dead letters: a redriven one expires in its turn", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    delivery::Order order = letters.order("ada");
    order.expires = order.created + 300;
    const NotificationId id = letters.node.place(order).notifications.front().id;
    letters.bury();
    LetterEdit edit;
    edit.ttl = std::chrono::seconds{1};
    REQUIRE_FALSE(letters.edit(1, edit));
    CHECK(letters.redrive({1}) == "1");
    // The sweep moves it and takes its job, though it had nothing to do for an hour.
    REQUIRE(letters.node.wait(
        [&] { return letters.node.store().push().depth(delivery::Priority::normal).jobs == 0; },
        std::chrono::seconds{8}));
    CHECK(letters.status(id) == Status::expired);
}

TEST_CASE("dead letters: many, in steps, up to the limit", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    letters.add_device("bo");
    constexpr int count = 260;
    for (int i = 0; i < count; ++i) {
        static_cast<void>(letters.node.place(letters.order("ada")));
        static_cast<void>(letters.node.place(letters.order("bo")));
    }
    letters.bury();
    REQUIRE(letters.figure() == 2 * count);
    letters.remove_device("bo");
    // Those that cannot go are no reason for the others to wait behind them.
    CHECK(letters.redrive({}, {}, 150) == "150 device_gone149 remaining221");
    CHECK(letters.redrive({}, of_user("ada"), 1'000) == "110");
    CHECK(letters.redrive({}, {}, 1) == "0 device_gone260");
    CHECK(letters.jobs().size() == count);
    CHECK(letters.figure() == count);
    CHECK(letters.act(Act::discard, {}, of_user("bo"), 250) == "250 remaining10");
    CHECK(letters.act(Act::discard, {}, {}) == "10");
    CHECK(letters.figure() == 0);
    CHECK(letters.act(Act::discard, {}, {}) == "0");
    // By name, the limit counts too.
    letters.bury();
    const std::int64_t first = 2 * count + 1;
    CHECK(letters.redrive({first, first + 1, first + 2}, {}, 2) == "2 remaining1");
}

TEST_CASE("dead letters: what is buried while a redrive goes on is not part of it",
          "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    for (int i = 0; i < 250; ++i) static_cast<void>(letters.node.place(letters.order("ada")));
    letters.bury();
    std::optional<LettersDone> done;
    letters.node.on_reactor(
        [&] { letters.letters().carry_out({}, [&](LettersDone all) { done = std::move(all); }); });
    while (!done) letters.bury(); // a service that refuses everything at once
    CHECK(done->done == 250);
    letters.bury();
    CHECK(letters.figure() == 250);
}

TEST_CASE("dead letters: a discarded one is gone, and its timeline says so", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    const NotificationId id = letters.lost("ada");
    CHECK(letters.act(Act::discard, {1}) == "1");
    CHECK(letters.act(Act::discard, {1}) == "0 not_found1");
    CHECK(letters.find(1).code == Code::not_found);
    CHECK(letters.status(id) == Status::failed);
    CHECK(letters.node.find(id).timeline.back().event == delivery::Event::discarded);
    CHECK(letters.node.find(id).timeline.back().detail ==
          R"({"device":"phone","provider":"apns","status":413,"reason":"PayloadTooLarge",)"
          R"("letter":1})");
    // An id is never given again, whatever went.
    letters.lost("ada");
    CHECK(letters.ids() == "2");
}

TEST_CASE("dead letters: they go with their user, and with the record", "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.options.keep = std::chrono::milliseconds{1};
    letters.node.set_options(letters.options);
    letters.add_device("ada");
    letters.add_device("bo");
    letters.lost("ada");
    letters.lost("bo");
    static_cast<void>(letters.node.erase("ada"));
    CHECK(letters.ids() == "2");
    CHECK(letters.figure() == 1);
    delivery::Order order = letters.order("bo");
    order.expires = order.created + 100;
    static_cast<void>(letters.node.place(order));
    letters.bury();
    REQUIRE(letters.node.wait([&] { return letters.figure() == 1; }));
    CHECK(letters.ids() == "2");
}

TEST_CASE("dead letters: one whose notification is not there goes at its redrive",
          "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    letters.lost("ada");
    {
        StoredRows rows{folder.file()};
        static_cast<void>(rows.rows("DELETE FROM notifications"));
    }
    CHECK(letters.ids().empty());
    CHECK(letters.find(1).code == Code::not_found);
    LetterEdit edit;
    edit.title = R"("x")";
    CHECK(letters.edit(1, edit).code == Code::not_found);
    CHECK(letters.redrive({}) == "0 notification_gone1");
    CHECK(letters.figure() == 0);
}

TEST_CASE("dead letters: they are there after a restart, and counted", "[stores][letters]") {
    TestFolder folder;
    {
        Letters letters{folder.file()};
        letters.add_device("ada");
        letters.lost("ada");
        letters.lost("ada");
        LetterEdit edit;
        edit.title = R"("x")";
        REQUIRE_FALSE(letters.edit(2, edit));
        CHECK(letters.redrive({2}) == "1");
    }
    Letters letters{folder.file()};
    REQUIRE(letters.node.wait([&] { return letters.figure() == 1; }));
    CHECK(letters.ids() == "1");
    letters.add_device("bo", "7"); // whatever names letters have, devices get ids of their own
    CHECK(letters.jobs().at(0).notification.data ==
          R"({"title":"x","data":[1],"priority":"high"})");
}

TEST_CASE("dead letters: a job whose device's row is another user's is nobody's",
          "[stores][letters]") {
    TestFolder folder;
    Letters letters{folder.file()};
    letters.add_device("ada");
    letters.add_device("eve");
    static_cast<void>(letters.node.place(letters.order("ada")));
    {
        // Ids of devices are not used again; what is in the file is not trusted for that.
        StoredRows rows{folder.file()};
        static_cast<void>(rows.rows("UPDATE push_jobs SET device = (SELECT id FROM devices "
                                    "WHERE user = 'eve')"));
    }
    CHECK(letters.jobs().empty());
}

} // namespace fanfare::stores
