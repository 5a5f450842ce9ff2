#include "fcm_answer.hpp"
#include "push_contents.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;
using namespace std::chrono_literals;
using fanfare::delivery::PushVerdict;
using Wait = std::optional<std::chrono::milliseconds>;

namespace {

PushReading read(int status, const std::string& body, Attempt attempt = Attempt::first,
                 std::vector<AnswerField> fields = {}) {
    return read_fcm_answer(Answer{status, body, std::move(fields)}.view(), test_now, attempt);
}

std::string fcm_error(const std::string& code) {
    return R"({"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":")" +
           code + R"("})";
}
std::string apns_error(int status, const std::string& reason) {
    return R"({"@type":"type.googleapis.com/google.firebase.fcm.v1.ApnsError","statusCode":)" +
           std::to_string(status) + R"(,"reason":")" + reason + R"("})";
}
std::string violation(const std::string& field) {
    return R"({"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":")" +
           field + R"(","description":"Invalid registration token"}]})";
}
const std::string quota_failure =
    R"({"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{}]})";
const std::string error_info = R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo",)"
                               R"("reason":"ACCESS_TOKEN_EXPIRED","domain":"googleapis.com"})";
const std::string bad_token_text = "The registration token is not a valid FCM registration token";

std::string error_body(int code, const std::string& status, const std::string& details,
                       const std::string& message = "What went wrong.") {
    return R"({"error":{"code":)" + std::to_string(code) + R"(,"message":")" + message +
           R"(","status":")" + status + R"(","details":[)" + details + "]}}";
}

} // namespace

