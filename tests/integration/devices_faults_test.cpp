// A disk that fails while devices are registered. The faults are those of
// tests/support/test_vfs.hpp.

#include "support/device_node.hpp"
#include "support/test_vfs.hpp"

#include <fanfare/base/log.hpp>

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <sqlite3.h>
#include <string>
#include <string_view>

using namespace fanfare;
using namespace fanfare::test;
using delivery::Platform;

TEST_CASE("devices: while the disk fails they say so, and nothing has happened",
          "[devices][faults]") {
    log::configure({log::Level::off, log::Format::text}); // the store says that it fails, rightly
    TestFolder folder;
    TestVfs vfs;
    DeviceNode node{folder.file(), vfs.name()};
    node.put(ios_device("ada", "a", "00"));
    vfs.fail_all(SQLITE_FULL, TestVfs::write | TestVfs::sync | TestVfs::lock);
    const delivery::Registered refused = node.put(ios_device("bo", "b", "00"));
    CHECK(refused.code == Code::unavailable);
    CHECK(std::string_view{refused.detail} == "the store's disk is full");
    CHECK_FALSE(refused.fresh);
    const delivery::Unregistered removed = node.unregister("ada");
    CHECK(removed.code == Code::unavailable);
    CHECK(removed.devices == 0);
    CHECK(node.erase("ada").code == Code::unavailable);
    node.drop(Platform::ios, "00", 0);
    REQUIRE(node.wait([&] { return node.metrics.sum("store_queue") == 0; }));
    vfs.heal();
    REQUIRE(node.wait([&] { return node.store().fault() == nullptr; }));
    CHECK(node.names("ada") == "a");
    CHECK(node.names("bo").empty());
    CHECK(node.figure("ios") == 1);
}

TEST_CASE("devices: a question that the disk cannot answer is refused", "[devices][faults]") {
    log::configure({log::Level::off, log::Format::text});
    TestFolder folder;
    {
        DeviceNode node{folder.file()};
        node.put(ios_device("ada", "a", "00"));
    }
    TestVfs vfs;
    DeviceNode node{folder.file(), vfs.name()};
    REQUIRE(node.wait([&] { return node.figure("ios") == 1; }));
    vfs.fail_all(SQLITE_IOERR_READ, TestVfs::read | TestVfs::lock);
    const delivery::DeviceList list = node.list_of("ada");
    CHECK(list.code == Code::unavailable);
    CHECK(list.detail != nullptr);
    CHECK(list.devices.empty());
    vfs.heal();
    CHECK(node.names("ada") == "a");
}

TEST_CASE("devices: errors of the disk at any time leave nothing half done", "[devices][faults]") {
    log::configure({log::Level::off, log::Format::text});
    std::mt19937_64 random{20'261'127};
    TestFolder folder;
    std::map<std::string, std::pair<std::string, std::string>> owners; // token: user, name
    std::size_t refused = 0;
    {
        TestVfs vfs;
        DeviceNode node{folder.file(), vfs.name()};
        for (int round = 0; round < 300; ++round) {
            CAPTURE(round);
            vfs.fail_nth(1 + random() % 20, random() % 2 == 0 ? SQLITE_IOERR : SQLITE_FULL,
                         static_cast<unsigned>(1 + random() % 15));
            // Each name has one token, and so a change touches one device and the one it was.
            const std::string token = "0" + std::to_string(random() % 6);
            const std::string user = "u" + std::to_string(random() % 3);
            if (random() % 4 == 0) {
                const auto was = owners.find(token);
                const std::string whose = was == owners.end() ? user : was->second.first;
                const bool done = node.unregister(whose, token).code == Code::ok;
                if (done) owners.erase(token);
                refused += done ? 0 : 1;
            } else {
                delivery::PushDevice device = ios_device(user, token, token);
                device.topics = {"t", token};
                const bool done = node.put(device).code == Code::ok;
                if (done) owners[token] = {user, token};
                refused += done ? 0 : 1;
            }
            vfs.heal();
            std::size_t found = 0;
            for (const char* const each : {"u0", "u1", "u2"})
                for (const delivery::PushDevice& device : node.list(each)) {
                    ++found;
                    REQUIRE(owners.at(device.token) == std::pair{device.user, device.name});
                    REQUIRE(device.topics.size() == 2);
                }
            REQUIRE(found == owners.size());
            REQUIRE(node.figure("ios") == static_cast<long>(owners.size()));
        }
    }
    CHECK(refused > 20);
    CHECK(stores::check_sqlite(folder.file()).faults.empty());
}
