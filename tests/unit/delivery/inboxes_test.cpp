// Inboxes over a store whose answers are the test's: what is told to whom, in which order, and what
// is given back.

#include "support/session_client.hpp"

#include <fanfare/delivery/inboxes.hpp>

#include <catch2/catch.hpp>

#include <deque>

namespace fanfare::delivery {
namespace {

using namespace fanfare::session::test;
using session::Session;

/// Takes down what it is asked; the test answers.
class ScriptedLog final : public InboxLog {
  public:
    void set_options(const InboxOptions& /*options*/) override {}
    void on_changes(std::function<void(std::vector<StatusChange>)> /*tell*/) override {}
    bool place(Order order, std::function<void(Placed)> done) override {
        if (full) return false;
        orders.emplace_back(std::move(order), std::move(done));
        return true;
    }
    bool page(PageWish wish, std::function<void(Page)> done) override {
        if (full) return false;
        pages.emplace_back(std::move(wish), std::move(done));
        return true;
    }
    void leave(const std::string& user, const std::string& /*session*/) override {
        log.push_back("leave " + user);
    }
    bool take_due(const std::string& user, std::function<void(Due)> done) override {
        log.push_back("due " + user);
        if (full) return false;
        dues.push_back(std::move(done));
        return true;
    }
    void give_back(const std::string& user, std::vector<room::MessageRef> messages) override {
        std::string line = "give back " + user;
        for (const room::MessageRef& message : messages)
            line += " " + std::to_string(message->position().offset);
        log.push_back(std::move(line));
    }
    bool acknowledge(Ack ack, bool /*count_unread*/, std::function<void(Acked)> done) override {
        if (full) return false;
        acks.emplace_back(std::move(ack), std::move(done));
        return true;
    }
    bool erase(const std::string& /*user*/, const Epoch& fresh,
               std::function<void(Erased)> done) override {
        if (full) return false;
        Erased erased;
        erased.epoch = fresh;
        erasures.emplace_back(erased, std::move(done));
        return true;
    }
    void view(InboxQuery query, std::function<void(InboxView)> done) override {
        views.emplace_back(std::move(query), std::move(done));
    }
    void find(const NotificationId& /*id*/, bool /*timeline*/,
              std::function<void(Found)> /*done*/) override {}
    void timelines(const std::string& /*user*/, std::vector<std::uint64_t> /*offsets*/,
                   std::function<void(std::vector<std::vector<TimelineEntry>>)> /*done*/) override {
    }

    template <class Queue>
    static auto take(Queue& queue) {
        REQUIRE_FALSE(queue.empty());
        auto front = std::move(queue.front());
        queue.pop_front();
        return front;
    }