TEST_CASE("fcm answer: every error code and every trap", "[providers]") {
    using V = PushVerdict;
    using T = TokenStep;
    struct Case {
        const char* name;
        int status;
        std::string body;
        const char* reason;
        PushVerdict verdict;
        Wait wait = std::nullopt;
        bool again = false;
        TokenStep token = TokenStep::keep;
        bool alert = false;
        bool our_fault = false;
        bool wrong_target = false;
    };
    const std::vector<Case> cases{
        {"app removed", 404, error_body(404, "NOT_FOUND", fcm_error("UNREGISTERED")),
         "UNREGISTERED", V::drop_device},
        {"bad message",
         400,
         error_body(400, "INVALID_ARGUMENT", fcm_error("INVALID_ARGUMENT")),
         "INVALID_ARGUMENT",
         V::fix,
         {},
         false,
         T::keep,
         false,
         true},
        {"bad token by its text", 400,
         error_body(400, "INVALID_ARGUMENT", fcm_error("INVALID_ARGUMENT"), bad_token_text),
         "INVALID_ARGUMENT", V::drop_device},
        {"bad token by its field, without FcmError", 400,
         error_body(400, "INVALID_ARGUMENT", violation("message.token")), "INVALID_ARGUMENT",
         V::drop_device},
        {"bad token by both", 400,
         error_body(400, "INVALID_ARGUMENT",
                    violation("message.token") + "," + fcm_error("INVALID_ARGUMENT")),
         "INVALID_ARGUMENT", V::drop_device},
        {"bad value in data",
         400,
         error_body(400, "INVALID_ARGUMENT",
                    fcm_error("INVALID_ARGUMENT") + "," + violation("message.data[0].value")),
         "INVALID_ARGUMENT",
         V::fix,
         {},
         false,
         T::keep,
         false,
         true},
        {"token of another project",
         403,
         error_body(403, "PERMISSION_DENIED", fcm_error("SENDER_ID_MISMATCH")),
         "SENDER_ID_MISMATCH",
         V::drop_device,
         {},
         false,
         T::keep,
         false,
         false,
         true},
        {"quota of a device", 429,
         error_body(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED")), "QUOTA_EXCEEDED",
         V::later, 60s},
        {"quota of the project", 429,
         error_body(429, "RESOURCE_EXHAUSTED", quota_failure + "," + fcm_error("QUOTA_EXCEEDED")),
         "QUOTA_EXCEEDED", V::pause, 60s},
        {"overloaded", 503, error_body(503, "UNAVAILABLE", fcm_error("UNAVAILABLE")), "UNAVAILABLE",
         V::later, 10s},
        {"server error", 500, error_body(500, "INTERNAL", fcm_error("INTERNAL")), "INTERNAL",
         V::later, 10s},
        {"the project's key for Apple",
         401,
         error_body(401, "UNAUTHENTICATED",
                    fcm_error("THIRD_PARTY_AUTH_ERROR") + "," +
                        apns_error(403, "InvalidProviderToken"),
                    "Request had invalid authentication credentials."),
         "THIRD_PARTY_AUTH_ERROR",
         V::fix,
         {},
         false,
         T::keep,
         true},
        {"the same, in the other order",
         401,
         error_body(401, "UNAUTHENTICATED",
                    apns_error(403, "BadEnvironmentKeyInToken") + "," +
                        fcm_error("THIRD_PARTY_AUTH_ERROR")),
         "THIRD_PARTY_AUTH_ERROR",
         V::fix,
         {},
         false,
         T::keep,
         true},
        {"the same, by its older name",
         401,
         error_body(401, "UNAUTHENTICATED", fcm_error("APNS_AUTH_ERROR")),
         "APNS_AUTH_ERROR",
         V::fix,
         {},
         false,
         T::keep,
         true},
        {"no more information, 500", 500,
         error_body(500, "INVALID_ARGUMENT", fcm_error("UNSPECIFIED_ERROR")), "UNSPECIFIED_ERROR",
         V::later, 10s},
        {"no more information, 400",
         400,
         error_body(400, "UNAVAILABLE", fcm_error("UNSPECIFIED_ERROR")),
         "UNSPECIFIED_ERROR",
         V::fix,
         {},
         false,
         T::keep,
         false,
         true},
        {"our access token",
         401,
         error_body(401, "UNAUTHENTICATED", error_info),
         "UNAUTHENTICATED",
         V::later,
         {},
         true,
         T::renew},
        {"our access token, HTML",
         401,
         "<html>Unauthorized</html>",
         "HTTP 401",
         V::later,
         {},
         true,
         T::renew},
        {"permission missing",
         403,
         error_body(403, "PERMISSION_DENIED", error_info),
         "PERMISSION_DENIED",
         V::stop,
         {},
         false,
         T::keep,
         true},
        {"403 without a body", 403, "", "HTTP 403", V::stop, {}, false, T::keep, true},
        {"wrong project",
         404,
         error_body(404, "NOT_FOUND", ""),
         "NOT_FOUND",
         V::stop,
         {},
         false,
         T::keep,
         true},
        {"wrong URL, HTML",
         404,
         "<!DOCTYPE html><title>Error 404",
         "HTTP 404",
         V::stop,
         {},
         false,
         T::keep,
         true},
        {"a dead Apple token behind a 400", 400,
         error_body(400, "INVALID_ARGUMENT",
                    fcm_error("INVALID_ARGUMENT") + "," + apns_error(410, "Unregistered"),
                    "APNs device token is disabled."),
         "INVALID_ARGUMENT", V::drop_device},
        {"a dead Apple token behind a 404", 404,
         error_body(404, "NOT_FOUND",
                    apns_error(410, "Unregistered") + "," + fcm_error("UNREGISTERED")),
         "UNREGISTERED", V::drop_device},
        {"details that nobody knows", 404,
         error_body(404, "NOT_FOUND",
                    R"({"@type":"x/y.Z","a":[1]},7,null,{"errorCode":"X"},)" +
                        fcm_error("UNREGISTERED")),
         "UNREGISTERED", V::drop_device},
        {"an error code of the future",
         404,
         error_body(404, "NOT_FOUND", fcm_error("BRAND_NEW")),
         "BRAND_NEW",
         V::stop,
         {},
         false,
         T::keep,
         true},
        {"429, HTML", 429, "<html>", "HTTP 429", V::later, 60s},
        {"429, empty", 429, "", "HTTP 429", V::later, 60s},
        {"500, text", 500, "oops", "HTTP 500", V::later, 10s},
        {"502", 502, "<html>", "HTTP 502", V::later, 10s},
        {"503, HTML", 503, "<html>", "HTTP 503", V::later, 10s},
        {"504", 504, error_body(504, "DEADLINE_EXCEEDED", ""), "DEADLINE_EXCEEDED", V::later, 10s},
        {"status alone: exhausted", 429, error_body(429, "RESOURCE_EXHAUSTED", ""),
         "RESOURCE_EXHAUSTED", V::later, 60s},
        {"status alone: unavailable", 503, error_body(503, "UNAVAILABLE", ""), "UNAVAILABLE",
         V::later, 10s},
        {"status alone: internal", 500, error_body(500, "INTERNAL", ""), "INTERNAL", V::later, 10s},
        {"no details",
         400,
         R"({"error":{"code":400,"status":"INVALID_ARGUMENT"}})",
         "INVALID_ARGUMENT",
         V::fix,
         {},
         false,
         T::keep,
         false,
         true},
        {"400, HTML", 400, "<html>", "HTTP 400", V::fix, {}, false, T::keep, false, true},
        {"a redirect", 302, "", "HTTP 302", V::fix, {}, false, T::keep, true},
        {"error is a text",
         400,
         R"({"error":"x"})",
         "HTTP 400",
         V::fix,
         {},
         false,
         T::keep,
         false,
         true},
    };
    for (const Case& c : cases) {
        CAPTURE(c.name);
        const PushReading got = read(c.status, c.body);
        CHECK(got.outcome.verdict == c.verdict);
        CHECK(got.outcome.status == c.status);
        CHECK(got.outcome.reason == c.reason);
        CHECK(got.outcome.retry_after == c.wait);
        CHECK(got.again == c.again);
        CHECK(got.token == c.token);
        CHECK(got.alert == c.alert);
        CHECK(got.our_fault == c.our_fault);
        CHECK(got.wrong_target == c.wrong_target);
        CHECK_FALSE(got.new_connection);
        CHECK(got.outcome.dead_since == 0);
    }
}

TEST_CASE("fcm answer: a second 401 is an operator's", "[providers]") {
    const PushReading got =
        read(401, error_body(401, "UNAUTHENTICATED", error_info), Attempt::repeated);
    CHECK(got.outcome.verdict == PushVerdict::stop);
    CHECK(got.alert);
    CHECK_FALSE(got.again);
    CHECK(got.token == TokenStep::keep);
}

TEST_CASE("fcm answer: Retry-After goes before what we would wait", "[providers]") {
    struct Case {
        const char* value;
        std::chrono::milliseconds wait;
    };
    const auto c = GENERATE(values<Case>({{"7", 7s},
                                          {"Thu, 01 Jan 2026 00:00:30 GMT", 30s},
                                          {"Wed, 31 Dec 2025 00:00:00 GMT", 0s},
                                          {"garbage", 60s},
                                          {"999999", 24h}}));
    CAPTURE(c.value);
    const PushReading got =
        read(429, error_body(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED")),
             Attempt::first, {{"retry-after", c.value}});
    CHECK(got.outcome.retry_after == c.wait);
}

TEST_CASE("fcm answer: taken", "[providers]") {
    const PushReading got = read(200, R"({"name":"projects/demo-1/messages/0:15%31bd"})");
    CHECK(got.outcome.verdict == PushVerdict::done);
    CHECK(got.outcome.provider_id == "0:15%31bd");
    CHECK_FALSE(got.unread);
    for (const char* body : {"", "<html>", "{}", R"({"name":7})", R"({"name":"x"})"}) {
        CAPTURE(body);
        const PushReading unread = read(200, body);
        CHECK(unread.outcome.verdict == PushVerdict::done);
        CHECK(unread.unread);
        CHECK(unread.outcome.provider_id.empty());
    }
}
