// Power cuts in the midst of publishing: what was answered, and what any subscriber saw, is there
// afterwards. The disk is tests/support/test_vfs.hpp; everything above it is the gateway's own.

#include "gateway.hpp" // settings
#include "support/durable_node.hpp"
#include "support/test_vfs.hpp"

#include <fanfare/base/log.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

using namespace fanfare;
using namespace fanfare::test;

namespace {

constexpr unsigned reactors = 4;
constexpr std::size_t in_flight = 12;
const std::vector<std::string> room_names{"d:a", "d:b", "d:c", "d:d", "d:e", "d:f"};

/// Offset to data, by room.
using Seen = std::map<std::string, std::map<std::uint64_t, std::string>>;

/// The first contradiction, or nothing: one offset, one message.
std::string note(Seen& seen, std::string_view room, std::uint64_t offset, std::string_view data) {
    const auto [at, fresh] = seen[std::string{room}].try_emplace(offset, data);
    if (fresh || at->second == data) return {};
    return std::string{room} + "#" + std::to_string(offset) + " is two messages";
}

/// Publishes on its reactor, a few at a time, until it is refused.
class PowerPublisher final : public room::PublishClient {
  public:
    PowerPublisher(DurableNode& node, unsigned index, std::string name, std::uint64_t seed)
        : node_(node), index_(index), name_(std::move(name)), random_(seed) {}

    void start() {
        node_.reactor(index_).post(std::function<void()>{[this] {
            for (std::size_t i = 0; i < in_flight; ++i) send();
        }});
    }
    void on_published(net::Handle who, std::uint64_t /*request*/,
                      const room::PublishResult& result) override {
        const auto at = pending_.find(who);
        Pending& mine = *at->second;
        if (result.code == Code::ok) {
            const std::string wrong = note(answered, mine.room, result.position.offset, mine.data);
            if (fault.empty()) fault = wrong;
            if (!mine.key.text.empty()) keys[mine.key.text] = result.position.offset;
        } else if (result.code != Code::unavailable && fault.empty()) {
            fault = "refused with another code than unavailable";
        }
        pending_.erase(at);
        if (result.code == Code::ok) send();
        ended = pending_.empty();
    }

    std::atomic<bool> ended{false};
    // Read when the reactors have ended:
    Seen answered;
    std::map<std::string, std::uint64_t> keys; // to offset
    std::string fault;

  private:
    struct Pending {
        std::string room;
        std::string data;
        room::IdempotencyKey key; // empty: none
    };
    void send() {
        const net::Handle number = ++sent_;
        auto one = std::make_unique<Pending>();
        one->room = room_names[random_() % room_names.size()];
        const std::string id = name_ + "." + std::to_string(number);
        one->data = '"' + id + std::string(random_() % 8 == 0 ? 9'000 : random_() % 600, 'x') + '"';
        if (random_() % 3 == 0) one->key = {id, number, 1};
        const Pending& mine = *(pending_[number] = std::move(one));
        node_.rooms(index_).publish(
            draft(mine.room, mine.data),
            {this, &node_.reactor(index_), number, 0, mine.key.text.empty() ? nullptr : &mine.key});
    }

    DurableNode& node_;
    const unsigned index_;
    const std::string name_;
    std::mt19937_64 random_;
    net::Handle sent_ = 0;
    std::unordered_map<net::Handle, std::unique_ptr<Pending>> pending_;
};

/// Subscribes to all rooms on its reactor, and writes down what it is given.
class Watcher final : public room::Subscriber {
  public:
    Watcher(DurableNode& node, unsigned index) : node_(node), index_(index) {}

