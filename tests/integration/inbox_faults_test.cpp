// A disk that fails while inboxes are used. The faults are those of tests/support/test_vfs.hpp;
// what must come of every call is told by a model that knows only what was answered.

#include "gateway.hpp" // settings
#include "support/inbox_node.hpp"
#include "support/test_vfs.hpp"

#include <fanfare/base/log.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>
#include <sqlite3.h>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::test;
using delivery::Status;

namespace {

constexpr std::uint32_t attempts_max = 3;

delivery::InboxOptions immediate() {
    delivery::InboxOptions options;
    options.ack_timeout = std::chrono::milliseconds{0}; // what was sent is due
    options.attempts = attempts_max;
    return options;
}

/// An inbox as the answers say that it is.
struct Model {
    struct One {
        std::uint32_t attempts = 0;
        bool awaited = false;
        Status status = Status::pending;
    };
    std::map<std::uint64_t, One> notifications;
    std::uint64_t acked = 0;
    std::set<std::string> live;

    std::string place(std::uint64_t offset, std::uint32_t attempt) {
        if (offset != notifications.size() + 1) return "another offset than the next";
        notifications[offset] = {attempt, attempt != 0, Status::pending};
        if (attempt != (live.empty() ? 0U : 1U)) return "an attempt for nobody, or none";
        return {};
    }
    std::string page(const std::string& session) {
        std::string text;
        for (auto& [offset, one] : notifications)
            if (one.status == Status::pending && one.attempts < attempts_max)
                count(text, offset, one);
        live.insert(session);
        return text;
    }
    std::string take_due() {
        std::string text;
        if (live.empty()) return text;
        for (auto& [offset, one] : notifications) {
            if (one.status != Status::pending || !one.awaited) continue;
            if (one.attempts < attempts_max)
                count(text, offset, one);
            else
                one.awaited = false;
        }
        return text;
    }
    void acknowledge(std::uint64_t offset) {
        for (auto& [at, one] : notifications)
            if (at <= offset) one.status = Status::delivered;
        acked = std::max(acked, offset);
    }

  private:
    static void count(std::string& text, std::uint64_t offset, One& one) {
        ++one.attempts;
        one.awaited = true;
        text +=
            (text.empty() ? "" : " ") + std::to_string(offset) + ":" + std::to_string(one.attempts);
    }
};

/// Some calls at once, so that they share transactions, and then what the model says of each.
class Round {
  public:
    Round(InboxNode& node, std::map<std::string, Model>& models, std::mt19937_64& random)
        : node_(node), models_(models), random_(random) {}

    /// The first contradiction, or nothing.
    std::string run(int calls) {
        node_.on_reactor([&] {
            for (int i = 0; i < calls; ++i) call();
        });
        if (!node_.wait([&] { return answered_ == expected_; })) return "a call was not answered";
        for (const auto& check : checks_)
            if (std::string wrong = check(); !wrong.empty()) return wrong;
        return {};
    }
    std::size_t refused = 0;

  private:
    std::string pick(const char* first) { return first + std::to_string(random_() % 2); }
    template <class Answer>
    std::function<void(Answer)> into(const std::shared_ptr<Answer>& answer) {
        ++expected_;
        return [this, answer](Answer got) {
            *answer = std::move(got);
            if (answer->code != Code::ok) ++refused;
            ++answered_;
        };
    }
    void check(std::function<std::string()> what) { checks_.push_back(std::move(what)); }

    void call() {
        const std::string user = pick("u");
        const std::string session = pick("s");
        Model& model = models_[user];
        switch (random_() % 5) {
        case 0:
            return place();
        case 1: {
            auto page = std::make_shared<delivery::Page>();
            REQUIRE(node_.log().page(InboxNode::wish(user, session), into(page)));
            return check([page, &model, session]() -> std::string {
                if (page->code != Code::ok) return {};
                return shown(page->messages) == model.page(session) ? "" : "another page";
            });
        }
        case 2:
            node_.log().leave(user, session);
            return check([&model, session] {
                model.live.erase(session); // whatever the disk says
                return std::string{};
            });
        case 3: {
            auto due = std::make_shared<delivery::Due>();
            REQUIRE(node_.log().take_due(user, into(due)));
            return check([due, &model]() -> std::string {
                if (due->code != Code::ok) return {};
                return shown(due->messages) == model.take_due() ? "" : "other things are due";
            });
        }
        default:
            return acknowledge(user, model);
        }
    }
    void place() {
        delivery::Order order = node_.order({"u0", "u1"});
        order.priority = delivery::Priority::high; // in the lane of the other calls
        auto placed = std::make_shared<delivery::Placed>();
        REQUIRE(node_.log().place(order, into(placed)));
        check([this, placed]() -> std::string {
            if (placed->code != Code::ok) return {};
            for (std::size_t i = 0; i < 2; ++i) {
                const delivery::Placed::One& one = placed->notifications.at(i);
                if (std::string wrong =
                        models_["u" + std::to_string(i)].place(one.position.offset, one.attempt);
                    !wrong.empty())
                    return wrong;
            }
            return {};
        });
    }
    void acknowledge(const std::string& user, Model& model) {
        delivery::Ack ack;
        ack.user = user;
        // Not all: something stays to be sent again.
        ack.offset = model.notifications.size() / 2;
        ack.session = "s0";
        auto acked = std::make_shared<delivery::Acked>();
        REQUIRE(node_.log().acknowledge(ack, false, into(acked)));
        check([acked, &model, offset = ack.offset]() -> std::string {
            if (acked->code != Code::ok) return {};
            model.acknowledge(offset);
            return acked->acked == model.acked ? "" : "another acknowledged position";
        });
    }

