// What of the waiting work is the next transaction.

#include "sqlite/database.hpp"
#include "sqlite/write_lanes.hpp"
#include "support/inbox_node.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::stores;
using namespace fanfare::test;
using delivery::Priority;

namespace {

class Numbered final : public WriteTask {
  public:
    Numbered(Lane lane, int which, std::size_t operations = 1, std::size_t bytes = 1)
        : number(which), lane_(lane), operations_(operations), bytes_(bytes) {}
    void apply() override {}
    void done() override {}
    [[nodiscard]] Lane lane() const noexcept override { return lane_; }
    [[nodiscard]] std::size_t operations() const noexcept override { return operations_; }
    [[nodiscard]] std::size_t bytes() const noexcept override { return bytes_; }

    const int number;

  private:
    const Lane lane_;
    const std::size_t operations_;
    const std::size_t bytes_;
};

void put(WriteLanes& lanes, Lane lane, int count, std::size_t operations = 1,
         std::size_t bytes = 1) {
    net::BlockingTasks tasks;
    for (int i = 0; i < count; ++i)
        tasks.push_back(std::make_unique<Numbered>(lane, i, operations, bytes));
    lanes.put(tasks);
    CHECK(tasks.empty());
}

std::size_t count_of(const WriteLanes::Batch& batch, Lane lane) {
    return static_cast<std::size_t>(
        std::count_if(batch.tasks.begin(), batch.tasks.end(), [&](const auto& task) {
            return static_cast<const Numbered&>(*task).lane() == lane;
        }));
}

/// Keeps the writer from beginning a transaction.
class Hold {
  public:
    explicit Hold(const std::string& path) : database_(path, Database::Mode::read_write) {
        database_.execute("BEGIN IMMEDIATE");
    }
    void release() { database_.execute("COMMIT"); }

  private:
    Database database_;
};

delivery::Order urgent(const InboxNode& node, Priority priority, const std::string& user = "a") {
    delivery::Order order = node.order({user});
    order.priority = priority;
    return order;
}

} // namespace

