#include "apns_answer.hpp"
#include "push_contents.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;
using fanfare::delivery::PushVerdict;

namespace {

PushReading read(int status, const std::string& body, Attempt attempt = Attempt::first) {
    return read_apns_answer(Answer{status, body, {}}.view(), test_now, attempt);
}
std::string with_reason(const std::string& reason) {
    return R"({"reason":")" + reason + R"("})";
}

} // namespace

TEST_CASE("apns answer: every row", "[providers]") {
    using V = PushVerdict;
    using T = TokenStep;
    struct Case {
        int status;
        const char* reason;
        PushVerdict verdict;
        bool again = false;
        TokenStep token = TokenStep::keep;
        bool new_connection = false;
        bool alert = false;
        bool our_fault = false;
        bool wrong_target = false;
    };
    const auto c = GENERATE(values<Case>({
        {400, "BadCollapseId", V::fix, false, T::keep, false, false, true, false},
        {400, "BadDeviceToken", V::drop_device, false, T::keep, false, false, false, true},
        {400, "BadExpirationDate", V::fix, false, T::keep, false, false, true, false},
        {400, "BadMessageId", V::fix, false, T::keep, false, false, true, false},
        {400, "BadPriority", V::fix, false, T::keep, false, false, true, false},
        {400, "DuplicateHeaders", V::fix, false, T::keep, false, false, true, false},
        {400, "InvalidPushType", V::fix, false, T::keep, false, false, true, false},
        {400, "MissingDeviceToken", V::fix, false, T::keep, false, false, true, false},
        {400, "PayloadEmpty", V::fix, false, T::keep, false, false, true, false},
        {400, "BadTopic", V::fix, false, T::keep, false, true, false, false},
        {400, "MissingTopic", V::fix, false, T::keep, false, true, false, false},
        {400, "TopicDisallowed", V::fix, false, T::keep, false, true, false, false},
        {400, "DeviceTokenNotForTopic", V::drop_device, false, T::keep, false, false, false, true},
        {400, "IdleTimeout", V::later, false, T::keep, true, false, false, false},
        {403, "ExpiredProviderToken", V::later, true, T::renew, true, false, false, false},
        {403, "InvalidProviderToken", V::stop, true, T::renew, true, true, false, false},
        {403, "MissingProviderToken", V::stop, false, T::keep, false, true, false, false},
        {403, "UnrelatedKeyIdInToken", V::later, false, T::keep, true, false, false, false},
        {403, "BadEnvironmentKeyIdInToken", V::stop, false, T::keep, false, true, false, false},
        {403, "BadEnvironmentKeyInToken", V::stop, false, T::keep, false, true, false, false},
        {403, "BadCertificate", V::stop, false, T::keep, false, true, false, false},
        {403, "BadCertificateEnvironment", V::stop, false, T::keep, false, true, false, false},
        {403, "Forbidden", V::fix, false, T::keep, false, true, false, false},
        {404, "BadPath", V::fix, false, T::keep, false, false, true, false},
        {405, "MethodNotAllowed", V::fix, false, T::keep, false, false, true, false},
        {410, "Unregistered", V::drop_device},
        {410, "ExpiredToken", V::drop_device},
        {413, "PayloadTooLarge", V::fix, false, T::keep, false, false, true, false},
        {429, "TooManyRequests", V::later},
        {429, "TooManyProviderTokenUpdates", V::later, false, T::hold, true, true, false, false},
        {500, "InternalServerError", V::later},
        {503, "ServiceUnavailable", V::later},
        {503, "Shutdown", V::later, false, T::keep, true, false, false, false},
        // Unknown, or known with another status: by the status, and no token is dropped.
        {400, "SomethingNew", V::fix, false, T::keep, false, false, true, false},
        {403, "SomethingNew", V::fix, false, T::keep, false, false, true, false},
        {410, "SomethingNew", V::fix, false, T::keep, false, false, true, false},
        {429, "SomethingNew", V::later},
        {500, "SomethingNew", V::later},
        {503, "BadDeviceToken", V::later},
        {400, "Unregistered", V::fix, false, T::keep, false, false, true, false},
    }));
    CAPTURE(c.status, c.reason);
    const PushReading got = read(c.status, with_reason(c.reason));
    CHECK(got.outcome.verdict == c.verdict);
    CHECK(got.outcome.status == c.status);
    CHECK(got.outcome.reason == c.reason);
    CHECK(got.again == c.again);
    CHECK(got.token == c.token);
    CHECK(got.new_connection == c.new_connection);
    CHECK(got.alert == c.alert);
    CHECK(got.our_fault == c.our_fault);
    CHECK(got.wrong_target == c.wrong_target);
    CHECK_FALSE(got.outcome.not_attempted);
    CHECK_FALSE(got.pause_origin);
}

