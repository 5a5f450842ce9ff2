// What a million users with something pending cost a gateway: nothing while they are away, and one
// page each when they come. Fills a file, opens it as the gateway does, and lets random users join,
// so many at a time. Prints one JSON object.
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/rules.hpp>
#include <fanfare/stores/stores.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <sqlite3.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace fanfare;
using Clock = std::chrono::steady_clock;

struct Options {
    std::string file;
    std::uint64_t users = 1'000'000;
    std::uint64_t pending = 3; // of each
    std::uint64_t pages = 20'000;
    std::uint64_t at_once = 32;
    bool keep = false;
};

double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>{Clock::now() - began}.count();
}

/// The gateway's store on a reactor that is turned by hand.
class Node {
  public:
    explicit Node(const std::string& file) : reactors_(1, system_clock(), metrics) {
        stores::SqliteOptions options;
        options.path = file;
        store_ = stores::make_sqlite(reactors_, metrics, options, {},
                                     std::make_shared<const room::Rules>(std::vector<room::Rule>{}),
                                     std::chrono::hours{1});
    }
    ~Node() { reactors_.stop(); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    [[nodiscard]] delivery::InboxLog& inbox() { return store_->inbox(); }
    void post(std::function<void()> call) { reactors_[0].post(std::move(call)); }
    void turn_until(const std::function<bool()>& holds) {
        const auto end = Clock::now() + std::chrono::minutes{10};
        while (!holds()) {
            reactors_[0].run_turn();
            if (Clock::now() > end) throw std::runtime_error("the store does not answer");
            std::this_thread::sleep_for(std::chrono::microseconds{50});
        }
    }

    Metrics metrics;

  private:
    net::Reactors reactors_;
    std::unique_ptr<stores::Store> store_;
};

void fill(const Options& options) {
    { const Node node{options.file}; } // makes the tables
    sqlite3* db = nullptr;
    const auto check = [&](int code) {
        if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(db));
    };
    check(sqlite3_open(options.file.c_str(), &db));
    const WallMillis now = system_clock().wall();
    const std::string sql = fmt::format(
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000; BEGIN;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) "
        "INSERT INTO inboxes SELECT i, 'user-' || i, 'aaaaaaaa', {1}, 0 FROM n;"
        "WITH RECURSIVE o(o) AS (SELECT 1 UNION ALL SELECT o + 1 FROM o WHERE o < {1}) "
        "INSERT INTO notifications (inbox, offset, id, status, priority, channels, attempts, "
        "created, "
        "expires, updated, tried, due, sweep, category, collapse_key, data) SELECT i.id, o, "
        "randomblob(16), 0, 2, 1, 0, {2}, {3}, {2}, 0, "
        "NULL, {3}, 'chat', NULL, '\"' || hex(zeroblob(59)) || '\"' FROM inboxes i CROSS JOIN o;"
        "COMMIT",
        options.users, options.pending, now, now + 600'000'000);
    check(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr));
    sqlite3_close(db);
}

/// Latencies in milliseconds, sorted.
std::vector<double> join(Node& node, const Options& options, std::uint64_t pages) {
    std::mt19937_64 random{pages};
    std::vector<double> latencies;
    std::uint64_t asked = 0;
    std::function<void()> ask = [&] {
        if (asked == pages) return;
        delivery::PageWish wish;
        wish.user = fmt::format("user-{}", 1 + random() % options.users);
        wish.session = fmt::format("session-{}", ++asked);
        wish.bytes_max = 100'000;
        const bool taken =
            node.inbox().page(wish, [&, began = Clock::now()](const delivery::Page& page) {
                if (page.code != Code::ok) throw std::runtime_error(page.detail);
                latencies.push_back(seconds_since(began) * 1'000);
                ask();
            });
        if (!taken) throw std::runtime_error("the store's queue is full");
    };
    node.post([&] {
        for (std::uint64_t i = 0; i < options.at_once; ++i) ask();
    });
    node.turn_until([&] { return latencies.size() == pages; });
    std::sort(latencies.begin(), latencies.end());
    return latencies;
}

double percentile(const std::vector<double>& sorted, double part) {
    return sorted[static_cast<std::size_t>(static_cast<double>(sorted.size() - 1) * part)];
}

void run(const Options& options) {
    fill(options);
    const auto began = Clock::now();
    Node node{options.file};
    const double opened = seconds_since(began);
    // While what is pending is still counted.
    const std::vector<double> early =
        join(node, options, std::max<std::uint64_t>(1, options.pages / 10));
    const auto all = static_cast<double>(options.users * options.pending);
    node.turn_until([&] { return node.metrics.sum("inbox_depth") >= all; });
    const double counted = seconds_since(began);
    const std::vector<double> pages = join(node, options, options.pages);
    fmt::print("{{\"users\":{},\"notifications\":{},\"file_bytes\":{},\"open_seconds\":{:.3f},"
               "\"counted_seconds\":{:.3f},\"early_p50_ms\":{:.2f},\"early_p99_ms\":{:.2f},"
               "\"page_p50_ms\":{:.2f},\"page_p99_ms\":{:.2f},\"page_max_ms\":{:.2f}}}\n",
               options.users, options.users * options.pending,
               std::filesystem::file_size(options.file), opened, counted, percentile(early, 0.5),
               percentile(early, 0.99), percentile(pages, 0.5), percentile(pages, 0.99),
               pages.back());
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app{"Random users of a large store join", "fanfare-inbox-scale"};
    app.add_option("file", options.file, "a new file, on the disk that is measured")->required();
    app.add_option("--users", options.users)->check(CLI::PositiveNumber);
    app.add_option("--pending", options.pending, "of each user")->check(CLI::PositiveNumber);
    app.add_option("--pages", options.pages)->check(CLI::PositiveNumber);
    app.add_option("--at-once", options.at_once)->check(CLI::PositiveNumber);
    app.add_flag("--keep", options.keep, "leave the file");
    CLI11_PARSE(app, argc, argv);
    int status = 0;
    try {
        if (std::filesystem::exists(options.file)) throw std::runtime_error("the file exists");
        run(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fanfare-inbox-scale: %s\n", error.what());
        status = 1;
    }
    if (!options.keep && status == 0)
        for (const char* suffix : {"", "-wal", "-shm", "-lock"})
            std::filesystem::remove(options.file + suffix);
    return status;
}
