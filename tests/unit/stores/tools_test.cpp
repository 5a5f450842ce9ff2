// check, backup, vacuum and stats on real files.

#include "sqlite/database.hpp"
#include "sqlite/schema.hpp"

#include <fanfare/stores/stores.hpp>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace fanfare::stores;
namespace fs = std::filesystem;

namespace {

struct Folder {
    Folder() {
        std::string name = (fs::temp_directory_path() / "fanfare-tools-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { fs::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    [[nodiscard]] std::string file(const char* name) const { return (path / name).string(); }
    [[nodiscard]] std::set<std::string> names() const {
        std::set<std::string> found;
        for (const auto& entry : fs::directory_iterator{path})
            found.insert(entry.path().filename().string());
        return found;
    }

    fs::path path;
};

/// As the writer opens it.
Database make_store(const std::string& path) {
    Database database{path, Database::Mode::create};
    database.execute("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL");
    migrate(database);
    return database;
}

void add_room(Database& database, std::int64_t id, const std::string& name) {
    database.execute(fmt::format("INSERT INTO rooms (id, name, epoch, newest, used) VALUES "
                                 "({}, '{}', 'aaaaaaa{}', 0, 1000)",
                                 id, name, id % 10)
                         .c_str());
}

/// Offsets `first` to `last`; each has `bytes` bytes of payload and its offset as its time.
void add_messages(Database& database, std::int64_t room, int first, int last, int bytes = 20) {
    database.execute(
        fmt::format(
            "WITH RECURSIVE n(i) AS (SELECT {1} UNION ALL SELECT i + 1 FROM n WHERE i < {2}) "
            "INSERT INTO messages SELECT {0}, i, i, NULL, NULL, NULL, "
            "'\"' || substr(hex(zeroblob({3})), 1, {3} - 2) || '\"' FROM n",
            room, first, last, bytes)
            .c_str());
}

/// The inboxes of ada (three, one of them acknowledged) and bo (one).
void add_notifications(Database& database) {
    database.execute(
        "INSERT INTO inboxes VALUES (1, 'ada', 'aaaaaaa1', 3, 1), (2, 'bo', 'aaaaaaa2', 1, 0);"
        "INSERT INTO inbox_devices VALUES (1, '', 1, 9);"
        "INSERT INTO notifications (inbox, offset, id, status, priority, channels, attempts, "
        "created, "
        "expires, updated, tried, due, sweep, category, collapse_key, data) SELECT i.id, n.o, "
        "randomblob(16), n.o = 1 AND i.id = 1, 2, 1, "
        "0, "
        "1, 9, 1, 0, NULL, 9, NULL, NULL, '{}' FROM inboxes i JOIN (SELECT 1 AS o UNION ALL SELECT "
        "2 UNION ALL SELECT 3) n ON n.o <= i.newest;"
        "UPDATE notifications SET status = 3 WHERE status = 1;"
        "INSERT INTO notification_events VALUES (1, 1, 1, 5, 4, 3, 0, 'api');"
        "INSERT INTO notification_keys VALUES ('k', 0, 7, randomblob(16), 'aaaaaaa1', 3, 9)");
}

/// Ada's browser, with a topic, and her phone.
void add_devices(Database& database) {
    database.execute(
        "INSERT INTO devices VALUES (1, 'ada', 'browser', 2, 'https://p.example/secret', "
        "x'042571b2becdfde360551aaf1ed0f4cd366c11cebe555f89bcb7b186a53339173168ece2ebe018597bd30479"
        "b86e3c8f8eced577ca59187e9246990db682008b0e', x'05305932a1c7eabe13b6cec9fda48882', NULL, "
        "'pt-BR', 'America/Sao_Paulo', 5, NULL),"
        "(2, 'ada', 'phone', 0, '00ff', NULL, NULL, 'shop', NULL, NULL, 5, 9);"
        "INSERT INTO device_topics VALUES ('news', 1)");
}

/// Of ada's first and third notification; the second one was edited.
void add_dead_letters(Database& database) {
    database.execute(
        "INSERT INTO dead_letters VALUES (4, 1, 1, 'phone', 'apns', 413, 'why', 1, 9, NULL, NULL),"
        "(5, 1, 3, 'browser', 'webpush', 0, 'why', 3, 9, '{\"title\":\"x\"}', 60);"
        "INSERT INTO notification_events VALUES (1, 3, 1, 5, 15, NULL, 0, '{}')");
}

/// Two rooms, 30 and 5 messages, two keys; notifications, devices and dead letters.
void make_small_store(const std::string& path) {
    Database database = make_store(path);
    add_room(database, 1, "a");
    add_room(database, 2, "b");
    add_messages(database, 1, 11, 40);
    add_messages(database, 2, 1, 5);
    database.execute("UPDATE rooms SET newest = 10 WHERE id = 1;"
                     "INSERT INTO publish_keys VALUES ('k', 0, 7, 'aaaaaaa1', 3, 9);"
                     "INSERT INTO publish_keys VALUES ('k', 1, 7, 'aaaaaaa1', 0, 9)");
    add_notifications(database);
    add_devices(database);
    add_dead_letters(database);
}

std::string bytes_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void write_file(const std::string& path, const std::string& text) {
    std::ofstream{path, std::ios::binary} << text;
}

std::string contents(const std::string& path) {
    Database database{path, Database::Mode::at_rest};
    return database.text("SELECT group_concat(room || ':' || offset || ':' || data) FROM messages");
}

template <class Act>
std::string refusal(Act&& act) {
    try {
        act();
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "was not refused";
}

/// What a gateway does with the lock of its store.
struct RunningGateway {
    explicit RunningGateway(const std::string& path)
        : fd(::open((path + "-lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        REQUIRE(::flock(fd, LOCK_EX | LOCK_NB) == 0);
    }
    ~RunningGateway() { ::close(fd); }
    RunningGateway(const RunningGateway&) = delete;
    RunningGateway& operator=(const RunningGateway&) = delete;
    int fd;
};

} // namespace

TEST_CASE("store tools: a sound store has counts and no faults", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    make_small_store(path);
    const SqliteCheck check = check_sqlite(path);
    CHECK(check.faults.empty());
    CHECK(check.schema == schema_version);
    CHECK(check.rooms == 2);
    CHECK(check.messages == 35);
    CHECK(check.publish_keys == 2);
    CHECK(check.inboxes == 2);
    CHECK(check.notifications == 4);
    CHECK(check.devices == 2);
    CHECK(check.dead_letters == 2);
}

TEST_CASE("store tools: check names what cannot be", "[stores]") {
    struct Case {
        const char* sql;
        const char* fault;
    };
    const auto c = GENERATE(values<Case>({
        {"DELETE FROM messages WHERE room = 1 AND offset IN (20, 21)",
         "room a: messages 20 to 21 are missing"},
        {"DELETE FROM messages WHERE room = 1 AND offset > 30; UPDATE rooms SET newest = 40",
         "room a: its messages end at 30, but it was at 40 already"},
        {"DELETE FROM rooms WHERE id = 2",
         "the room with id 2 is missing, and 5 messages of it are there (1 to 5)"},
        {"DELETE FROM rooms WHERE id = 1",
         "the room with id 1 is missing, and 30 messages of it are there (11 to 40)"},
        {"UPDATE messages SET offset = 0 WHERE room = 2 AND offset = 1",
         "room b: its oldest message has the offset 0"},
        {"UPDATE messages SET time = 1 WHERE room = 2 AND offset = 4",
         "room b: message 4 is older than the one before it"},
        {"UPDATE messages SET data = '{' WHERE room = 2 AND offset = 4",
         "room b: message 4 is not JSON"},
        {"UPDATE rooms SET epoch = 'short' WHERE id = 2", "room b: \"short\" is no epoch"},
        {"UPDATE rooms SET newest = -1 WHERE id = 2", "room b: its position -1 is negative"},
        {"UPDATE publish_keys SET epoch = '' WHERE part = 1",
         "a publish key has no valid position"},
        {"UPDATE inboxes SET epoch = 'short' WHERE id = 2", "inbox of bo: \"short\" is no epoch"},
        {"UPDATE inboxes SET acked = 4 WHERE id = 1",
         "inbox of ada: acknowledged up to 4, and it is at 3"},
        {"UPDATE inboxes SET newest = 2 WHERE id = 1",
         "inbox of ada: notification 3 is there, and it is at 2"},
        {"DELETE FROM inboxes WHERE id = 2",
         "the inbox with id 2 is missing, and notifications of it are there"},
        {"DELETE FROM inboxes WHERE id = 2; DELETE FROM notifications WHERE inbox = 2; "
         "INSERT INTO inbox_devices VALUES (2, 'phone', 1, 1)",
         "the inbox with id 2 is missing, and a device of it is there"},
        {"UPDATE inbox_devices SET offset = 4", "inbox of ada: a device has read up to 4"},
        {"UPDATE notifications SET status = 10 WHERE inbox = 2",
         "inbox of bo: notification 1 has the status 10, which is none"},
        {"UPDATE notifications SET id = x'00' WHERE inbox = 2",
         "inbox of bo: notification 1 has an id of 1 bytes"},
        {"UPDATE notifications SET data = '{' WHERE inbox = 2",
         "inbox of bo: notification 1 is not JSON"},
        {"DELETE FROM notifications WHERE inbox = 1 AND offset = 1",
         "notification 1 of the inbox with id 1 is missing, and 1 events of it are there"},
        {"UPDATE notification_events SET event = 99",
         "notification 1 of the inbox with id 1 has an event 99, which is none"},
        {"UPDATE notification_keys SET epoch = ''", "a notification key has no valid answer"},
        {"UPDATE devices SET platform = 3 WHERE id = 2", "device phone of ada: 3 is no platform"},
        {"UPDATE devices SET token = 'x' WHERE id = 2", "device phone of ada: `device_token` must"},
        {"UPDATE devices SET token = 'http://p.example/secret' WHERE id = 1",
         "device browser of ada: `subscription.endpoint` must be an absolute https URL"},
        {"UPDATE devices SET p256dh = NULL WHERE id = 1",
         "device browser of ada: `subscription.keys.p256dh` must"},
        {"UPDATE devices SET auth = x'00' WHERE id = 1",
         "device browser of ada: `subscription.keys.auth` must"},
        {"DELETE FROM devices WHERE id = 1",
         "the device with id 1 is missing, and its topic news is there"},
        {"UPDATE dead_letters SET offset = 4 WHERE id = 4",
         "the notification of dead letter 4 is missing"},
        {"UPDATE dead_letters SET content = '{' WHERE id = 5",
         "dead letter 5: its content is not JSON"},
        {"UPDATE dead_letters SET ttl = 0 WHERE id = 5",
         "dead letter 5: 0 seconds are no time to live"},
        {"DROP INDEX publish_keys_by_expiry", "the index publish_keys_by_expiry is missing"},
        {"DROP TABLE messages", "the table messages is missing"},
        {"ALTER TABLE rooms ADD COLUMN more TEXT", "the table rooms is not as Fanfare makes it"},
    }));
    const Folder folder;
    const std::string path = folder.file("s.db");
    make_small_store(path);
    Database{path, Database::Mode::read_write}.execute(c.sql);
    const SqliteCheck check = check_sqlite(path);
    REQUIRE_FALSE(check.faults.empty());
    CHECK_THAT(check.faults.front(), Catch::Matchers::StartsWith(c.fault));
    // The gateway lives with these: better such a backup than none.
    CHECK(check.pages_sound);
    CHECK(backup_sqlite(path, folder.file("b.db"), false).check.faults == check.faults);
}

TEST_CASE("store tools: check finds an overwritten page", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    {
        Database database = make_store(path);
        add_room(database, 1, "a");
        add_messages(database, 1, 1, 2'000, 100);
    }
    std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(static_cast<std::streamoff>(fs::file_size(path) / 2 / 4096 * 4096));
    file << std::string(4096, '\x5a');
    file.close();
    const SqliteCheck check = check_sqlite(path);
    REQUIRE_FALSE(check.faults.empty());
    CHECK(check.faults.size() <= 101);
    CHECK_FALSE(check.pages_sound);
    for (const std::string& fault : check.faults) CHECK(fault.find('\n') == std::string::npos);
    CHECK_THAT(refusal([&] { backup_sqlite(path, folder.file("b.db"), false); }),
               Catch::Matchers::Contains("s.db is damaged"));
    CHECK(folder.names() == std::set<std::string>{"s.db"});
}

TEST_CASE("store tools: very many faults are cut", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    {
        Database database = make_store(path);
        add_room(database, 1, "a");
        add_messages(database, 1, 1, 1'000);
        database.execute("DELETE FROM messages WHERE offset % 2 = 0");
    }
    const SqliteCheck check = check_sqlite(path);
    REQUIRE(check.faults.size() == 101);
    CHECK(check.faults.back() == "there are more faults");
}

TEST_CASE("store tools: what is no store of ours is told as what it is", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    std::string expected;
    SECTION("missing") {
        expected = "there is no such file";
    }
    SECTION("a directory") {
        fs::create_directory(path);
        expected = "is a directory";
    }
    SECTION("a pipe") {
        REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
        expected = "is not a regular file";
    }
    SECTION("empty") {
        write_file(path, "");
        expected = "is empty";
    }
    SECTION("text") {
        write_file(path, std::string(5'000, 'x'));
        expected = "is not an SQLite file";
    }
    SECTION("an empty SQLite file") {
        Database{path, Database::Mode::create}.execute("PRAGMA journal_mode=WAL");
        expected = "is empty";
    }
    SECTION("of another program") {
        Database{path, Database::Mode::create}.execute("CREATE TABLE t (x)");
        expected = "is an SQLite file, but not Fanfare's";
    }
    SECTION("of a newer Fanfare") {
        make_store(path).execute("PRAGMA user_version=99");
        expected = "was written by a newer Fanfare (schema 99";
    }
    const std::string before = fs::is_regular_file(path) ? bytes_of(path) : std::string{};
    const std::set<std::string> names = folder.names();
    const auto found = [&](const std::string& told) {
        CHECK_THAT(told, Catch::Matchers::Contains(path + ": " + expected) ||
                             Catch::Matchers::Contains(path + " " + expected));
        CHECK(told.find('\n') == std::string::npos);
    };
    found(refusal([&] { static_cast<void>(check_sqlite(path)); }));
    found(refusal([&] { static_cast<void>(stats_sqlite(path)); }));
    found(refusal([&] { backup_sqlite(path, folder.file("b.db"), false); }));
    found(refusal([&] { vacuum_sqlite(path); }));
    CHECK(folder.names() == names);
    if (fs::is_regular_file(path)) CHECK(bytes_of(path) == before);
}

TEST_CASE("store tools: reading changes nothing and leaves nothing behind", "[stores]") {
    const Folder folder;
    // Characters that mean something in the URI of SQLite.
    const std::string path = folder.file("s %41?#.db");
    make_small_store(path);
    const std::string before = bytes_of(path);
    CHECK(check_sqlite(path).messages == 35);
    CHECK(stats_sqlite(path).messages == 35);
    CHECK(bytes_of(path) == before);
    CHECK(folder.names() == std::set<std::string>{"s %41?#.db"});
}

TEST_CASE("store tools: what is still in the log is read too", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    const std::string left = folder.file("left.db");
    make_small_store(path);
    {
        Database database{path, Database::Mode::read_write};
        add_messages(database, 2, 6, 9);
        // As kill -9 leaves it.
        fs::copy_file(path, left);
        fs::copy_file(path + "-wal", left + "-wal");
        CHECK(check_sqlite(path).messages == 39);
    }
    CHECK(check_sqlite(left).messages == 39);
    CHECK(stats_sqlite(left).log_bytes == fs::file_size(left + "-wal"));
    CHECK(backup_sqlite(left, folder.file("b.db"), false).check.messages == 39);
    CHECK(contents(folder.file("b.db")) == contents(path));
}

TEST_CASE("store tools: a backup is one private file with everything", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    const std::string to = folder.file("b.db");
    make_small_store(path);
    // A gateway that is in the middle of a transaction.
    Database gateway{path, Database::Mode::read_write};
    gateway.execute("BEGIN IMMEDIATE; DELETE FROM messages");
    const ::mode_t mask = ::umask(0);
    const SqliteBackup backup = backup_sqlite(path, to, false);
    ::umask(mask);
    gateway.execute("ROLLBACK");
    CHECK(backup.check.messages == 35);
    CHECK(backup.bytes == fs::file_size(to));
    CHECK(contents(to) == contents(path));
    CHECK(fs::status(to).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
    const std::set<std::string> names = folder.names();
    CHECK(names.count("b.db-wal") == 0);
    CHECK(names.count("b.db.partial") == 0);
    Database copy{to, Database::Mode::read_write};
    CHECK(copy.text("PRAGMA journal_mode") == "delete");
    CHECK(copy.number("PRAGMA auto_vacuum") == 2);
}

TEST_CASE("store tools: a backup replaces only what it may", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    const std::string to = folder.file("b.db");
    make_small_store(path);
    write_file(to, "before");
    const auto refused = [&](const std::string& target, bool replace) {
        return refusal([&] { backup_sqlite(path, target, replace); });
    };
    CHECK(refused(to, false) == to + " exists; name another file, or give --force to replace it");
    CHECK(bytes_of(to) == "before");

    SECTION("with force") {
        backup_sqlite(path, to, true);
        CHECK(contents(to) == contents(path));
    }
    SECTION("not the store") {
        fs::create_hard_link(path, folder.file("other.db"));
        fs::create_symlink(path, folder.file("link.db"));
        for (const char* const name : {"s.db", "other.db", "link.db"})
            CHECK_THAT(refused(folder.file(name), true),
                       Catch::Matchers::Contains("is the store itself"));
    }
    SECTION("not what is in use") {
        write_file(to + "-wal", "");
        CHECK_THAT(refused(to, true), Catch::Matchers::Contains("is in use"));
    }
    SECTION("not a directory") {
        fs::create_directory(folder.file("d"));
        CHECK_THAT(refused(folder.file("d"), true), Catch::Matchers::Contains("is a directory"));
    }
    SECTION("not into a directory that does not exist") {
        CHECK_THAT(refused(folder.file("none/b.db"), false),
                   Catch::Matchers::Contains("cannot write") &&
                       Catch::Matchers::Contains("No such file or directory"));
    }
    SECTION("not beside another backup to it") {
        const int fd = ::open((to + ".partial").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        REQUIRE(::flock(fd, LOCK_EX | LOCK_NB) == 0);
        CHECK_THAT(refused(to, true), Catch::Matchers::Contains("another backup writes"));
        CHECK(fs::exists(to + ".partial"));
        ::close(fd);
    }
    SECTION("what a killed backup left is used") {
        write_file(to + ".partial", std::string(1'000'000, 'x'));
        write_file(to + ".partial-wal", "x");
        backup_sqlite(path, to, true);
        CHECK(contents(to) == contents(path));
        CHECK_FALSE(fs::exists(to + ".partial"));
        CHECK_FALSE(fs::exists(to + ".partial-wal"));
    }
}

TEST_CASE("store tools: vacuum gives free pages back", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    {
        Database database = make_store(path);
        add_room(database, 1, "a");
        add_messages(database, 1, 1, 20'000, 100);
        database.execute("DELETE FROM messages WHERE offset <= 19000");
    }
    const std::uint64_t before = fs::file_size(path);
    const std::string kept = contents(path);
    REQUIRE(stats_sqlite(path).free_pages > 400);
    SECTION("alone") {
        const SqliteVacuum vacuum = vacuum_sqlite(path);
        CHECK_FALSE(vacuum.gateway_runs);
        CHECK(vacuum.bytes_before == before);
        CHECK(folder.names() == std::set<std::string>{"s.db", "s.db-lock"});
    }
    SECTION("while a gateway runs") {
        const RunningGateway lock{path};
        Database gateway{path, Database::Mode::read_write};
        gateway.execute("PRAGMA wal_autocheckpoint=0");
        REQUIRE(gateway.number("SELECT count(*) FROM messages") == 1'000);
        const SqliteVacuum vacuum = vacuum_sqlite(path);
        CHECK(vacuum.gateway_runs);
        CHECK(vacuum.complete);
        CHECK(vacuum.bytes_before == before);
        CHECK(vacuum.bytes_after == fs::file_size(path));
    }
    SECTION("later, while somebody reads what was before") {
        const RunningGateway lock{path};
        Database reader{path, Database::Mode::read_write};
        reader.execute("BEGIN");
        REQUIRE(reader.number("SELECT count(*) FROM messages") == 1'000);
        const SqliteVacuum vacuum = vacuum_sqlite(path);
        CHECK_FALSE(vacuum.complete);
        CHECK(vacuum.bytes_after == before);
    }
    CHECK(fs::file_size(path) < before / 4);
    CHECK(contents(path) == kept);
    const SqliteStats stats = stats_sqlite(path);
    CHECK(stats.free_pages == 0);
    CHECK(stats.bytes == fs::file_size(path));
    CHECK(check_sqlite(path).faults.empty());
}

TEST_CASE("store tools: vacuum waits for the gateway's end if it must", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    make_small_store(path);
    // As somebody's own VACUUM may leave it.
    Database{path, Database::Mode::read_write}.execute(
        "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=NONE; VACUUM");
    {
        const RunningGateway lock{path};
        CHECK_THAT(refusal([&] { vacuum_sqlite(path); }),
                   Catch::Matchers::Contains("stop it and run this again"));
    }
    vacuum_sqlite(path);
    Database database{path, Database::Mode::at_rest};
    CHECK(database.number("PRAGMA auto_vacuum") == 2);
}

TEST_CASE("store tools: stats count", "[stores]") {
    const Folder folder;
    const std::string path = folder.file("s.db");
    {
        Database database = make_store(path);
        CHECK(stats_sqlite(path).largest.empty());
        CHECK_FALSE(stats_sqlite(path).oldest);
        // The larger ones are among the last, and two are equal.
        for (int room = 1; room <= 12; ++room) {
            add_room(database, room, "room" + std::to_string(room));
            add_messages(database, room, 5, 4 + std::max(room, 2), 50);
        }
        add_room(database, 13, "only a position");
        database.execute("UPDATE messages SET data = '\"\u00e9\"' WHERE room = 12 AND offset = 5;"
                         "INSERT INTO publish_keys VALUES ('k', 0, 7, 'aaaaaaa1', 3, 9)");
        add_notifications(database);
        add_devices(database);
    }
    const SqliteStats stats = stats_sqlite(path);
    CHECK(stats.schema == schema_version);
    CHECK(stats.rooms == 13);
    CHECK(stats.messages == 79);
    CHECK(stats.message_bytes == 78 * 50 + 4);
    CHECK(stats.oldest == 5);
    CHECK(stats.newest == 16);
    CHECK(stats.publish_keys == 1);
    CHECK(stats.inboxes == 2);
    CHECK(stats.notifications == 4);
    CHECK(stats.pending == 3);
    CHECK(stats.devices == 2);
    CHECK(stats.bytes == fs::file_size(path));
    CHECK(stats.page_bytes == 4'096);
    CHECK(stats.log_bytes == 0);
    REQUIRE(stats.largest.size() == 10);
    CHECK(stats.largest[0].name == "room12");
    CHECK(stats.largest[0].messages == 12);
    CHECK(stats.largest[0].bytes == 11 * 50 + 4);
    CHECK(stats.largest[0].newest == 16);
    CHECK(stats.largest[9].name == "room3");
}
