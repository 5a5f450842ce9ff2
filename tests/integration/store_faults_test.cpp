// A disk that fails while durable rooms are used, and files that cannot be used at the start. The
// faults are those of tests/support/test_vfs.hpp.

#include "gateway.hpp" // settings
#include "support/durable_node.hpp"
#include "support/test_vfs.hpp"

#include <fanfare/base/log.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <sqlite3.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace fanfare;
using namespace fanfare::test;

namespace {

void be_quiet() {
    log::configure({log::Level::off, log::Format::text}); // the store says that it fails, rightly
}

/// What was answered, by room; compared with what is stored in the end.
class Answered {
  public:
    /// Publishes them and notes what was answered. The first contradiction, or nothing.
    std::string publish(DurableNode& node, std::size_t count, std::size_t bytes = 200) {
        std::vector<std::pair<std::string, std::string>> messages;
        for (std::size_t i = 0; i < count; ++i) {
            const int number = ++sent_;
            messages.emplace_back(number % 3 == 0 ? "d:b" : "d:a",
                                  std::to_string(number) + std::string(bytes, '0'));
        }
        const std::vector<room::PublishResult> results = node.publish(messages);
        refused = nullptr;
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<std::string>& room = of(messages[i].first);
            const room::PublishResult& result = results[i];
            if (result.code == Code::ok) {
                room.push_back(messages[i].second);
                if (result.position.offset != room.size())
                    return messages[i].first + ": offset " +
                           std::to_string(result.position.offset) + " where " +
                           std::to_string(room.size()) + " was next";
            } else if (result.code != Code::unavailable || result.detail == nullptr) {
                return "refused with another code than unavailable, or without a reason";
            } else {
                refused = result.detail;
            }
        }
        return {};
    }
    /// What is in the file: neither less nor more.
    void check(const std::string& path) {
        StoredRows rows{path};
        REQUIRE(rows.check() == "ok");
        for (const char* room : {"d:a", "d:b"}) {
            const std::vector<StoredRows::Row> found = rows.messages(room);
            REQUIRE(found.size() == of(room).size());
            for (std::size_t i = 0; i < found.size(); ++i) {
                REQUIRE(found[i][0] == std::to_string(i + 1));
                REQUIRE(found[i][1] == of(room)[i]);
            }
        }
    }
    const char* refused = nullptr; // the reason given last
    [[nodiscard]] std::size_t count() const { return a_.size() + b_.size(); }

  private:
    std::vector<std::string>& of(std::string_view room) { return room == "d:b" ? b_ : a_; }
    std::vector<std::string> a_;
    std::vector<std::string> b_;
    int sent_ = 0;
};

/// One line that an operator can use: names the file, and is no bare SQLite text.
std::string start_fault(const std::string& path, const std::string& vfs = {}) {
    try {
        const DurableNode node{path, vfs};
    } catch (const std::runtime_error& error) {
        CHECK_THAT(error.what(), Catch::Contains(path));
        CHECK(std::string_view{error.what()}.find('\n') == std::string_view::npos);
        return error.what();
    }
    return {};
}

std::string bytes_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}
void put_bytes(const std::string& path, const std::string& bytes) {
    std::ofstream{path, std::ios::binary} << bytes;
}
void overwrite(const std::string& path, std::size_t at, std::size_t count) {
    std::string bytes = bytes_of(path);
    REQUIRE(bytes.size() >= at + count);
    std::mt19937 random{1};
    for (std::size_t i = 0; i < count; ++i) bytes[at + i] = static_cast<char>(random());
    put_bytes(path, bytes);
}

} // namespace