TEST_CASE("write lanes: alone, a lane has the whole batch, in order", "[stores]") {
    const auto lane = GENERATE(Lane::critical, Lane::low);
    WriteLanes lanes;
    put(lanes, lane, 2'500);
    int next = 0;
    for (const std::size_t expected : {1'000U, 1'000U, 500U, 0U}) {
        const WriteLanes::Batch batch = lanes.compose(1'000, 1'000'000);
        REQUIRE(batch.tasks.size() == expected);
        CHECK(batch.operations == expected);
        for (const auto& task : batch.tasks)
            REQUIRE(static_cast<const Numbered&>(*task).number == next++);
    }
    CHECK(lanes.empty());
}

TEST_CASE("write lanes: the higher lane comes first, and each other one has its share",
          "[stores]") {
    WriteLanes lanes;
    for (const Lane lane : {Lane::low, Lane::normal, Lane::high, Lane::critical})
        put(lanes, lane, 2'000);
    const WriteLanes::Batch batch = lanes.compose(1'000, 1'000'000);
    CHECK(batch.operations == 1'000);
    CHECK(count_of(batch, Lane::critical) == 850);
    CHECK(count_of(batch, Lane::high) == 50);
    CHECK(count_of(batch, Lane::normal) == 50);
    CHECK(count_of(batch, Lane::low) == 50);
    CHECK(std::is_sorted(batch.tasks.begin(), batch.tasks.end(), [](const auto& a, const auto& b) {
        return static_cast<const Numbered&>(*a).lane() < static_cast<const Numbered&>(*b).lane();
    }));
    CHECK(lanes.size() == 7'000);
}

TEST_CASE("write lanes: a task of many operations gets its turn by several shares", "[stores]") {
    WriteLanes lanes;
    put(lanes, Lane::low, 1, 200);
    int batches = 0;
    for (bool taken = false; !taken; ++batches) {
        REQUIRE(batches < 10);
        put(lanes, Lane::critical, 1'000);
        taken = count_of(lanes.compose(1'000, 1'000'000), Lane::low) == 1;
    }
    CHECK(batches == 4);
}

TEST_CASE("write lanes: beside what is critical others have their shares only", "[stores]") {
    WriteLanes lanes;
    put(lanes, Lane::normal, 1'000);
    put(lanes, Lane::low, 1'000);
    put(lanes, Lane::critical, 3);
    const WriteLanes::Batch urgent = lanes.compose(1'000, 1'000'000);
    CHECK(count_of(urgent, Lane::critical) == 3);
    CHECK(count_of(urgent, Lane::normal) == 1'000 / WriteLanes::shares);
    CHECK(count_of(urgent, Lane::low) == 1'000 / WriteLanes::shares);
    // More of it may come: batches are small for a while.
    CHECK(lanes.compose(1'000, 1'000'000).tasks.size() == 250);
    for (int i = 0; i < 2'000; ++i) {
        put(lanes, Lane::low, 1);
        static_cast<void>(lanes.compose(1'000, 1'000'000));
    }
    put(lanes, Lane::low, 2'000);
    CHECK(lanes.compose(1'000, 1'000'000).tasks.size() == 1'000);
}

TEST_CASE("write lanes: a task larger than a batch is one", "[stores]") {
    WriteLanes lanes;
    put(lanes, Lane::low, 10);
    put(lanes, Lane::critical, 2, 5'000, 5'000'000);
    std::size_t low = 0;
    for (int i = 0; i < 2; ++i) {
        const WriteLanes::Batch batch = lanes.compose(1'000, 1'000'000);
        CHECK(count_of(batch, Lane::critical) == 1);
        low += count_of(batch, Lane::low); // of their share
    }
    CHECK(count_of(lanes.compose(1'000, 1'000'000), Lane::low) == 10 - low);
    CHECK(lanes.empty());
}

TEST_CASE("write lanes: bytes bound a batch too", "[stores]") {
    WriteLanes lanes;
    put(lanes, Lane::normal, 100, 1, 100'000);
    const WriteLanes::Batch batch = lanes.compose(1'000, 1'000'000);
    CHECK(batch.tasks.size() == 10);
    // Each lane's share too.
    put(lanes, Lane::low, 100, 1, 10'000);
    const WriteLanes::Batch mixed = lanes.compose(1'000, 1'000'000);
    CHECK(count_of(mixed, Lane::normal) == 9);
    CHECK(count_of(mixed, Lane::low) == 10);
}

TEST_CASE("write lanes: each may fill its part of the queue", "[stores]") {
    struct Case {
        Priority priority;
        int taken;
    };
    const auto c = GENERATE(values<Case>({{Priority::low, 50},
                                          {Priority::normal, 75},
                                          {Priority::high, 90},
                                          {Priority::critical, 100}}));
    TestFolder folder;
    SqliteOptions options;
    options.path = folder.file();
    options.queue_max = 100;
    InboxNode node{options};
    Hold hold{folder.file()};
    int taken = 0;
    int answered = 0;
    node.on_reactor([&] {
        for (int i = 0; i < 200; ++i)
            if (node.log().place(urgent(node, c.priority), [&](const auto&) { ++answered; }))
                ++taken;
    });
    CHECK(taken == c.taken);
    CHECK(node.metrics.sum("store_queue") == c.taken);
    hold.release();
    REQUIRE(node.wait([&] { return answered == taken; }));
    CHECK(node.view("a").newest.offset == static_cast<std::uint64_t>(taken));
    REQUIRE(node.wait([&] { return node.metrics.sum("store_queue") == 0; }));
}

TEST_CASE("write lanes: an order counts as many operations as it has users", "[stores]") {
    TestFolder folder;
    SqliteOptions options;
    options.path = folder.file();
    options.queue_max = 100;
    InboxNode node{options};
    Hold hold{folder.file()};
    std::vector<std::string> users;
    for (int i = 0; i < 60; ++i) users.push_back("u" + std::to_string(i));
    int answered = 0;
    const auto count = [&](const auto&) { ++answered; };
    node.on_reactor([&] {
        CHECK(node.log().place(node.order(users), count));
        CHECK(node.log().place(node.order(users), count)); // 60 of 75 were taken
        CHECK_FALSE(node.log().place(node.order({"a"}), count));
    });
    CHECK(node.metrics.sum("store_queue") == 120);
    hold.release();
    REQUIRE(node.wait([&] { return answered == 2; }));
}

TEST_CASE("write lanes: an order larger than the queue is taken when nothing waits", "[stores]") {
    TestFolder folder;
    SqliteOptions options;
    options.path = folder.file();
    options.queue_max = 10;
    options.queue_bytes_max = 1'000;
    InboxNode node{options};
    std::vector<std::string> users;
    for (int i = 0; i < 100; ++i) users.push_back("u" + std::to_string(i));
    for (int round = 1; round <= 3; ++round) {
        REQUIRE(node.wait([&] { return node.metrics.sum("store_queue") == 0; }));
        const delivery::Placed placed = node.place(node.order(users));
        REQUIRE(placed.code == Code::ok);
        CHECK(placed.notifications[99].position.offset == static_cast<std::uint64_t>(round));
    }
}

TEST_CASE("write lanes: a critical notification overtakes 10,000 low ones", "[stores]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    Hold hold{folder.file()};
    int low = 0;
    int low_before = -1;
    node.on_reactor([&] {
        for (int i = 0; i < 10'000; ++i)
            REQUIRE(node.log().place(urgent(node, Priority::low), [&](const auto&) { ++low; }));
        REQUIRE(node.log().place(urgent(node, Priority::critical, "b"),
                                 [&](const auto&) { low_before = low; }));
    });
    hold.release();
    REQUIRE(node.wait([&] { return low == 10'000 && low_before >= 0; }));
    // The batch that was under way, and the one that it was in itself.
    CHECK(low_before <= 1'000);
    CHECK(node.view("a").newest.offset == 10'000);
}

TEST_CASE("write lanes: low notifications do not starve", "[stores]") {
    TestFolder folder;
    InboxNode node{folder.file()};
    Hold hold{folder.file()};
    int low = 0;
    int low_in_between = 0;
    int critical = 0;
    node.on_reactor([&] {
        for (int i = 0; i < 200; ++i)
            REQUIRE(node.log().place(urgent(node, Priority::low), [&](const auto&) { ++low; }));
        for (int i = 0; i < 10'000; ++i)
            REQUIRE(node.log().place(urgent(node, Priority::critical, "b"), [&](const auto&) {
                if (++critical == 9'000) low_in_between = low;
            }));
    });
    hold.release();
    REQUIRE(node.wait([&] { return low == 200 && critical == 10'000; }));
    CHECK(low_in_between == 200);
}
