// What can be registered as a device, and what cannot.

#include <fanfare/base/bytes.hpp>
#include <fanfare/delivery/devices.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

using namespace fanfare;
using namespace fanfare::delivery;

namespace {

/// The receiver's key in the example of RFC 8291, and its secret.
const std::string public_key = *from_base64url(
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
const std::string secret = *from_base64url("BTBZMqHH6r4Tts7J_aSIgg");

PushDevice ios(std::string token = "00fc13adff785122") {
    PushDevice device;
    device.user = "u";
    device.name = "d";
    device.token = std::move(token);
    return device;
}

PushDevice android(std::string token = "fcm:APA91bH-_x") {
    PushDevice device = ios(std::move(token));
    device.platform = Platform::android;
    return device;
}

PushDevice web(std::string endpoint = "https://push.example.net/a/b?c=%2F") {
    PushDevice device = ios(std::move(endpoint));
    device.platform = Platform::web;
    device.p256dh = public_key;
    device.auth = secret;
    return device;
}

template <class Change>
PushDevice with(PushDevice device, Change change) {
    change(device);
    return device;
}

/// The member that is wrong; empty: none is.
std::string wrong_in(PushDevice device) {
    const std::string token = device.token;
    const Error error = check_device(device);
    if (!error) return {};
    CHECK(error.code == Code::bad_request);
    CHECK(error.message.starts_with("`" + error.field + "` "));
    if (token.size() > 8) CHECK(error.message.find(token) == std::string::npos); // it is a secret
    return error.field;
}

std::vector<std::string> topics(std::size_t count) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) names.push_back("t" + std::to_string(i));
    return names;
}

} // namespace

TEST_CASE("devices: platforms and their names", "[delivery][devices]") {
    for (const Platform platform : {Platform::ios, Platform::android, Platform::web})
        CHECK(parse_platform(platform_name(platform)) == platform);
    for (const char* const none : {"", "iOS", "windows", "ios "})
        CHECK(parse_platform(none) == std::nullopt);
}

TEST_CASE("devices: an APNs token is kept in lower case", "[delivery][devices]") {
    PushDevice device = ios("00FC13aDff");
    REQUIRE_FALSE(check_device(device));
    CHECK(device.token == "00fc13adff");
}

TEST_CASE("devices: tokens of other platforms are kept byte for byte", "[delivery][devices]") {
    for (const char* const endpoint :
         {"https://PUSH.example.net/A%2fb?x=Y", "https://p.example", "https://p.example:8443/a",
          "https://p.example?x", "https://[2001:db8::1]/a", "https://[::ffff:10.0.0.1]:443/a",
          "https://10.0.0.1/a@b", "https://p.example/a/[b]", "https://under_score.example/"}) {
        PushDevice device = web(endpoint);
        CAPTURE(endpoint);
        REQUIRE_FALSE(check_device(device));
        CHECK(device.token == endpoint);
        CHECK(device.p256dh == public_key);
        CHECK(device.auth == secret);
    }
    PushDevice device = android("Ab:-_~!x");
    REQUIRE_FALSE(check_device(device));
    CHECK(device.token == "Ab:-_~!x");
}