TEST_CASE("durable rooms: an error at the nth operation, for every n, loses and invents nothing",
          "[durable][faults]") {
    be_quiet();
    const auto operations = GENERATE(as<unsigned>{}, TestVfs::write, TestVfs::sync, TestVfs::lock,
                                     TestVfs::write | TestVfs::sync);
    const auto code = GENERATE(SQLITE_IOERR, SQLITE_FULL);
    CAPTURE(operations, code);
    TestFolder folder;
    Answered answered;
    std::uint64_t faults = 0;
    {
        TestVfs vfs;
        DurableNode node{folder.file(), vfs.name()};
        REQUIRE(answered.publish(node, 5) == "");
        REQUIRE(answered.count() == 5);
        // Until one batch needs fewer operations than that.
        for (std::uint64_t n = 1, without = 0; n < 200 && without < 3; ++n) {
            CAPTURE(n);
            vfs.fail_nth(n, code, operations);
            REQUIRE(answered.publish(node, 4, 3'000) == "");
            const bool failed = vfs.failed() != 0;
            faults += failed ? 1 : 0;
            without = failed ? 0 : without + 1;
            vfs.heal();
            // Each room goes on.
            REQUIRE(answered.publish(node, 3) == "");
            REQUIRE(answered.refused == nullptr);
            REQUIRE(node.store().fault() == nullptr);
        }
    }
    CHECK(faults > 0);
    answered.check(folder.file());
}

TEST_CASE("durable rooms: an error at the nth read after a start, for every n",
          "[durable][faults]") {
    be_quiet();
    TestFolder folder;
    Answered answered;
    std::uint64_t faults = 0;
    for (std::uint64_t n = 1; n < 100; ++n) {
        CAPTURE(n);
        TestVfs vfs;
        DurableNode node{folder.file(), vfs.name()};
        vfs.fail_nth(n, SQLITE_IOERR, TestVfs::read);
        REQUIRE(answered.publish(node, 6, 3'000) == "");
        const bool failed = vfs.failed() != 0;
        vfs.heal();
        REQUIRE(answered.publish(node, 6) == "");
        REQUIRE(answered.refused == nullptr);
        if (!failed && n > 1) break; // the first life has nothing to read
        faults += failed ? 1 : 0;
    }
    CHECK(faults > 2);
    answered.check(folder.file());
}

TEST_CASE("durable rooms: errors at any time, while the write-ahead log is copied too",
          "[durable][faults]") {
    be_quiet();
    const std::uint64_t seed = test_seed();
    INFO("FANFARE_SEED=" << seed);
    std::mt19937_64 random{seed};
    TestFolder folder;
    Answered answered;
    {
        TestVfs vfs;
        DurableNode node{folder.file(), vfs.name()};
        // Of 16 KB each: the log is full after a thousand.
        for (int round = 0; round < (instrumented ? 60 : 300); ++round) {
            CAPTURE(round);
            vfs.fail_nth(1 + random() % 100, random() % 2 == 0 ? SQLITE_IOERR : SQLITE_FULL,
                         static_cast<unsigned>(1 + random() % 15));
            REQUIRE(answered.publish(node, 1 + random() % 20, 16'000) == "");
            vfs.heal();
            REQUIRE(answered.publish(node, 3) == "");
            REQUIRE(answered.refused == nullptr);
        }
    }
    answered.check(folder.file());
}

TEST_CASE("durable rooms: while the disk fails they say so, and go on by themselves afterwards",
          "[durable][faults]") {
    be_quiet();
    struct Case {
        int code;
        const char* text;
    };
    const auto c = GENERATE(values<Case>({{SQLITE_FULL, "the store's disk is full"},
                                          {SQLITE_IOERR_WRITE, "the store's disk reports an error"},
                                          {SQLITE_READONLY, "the store is read-only"}}));
    CAPTURE(c.text);
    TestFolder folder;
    Answered answered;
    {
        TestVfs vfs;
        DurableNode node{folder.file(), vfs.name()};
        REQUIRE(answered.publish(node, 10) == "");
        CHECK(node.store().fault() == nullptr);
        vfs.fail_all(c.code);
        for (int i = 0; i < 3; ++i) {
            REQUIRE(answered.publish(node, 5) == "");
            CHECK(answered.count() == 10);
            REQUIRE(answered.refused != nullptr);
            CHECK(std::string_view{answered.refused} == c.text);
            // Memory goes on, and so does what is there already.
            CHECK(node.publish("memory", "1").position.offset == static_cast<std::uint64_t>(i) + 1);
            CHECK(node.history("d:a").messages.size() == 7);
        }
        REQUIRE(node.store().fault() != nullptr);
        CHECK(std::string_view{node.store().fault()} == c.text);
        CHECK(node.metrics.sum("store_failing") == 1);
        vfs.heal();
        // Nobody publishes: the store tries by itself.
        CHECK(node.wait([&] { return node.store().fault() == nullptr; }));
        REQUIRE(answered.publish(node, 5) == "");
        CHECK(answered.refused == nullptr);
        CHECK(answered.count() == 15);
    }
    answered.check(folder.file());
}

TEST_CASE("durable rooms: a join that the store cannot serve leaves nobody in the room",
          "[durable][faults]") {
    be_quiet();
    struct Joiner final : room::Subscriber {
        void on_joined(room::Subscription& /*s*/, const room::JoinResult& result) override {
            code = result.code;
            detail = result.detail;
            answered = true;
        }
        void on_replay(room::Subscription& /*s*/, const room::ReplayBatch& /*batch*/) override {}
        void on_message(room::Delivery& /*d*/, room::Subscription* /*s*/) override {}
        void on_presence(room::PresenceDelivery& /*d*/, room::Subscription& /*s*/) override {}
        void on_pattern_ready(std::string_view /*pattern*/) override {}
        Code code = Code::ok;
        const char* detail = nullptr;
        bool answered = false;
    } joiner;
    room::Subscription place;
    TestFolder folder;
    {
        DurableNode node{folder.file()};
        for (int i = 0; i < 4; ++i)
            node.publish(std::vector<std::pair<std::string, std::string>>(
                100, {"d:a", std::string(3'000, '1')}));
    }
    TestVfs vfs;
    DurableNode node{folder.file(), vfs.name()};
    REQUIRE(node.info("d:a").position.offset == 400);
    vfs.fail_all(SQLITE_IOERR_READ, TestVfs::read);
    room::JoinWish wish;
    wish.last = 300; // behind the window in memory
    node.reactor(0).post(
        std::function<void()>{[&] { node.rooms(0).subscribe(place, joiner, "d:a", wish); }});
    REQUIRE(node.wait([&] { return joiner.answered; }));
    CHECK(joiner.code == Code::unavailable);
    CHECK(std::string_view{joiner.detail} == "the store's disk reports an error");
    // History behind the window neither; within it, it is there.
    room::HistoryQuery far;
    far.since = Position{node.info("d:a").position.epoch, 10};
    CHECK(node.history("d:a", far).code == Code::unavailable);
    room::HistoryQuery near;
    near.limit = 10;
    CHECK(node.history("d:a", near).messages.size() == 10);
    vfs.heal();
    CHECK(node.info("d:a").subscribers == 0);
    CHECK(node.history("d:a", far).messages.front()->position().offset == 11);
}

TEST_CASE("durable rooms: a room that cannot be read is refused, and there when it can",
          "[durable][faults]") {
    be_quiet();
    TestFolder folder;
    {
        DurableNode node{folder.file()};
        node.publish("d:a", "1");
    }
    TestVfs vfs;
    DurableNode node{folder.file(), vfs.name()};
    vfs.fail_all(SQLITE_IOERR_READ, TestVfs::read | TestVfs::lock);
    const room::PublishResult refused = node.publish("d:a", "2");
    CHECK(refused.code == Code::unavailable);
    CHECK(std::string_view{refused.detail} == "the store's disk reports an error");
    CHECK(node.info("d:a").code == Code::unavailable);
    CHECK(node.publish("memory", "1").code == Code::ok);
    vfs.heal();
    CHECK(node.publish("d:a", "2").position.offset == 2);
}

// --- at the start ---

TEST_CASE("store: a start that fails at the nth operation can be tried again", "[durable][start]") {
    be_quiet();
    TestFolder folder;
    const std::string path = folder.file();
    int failures = 0;
    for (std::uint64_t n = 1; n < 200; ++n) {
        CAPTURE(n);
        TestVfs vfs;
        vfs.fail_nth(n, SQLITE_FULL, TestVfs::write | TestVfs::sync | TestVfs::read);
        const std::string fault = start_fault(path, vfs.name());
        const bool failed = vfs.failed() != 0;
        vfs.heal();
        if (!fault.empty()) {
            ++failures;
            CHECK_THAT(fault, Catch::Contains("the store's disk is full"));
        }
        std::filesystem::remove(path + "-wal");
        std::filesystem::remove(path + "-shm");
        if (!failed) break;
        REQUIRE(start_fault(path) == ""); // what was left behind does no harm
        for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
    }
    CHECK(failures > 5);
}

TEST_CASE("store: a file that is no database is refused and stays as it is", "[durable][start]") {
    be_quiet();
    TestFolder folder;
    const std::string path = folder.file();
    std::string text;
    SECTION("any text") {
        text = std::string(10'000, 'x');
    }
    SECTION("a short one") {
        text = "hello";
    }
    SECTION("garbage behind a good header") {
        { const DurableNode node{path}; }
        overwrite(path, 100, 3'000);
        text = bytes_of(path);
    }
    SECTION("garbage in the header") {
        { const DurableNode node{path}; }
        overwrite(path, 0, 100);
        text = bytes_of(path);
    }
    put_bytes(path, text);
    CHECK_THAT(start_fault(path), Catch::Contains("the store's file is damaged"));
    CHECK(bytes_of(path) == text);
    CHECK_FALSE(std::filesystem::exists(path + "-wal"));
}

TEST_CASE("store: garbage in a later page is found when it is read, and is no message",
          "[durable][start]") {
    be_quiet();
    TestFolder folder;
    const std::string path = folder.file();
    {
        DurableNode node{path};
        // Short rows: none has bytes in a page of its own, which nothing would check.
        for (const char* room : {"d:a", "d:b"})
            node.publish(std::vector<std::pair<std::string, std::string>>(
                500, {room, std::string(200, '1')}));
    }
    const std::size_t pages = std::filesystem::file_size(path) / 4'096;
    REQUIRE(pages > 40);
    const std::string whole = bytes_of(path);
    int refusals = 0;
    for (std::size_t page = 1; page < pages; ++page) {
        CAPTURE(page);
        put_bytes(path, whole);
        overwrite(path, page * 4'096, 4'096);
        std::unique_ptr<DurableNode> node;
        try {
            node = std::make_unique<DurableNode>(path);
        } catch (const std::runtime_error& error) {
            CHECK_THAT(error.what(), Catch::Contains("the store's file is damaged"));
            ++refusals;
            continue;
        }
        for (const char* room : {"d:a", "d:b"}) {
            room::HistoryQuery query;
            query.limit = 1'000;
            query.bytes_max = 10'000'000;
            const room::HistoryResult found = node->history(room, query);
            if (found.code != Code::ok) {
                CHECK(std::string_view{found.detail} == "the store's file is damaged");
                ++refusals;
                continue;
            }
            std::uint64_t last = 0;
            for (const room::MessageRef& message : found.messages) {
                if (last != 0) CHECK(message->position().offset == last + 1);
                last = message->position().offset;
                CHECK(message->data() == std::string(200, '1'));
            }
        }
        CHECK(node->publish("memory", "1").code == Code::ok);
    }
    CHECK(refusals > 20);
}

TEST_CASE("store: a file of another program is refused and stays as it is", "[durable][start]") {
    be_quiet();
    TestFolder folder;
    const std::string path = folder.file();
    const char* const sql = GENERATE("CREATE TABLE t (a); INSERT INTO t VALUES (1)",
                                     "PRAGMA application_id=77; PRAGMA user_version=1",
                                     "CREATE TABLE rooms (id INTEGER); PRAGMA user_version=1",
                                     "PRAGMA journal_mode=WAL; CREATE TABLE t (a)");
    CAPTURE(sql);
    sqlite3* database = nullptr;
    REQUIRE(::sqlite3_open(path.c_str(), &database) == SQLITE_OK);
    REQUIRE(::sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    ::sqlite3_close(database);
    const std::string before = bytes_of(path);
    CHECK_THAT(start_fault(path), Catch::Contains("not Fanfare's"));
    CHECK(bytes_of(path) == before);
    CHECK_FALSE(std::filesystem::exists(path + "-wal"));
}

TEST_CASE("store: a newer schema is refused and stays as it is", "[durable][start]") {
    be_quiet();
    TestFolder folder;
    const std::string path = folder.file();
    { const DurableNode node{path}; }
    { static_cast<void>(StoredRows{path}.rows("PRAGMA user_version=1000")); }
    {
        // Into the file, so that it can be compared.
        StoredRows rows{path};
        static_cast<void>(rows.rows("PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    const std::string before = bytes_of(path);
    CHECK_THAT(start_fault(path), Catch::Contains("newer Fanfare (schema 1000"));
    CHECK(bytes_of(path) == before);
}

TEST_CASE("store: what cannot be a file is refused", "[durable][start]") {
    be_quiet();
    TestFolder folder;
    SECTION("a directory") {
        std::filesystem::create_directory(folder.file());
        CHECK_THAT(start_fault(folder.file()), Catch::Contains("Is a directory"));
        CHECK(std::filesystem::is_empty(folder.file()));
    }
    SECTION("in a directory that is not there") {
        CHECK_THAT(start_fault(folder.file("missing/fanfare.db")),
                   Catch::Contains("create its directory"));
        CHECK_FALSE(std::filesystem::exists(folder.file("missing")));
    }
    SECTION("of another gateway that runs") {
        DurableNode first{folder.file()};
        REQUIRE(first.publish("d:a", "1").code == Code::ok);
        CHECK_THAT(start_fault(folder.file()), Catch::Contains("in use by another gateway"));
        CHECK(first.publish("d:a", "2").position.offset == 2);
    }
}
