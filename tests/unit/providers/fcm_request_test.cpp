#include "fcm_request.hpp"
#include "push_contents.hpp"

#include <fanfare/base/json_check.hpp>

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::delivery;
using namespace fanfare::providers;
using namespace fanfare::test;

namespace {

PushDevice phone() {
    PushDevice device;
    device.platform = Platform::android;
    device.token = R"(e:APA91b"x)"; // opaque: whatever it is, it must not break out of its text
    return device;
}
std::string payload_of(const PushContent& content) {
    std::string payload = fcm_payload(test_id(), content, phone(), test_now);
    CHECK_FALSE(check_json(payload));
    return payload;
}
const std::string begin = R"({"message":{"token":"e:APA91b\"x",)";
const std::string id_member = R"("data":{"id":")" + test_id_text + R"(")";

} // namespace

TEST_CASE("fcm request: path and fields", "[providers]") {
    FcmPayloads payloads;
    const PushRequest request =
        fcm_request("demo-1", "Bearer t", test_id(), hello(), phone(), test_now, payloads);
    CHECK(request.path == "/v1/projects/demo-1/messages:send");
    CHECK(field_of(request, "authorization") == "Bearer t");
    CHECK(never_indexed(request, "authorization"));
    CHECK(field_of(request, "content-type") == "application/json");
    CHECK(request.fields.size() == 2);
    CHECK(request.body == payload_of(hello()));
}

TEST_CASE("fcm payload: every member", "[providers]") {
    PushContent content = hello();
    CHECK(
        payload_of(content) ==
        begin + R"("notification":{"title":"Hello","body":"World"},)" + id_member +
            R"(},"android":{"priority":"NORMAL","ttl":"60s","notification":{"sound":"default"}}}})");
    content.badge = 4;
    content.sound = "ping";
    content.category = "chat";
    content.collapse_key = "score";
    content.priority = Priority::high;
    content.data = R"({"room":"a\"b","n":[1]})";
    CHECK(payload_of(content) ==
          begin + R"("notification":{"title":"Hello","body":"World"},)" + id_member +
              R"(,"category":"chat","data":"{\"room\":\"a\\\"b\",\"n\":[1]}"},)"
              R"("android":{"priority":"HIGH","ttl":"60s","collapse_key":"score",)"
              R"("notification":{"sound":"ping","notification_count":4,"tag":"score"}}}})");
    content.silent = true;
    content.data = {};
    CHECK(payload_of(content) ==
          begin + id_member +
              R"(,"category":"chat"},"android":{"priority":"NORMAL","ttl":"60s",)"
              R"("collapse_key":"score"}}})");
}

TEST_CASE("fcm payload: priority", "[providers]") {
    struct Case {
        Priority priority;
        const char* text;
    };
    const auto c = GENERATE(values<Case>({{Priority::critical, R"("priority":"HIGH")"},
                                          {Priority::high, R"("priority":"HIGH")"},
                                          {Priority::normal, R"("priority":"NORMAL")"},
                                          {Priority::low, R"("priority":"NORMAL")"}}));
    PushContent content = hello();
    content.priority = c.priority;
    CHECK(payload_of(content).find(c.text) != std::string::npos);
}

TEST_CASE("fcm payload: time to live", "[providers]") {
    struct Case {
        const char* name;
        WallMillis expires;
        const char* text;
    };
    const auto c = GENERATE(values<Case>(
        {{"over", test_now - 1, R"("ttl":"0s")"},
         {"now or never", test_now, R"("ttl":"0s")"},
         {"rounded down", test_now + 1'999, R"("ttl":"1s")"},
         {"four weeks at most", test_now + 99LL * 86'400'000, R"("ttl":"2419200s")"}}));
    CAPTURE(c.name);
    PushContent content = hello();
    content.expires = c.expires;
    CHECK(payload_of(content).find(c.text) != std::string::npos);
    content.expires = 0;
    CHECK(payload_of(content).find("ttl") == std::string::npos);
}

TEST_CASE("fcm payload: the limit is named", "[providers]") {
    PushContent content;
    content.title = "title";
    const std::string fits(fcm_payload_max - 2 - 22 - 5, 'b'); // the id's name and value, the title
    content.body = fits;
    CHECK_FALSE(check_fcm(content));
    const std::string larger = fits + "b";
    content.body = larger;
    const Error error = check_fcm(content);
    CHECK(error.code == Code::too_large);
    CHECK(error.message == "the notification is 4001 bytes for FCM, which takes 4000");
    content.silent = true; // the texts are not sent
    CHECK_FALSE(check_fcm(content));
    const std::string data = '"' + std::string(4'000, 'd') + '"';
    content.data = data;
    CHECK(check_fcm(content).code == Code::too_large);
}

TEST_CASE("fcm payload: names that Google keeps", "[providers]") {
    for (const char* name : {"from", "message_type", "google.x", "gcm.notification.title"})
        CHECK(is_reserved_by_fcm(name));
    for (const char* name : {"id", "data", "category", "fromage", "googly"})
        CHECK_FALSE(is_reserved_by_fcm(name));
}

TEST_CASE("fcm payloads: one after the other are as each alone", "[providers]") {
    FcmPayloads payloads;
    const auto as_alone = [&](const PushContent& content, const char* token, std::uint8_t name,
                              WallMillis now) {
        PushDevice device = phone();
        device.token = token;
        const auto id = NotificationId::from_raw(std::string(NotificationId::bytes, char(name)));
        const std::string made = payloads.make(id, content, device, now);
        CHECK(made == fcm_payload(id, content, device, now));
    };
    for (const PushContent& content : contents_in_turn()) {
        as_alone(content, "a", 1, test_now);
        as_alone(content, "token \"b\"", 2, test_now);
        as_alone(content, "", 3, test_now + 5'000); // another `ttl`
        as_alone(content, "c", 4, test_now + 120'000);
    }
}
