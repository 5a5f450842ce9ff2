#include "apns_payload.hpp"
#include "apns_request.hpp"
#include "push_contents.hpp"

#include <fanfare/base/json_check.hpp>

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::delivery;
using namespace fanfare::providers;
using namespace fanfare::test;

namespace {

constexpr std::string_view topic = "com.example.app";

PushDevice phone() {
    PushDevice device;
    device.platform = Platform::ios;
    device.token = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
    return device;
}
PushRequest request_of(const PushContent& content, std::string_view for_topic = topic) {
    ApnsPayloads payloads;
    return apns_request(for_topic, "bearer t.o.k", test_id(), content, phone(), test_now, payloads);
}
std::string payload_of(const PushContent& content) {
    return apns_payload(content, test_id(), apns_push_type(content, topic));
}

} // namespace

TEST_CASE("apns request: path, fields and what stays out of the table", "[providers]") {
    PushContent content = hello();
    content.collapse_key = "score";
    const PushRequest request = request_of(content);
    CHECK(request.path == "/3/device/" + phone().token);
    CHECK(field_of(request, "authorization") == "bearer t.o.k");
    CHECK(field_of(request, "apns-topic") == topic);
    CHECK(field_of(request, "apns-push-type") == "alert");
    CHECK(field_of(request, "apns-priority") == "10");
    CHECK(field_of(request, "apns-id") == "01234567-89ab-cdef-fedc-ba9876543210");
    CHECK(field_of(request, "apns-expiration") == "1767225660");
    CHECK(field_of(request, "apns-collapse-id") == "score");
    CHECK(request.fields.size() == 7);
    for (const char* name : {"authorization", "apns-id", "apns-expiration", "apns-collapse-id"})
        CHECK(never_indexed(request, name));
    for (const char* name : {"apns-topic", "apns-push-type", "apns-priority"})
        CHECK_FALSE(never_indexed(request, name));
}

TEST_CASE("apns request: with a certificate there is no token", "[providers]") {
    ApnsPayloads payloads;
    const PushRequest request =
        apns_request(topic, "", test_id(), hello(), phone(), test_now, payloads);
    CHECK(field_of(request, "authorization") == "(none)");
}

TEST_CASE("apns request: push type and priority", "[providers]") {
    struct Case {
        const char* name;
        Priority priority;
        bool silent;
        bool text;
        const char* topic;
        const char* type;
        const char* number;
    };
    const auto c = GENERATE(values<Case>({
        {"critical", Priority::critical, false, true, "a.b", "alert", "10"},
        {"high", Priority::high, false, true, "a.b", "alert", "10"},
        {"normal", Priority::normal, false, true, "a.b", "alert", "10"},
        {"low", Priority::low, false, true, "a.b", "alert", "5"},
        {"silent, critical", Priority::critical, true, true, "a.b", "background", "5"},
        {"data alone", Priority::high, false, false, "a.b", "background", "5"},
        {"voip", Priority::normal, false, true, "a.b.voip", "voip", "10"},
        {"voip, low", Priority::low, true, false, "a.b.voip", "voip", "10"},
    }));
    CAPTURE(c.name);
    PushContent content = c.text ? hello() : PushContent{};
    content.priority = c.priority;
    content.silent = c.silent;
    const PushRequest request = request_of(content, c.topic);
    CHECK(field_of(request, "apns-push-type") == c.type);
    CHECK(field_of(request, "apns-priority") == c.number);
}

