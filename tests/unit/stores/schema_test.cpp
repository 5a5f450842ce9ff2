// Files of older versions are brought forward at start, with all that is in them.

#include "sqlite/database.hpp"
#include "sqlite/schema.hpp"
#include "support/inbox_node.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <string>

namespace fanfare::stores {
extern const char schema_1[];
extern const char schema_2[];
} // namespace fanfare::stores

using namespace fanfare;
using namespace fanfare::stores;
using namespace fanfare::test;

namespace {

/// As the version that knew schema 1 left it: a room with 20 messages, of which the first went, and
/// a key.
void make_schema_1(const std::string& path) {
    Database database{path, Database::Mode::create};
    database.execute("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL");
    database.execute(schema_1);
    const WallMillis now = system_clock().wall();
    database.execute(
        fmt::format("PRAGMA application_id={}; PRAGMA user_version=1;"
                    "INSERT INTO rooms VALUES (1, 'd:a', 'aaaaaaaa', 1, {});"
                    "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
                    "INSERT INTO messages SELECT 1, i, {}, NULL, NULL, NULL, i FROM n;"
                    "INSERT INTO publish_keys VALUES ('k', 0, 7, 'aaaaaaaa', 3, {})",
                    application_id, now - 1'000, now, now + 60'000)
            .c_str());
}

/// As the version that knew schema 2 left it: the same, and ada has a notification.
void make_schema_2(const std::string& path) {
    make_schema_1(path);
    Database database{path, Database::Mode::read_write};
    database.execute(schema_2);
    const WallMillis now = system_clock().wall();
    database.execute(
        fmt::format("PRAGMA user_version=2;"
                    "INSERT INTO inboxes VALUES (1, 'ada', 'aaaaaaaa', 1, 0);"
                    "INSERT INTO notifications VALUES (1, 1, zeroblob(16), 0, 2, 1, 0, {0}, {1}, "
                    "{0}, 0, NULL, {1}, NULL, NULL, '1')",
                    now, now + 60'000)
            .c_str());
}

} // namespace

TEST_CASE("schema: a file of version 2 has its inboxes afterwards, and a place for devices",
          "[stores]") {
    TestFolder folder;
    make_schema_2(folder.file());
    {
        InboxNode node{folder.file()};
        CHECK(node.view("ada").unread == 1);
        CHECK(node.place("ada").notifications[0].position == Position{Epoch::parse("aaaaaaaa"), 2});
        delivery::PushDevice device;
        device.user = "ada";
        device.name = "phone";
        device.token = "00ff";
        const auto registered = node.ask<delivery::Registered>(
            [&](auto done) { return node.store().devices().put(device, 1, std::move(done)); });
        CHECK(registered.fresh);
    }
    const SqliteCheck check = check_sqlite(folder.file());
    CHECK(check.faults.empty());
    CHECK(check.schema == schema_version);
    CHECK(check.messages == 19);
    CHECK(check.notifications == 2);
    CHECK(check.devices == 1);
}

TEST_CASE("schema: a file of version 1 has its rooms afterwards, and a place for inboxes",
          "[stores]") {
    TestFolder folder;
    make_schema_1(folder.file());
    {
        DurableNode node{folder.file()};
        const room::RoomInfo info = node.info("d:a");
        CHECK(info.position == Position{Epoch::parse("aaaaaaaa"), 20});
        const room::HistoryResult history = node.history("d:a");
        REQUIRE(history.messages.size() == 19);
        CHECK(history.messages.front()->position().offset == 2);
        CHECK(history.messages.back()->data() == "20");
        CHECK(node.publish("d:a", "21").position.offset == 21);
    }
    {
        InboxNode node{folder.file()};
        CHECK(node.place("ada").notifications[0].position.offset == 1);
    }
    const SqliteCheck check = check_sqlite(folder.file());
    CHECK(check.faults.empty());
    CHECK(check.schema == schema_version);
    CHECK(check.messages == 20);
    CHECK(check.publish_keys == 1);
    CHECK(check.notifications == 1);
}

TEST_CASE("schema: every step is one of its own", "[stores]") {
    TestFolder folder;
    make_schema_1(folder.file());
    Database database{folder.file(), Database::Mode::read_write};
    REQUIRE(database.number("PRAGMA user_version") == 1);
    CHECK(schema_fault(database, folder.file()).empty());
    migrate(database);
    CHECK(database.number("PRAGMA user_version") == schema_version);
    CHECK(database.number("PRAGMA application_id") == application_id);
    // One that could not be finished leaves the file as it was.
    TestFolder other;
    make_schema_1(other.file());
    Database blocked{other.file(), Database::Mode::read_write};
    blocked.execute("CREATE TABLE notification_keys (somebody)");
    CHECK_THROWS_AS(migrate(blocked), SqliteError);
    CHECK(blocked.number("PRAGMA user_version") == 1);
    CHECK(blocked.number("SELECT count(*) FROM sqlite_schema WHERE name = 'inboxes'") == 0);
    // Those before it are done, and stay so.
    TestFolder later;
    make_schema_1(later.file());
    Database halfway{later.file(), Database::Mode::read_write};
    halfway.execute("CREATE TABLE device_topics (somebody)");
    CHECK_THROWS_AS(migrate(halfway), SqliteError);
    CHECK(halfway.number("PRAGMA user_version") == 2);
    CHECK(halfway.number("SELECT count(*) FROM sqlite_schema WHERE name = 'inboxes'") == 1);
    CHECK(halfway.number("SELECT count(*) FROM sqlite_schema WHERE name = 'devices'") == 0);
}