    bool full = false;
    std::deque<std::pair<Order, std::function<void(Placed)>>> orders;
    std::deque<std::pair<PageWish, std::function<void(Page)>>> pages;
    std::deque<std::function<void(Due)>> dues;
    std::deque<std::pair<Ack, std::function<void(Acked)>>> acks;
    std::deque<std::pair<Erased, std::function<void(Erased)>>> erasures;
    std::deque<std::pair<InboxQuery, std::function<void(InboxView)>>> views;
    Lines log;
};

const Epoch life = Epoch::parse("AAAAAAAA");

room::MessageRef message(std::uint64_t offset, std::uint8_t attempt, const Epoch& epoch = life) {
    room::Message::Parts parts;
    parts.room = "@me";
    parts.data = "\"m\"";
    parts.attempt = attempt;
    const room::DraftRef made = room::Message::make(parts, hash_bytes("@me"));
    made->number({epoch, offset}, 0, 0);
    return made;
}

Page page(std::uint64_t newest, std::vector<room::MessageRef> messages, bool caught_up) {
    Page made;
    made.newest = {life, newest};
    made.messages = std::move(messages);
    made.caught_up = caught_up;
    return made;
}

struct Inbox {
    explicit Inbox(unsigned reactors = 1) : world({}, reactors) {
        world.tokens.grants.closes = 4'000'000'000;
        options.ack_timeout = 1s;
        std::vector<Inboxes*> raw;
        for (unsigned i = 0; i < reactors; ++i) {
            all.push_back(std::make_unique<Inboxes>(*world.sessions[i], log, options));
            raw.push_back(all.back().get());
        }
        for (auto& each : all) each->connect(raw);
        home = static_cast<std::size_t>((hash_bytes("u1") >> 32) % reactors);
    }
    /// Answers on the home reactor, as the store does.
    template <class Queue, class Answer>
    void answer(Queue& queue, Answer given) {
        auto asked = ScriptedLog::take(queue);
        world.run([&] { asked.second(given); }, home);
    }
    /// A session of u1 that is live behind `newest`.
    void open(Client& client, std::uint64_t newest = 0) {
        client.open("u1");
        client.subscribe("@me");
        answer(log.pages, page(newest, {}, true));
        client.take();
    }
    /// `reactor` is the API's.
    std::function<void(Placed)> order(std::size_t reactor = 0, std::string user = "u1") {
        Order wish;
        wish.users = {std::move(user)};
        wish.data = "\"n\"";
        world.run(
            [&] { all[reactor]->place(wish, [this](const Placed& p) { placed.push_back(p); }); },
            reactor);
        return ScriptedLog::take(log.orders).second;
    }
    void committed(const std::function<void(Placed)>& done, std::uint64_t offset,
                   std::uint32_t attempt, std::size_t reactor = 0) {
        Placed answer;
        answer.notifications.push_back({NotificationId::make(0), {life, offset}, attempt, {}});
        world.run([&] { done(answer); }, reactor);
    }