    InboxNode& node_;
    std::map<std::string, Model>& models_;
    std::mt19937_64& random_;
    std::vector<std::function<std::string()>> checks_; // in the order of the calls
    std::size_t expected_ = 0;
    std::size_t answered_ = 0;
};

std::string compare(InboxNode& node, const std::string& user, const Model& model) {
    delivery::InboxQuery query;
    query.user = user;
    query.records = true;
    query.limit = 1'000'000;
    query.bytes_max = 1'000'000'000;
    const delivery::InboxView view = node.view(query);
    if (view.code != Code::ok) return "it cannot be read";
    if (view.newest.offset != model.notifications.size()) return "another position";
    if (view.acked != model.acked) return "another acknowledged position";
    if (view.notifications.size() != model.notifications.size()) return "too many, or too few";
    for (const delivery::Notification& one : view.notifications) {
        const Model::One& expected = model.notifications.at(one.offset);
        if (one.status != expected.status) return "another status";
        if (one.attempts != expected.attempts) return "another number of attempts";
    }
    return {};
}

} // namespace

TEST_CASE("inboxes: errors of the disk at any time leave nothing half done", "[inbox][faults]") {
    log::configure({log::Level::off, log::Format::text}); // the store says that it fails, rightly
    const std::uint64_t seed = test_seed();
    INFO("FANFARE_SEED=" << seed);
    std::mt19937_64 random{seed};
    TestFolder folder;
    std::map<std::string, Model> models;
    std::size_t refused = 0;
    {
        TestVfs vfs;
        InboxNode node{folder.file(), vfs.name()};
        node.set_options(immediate());
        for (int round = 0; round < (instrumented ? 100 : 500); ++round) {
            CAPTURE(round);
            vfs.fail_nth(1 + random() % 40, random() % 2 == 0 ? SQLITE_IOERR : SQLITE_FULL,
                         static_cast<unsigned>(1 + random() % 15));
            Round faulty{node, models, random};
            REQUIRE(faulty.run(1 + static_cast<int>(random() % 10)) == "");
            vfs.heal();
            Round sound{node, models, random};
            REQUIRE(sound.run(3) == "");
            REQUIRE(sound.refused == 0);
            for (const auto& [user, model] : models) REQUIRE(compare(node, user, model) == "");
            refused += faulty.refused;
        }
    }
    CHECK(refused > 50);
    CHECK(stores::check_sqlite(folder.file()).faults.empty());
}

TEST_CASE("inboxes: while the disk fails they say so, and who leaves is gone", "[inbox][faults]") {
    log::configure({log::Level::off, log::Format::text});
    TestFolder folder;
    TestVfs vfs;
    InboxNode node{folder.file(), vfs.name()};
    node.place("a");
    node.join("a", "s1");
    vfs.fail_all(SQLITE_FULL, TestVfs::write | TestVfs::sync | TestVfs::lock);
    const delivery::Placed placed = node.place("a");
    CHECK(placed.code == Code::unavailable);
    CHECK(std::string_view{placed.detail} == "the store's disk is full");
    CHECK(placed.notifications.empty());
    CHECK(node.join("b", "s1").code == Code::unavailable);
    CHECK(node.take_due("a").code == Code::unavailable);
    CHECK(node.acknowledge("a", 1).code == Code::unavailable);
    CHECK(node.erase("a").code == Code::unavailable);
    node.leave("a", "s1");
    REQUIRE(node.wait([&] { return node.metrics.sum("store_queue") == 0; }));
    vfs.heal();
    REQUIRE(node.wait([&] { return node.store().fault() == nullptr; }));
    CHECK(node.place("a").notifications[0].attempt == 0);
    CHECK(node.place("b").notifications[0].attempt == 0);
    CHECK(node.view("a").acked == 0);
    CHECK(node.metrics.sum("inbox_depth") == 3);
}

TEST_CASE("inboxes: a question that the disk cannot answer is refused", "[inbox][faults]") {
    log::configure({log::Level::off, log::Format::text});
    TestFolder folder;
    delivery::NotificationId id;
    {
        InboxNode node{folder.file()};
        id = node.place("a").notifications[0].id;
    }
    TestVfs vfs;
    InboxNode node{folder.file(), vfs.name()};
    REQUIRE(node.wait([&] { return node.metrics.sum("inbox_depth") == 1; }));
    vfs.fail_all(SQLITE_IOERR_READ, TestVfs::read | TestVfs::lock);
    CHECK(node.view("a").code == Code::unavailable);
    CHECK(node.find(id).code == Code::unavailable);
    vfs.heal();
    CHECK(node.view("a").notifications.size() == 1);
    CHECK(node.find(id).code == Code::ok);
}