TEST_CASE("apns request: expiration", "[providers]") {
    struct Case {
        const char* name;
        WallMillis expires;
        const char* value;
    };
    const auto c = GENERATE(values<Case>({
        {"no end", 0, "(none)"},
        {"now or never", test_now, "0"},
        {"over", test_now - 5'000, "0"},
        {"within this second", test_now + 999, "0"},
        {"a second", test_now + 1'000, "1767225601"},
        {"30 days at most", test_now + 365LL * 86'400'000, "1769817600"},
    }));
    CAPTURE(c.name);
    PushContent content = hello();
    content.expires = c.expires;
    CHECK(field_of(request_of(content), "apns-expiration") == c.value);
}

TEST_CASE("apns request: a collapse key that is none of Apple's is hashed", "[providers]") {
    PushContent content = hello();
    const auto id_of = [&](std::string_view key) {
        content.collapse_key = key;
        return field_of(request_of(content), "apns-collapse-id");
    };
    const std::string fits(64, 'k');
    const std::string longer(65, 'k');
    CHECK(id_of("") == "(none)");
    CHECK(id_of(fits) == fits);
    CHECK(id_of(longer).size() == 43);
    CHECK(id_of(longer) == id_of(longer));
    CHECK(id_of("größe").size() == 43);
    CHECK(id_of("two words").size() == 43);
}

TEST_CASE("apns payload: every member", "[providers]") {
    PushContent content = hello();
    CHECK(payload_of(content) ==
          R"({"aps":{"alert":{"title":"Hello","body":"World"},"sound":"default"},"id":")" +
              test_id_text + R"("})");
    content.badge = 0;
    content.sound = "ping.caf";
    content.category = "chat";
    content.data = R"({"room": 7})";
    CHECK(payload_of(content) ==
          R"({"aps":{"alert":{"title":"Hello","body":"World"},"badge":0,"sound":"ping.caf",)"
          R"("category":"chat","thread-id":"chat","mutable-content":1},"id":")" +
              test_id_text + R"(","data":{"room": 7}})");
    content.silent = true;
    CHECK(payload_of(content) ==
          R"({"aps":{"content-available":1},"id":")" + test_id_text + R"(","data":{"room": 7}})");
}

TEST_CASE("apns payload: a badge alone shows without a sound", "[providers]") {
    PushContent content;
    content.badge = 3;
    CHECK(apns_push_type(content, topic) == ApnsPushType::alert);
    CHECK(payload_of(content) == R"({"aps":{"badge":3},"id":")" + test_id_text + R"("})");
}

TEST_CASE("apns payload: the limit counts bytes of UTF-8", "[providers]") {
    PushContent content;
    content.title = "t";
    const auto with_body = [&](std::size_t bytes) {
        // Two bytes a letter, and a quote, which needs an escape.
        std::string text = "\"";
        while (text.size() + 2 <= bytes) text += "é";
        if (text.size() < bytes) text += 'x';
        return text;
    };
    const std::size_t frame = [&] {
        content.body = "\"";
        return payload_of(content).size() - 1;
    }();
    const std::string fits = with_body(4'096 - frame);
    content.body = fits;
    CHECK(payload_of(content).size() == 4'096);
    CHECK_FALSE(check_json(payload_of(content)));
    CHECK_FALSE(check_apns(content, topic));
    const std::string larger = with_body(4'097 - frame);
    content.body = larger;
    const Error error = check_apns(content, topic);
    CHECK(error.code == Code::too_large);
    CHECK(error.message == "the notification is 4097 bytes for APNs, which takes 4096");
    CHECK_FALSE(check_apns(content, "com.example.app.voip"));
    const std::string voip = with_body(5'121 - frame);
    content.body = voip;
    CHECK(check_apns(content, "com.example.app.voip").message ==
          "the notification is 5121 bytes for APNs, which takes 5120");
}

TEST_CASE("apns payloads: one after the other are as each alone", "[providers]") {
    ApnsPayloads payloads;
    for (const PushContent& content : contents_in_turn())
        for (const ApnsPushType type :
             {ApnsPushType::alert, ApnsPushType::alert, ApnsPushType::voip})
            for (const char name : {'a', 'b'}) {
                const auto id = NotificationId::from_raw(std::string(NotificationId::bytes, name));
                CHECK(payloads.make(content, id, type) == apns_payload(content, id, type));
            }
}