    void start() {
        node_.reactor(index_).post(std::function<void()>{[this] {
            for (const std::string& room : room_names) {
                places_.push_back(std::make_unique<room::Subscription>());
                room::JoinWish wish;
                wish.last = 20;
                node_.rooms(index_).subscribe(*places_.back(), *this, room, wish);
            }
        }});
    }
    void on_joined(room::Subscription& subscription, const room::JoinResult& result) override {
        if (result.code != Code::ok) return;
        if (result.replay_after < result.position.offset)
            node_.rooms(index_).pull(subscription, 100'000);
        else
            node_.rooms(index_).go_live(subscription);
    }
    void on_replay(room::Subscription& subscription, const room::ReplayBatch& batch) override {
        for (const room::MessageRef& message : batch.messages) take(*message);
        if (!batch.messages.empty())
            node_.rooms(index_).set_replayed(subscription,
                                             batch.messages.back()->position().offset);
        if (batch.trimmed || batch.caught_up)
            node_.rooms(index_).go_live(subscription);
        else
            node_.rooms(index_).pull(subscription, 100'000);
    }
    void on_message(room::Delivery& delivery, room::Subscription* /*subscription*/) override {
        take(delivery.message());
    }
    void on_presence(room::PresenceDelivery& /*delivery*/, room::Subscription& /*s*/) override {}
    void on_pattern_ready(std::string_view /*pattern*/) override {}

    // Read when the reactors have ended:
    Seen seen;
    std::string fault;

  private:
    void take(const room::Message& message) {
        const std::string wrong =
            note(seen, message.room(), message.position().offset, message.data());
        std::uint64_t& last = last_[std::string{message.room()}];
        if (fault.empty()) fault = wrong;
        if (fault.empty() && last != 0 && message.position().offset != last + 1)
            fault = std::string{message.room()} + ": not in order";
        last = message.position().offset;
    }

    DurableNode& node_;
    const unsigned index_;
    std::vector<std::unique_ptr<room::Subscription>> places_;
    std::map<std::string, std::uint64_t> last_;
};

/// What must be there, over all rounds.
struct Ledger {
    Seen promised;
    std::map<std::string, std::uint64_t> keys;
    std::map<std::string, std::string> epochs;
    Seen stored; // as found last
    std::string merge(const Seen& more) {
        for (const auto& [room, messages] : more)
            for (const auto& [offset, data] : messages)
                if (std::string wrong = note(promised, room, offset, data); !wrong.empty())
                    return wrong;
        return {};
    }

    /// `lost`: promises that are not kept. The rest must hold in any case: a whole file, offsets
    /// without hole or duplicate, nothing changed that was there, epochs that stay.
    std::string check(const std::string& path, std::vector<std::string>& lost) {
        StoredRows rows{path};
        if (const std::string text = rows.check(); text != "ok") return text;
        Seen found;
        for (const std::string& room : room_names) {
            std::uint64_t expected = 0;
            for (StoredRows::Row& row : rows.messages(room)) {
                const std::uint64_t offset = std::stoull(row[0]);
                if (offset != ++expected) return room + ": hole before " + row[0];
                found[room][offset] = std::move(row[1]);
            }
        }
        for (const StoredRows::Row& row : rows.rows("SELECT name, epoch FROM rooms")) {
            const auto [at, fresh] = epochs.try_emplace(row[0], row[1]);
            if (at->second != row[1]) return row[0] + ": another epoch";
        }
        for (const auto& [room, messages] : promised)
            for (const auto& [offset, data] : messages) {
                const auto at = found[room].find(offset);
                if (at == found[room].end())
                    lost.push_back(room + "#" + std::to_string(offset));
                else if (at->second != data)
                    return room + "#" + std::to_string(offset) + " is another message";
            }
        for (const auto& [room, messages] : stored)
            for (const auto& [offset, data] : messages)
                if (const auto at = found[room].find(offset);
                    at != found[room].end() && at->second != data)
                    return room + "#" + std::to_string(offset) + " has changed";
        // A key stands with its message, or not at all.
        std::map<std::string, std::uint64_t> kept;
        for (const StoredRows::Row& row : rows.rows("SELECT key, offset FROM publish_keys"))
            kept[row[0]] = std::stoull(row[1]);
        for (const auto& [key, offset] : keys)
            if (kept[key] != offset) lost.push_back("key " + key);
        std::set<std::string> ids;
        for (const auto& [room, messages] : found)
            for (const auto& [offset, data] : messages)
                if (!ids.insert(data.substr(0, data.find('x'))).second)
                    return room + "#" + std::to_string(offset) + " is there twice";
        stored = std::move(found);
        return {};
    }
};

struct RoundResult {
    std::size_t answered = 0;
    std::size_t seen = 0;
};

/// One life: publishes until the power goes, in the middle of some write or sync.
RoundResult live(const std::string& path, DurableNode::Synchronous synchronous, int round,
                 std::mt19937_64& random, Ledger& ledger, std::string& fault) {
    log::configure({log::Level::off, log::Format::text}); // the store says that it fails, rightly
    RoundResult result;
    TestVfs vfs;
    DurableNode node{path, vfs.name(), reactors, synchronous};
    std::vector<std::unique_ptr<PowerPublisher>> publishers;
    std::vector<std::unique_ptr<Watcher>> watchers;
    for (unsigned i = 0; i < reactors; ++i) {
        publishers.push_back(std::make_unique<PowerPublisher>(
            node, i, std::to_string(round) + "." + std::to_string(i), random()));
        watchers.push_back(std::make_unique<Watcher>(node, i));
    }
    // Short lives and long ones: these copy the write-ahead log into the file on their way.
    const std::uint64_t longest = round % 5 == 4 ? 6'000 : 600;
    vfs.cut_at(1 + random() % longest,
               random() % 2 == 0 ? std::optional<std::uint64_t>{random()} : std::nullopt);
    node.start();
    for (auto& watcher : watchers) watcher->start();
    for (auto& publisher : publishers) publisher->start();
    const bool over = eventually([&] {
        return vfs.is_cut() && std::all_of(publishers.begin(), publishers.end(),
                                           [](const auto& each) { return each->ended.load(); });
    });
    node.stop();
    if (!over) fault = "the publishers did not come to their end";
    const auto take = [&](const std::string& wrong) {
        if (fault.empty()) fault = wrong;
    };
    for (const auto& publisher : publishers) {
        take(publisher->fault);
        take(ledger.merge(publisher->answered));
        ledger.keys.insert(publisher->keys.begin(), publisher->keys.end());
        for (const auto& [room, messages] : publisher->answered) result.answered += messages.size();
    }
    for (const auto& watcher : watchers) {
        take(watcher->fault);
        take(ledger.merge(watcher->seen));
        for (const auto& [room, messages] : watcher->seen) result.seen += messages.size();
    }
    return result;
}

} // namespace

TEST_CASE("durable rooms: a power cut takes nothing that was answered or seen",
          "[durable][power]") {
    const std::uint64_t seed = test_seed();
    INFO("FANFARE_SEED=" << seed);
    std::mt19937_64 random{seed};
    TestFolder folder;
    Ledger ledger;
    RoundResult all;
    const int rounds = instrumented ? 8 : static_cast<int>(setting("FANFARE_ROUNDS", 50));
    for (int round = 0; round < rounds; ++round) {
        INFO("round " << round);
        std::string fault;
        const RoundResult one =
            live(folder.file(), DurableNode::Synchronous::full, round, random, ledger, fault);
        REQUIRE(fault == "");
        std::vector<std::string> lost;
        REQUIRE(ledger.check(folder.file(), lost) == "");
        REQUIRE(lost == std::vector<std::string>{});
        all.answered += one.answered;
        all.seen += one.seen;
    }
    // It was worth the while; and the write-ahead log was copied now and then.
    if (rounds >= 50) CHECK(std::filesystem::file_size(folder.file()) > 1'000'000);
    CHECK(all.answered > static_cast<std::size_t>(rounds) * 20);
    CHECK(all.seen > all.answered);

    // What is stored is what the gateway shows.
    DurableNode node{folder.file()};
    for (const std::string& room : room_names) {
        const room::RoomInfo info = node.info(room);
        CHECK(info.position.offset == ledger.stored[room].size());
        CHECK(info.position.epoch.text() == ledger.epochs[room]);
    }
}

TEST_CASE("durable rooms: with synchronous=normal a power cut takes the end, and only that",
          "[durable][power]") {
    const std::uint64_t seed = test_seed();
    INFO("FANFARE_SEED=" << seed);
    std::mt19937_64 random{seed};
    int lives_that_lost = 0;
    for (int round = 0; round < (instrumented ? 4 : 10); ++round) {
        TestFolder folder;
        Ledger ledger;
        { const DurableNode whole{folder.file()}; } // the schema is there, and synced
        std::string fault;
        live(folder.file(), DurableNode::Synchronous::normal, round, random, ledger, fault);
        REQUIRE(fault == "");
        std::vector<std::string> lost;
        REQUIRE(ledger.check(folder.file(), lost) == "");
        lives_that_lost += lost.empty() ? 0 : 1;
    }
    CHECK(lives_that_lost > 0);
}

TEST_CASE("durable rooms: with synchronous=off a power cut does take what was answered",
          "[durable][power]") {
    // The proof that the test above can fail.
    const std::uint64_t seed = test_seed();
    INFO("FANFARE_SEED=" << seed);
    std::mt19937_64 random{seed};
    int lives_that_lost = 0;
    for (int round = 0; round < 5; ++round) {
        TestFolder folder;
        Ledger ledger;
        { const DurableNode whole{folder.file()}; } // the schema is there, and synced
        std::string fault;
        live(folder.file(), DurableNode::Synchronous::off, round, random, ledger, fault);
        REQUIRE(fault == "");
        std::vector<std::string> lost;
        std::string damage;
        try {
            damage = ledger.check(folder.file(), lost);
        } catch (const std::runtime_error& error) {
            damage = error.what();
        }
        lives_that_lost += lost.empty() && damage.empty() ? 0 : 1;
    }
    CHECK(lives_that_lost > 0);
}
