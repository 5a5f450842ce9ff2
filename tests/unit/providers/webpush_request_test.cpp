#include "push_contents.hpp"
#include "webpush_request.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::delivery;
using namespace fanfare::providers;
using namespace fanfare::test;

namespace {

PushDevice browser() {
    PushDevice device;
    device.platform = Platform::web;
    device.token = "https://push.example.net/p/1?x=%20y";
    device.p256dh = from_base64url("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjy"
                                   "Pjs7Vd8pZGH6SRpkNtoIAiw4")
                        .value();
    device.auth = from_base64url("BTBZMqHH6r4Tts7J_aSIgg").value();
    return device;
}
Result<PushRequest> try_request(const PushContent& content, const PushDevice& device) {
    static WebPushEncryptor encryptor;
    const auto endpoint = parse_endpoint(device.token);
    return webpush_request(encryptor, std::get<WebPushEndpoint>(endpoint), "vapid t=…, k=…",
                           test_id(), content, device, test_now);
}
PushRequest request_of(const PushContent& content, const PushDevice& device = browser()) {
    auto request = try_request(content, device);
    REQUIRE(request.has_value());
    return std::move(*request);
}

} // namespace

TEST_CASE("webpush request: path and fields", "[providers]") {
    PushContent content = hello();
    content.collapse_key = "score";
    const PushRequest request = request_of(content);
    CHECK(request.path == "/p/1?x=%20y");
    CHECK(field_of(request, "authorization") == "vapid t=…, k=…");
    CHECK(field_of(request, "ttl") == "60");
    CHECK(field_of(request, "urgency") == "normal");
    CHECK(field_of(request, "topic") == "score");
    CHECK(field_of(request, "content-encoding") == "aes128gcm");
    CHECK(field_of(request, "content-type") == "application/octet-stream");
    CHECK(request.fields.size() == 6);
    for (const char* name : {"authorization", "ttl", "topic"}) CHECK(never_indexed(request, name));
    for (const char* name : {"urgency", "content-encoding", "content-type"})
        CHECK_FALSE(never_indexed(request, name));
    CHECK(request.body.size() == 86 + 256 + 1 + 16);
}

TEST_CASE("webpush request: without keys there is no body", "[providers]") {
    PushDevice device = browser();
    device.p256dh.clear();
    device.auth.clear();
    const PushRequest request = request_of(hello(), device);
    CHECK(request.body.empty());
    CHECK(field_of(request, "content-encoding") == "(none)");
    CHECK(field_of(request, "content-type") == "(none)");
    CHECK(field_of(request, "ttl") == "60");
}

TEST_CASE("webpush request: keys that are none", "[providers]") {
    PushDevice device = browser();
    device.auth.pop_back();
    CHECK(try_request(hello(), device).error() == webpush_errc::bad_auth);
}

TEST_CASE("webpush request: ttl and urgency", "[providers]") {
    struct Case {
        WallMillis expires;
        Priority priority;
        const char* ttl;
        const char* urgency;
    };
    const auto c = GENERATE(values<Case>({
        {test_now, Priority::critical, "0", "high"},
        {test_now - 1, Priority::high, "0", "high"},
        {test_now + 1'999, Priority::normal, "1", "normal"},
        {test_now + 99LL * 86'400'000, Priority::low, "2419200", "low"},
        {0, Priority::normal, "2419200", "normal"},
    }));
    PushContent content = hello();
    content.expires = c.expires;
    content.priority = c.priority;
    const PushRequest request = request_of(content);
    CHECK(field_of(request, "ttl") == c.ttl);
    CHECK(field_of(request, "urgency") == c.urgency);
}

TEST_CASE("webpush request: a collapse key that is no topic is hashed", "[providers]") {
    PushContent content = hello();
    const auto topic_of = [&](std::string_view key) {
        content.collapse_key = key;
        return field_of(request_of(content), "topic");
    };
    CHECK(topic_of("") == "(none)");
    CHECK(topic_of("Aa0-_bcdefghijklmnopqrstuvwxyz12") == "Aa0-_bcdefghijklmnopqrstuvwxyz12");
    CHECK(topic_of("Aa0-_bcdefghijklmnopqrstuvwxyz123").size() == 32);
    CHECK(topic_of("chat:42") == to_base64url(as_byte_view(sha256("chat:42"))).substr(0, 32));
    CHECK(topic_of("größe").size() == 32);
}

TEST_CASE("webpush payload: every member, and the limit", "[providers]") {
    PushContent content = hello();
    CHECK(webpush_payload(test_id(), content) ==
          R"({"id":")" + test_id_text + R"(","title":"Hello","body":"World"})");
    content.data = R"({"room":7})";
    content.category = "chat";
    content.sound = "ping";
    content.badge = 2;
    content.silent = true;
    CHECK(webpush_payload(test_id(), content) ==
          R"({"id":")" + test_id_text +
              R"(","title":"Hello","body":"World","data":{"room":7},"category":"chat",)"
              R"("sound":"ping","badge":2,"silent":true})");

    PushContent large;
    const std::string frame = webpush_payload(test_id(), large);
    const std::string fits(webpush_plaintext_max - frame.size() - 11, 'b'); // `,"title":""`
    large.title = fits;
    CHECK(webpush_payload(test_id(), large).size() == webpush_plaintext_max);
    CHECK_FALSE(check_webpush(large));
    CHECK(request_of(large).body.size() == 4'096);
    const std::string larger = fits + "b";
    large.title = larger;
    CHECK(check_webpush(large).code == Code::too_large);
    CHECK(check_webpush(large).message ==
          "the notification is 3994 bytes for Web Push, which takes 3993");
    CHECK(try_request(large, browser()).error() == webpush_errc::too_large);
}
