// delivery::Devices on a real file.

#include "sqlite/database.hpp"
#include "support/device_node.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace fanfare;
using namespace fanfare::test;
using delivery::Platform;
using delivery::PushDevice;
using delivery::Registered;

namespace {

std::int64_t rows(const std::string& path, const char* table) {
    stores::Database file{path, stores::Database::Mode::read_only};
    return file.number((std::string{"SELECT count(*) FROM "} + table).c_str());
}

} // namespace

TEST_CASE("devices: what is registered comes back as it was, also after a restart", "[devices]") {
    TestFolder folder;
    PushDevice device = expiring(web_device("ada", "browser", "https://p.example/A%2f"), 3'600'000);
    device.app = "shop";
    device.locale = "pt-BR";
    device.timezone = "America/Sao_Paulo";
    device.topics = {"news", "a topic"};
    const auto check = [&](DeviceNode& node) {
        const std::vector<PushDevice> found = node.list("ada");
        REQUIRE(found.size() == 2);
        CHECK(found[0].user == "ada");
        CHECK(found[0].name == "browser");
        CHECK(found[0].platform == Platform::web);
        CHECK(found[0].token == device.token);
        CHECK(found[0].p256dh == device.p256dh);
        CHECK(found[0].auth == device.auth);
        CHECK(found[0].app == "shop");
        CHECK(found[0].locale == "pt-BR");
        CHECK(found[0].timezone == "America/Sao_Paulo");
        CHECK(found[0].topics == std::vector<std::string>{"a topic", "news"});
        CHECK(found[0].registered == device.registered);
        CHECK(found[0].expires == device.expires);
        CHECK(found[1].name == "phone");
        CHECK(found[1].platform == Platform::ios);
        CHECK(found[1].p256dh.empty());
        CHECK(found[1].auth.empty());
        CHECK(found[1].app.empty());
        CHECK(found[1].locale.empty());
        CHECK(found[1].topics.empty());
        CHECK(found[1].expires == 0);
        CHECK(node.list("bo").empty());
    };
    {
        DeviceNode node{folder.file()};
        const Registered registered = node.put(device);
        CHECK(registered.code == Code::ok);
        CHECK(registered.fresh);
        CHECK(node.put(ios_device("ada", "phone", "00")).fresh);
        check(node);
    }
    DeviceNode node{folder.file()};
    check(node);
}