TEST_CASE("apns answer: a token problem after a fresh token is an operator's", "[providers]") {
    const char* reason = GENERATE("ExpiredProviderToken", "InvalidProviderToken");
    const PushReading got = read(403, with_reason(reason), Attempt::repeated);
    CHECK(got.outcome.verdict == PushVerdict::stop);
    CHECK(got.alert);
    CHECK_FALSE(got.again);
    CHECK(got.token == TokenStep::keep);
}

TEST_CASE("apns answer: a body that cannot be read counts for nothing", "[providers]") {
    const std::string body = GENERATE(values<std::string>(
        {"", "<html>", "{}", "[]", R"({"reason":7})", "{\"reason\":\"",
         R"({"reason":"a token: 00fc13ad/ff78"})",
         R"({"reason":")" + std::string(65, 'r') + R"("})", std::string(70'000, ' ')}));
    CAPTURE(body.substr(0, 40));
    CHECK(read(400, body).outcome.verdict == PushVerdict::fix);
    CHECK(read(410, body).outcome.verdict == PushVerdict::fix);
    CHECK(read(429, body).outcome.verdict == PushVerdict::later);
    CHECK(read(502, body).outcome.verdict == PushVerdict::later);
    CHECK(read(502, body).outcome.reason == "HTTP 502");
}

TEST_CASE("apns answer: taken, with our id in either case", "[providers]") {
    const char* name = GENERATE("apns-id", "Apns-Id");
    const Answer answer{200, "", {{name, "01234567-89AB-CDEF-FEDC-BA9876543210"}}};
    const PushReading got = read_apns_answer(answer.view(), test_now, Attempt::first);
    CHECK(got.outcome.verdict == PushVerdict::done);
    CHECK(got.outcome.provider_id == "01234567-89ab-cdef-fedc-ba9876543210");
    CHECK(got.outcome.reason.empty());
}

TEST_CASE("apns answer: since when a token is dead", "[providers]") {
    struct Case {
        const char* timestamp;
        WallMillis since;
    };
    const auto c = GENERATE(values<Case>({
        {"1767225600123", 1'767'225'600'123}, // milliseconds
        {"1767225600", 1'767'225'600'000},    // seconds, from old servers
        {"1767225600123.0", 1'767'225'600'123},
        {"0", 0},
        {"-5", 0},
        {"1e300", 0},
        {"99999999999999999", 0},
        {"\"1767225600123\"", 0},
        {"null", 0},
    }));
    CAPTURE(c.timestamp);
    const PushReading got =
        read(410, std::string{R"({"reason":"Unregistered","timestamp":)"} + c.timestamp + "}");
    CHECK(got.outcome.verdict == PushVerdict::drop_device);
    CHECK(got.outcome.dead_since == c.since);
    CHECK(read(410, with_reason("ExpiredToken")).outcome.dead_since == 0);
}

TEST_CASE("apns answer: Retry-After is honoured if it is there", "[providers]") {
    const Answer busy{503, with_reason("ServiceUnavailable"), {{"retry-after", "900"}}};
    CHECK(read_apns_answer(busy.view(), test_now, Attempt::first).outcome.retry_after ==
          std::chrono::minutes{15});
    CHECK_FALSE(read(503, with_reason("ServiceUnavailable")).outcome.retry_after);
}

TEST_CASE("apns answer: the debug data of a GOAWAY", "[providers]") {
    CHECK(apns_reason(with_reason("BadCertificateEnvironment")) == "BadCertificateEnvironment");
    CHECK(apns_reason("").empty());
    CHECK(apns_goaway_refuses("BadCertificateEnvironment"));
    CHECK_FALSE(apns_goaway_refuses("Shutdown"));
    CHECK_FALSE(apns_goaway_refuses(""));
}
