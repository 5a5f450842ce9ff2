// Power cuts while inboxes are used: what was answered is there afterwards, and no attempt is made
// twice. The disk is tests/support/test_vfs.hpp.

#include "gateway.hpp" // settings
#include "support/inbox_node.hpp"
#include "support/test_vfs.hpp"

#include <fanfare/base/log.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::test;

namespace {

constexpr int users = 4;

/// What was answered and sent, over all lives.
struct Ledger {
    std::map<std::pair<std::string, std::uint64_t>, std::string> placed; // to its data
    std::map<std::string, std::uint64_t> acked;
    std::map<std::string, std::string> keys;   // to the notification's id
    std::map<std::string, std::uint32_t> sent; // by id: the last attempt
    std::string fault;

    void send(const std::string& id, std::uint32_t attempt) {
        if (attempt == 0) return;
        std::uint32_t& last = sent[id];
        if (attempt <= last && fault.empty())
            fault = "attempt " + std::to_string(attempt) + " was made twice";
        last = attempt;
    }
    void send(const std::vector<room::MessageRef>& messages) {
        for (const room::MessageRef& message : messages)
            send(std::string{message->id()}, message->attempt());
    }
};

/// One life: calls, some at a time, until the power goes.
class Life {
  public:
    Life(InboxNode& node, Ledger& ledger, std::mt19937_64& random, int number)
        : node_(node), ledger_(ledger), random_(random), number_(number) {}

    void run(const TestVfs& vfs) {
        while (!vfs.is_cut()) {
            node_.on_reactor([&] {
                for (int i = 0; i < 12; ++i) call();
            });
            if (!node_.wait([&] { return waiting_ == 0; })) {
                ledger_.fault = "a call was not answered";
                return;
            }
        }
    }
    std::size_t answered = 0;

  private:
    template <class Answer>
    std::function<void(Answer)> then(std::function<void(const Answer&)> take) {
        ++waiting_;
        return [this, take = std::move(take)](const Answer& answer) {
            --waiting_;
            if (answer.code != Code::ok) return;
            ++answered;
            take(answer);
        };
    }
    void call() {
        const std::string user = "u" + std::to_string(random_() % users);
        switch (random_() % 6) {
        case 0:
        case 1:
        case 2:
            return place(user);
        case 3:
            REQUIRE(node_.log().page(
                InboxNode::wish(user),
                then<delivery::Page>([this](const auto& page) { ledger_.send(page.messages); })));
            return;
        case 4:
            REQUIRE(node_.log().take_due(user, then<delivery::Due>([this](const auto& due) {
                                             ledger_.send(due.messages);
                                         })));
            return;
        default:
            return acknowledge(user);
        }
    }
    void place(const std::string& user) {
        delivery::Order order = node_.order({user});
        order.data = '"' + std::to_string(number_) + '.' + std::to_string(++sent_) +
                     std::string(random_() % 8 == 0 ? 6'000 : 50, 'x') + '"';
        if (random_() % 3 == 0) order.key = order.data.substr(0, 30);
        REQUIRE(node_.log().place(
            order, then<delivery::Placed>([this, order](const delivery::Placed& placed) {
                const delivery::Placed::One& one = placed.notifications.at(0);
                ledger_.placed[{order.users[0], one.position.offset}] = order.data;
                ledger_.send(one.id.text(), one.attempt);
                if (!order.key.empty()) ledger_.keys[order.key] = one.id.text();
            })));
    }
    void acknowledge(const std::string& user) {
        delivery::Ack ack;
        ack.user = user;
        ack.offset = ledger_.acked[user] + random_() % 3;
        ack.device = "phone";
        ack.session = "s1";
        REQUIRE(node_.log().acknowledge(
            ack, false, then<delivery::Acked>([this, user](const delivery::Acked& acked) {
                ledger_.acked[user] = acked.acked;
            })));
    }

    InboxNode& node_;
    Ledger& ledger_;
    std::mt19937_64& random_;
    const int number_;
    int sent_ = 0;
    int waiting_ = 0;
};

/// What is in the file keeps all promises.
std::string check(const std::string& path, const Ledger& ledger) {
    StoredRows rows{path};
    if (const std::string text = rows.check(); text != "ok") return text;
    std::map<std::pair<std::string, std::uint64_t>, std::string> found;
    std::map<std::string, std::uint32_t> attempts;
    for (const StoredRows::Row& row :
         rows.rows("SELECT i.user, n.offset, n.data, n.id, n.attempts, n.status, i.acked FROM "
                   "notifications n JOIN inboxes i ON i.id = n.inbox")) {
        const std::uint64_t offset = std::stoull(row[1]);
        found[{row[0], offset}] = row[2];
        attempts[delivery::NotificationId::from_raw(row[3]).text()] =
            static_cast<std::uint32_t>(std::stoul(row[4]));
        if ((row[5] == "3") != (offset <= std::stoull(row[6])))
            return row[0] + "#" + row[1] + ": its status is not that of its position";
    }
    for (const auto& [at, data] : ledger.placed) {
        const auto same = found.find(at);
        if (same == found.end() || same->second != data)
            return at.first + "#" + std::to_string(at.second) + " is lost, or another";
    }
    for (const auto& [id, attempt] : ledger.sent)
        if (attempts[id] < attempt) return "an attempt that was made is forgotten";
    std::map<std::string, std::uint64_t> acked;
    for (const StoredRows::Row& row : rows.rows("SELECT user, acked FROM inboxes"))
        acked[row[0]] = std::stoull(row[1]);
    for (const auto& [user, offset] : ledger.acked)
        if (acked[user] < offset) return user + ": an acknowledgement is lost";
    // A key stands with its notification, or not at all.
    std::map<std::string, std::string> keys;
    for (const StoredRows::Row& row : rows.rows("SELECT key, id FROM notification_keys")) {
        keys[row[0]] = delivery::NotificationId::from_raw(row[1]).text();
        if (attempts.count(keys[row[0]]) == 0) return "a key without its notification";
    }
    for (const auto& [key, id] : ledger.keys)
        if (keys[key] != id) return "a key is lost, or another";
    return {};
}

} // namespace

TEST_CASE("inboxes: a power cut takes nothing that was answered, and no attempt comes twice",
          "[inbox][power]") {
    log::configure({log::Level::off, log::Format::text}); // the store says that it fails, rightly
    const std::uint64_t seed = test_seed();
    INFO("FANFARE_SEED=" << seed);
    std::mt19937_64 random{seed};
    TestFolder folder;
    Ledger ledger;
    std::size_t answered = 0;
    const int rounds = instrumented ? 8 : static_cast<int>(setting("FANFARE_ROUNDS", 50));
    for (int round = 0; round < rounds; ++round) {
        INFO("round " << round);
        {
            TestVfs vfs;
            InboxNode node{folder.file(), vfs.name()};
            delivery::InboxOptions options;
            options.ack_timeout = std::chrono::milliseconds{0};
            options.attempts = 100;
            node.set_options(options);
            vfs.cut_at(1 + random() % (round % 5 == 4 ? 3'000 : 300),
                       random() % 2 == 0 ? std::optional<std::uint64_t>{random()} : std::nullopt);
            Life life{node, ledger, random, round};
            life.run(vfs);
            answered += life.answered;
        }
        REQUIRE(ledger.fault == "");
        REQUIRE(check(folder.file(), ledger) == "");
    }
    CHECK(answered > static_cast<std::size_t>(rounds) * 20);
    CHECK(ledger.sent.size() > static_cast<std::size_t>(rounds));
    CHECK(stores::check_sqlite(folder.file()).faults.empty());
}