TEST_CASE("devices: a registration replaces the one of its name, whole", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    PushDevice first = expiring(web_device("ada", "d", "https://p.example/1"), 60'000);
    first.locale = "en";
    first.topics = {"a", "b"};
    CHECK(node.put(first).fresh);
    PushDevice second = ios_device("ada", "d", "00");
    second.registered = first.registered + 5;
    second.topics = {"b", "c"};
    const Registered again = node.put(second);
    CHECK(again.code == Code::ok);
    CHECK_FALSE(again.fresh);
    const std::vector<PushDevice> found = node.list("ada");
    REQUIRE(found.size() == 1);
    CHECK(found[0].platform == Platform::ios);
    CHECK(found[0].token == "00");
    CHECK(found[0].p256dh.empty());
    CHECK(found[0].auth.empty());
    CHECK(found[0].locale.empty());
    CHECK(found[0].expires == 0);
    CHECK(found[0].registered == second.registered);
    CHECK(found[0].topics == std::vector<std::string>{"b", "c"});
    CHECK(rows(folder.file(), "device_topics") == 2);
    CHECK(node.figure("ios") == 1);
    CHECK(node.figure("web") == 0);
}

TEST_CASE("devices: a token has one owner", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    PushDevice device = ios_device("ada", "phone", "00");
    device.topics = {"t"};
    node.put(device);
    node.put(ios_device("ada", "tablet", "11"));
    // The phone is another user's now.
    CHECK(node.put(ios_device("bo", "phone", "00")).fresh);
    CHECK(node.names("ada") == "tablet");
    CHECK(node.names("bo") == "phone");
    CHECK(rows(folder.file(), "device_topics") == 0);
    // The app was installed anew and calls itself otherwise.
    CHECK(node.put(ios_device("bo", "phone2", "00")).fresh);
    CHECK(node.names("bo") == "phone2");
    // A device that is known takes the token of another one that is.
    CHECK_FALSE(node.put(ios_device("ada", "tablet", "00")).fresh);
    CHECK(node.names("ada") == "tablet");
    CHECK(node.names("bo").empty());
    CHECK(node.figure("ios") == 1);
    // Another platform's token is another one, whatever it looks like.
    PushDevice android = ios_device("bo", "phone", "00");
    android.platform = Platform::android;
    CHECK(node.put(android).fresh);
    CHECK(node.names("ada") == "tablet");
}

TEST_CASE("devices: a user has so many, and none goes silently", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    for (const char* const name : {"a", "b", "c"})
        CHECK(node.put(ios_device("ada", name, std::string{"0"} + name), 3).code == Code::ok);
    node.put(ios_device("bo", "d", "0d"), 3);
    // Refused, it has taken nothing from anybody.
    const Registered refused = node.put(ios_device("ada", "d", "0d"), 3);
    CHECK(refused.code == Code::limit_reached);
    CHECK(refused.detail != nullptr);
    CHECK(node.names("ada") == "a b c");
    CHECK(node.names("bo") == "d");
    CHECK(node.figure("ios") == 4);
    // Those that are there may change, and one that takes the place of its old self comes in.
    CHECK(node.put(ios_device("ada", "b", "bb"), 3).code == Code::ok);
    CHECK(node.put(ios_device("ada", "e", "0c"), 3).code == Code::ok);
    CHECK(node.names("ada") == "a b e");
    CHECK(node.remove("ada", "a") == 1);
    CHECK(node.put(ios_device("ada", "d", "0d"), 3).code == Code::ok);
    CHECK(node.names("ada") == "b d e");
    CHECK(node.names("bo").empty());
}

TEST_CASE("devices: removing one, all, and none", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    for (const char* const name : {"a", "b", "c"}) {
        PushDevice device = ios_device("ada", name, std::string{"0"} + name);
        device.topics = {"t"};
        node.put(device);
    }
    node.put(ios_device("bo", "a", "11"));
    CHECK(node.remove("ada", "nothing") == 0);
    CHECK(node.remove("nobody") == 0);
    CHECK(node.remove("ada", "b") == 1);
    CHECK(node.names("ada") == "a c");
    CHECK(rows(folder.file(), "device_topics") == 2);
    CHECK(node.remove("ada") == 2);
    CHECK(node.list("ada").empty());
    CHECK(node.names("bo") == "a");
    CHECK(rows(folder.file(), "device_topics") == 0);
    CHECK(node.figure("ios") == 1);
}

TEST_CASE("devices: a dead token goes, unless it was registered since", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    PushDevice device = ios_device("ada", "a", "00");
    device.topics = {"t"};
    node.put(device);
    node.drop(Platform::android, "00", 0);
    node.drop(Platform::ios, "11", 0);
    node.drop(Platform::ios, "00", device.registered - 1);
    CHECK(node.names("ada") == "a");
    node.drop(Platform::ios, "00", device.registered);
    CHECK(node.remove("nobody") == 0); // behind the drop
    CHECK(node.names("ada").empty());
    CHECK(rows(folder.file(), "device_topics") == 0);
    node.put(device);
    node.drop(Platform::ios, "00", 0);
    CHECK(node.remove("nobody") == 0);
    CHECK(node.names("ada").empty());
    CHECK(node.figure("ios") == 0);
}

TEST_CASE("devices: what expires is not shown, and goes", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    PushDevice over = expiring(ios_device("ada", "a", "00"), 40);
    over.topics = {"t"};
    node.put(over);
    node.put(expiring(ios_device("ada", "b", "01"), 3'600'000));
    node.put(ios_device("ada", "c", "02"));
    REQUIRE(node.wait([&] { return system_clock().wall() >= over.expires; }));
    CHECK(node.names("ada") == "b c");
    REQUIRE(node.wait([&] { return rows(folder.file(), "devices") == 2; }));
    CHECK(rows(folder.file(), "device_topics") == 0);
    REQUIRE(node.wait([&] { return node.figure("ios") == 2; }));
}

TEST_CASE("devices: one that is over takes no place, and comes back as a new one", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    PushDevice device = expiring(ios_device("ada", "a", "00"), 60'000);
    node.put(device, 1);
    // By the time of the later registration, whether or not it was swept.
    PushDevice later = ios_device("ada", "b", "11");
    later.registered = device.expires;
    CHECK(node.put(later, 1).fresh);
    CHECK(node.names("ada") == "b");
    later = expiring(later, 60'000);
    node.put(later, 1);
    PushDevice again = later;
    again.registered = later.expires;
    again.expires = 0;
    CHECK(node.put(again, 1).fresh);
    CHECK(node.figure("ios") == 1);
}

TEST_CASE("devices: what expired while the process was away is found", "[devices]") {
    TestFolder folder;
    PushDevice device = expiring(ios_device("ada", "a", "00"), 30);
    {
        DeviceNode node{folder.file()};
        node.put(device);
    }
    while (system_clock().wall() < device.expires)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    DeviceNode node{folder.file()};
    REQUIRE(node.wait([&] { return rows(folder.file(), "devices") == 0; }));
    // It may have been counted before it went, or not at all.
    REQUIRE(node.wait([&] { return node.figure("ios") == 0; }));
}

TEST_CASE("devices: the figures are found again by a restart", "[devices]") {
    TestFolder folder;
    {
        DeviceNode node{folder.file()};
        node.put(ios_device("ada", "a", "00"));
        node.put(web_device("ada", "b", "https://p.example/1"));
        node.put(web_device("bo", "b", "https://p.example/2"));
        CHECK(node.figure("ios") == 1);
        CHECK(node.figure("android") == 0);
        CHECK(node.figure("web") == 2);
    }
    DeviceNode node{folder.file()};
    node.remove("bo");
    REQUIRE(node.wait([&] { return node.figure("ios") == 1 && node.figure("web") == 1; }));
}

TEST_CASE("devices: a user that is erased has none", "[devices][inbox]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    node.place("ada");
    node.acknowledge("ada", 1, "phone");
    PushDevice device = ios_device("ada", "a", "00");
    device.topics = {"t"};
    node.put(device);
    node.put(ios_device("ada", "b", "01"));
    node.put(ios_device("bo", "a", "02"));
    const delivery::Erased erased = node.erase("ada");
    CHECK(erased.notifications == 1);
    CHECK(erased.devices == 1);
    CHECK(erased.push_devices == 2);
    CHECK(node.list("ada").empty());
    CHECK(node.names("bo") == "a");
    CHECK(rows(folder.file(), "device_topics") == 0);
    CHECK(node.figure("ios") == 1);
    // Without an inbox too.
    CHECK(node.erase("bo").push_devices == 1);
    CHECK(node.erase("bo").push_devices == 0);
}

TEST_CASE("devices: a registration and an erasure behind it keep their order", "[devices]") {
    TestFolder folder;
    DeviceNode node{folder.file()};
    std::vector<std::string> answers;
    node.on_reactor([&] {
        REQUIRE(node.devices().put(ios_device("ada", "a", "00"), 20,
                                   [&](const Registered&) { answers.push_back("put"); }));
        REQUIRE(node.log().erase("ada", Epoch::fresh(), [&](const delivery::Erased& erased) {
            answers.push_back(std::to_string(erased.push_devices));
        }));
    });
    REQUIRE(node.wait([&] { return answers.size() == 2; }));
    CHECK(answers == std::vector<std::string>{"put", "1"});
    CHECK(node.list("ada").empty());
}
