// A million users with something pending cost nothing while they are away. Takes minutes and a
// gigabyte of disk, so it runs only when it is named: unit_stores "[scale]".

#include "sqlite/database.hpp"
#include "sqlite/schema.hpp"
#include "support/inbox_node.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::stores;
using namespace fanfare::test;
using Seconds = std::chrono::duration<double>;

namespace {

constexpr int per_user = 3;

void fill(const std::string& path, int users) {
    Database database{path, Database::Mode::create};
    database.execute("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=OFF; "
                     "PRAGMA synchronous=OFF; PRAGMA cache_size=-400000");
    migrate(database);
    const WallMillis now = system_clock().wall();
    database.execute(
        fmt::format("BEGIN;"
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) "
                    "INSERT INTO inboxes SELECT i, 'user-' || i, 'aaaaaaaa', {1}, 0 FROM n;"
                    "INSERT INTO notifications SELECT i.id, o.o, CAST(printf('%08x%08x', i.id, "
                    "o.o) AS BLOB), 0, 2, 1, 0, {2}, {3}, {2}, 0, NULL, {3}, 'chat', NULL, "
                    "'\"' || hex(zeroblob(59)) || '\"' FROM inboxes i CROSS JOIN (SELECT 1 AS o "
                    "UNION ALL SELECT 2 UNION ALL SELECT 3) o;"
                    "COMMIT",
                    users, per_user, now, now + 600'000'000)
            .c_str());
}

double since(std::chrono::steady_clock::time_point began) {
    return Seconds{std::chrono::steady_clock::now() - began}.count();
}

/// Pages of random users, so many at a time. Their latencies in milliseconds, sorted.
std::vector<double> join_many(InboxNode& node, int users, int pages, int at_once) {
    std::mt19937_64 random{7};
    std::vector<double> latencies;
    int asked = 0;
    std::function<void()> ask = [&] {
        if (asked == pages) return;
        ++asked;
        const std::string user =
            "user-" + std::to_string(1 + random() % static_cast<std::uint64_t>(users));
        const auto began = std::chrono::steady_clock::now();
        REQUIRE(node.log().page(InboxNode::wish(user, std::to_string(asked)),
                                [&, began](const delivery::Page& page) {
                                    REQUIRE(page.code == Code::ok);
                                    latencies.push_back(since(began) * 1'000);
                                    ask();
                                }));
    };
    node.on_reactor([&] {
        for (int i = 0; i < at_once; ++i) ask();
    });
    REQUIRE(node.wait([&] { return latencies.size() == static_cast<std::size_t>(pages); },
                      std::chrono::seconds{600}));
    std::sort(latencies.begin(), latencies.end());
    return latencies;
}

} // namespace

TEST_CASE("inbox scale: a start does not read a million inboxes", "[.][scale]") {
    const char* const wanted = std::getenv("FANFARE_USERS");
    const int users = wanted == nullptr ? 1'000'000 : std::atoi(wanted);
    TestFolder folder;
    fill(folder.file(), users);
    auto began = std::chrono::steady_clock::now();
    InboxNode node{folder.file()};
    const double opened = since(began);
    const std::vector<double> while_counted = join_many(node, users, 2'000, 32);
    began = std::chrono::steady_clock::now();
    const double all = static_cast<double>(users) * per_user;
    REQUIRE(node.wait([&] { return node.metrics.sum("inbox_depth") >= all; },
                      std::chrono::seconds{600}));
    const std::vector<double> alone = join_many(node, users, 20'000, 32);
    const auto at = [](const std::vector<double>& sorted, double part) {
        return sorted[static_cast<std::size_t>(static_cast<double>(sorted.size() - 1) * part)];
    };
    WARN(fmt::format("{} users, {:.0f} MB: opened in {:.3f} s; pages, 32 at a time: while it "
                     "counts p50 {:.1f} ms, p99 {:.1f} ms; afterwards p50 {:.1f} ms, p99 {:.1f} ms",
                     users, static_cast<double>(std::filesystem::file_size(folder.file())) / 1e6,
                     opened, at(while_counted, 0.5), at(while_counted, 0.99), at(alone, 0.5),
                     at(alone, 0.99)));
    CHECK(opened < 2);
    CHECK(at(while_counted, 0.99) < 50);
    CHECK(at(alone, 0.99) < 50);
}