    ScriptedLog log;
    World world;
    InboxOptions options;
    std::vector<std::unique_ptr<Inboxes>> all;
    std::size_t home = 0;
    std::vector<Placed> placed;
};

} // namespace

TEST_CASE("inboxes: what several reactors place is sent in the order of offsets", "[delivery]") {
    Inbox inbox{2};
    Client one{inbox.world, {false, false, 0}};
    Client two{inbox.world, {false, false, 1}};
    inbox.open(one);
    inbox.open(two);
    const auto first = inbox.order(0);
    const auto second = inbox.order(1);
    const auto third = inbox.order(0);
    inbox.committed(third, 3, 1, 0);
    inbox.committed(second, 2, 1, 1);
    CHECK(one.take().empty()); // 1 is on its way
    inbox.committed(first, 1, 1, 0);
    const Lines all{"inbox 1:\"n\";", "inbox 2:\"n\";", "inbox 3:\"n\";"};
    CHECK(one.take() == all);
    CHECK(two.take() == all);
    CHECK(inbox.placed.size() == 3);
    CHECK(inbox.log.log.empty());
}

TEST_CASE("inboxes: what was on a page is not sent again, what comes behind it is", "[delivery]") {
    Inbox inbox;
    Client early{inbox.world};
    inbox.open(early);
    const auto first = inbox.order();
    // Committed, but not told yet, when another session is given a page.
    Client late{inbox.world};
    late.open("u1");
    late.subscribe("@me");
    inbox.answer(inbox.log.pages, page(1, {message(1, 2)}, true));
    CHECK(late.take() == Lines{"ok 1 @me @1", "inbox 1:\"m\";"});
    inbox.committed(first, 1, 1);
    CHECK(early.take() == Lines{"inbox 1:\"n\";"});
    CHECK(late.take().empty());
    inbox.committed(inbox.order(), 2, 1);
    CHECK(early.take() == Lines{"inbox 2:\"n\";"});
    CHECK(late.take() == Lines{"inbox 2:\"n\";"});
}

TEST_CASE("inboxes: an order that waits takes its offset without being sent", "[delivery]") {
    Inbox inbox;
    Client client{inbox.world};
    inbox.open(client);
    const auto first = inbox.order();
    const auto second = inbox.order();
    inbox.committed(second, 2, 1);
    inbox.committed(first, 1, 0); // push only, or placed before it was live
    CHECK(client.take() == Lines{"inbox 2:\"n\";"});
}

TEST_CASE("inboxes: an attempt that reaches nobody is given back", "[delivery]") {
    Inbox inbox;
    SECTION("the user has left") {
        inbox.committed(inbox.order(), 1, 1);
        CHECK(inbox.log.log == Lines{"give back u1 1"});
    }
    SECTION("its last session is still replaying") {
        Client client{inbox.world};
        client.open("u1");
        client.subscribe("@me");
        inbox.committed(inbox.order(), 1, 1); // before any page
        inbox.answer(inbox.log.pages, page(2, {message(1, 1)}, false));
        inbox.committed(inbox.order(), 3, 1);
        CHECK(inbox.log.log == Lines{"give back u1 1", "give back u1 3"});
    }
    SECTION("the session has left when its page comes") {
        Client client{inbox.world};
        client.open("u1");
        client.subscribe("@me");
        client.run([](Session& s) { s.end(); });
        CHECK(inbox.log.log == Lines{"leave u1"});
        inbox.answer(inbox.log.pages, page(3, {message(1, 0), message(2, 3), message(3, 1)}, true));
        CHECK(inbox.log.log == Lines{"leave u1", "give back u1 2 3"});
    }
    SECTION("the session has left when it is due again") {
        Client client{inbox.world};
        inbox.open(client);
        inbox.world.pass(2s);
        REQUIRE(inbox.log.dues.size() == 1);
        client.run([](Session& s) { s.end(); });
        Due due;
        due.messages = {message(1, 2)};
        const auto done = ScriptedLog::take(inbox.log.dues);
        inbox.world.run([&] { done(due); });
        CHECK(inbox.log.log == Lines{"due u1", "leave u1", "give back u1 1"});
    }
}

TEST_CASE("inboxes: what is due is asked for when it is due, and sent again", "[delivery]") {
    Inbox inbox;
    Client client{inbox.world};
    inbox.open(client);
    inbox.committed(inbox.order(), 1, 1);
    CHECK(client.take().size() == 1);
    inbox.world.pass(900ms);
    CHECK(inbox.log.dues.empty());
    inbox.world.pass(200ms);
    REQUIRE(inbox.log.dues.size() == 1);
    inbox.world.pass(5s);
    CHECK(inbox.log.dues.size() == 1); // one at a time
    Due due;
    due.messages = {message(1, 2)};
    due.next = inbox.world.clock.wall() + 3'000;
    due.changes = {{NotificationId::make(0), Status::expired, 0, Event::expired}};
    const auto done = ScriptedLog::take(inbox.log.dues);
    inbox.world.run([&] { done(due); });
    CHECK(client.take() == Lines{"repeat 1:\"m\";"});
    inbox.world.pass(2'900ms);
    CHECK(inbox.log.dues.empty());
    inbox.world.pass(200ms);
    CHECK(inbox.log.dues.size() == 1);
    SECTION("nothing is due any more: nobody asks") {
        const auto last = ScriptedLog::take(inbox.log.dues);
        inbox.world.run([&] { last(Due{}); });
        inbox.world.pass(1h);
        CHECK(inbox.log.dues.empty());
    }
    SECTION("the store fails: asked again") {
        Due failed;
        failed.code = Code::unavailable;
        const auto last = ScriptedLog::take(inbox.log.dues);
        inbox.world.run([&] { last(failed); });
        inbox.world.pass(1'100ms);
        CHECK(inbox.log.dues.size() == 1);
    }
    SECTION("the store is full: asked again") {
        const auto last = ScriptedLog::take(inbox.log.dues);
        due.next = inbox.world.clock.wall() + 100;
        inbox.world.run([&] { last(due); });
        inbox.log.full = true;
        inbox.world.pass(200ms);
        CHECK(inbox.log.dues.empty());
        inbox.log.full = false;
        inbox.world.pass(1'100ms);
        CHECK(inbox.log.dues.size() == 1);
    }
}

TEST_CASE("inboxes: who resumes is sent at once what is due behind its position", "[delivery]") {
    Inbox inbox;
    Client client{inbox.world};
    client.open("u1");
    client.run([](Session& s) { s.subscribe(1, {"@me", Position{life, 4}, 0, {}}); });
    CHECK(inbox.log.pages.front().first.since->offset == 4);
    Page first = page(4, {}, true);
    first.recovered = true;
    first.after = 4;
    inbox.answer(inbox.log.pages, first);
    CHECK(client.take() == Lines{"ok 1 @me @4 recovered"});
    inbox.world.pass(50ms);
    CHECK(inbox.log.dues.size() == 1);
}

TEST_CASE("inboxes: a replay goes on where its last page ended", "[delivery]") {
    Inbox inbox;
    Client client{inbox.world};
    client.open("u1");
    client.subscribe("@me");
    const PageWish asked = inbox.log.pages.front().first;
    CHECK(asked.first);
    CHECK(asked.user == "u1");
    CHECK(asked.session == client.session->id());
    CHECK_FALSE(asked.fresh.none());
    Page first = page(9, {message(7, 1)}, false);
    first.after = 5;
    first.unacknowledged = false;
    inbox.answer(inbox.log.pages, first);
    REQUIRE(inbox.log.pages.size() == 1);
    const PageWish next = inbox.log.pages.front().first;
    CHECK_FALSE(next.first);
    CHECK(next.after == 7);
    CHECK_FALSE(next.unacknowledged);
    CHECK(next.bytes_max > 0);
    Page failed;
    failed.code = Code::unavailable;
    failed.detail = "the store's disk reports an error";
    inbox.answer(inbox.log.pages, failed);
    CHECK(client.take() == Lines{"ok 1 @me @9", "inbox 7:\"m\";", "unsubscribed @me unavailable"});
    CHECK(inbox.log.log == Lines{"leave u1"});
}

TEST_CASE("inboxes: an acknowledgement is told to the user's other sessions", "[delivery]") {
    Inbox inbox{2};
    Client one{inbox.world, {false, false, 0}};
    Client two{inbox.world, {false, false, 1}};
    inbox.open(one, 5);
    inbox.open(two, 5);
    inbox.committed(inbox.order(), 6, 1);
    one.take();
    two.take();
    const auto ack = [&](Client& client, bool moved) {
        client.run([](Session& s) { s.acknowledge(7, "@me", 6); });
        CHECK(inbox.log.acks.front().first.session == client.session->id());
        Acked acked;
        acked.acked = 6;
        acked.moved = moved;
        inbox.answer(inbox.log.acks, acked);
    };
    ack(one, true);
    CHECK(one.take() == Lines{"ack 7 @6"});
    CHECK(two.take() == Lines{"acked @6"});
    ack(two, false);
    CHECK(two.take() == Lines{"ack 7 @6"});
    CHECK(one.take().empty());
    inbox.world.run([&] { inbox.all[0]->mark_read("u1", 9, [](const Acked&) {}); });
    CHECK(inbox.log.acks.front().first.session == "api");
    Acked acked;
    acked.acked = 6;
    acked.moved = true;
    inbox.answer(inbox.log.acks, acked);
    CHECK(one.take() == Lines{"acked @6"});
    CHECK(two.take() == Lines{"acked @6"});
    Acked failed;
    failed.code = Code::unavailable;
    failed.detail = "the store's disk is full";
    one.run([](Session& s) { s.acknowledge(8, "@me", 6); });
    inbox.answer(inbox.log.acks, failed);
    CHECK(one.take() == Lines{"error 8 unavailable"});
}

TEST_CASE("inboxes: an erased one begins anew for those who have it open", "[delivery]") {
    Inbox inbox;
    Client client{inbox.world};
    inbox.open(client, 5);
    const auto old = inbox.order();
    bool erased = false;
    inbox.world.run([&] { inbox.all[0]->erase("u1", [&](const Erased&) { erased = true; }); });
    const auto erasure = ScriptedLog::take(inbox.log.erasures);
    const Erased& answer = erasure.first;
    inbox.world.run([&] { erasure.second(answer); });
    CHECK(erased);
    CHECK(client.take() == Lines{"reset @me @0"});
    CHECK(client.position.epoch == answer.epoch);
    inbox.committed(old, 6, 1); // of the life that is over
    CHECK(client.take().empty());
    const auto next = inbox.order();
    Placed placed;
    placed.notifications.push_back({NotificationId::make(0), {answer.epoch, 1}, 1, {}});
    inbox.world.run([&] { next(placed); });
    CHECK(client.take() == Lines{"inbox 1:\"n\";"});
}

TEST_CASE("inboxes: a store that takes nothing more", "[delivery]") {
    Inbox inbox;
    Client client{inbox.world};
    inbox.open(client);
    Client late{inbox.world};
    late.open("u1");
    inbox.log.full = true;
    CHECK(late.subscribe("@me") == Lines{"error 1 unavailable"});
    CHECK(client.run([](Session& s) { s.acknowledge(7, "@me", 0); }) ==
          Lines{"error 7 unavailable"});
    Code code = Code::ok;
    inbox.world.run([&] {
        Order order;
        order.users = {"u1"};
        inbox.all[0]->place(order, [&](const Placed& p) { code = p.code; });
    });
    CHECK(code == Code::unavailable);
    code = Code::ok;
    inbox.world.run([&] { inbox.all[0]->erase("u1", [&](const Erased& e) { code = e.code; }); });
    CHECK(code == Code::unavailable);
}

TEST_CASE("inboxes: who follows a notification hears what it becomes", "[delivery]") {
    Inbox inbox;
    const NotificationId id = NotificationId::make(0);
    const std::string name = "@notifications:" + id.text();
    inbox.world.tokens.grants.subscribe = {name};
    Client follower{inbox.world};
    follower.open("ops");
    follower.subscribe(name);
    inbox.world.run([&] {
        inbox.all[0]->announce({{id, Status::delivered, 1'700'000'000'000, Event::acknowledged},
                                {NotificationId::make(0), Status::expired, 0, Event::expired}});
    });
    CHECK(follower.take() ==
          Lines{name + " 1:{\"id\":\"" + id.text() +
                "\",\"status\":\"delivered\",\"time\":\"2023-11-14T22:13:20.000Z\","
                "\"event\":\"acknowledged\"};"});
}

TEST_CASE("inboxes: history walks as that of rooms does", "[delivery]") {
    Inbox inbox;
    Client client{inbox.world};
    client.open("u1");
    InboxView view;
    view.newest = {life, 9};
    const auto ask = [&](const std::optional<Position>& since, bool reverse) {
        client.run([&](Session& s) { s.history(1, {"@me", since, 3, reverse}); });
        return inbox.log.views.front().first;
    };
    const auto answer = [&] { inbox.answer(inbox.log.views, view); };
    InboxQuery query = ask({}, false);
    CHECK(query.reverse);
    CHECK(query.limit == 3);
    CHECK(query.user == "u1");
    view.notifications.resize(2);
    view.notifications[0].data = "9";
    view.notifications[1].data = "8";
    answer();
    CHECK(client.take() == Lines{"history 1 8 9 end"}); // oldest first
    query = ask(Position{life, 4}, false);
    CHECK_FALSE(query.reverse);
    CHECK(query.first == 5);
    view.notifications.clear();
    view.more = true;
    answer();
    CHECK(client.take() == Lines{"history 1 more"});
    query = ask(Position{life, 4}, true);
    CHECK(query.reverse);
    CHECK(query.first == 3);
    answer();
    client.take();
    ask(Position{Epoch::parse("BBBBBBBB"), 4}, false);
    answer(); // of another life: from the beginning
    CHECK(inbox.log.views.front().first.first == 1);
    answer();
    CHECK(client.take().size() == 1);
}

} // namespace fanfare::delivery