TEST_CASE("devices: what is at a bound is taken", "[delivery][devices]") {
    struct Case {
        const char* name;
        PushDevice device;
    };
    const std::vector<Case> cases{
        {"longest user", with(ios(), [](auto& d) { d.user = std::string(255, 'u'); })},
        {"longest name", with(ios(), [](auto& d) { d.name = std::string(255, 'n'); })},
        {"names are UTF-8", with(ios(), [](auto& d) { d.user = d.name = "\u00e4 \u4e16"; })},
        {"shortest APNs token", ios("0a")},
        {"longest APNs token", ios(std::string(400, 'a'))},
        {"shortest FCM token", android("!")},
        {"longest FCM token", android(std::string(4'096, '~'))},
        {"longest endpoint", web("https://p.example/" + std::string(2'030, 'x'))},
        {"highest port", web("https://p.example:65535/")},
        {"longest app", with(ios(), [](auto& d) { d.app = std::string(64, 'a'); })},
        {"shortest locale", with(ios(), [](auto& d) { d.locale = "en"; })},
        {"a locale with everything",
         with(ios(), [](auto& d) { d.locale = "zh-Hant-TW-x-abcdefgh-12345678-1234"; })},
        {"a time zone",
         with(ios(), [](auto& d) { d.timezone = "America/Argentina/Rio_Gallegos"; })},
        {"an offset", with(ios(), [](auto& d) { d.timezone = "Etc/GMT+12"; })},
        {"longest time zone", with(ios(), [](auto& d) { d.timezone = std::string(64, 'z'); })},
        {"100 topics", with(ios(), [](auto& d) { d.topics = topics(100); })},
        {"longest topic", with(ios(), [](auto& d) { d.topics = {std::string(64, 't')}; })},
    };
    for (const Case& c : cases) {
        CAPTURE(c.name);
        CHECK(wrong_in(c.device).empty());
    }
}

TEST_CASE("devices: a registration that is wrong names the member", "[delivery][devices]") {
    struct Case {
        const char* name;
        PushDevice device;
        const char* field;
    };
    const std::string point_off_curve =
        public_key.substr(0, 64) + static_cast<char>(public_key[64] ^ 1);
    const std::vector<Case> cases{
        {"no user", with(ios(), [](auto& d) { d.user = ""; }), "user_id"},
        {"user too long", with(ios(), [](auto& d) { d.user = std::string(256, 'u'); }), "user_id"},
        {"user with a line end", with(ios(), [](auto& d) { d.user = "a\nb"; }), "user_id"},
        {"user is not UTF-8", with(ios(), [](auto& d) { d.user = "\xff"; }), "user_id"},
        {"no name", with(ios(), [](auto& d) { d.name = ""; }), "device_id"},
        {"name too long", with(ios(), [](auto& d) { d.name = std::string(256, 'n'); }),
         "device_id"},
        {"name with a NUL", with(ios(), [](auto& d) { d.name = std::string(1, '\0'); }),
         "device_id"},
        {"no APNs token", ios(""), "device_token"},
        {"half a byte", ios("abc"), "device_token"},
        {"not hexadecimal", ios("0g"), "device_token"},
        {"in brackets", ios("<00fc13ad ff785122>"), "device_token"},
        {"APNs token too long", ios(std::string(402, 'a')), "device_token"},
        {"no FCM token", android(""), "device_token"},
        {"a space", android("a b"), "device_token"},
        {"a line end", android("ab\r\nX: y"), "device_token"},
        {"beyond ASCII", android("\u00e4"), "device_token"},
        {"FCM token too long", android(std::string(4'097, 'a')), "device_token"},
        {"no endpoint", web(""), "subscription.endpoint"},
        {"plain http", web("http://push.example.net/"), "subscription.endpoint"},
        {"another scheme", web("ftp://push.example.net/"), "subscription.endpoint"},
        {"not absolute", web("//push.example.net/"), "subscription.endpoint"},
        {"a path", web("/a/b"), "subscription.endpoint"},
        {"no host", web("https:///a"), "subscription.endpoint"},
        {"only a port", web("https://:443/a"), "subscription.endpoint"},
        {"only the scheme", web("https://"), "subscription.endpoint"},
        {"a user", web("https://u@push.example.net/"), "subscription.endpoint"},
        {"a user and a password", web("https://u:p@push.example.net/"), "subscription.endpoint"},
        {"a backslash", web("https://push.example.net\\@10.0.0.1/"), "subscription.endpoint"},
        {"an open bracket", web("https://[::1/"), "subscription.endpoint"},
        {"nothing in brackets", web("https://[]/"), "subscription.endpoint"},
        {"a name in brackets", web("https://[localhost]/"), "subscription.endpoint"},
        {"text behind brackets", web("https://[::1]x/"), "subscription.endpoint"},
        {"no number as a port", web("https://push.example.net:x/"), "subscription.endpoint"},
        {"an empty port", web("https://push.example.net:/"), "subscription.endpoint"},
        {"port 0", web("https://push.example.net:0/"), "subscription.endpoint"},
        {"port too high", web("https://push.example.net:65536/"), "subscription.endpoint"},
        {"an escape in the host", web("https://push%2eexample.net/"), "subscription.endpoint"},
        {"a space", web("https://push.example.net/a b"), "subscription.endpoint"},
        {"a line end", web("https://push.example.net/\r\nX: y"), "subscription.endpoint"},
        {"beyond ASCII", web("https://p\u00fcsh.example.net/"), "subscription.endpoint"},
        {"a fragment", web("https://push.example.net/#a"), "subscription.endpoint"},
        {"endpoint too long", web("https://p.example/" + std::string(2'031, 'x')),
         "subscription.endpoint"},
        {"no key", with(web(), [](auto& d) { d.p256dh = ""; }), "subscription.keys.p256dh"},
        {"key too short", with(web(), [](auto& d) { d.p256dh.pop_back(); }),
         "subscription.keys.p256dh"},
        {"key too long", with(web(), [](auto& d) { d.p256dh += 'x'; }), "subscription.keys.p256dh"},
        {"a compressed point",
         with(web(), [](auto& d) { d.p256dh = "\x02" + d.p256dh.substr(1, 32); }),
         "subscription.keys.p256dh"},
        {"another form", with(web(), [](auto& d) { d.p256dh[0] = '\x06'; }),
         "subscription.keys.p256dh"},
        {"off the curve", with(web(), [&](auto& d) { d.p256dh = point_off_curve; }),
         "subscription.keys.p256dh"},
        {"zeros", with(web(), [](auto& d) { d.p256dh = "\x04" + std::string(64, '\0'); }),
         "subscription.keys.p256dh"},
        {"beyond the field",
         with(web(), [](auto& d) { d.p256dh = "\x04" + std::string(64, '\xff'); }),
         "subscription.keys.p256dh"},
        {"no secret", with(web(), [](auto& d) { d.auth = ""; }), "subscription.keys.auth"},
        {"secret too short", with(web(), [](auto& d) { d.auth.pop_back(); }),
         "subscription.keys.auth"},
        {"secret too long", with(web(), [](auto& d) { d.auth += 'x'; }), "subscription.keys.auth"},
        {"app too long", with(ios(), [](auto& d) { d.app = std::string(65, 'a'); }), "app"},
        {"app with a tab", with(ios(), [](auto& d) { d.app = "\t"; }), "app"},
        {"locale of one letter", with(ios(), [](auto& d) { d.locale = "e"; }), "locale"},
        {"locale as POSIX writes it", with(ios(), [](auto& d) { d.locale = "en_US"; }), "locale"},
        {"locale begins with a digit", with(ios(), [](auto& d) { d.locale = "1n"; }), "locale"},
        {"locale ends with a dash", with(ios(), [](auto& d) { d.locale = "en-"; }), "locale"},
        {"locale begins with a dash", with(ios(), [](auto& d) { d.locale = "-en"; }), "locale"},
        {"an empty subtag", with(ios(), [](auto& d) { d.locale = "en--US"; }), "locale"},
        {"a subtag too long", with(ios(), [](auto& d) { d.locale = "en-123456789"; }), "locale"},
        {"a language too long", with(ios(), [](auto& d) { d.locale = "languages"; }), "locale"},
        {"locale too long",
         with(ios(), [](auto& d) { d.locale = "en-12345678-12345678-12345678-123456"; }), "locale"},
        {"time zone too long", with(ios(), [](auto& d) { d.timezone = std::string(65, 'z'); }),
         "timezone"},
        {"time zone with a space", with(ios(), [](auto& d) { d.timezone = "Europe/New York"; }),
         "timezone"},
        {"time zone with a dot", with(ios(), [](auto& d) { d.timezone = "../etc"; }), "timezone"},
        {"101 topics", with(ios(), [](auto& d) { d.topics = topics(101); }), "topics"},
        {"an empty topic",
         with(ios(),
              [](auto& d) {
                  d.topics = {"a", ""};
              }),
         "topics"},
        {"a topic too long", with(ios(), [](auto& d) { d.topics = {std::string(65, 't')}; }),
         "topics"},
        {"a topic with a line end", with(ios(), [](auto& d) { d.topics = {"a\nb"}; }), "topics"},
        {"a topic twice",
         with(ios(),
              [](auto& d) {
                  d.topics = {"a", "b", "a"};
              }),
         "topics"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.name);
        CHECK(wrong_in(c.device) == c.field);
    }
}

TEST_CASE("devices: every byte of a web key is looked at", "[delivery][devices]") {
    for (std::size_t at = 0; at < public_key.size(); ++at) {
        PushDevice device = web();
        device.p256dh[at] = static_cast<char>(device.p256dh[at] ^ 0x10);
        CAPTURE(at);
        CHECK(wrong_in(device) == "subscription.keys.p256dh");
    }
}

TEST_CASE("devices: a reach is a set of platforms and apps", "[delivery][devices]") {
    PushReach reach;
    CHECK(reach.empty());
    CHECK_FALSE(reach.serves(Platform::ios, ""));
    reach.serve(Platform::ios, "");
    reach.serve(Platform::web, "shop");
    reach.serve(Platform::web, "shop");
    CHECK(reach.text() == "\n0:\n2:shop\n");
    CHECK(reach.serves(Platform::ios, ""));
    CHECK(reach.serves(Platform::web, "shop"));
    for (const char* const app : {"", "sho", "hop", "shop2", "2:shop"})
        CHECK_FALSE(reach.serves(Platform::web, app));
    CHECK_FALSE(reach.serves(Platform::ios, "shop"));
    CHECK_FALSE(reach.serves(Platform::android, ""));
}
