#include "push_contents.hpp"
#include "webpush_answer.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;
using namespace std::chrono_literals;
using fanfare::delivery::PushVerdict;
using Wait = std::optional<std::chrono::milliseconds>;

namespace {

PushReading read(int status, const std::string& body, SubscribedWith key = SubscribedWith::this_key,
                 std::vector<AnswerField> fields = {}) {
    return read_webpush_answer(Answer{status, body, std::move(fields)}.view(), test_now, key);
}
std::string mozilla(int code, int number) {
    return R"({"code":)" + std::to_string(code) + R"(,"errno":)" + std::to_string(number) +
           R"(,"error":"x","message":"y","more_info":"https://example.net"})";
}
std::string apple(const char* reason) {
    return std::string{R"({"reason":")"} + reason + R"("})";
}

enum class Key { nothing, mentioned, status_alone };

} // namespace

TEST_CASE("webpush answer: every status, and what services write", "[providers]") {
    using V = PushVerdict;
    struct Case {
        const char* name;
        int status;
        std::string body;
        std::string reason;
        PushVerdict verdict;
        Key key = Key::nothing; // whether it is trouble with our VAPID key
        Wait wait = std::nullopt;
        bool our_fault = false;
        bool new_connection = false;
    };
    const std::vector<Case> cases{
        {"200", 200, "", "", V::done},
        {"201", 201, "", "", V::done},
        {"202", 202, "", "", V::done},
        {"204", 204, "", "", V::done},
        {"301", 301, "", "HTTP 301", V::fix},
        {"307", 307, "", "HTTP 307", V::fix},
        {"400", 400, "", "HTTP 400", V::fix, Key::nothing, {}, true},
        {"401", 401, "", "HTTP 401", V::fix, Key::status_alone},
        {"403", 403, "", "HTTP 403", V::fix, Key::status_alone},
        {"404", 404, "", "HTTP 404", V::drop_device},
        {"410", 410, "", "HTTP 410", V::drop_device},
        {"405", 405, "", "HTTP 405", V::fix, Key::nothing, {}, true},
        {"411", 411, "", "HTTP 411", V::fix, Key::nothing, {}, true},
        {"413", 413, "", "HTTP 413", V::fix, Key::nothing, {}, true},
        {"415", 415, "", "HTTP 415", V::fix, Key::nothing, {}, true},
        {"429", 429, "", "HTTP 429", V::later, Key::nothing, 60s},
        {"500", 500, "", "HTTP 500", V::later},
        {"502", 502, "<html>", "HTTP 502", V::later},
        {"503", 503, "", "HTTP 503", V::later},
        {"504", 504, "", "HTTP 504", V::later},

        {"Mozilla 101", 400, mozilla(400, 101), "errno 101", V::fix, Key::nothing, {}, true},
        {"Mozilla 102", 404, mozilla(404, 102), "errno 102", V::drop_device},
        {"Mozilla 103", 410, mozilla(410, 103), "errno 103", V::drop_device},
        {"Mozilla 104", 413, mozilla(413, 104), "errno 104", V::fix, Key::nothing, {}, true},
        {"Mozilla 105", 410, mozilla(410, 105), "errno 105", V::drop_device},
        {"Mozilla 106", 410, mozilla(410, 106), "errno 106", V::drop_device},
        {"Mozilla 108", 400, mozilla(400, 108), "errno 108", V::fix, Key::nothing, {}, true},
        {"Mozilla 109", 401, mozilla(401, 109), "errno 109", V::fix, Key::mentioned},
        {"Mozilla 110", 400, mozilla(400, 110), "errno 110", V::fix, Key::nothing, {}, true},
        {"Mozilla 111", 400, mozilla(400, 111), "errno 111", V::fix, Key::nothing, {}, true},
        {"Mozilla 112", 400, mozilla(400, 112), "errno 112", V::fix, Key::nothing, {}, true},
        {"Mozilla 113", 400, mozilla(400, 113), "errno 113", V::fix, Key::nothing, {}, true},
        {"Mozilla 201", 503, mozilla(503, 201), "errno 201", V::later},
        {"Mozilla 202", 503, mozilla(503, 202), "errno 202", V::later},
        {"Mozilla 900", 502, mozilla(502, 900), "errno 900", V::later},
        {"Mozilla 903", 502, mozilla(502, 903), "errno 903", V::later},
        {"Mozilla 999", 500, mozilla(500, 999), "errno 999", V::later},

        {"Apple", 400, apple("BadTtl"), "BadTtl", V::fix, Key::nothing, {}, true},
        {"Apple", 400, apple("BadUrgency"), "BadUrgency", V::fix, Key::nothing, {}, true},
        {"Apple",
         400,
         apple("BadWebPushRequest"),
         "BadWebPushRequest",
         V::fix,
         Key::nothing,
         {},
         true},
        {"Apple", 400, apple("BadWebPushTopic"), "BadWebPushTopic", V::fix, Key::nothing, {}, true},
        {"Apple", 400, apple("VapidPkHashMismatch"), "VapidPkHashMismatch", V::fix, Key::mentioned},
        {"Apple", 403, apple("VapidPkHashMismatch"), "VapidPkHashMismatch", V::fix, Key::mentioned},
        {"Apple",
         400,
         apple("IdleTimeout"),
         "IdleTimeout",
         V::later,
         Key::nothing,
         {},
         false,
         true},
        {"Apple", 403, apple("BadAuthorizationHeader"), "BadAuthorizationHeader", V::fix,
         Key::mentioned},
        {"Apple", 403, apple("BadJwtToken"), "BadJwtToken", V::fix, Key::mentioned},
        {"Apple", 403, apple("BadVapidPublicKey"), "BadVapidPublicKey", V::fix, Key::mentioned},
        {"Apple", 404, apple("BadPath"), "BadPath", V::drop_device},
        {"Apple",
         405,
         apple("MethodNotAllowed"),
         "MethodNotAllowed",
         V::fix,
         Key::nothing,
         {},
         true},
        {"Apple", 413, apple("PayloadTooLarge"), "PayloadTooLarge", V::fix, Key::nothing, {}, true},
        {"Apple", 429, apple("TooManyRequests"), "TooManyRequests", V::later, Key::nothing, 60s},
        {"Apple", 500, apple("InternalServerError"), "InternalServerError", V::later},
        {"Apple", 503, apple("ServiceUnavailable"), "ServiceUnavailable", V::later},
        {"Apple", 503, apple("Shutdown"), "Shutdown", V::later, Key::nothing, {}, false, true},

        {"Google", 400, "<HTML><TITLE>UnauthorizedRegistration</TITLE>", "UnauthorizedRegistration",
         V::fix, Key::mentioned},
        {"Google", 401, "missing authorization header", "authorization header", V::fix,
         Key::mentioned},
        {"Google", 401, "invalid push subscription endpoint", "invalid push subscription endpoint",
         V::fix, Key::status_alone},
        {"Google", 403,
         "the VAPID credentials in the authorization header do not correspond to the credentials "
         "used to create the subscriptions.",
         "VAPID credentials mismatch", V::fix, Key::mentioned},
        {"Google", 404, "NotRegistered", "NotRegistered", V::drop_device},
        {"Google", 410, "push subscription has unsubscribed or expired.", "unsubscribed or expired",
         V::drop_device},
        {"what may repeat a secret", 403, apple("https://push.example/secret"), "HTTP 403", V::fix,
         Key::status_alone},
        {"not an object", 403, "[]", "HTTP 403", V::fix, Key::status_alone},
    };
    for (const Case& c : cases) {
        CAPTURE(c.name, c.status, c.body);
        const PushReading got = read(c.status, c.body);
        CHECK(got.outcome.verdict == c.verdict);
        CHECK(got.outcome.status == c.status);
        CHECK(got.outcome.reason == c.reason);
        CHECK(got.outcome.retry_after == c.wait);
        CHECK(got.our_fault == c.our_fault);
        CHECK(got.new_connection == c.new_connection);
        CHECK(got.pause_origin == (c.key != Key::nothing));
        CHECK(got.alert == (c.key != Key::nothing));
        CHECK_FALSE(got.again);
        CHECK(got.token == TokenStep::keep);
        // Made with another key, it is of no more use; but only if the answer is about the key.
        const PushReading other = read(c.status, c.body, SubscribedWith::other_key);
        CHECK(other.outcome.verdict ==
              (c.key == Key::mentioned ? PushVerdict::drop_device : c.verdict));
    }
}

TEST_CASE("webpush answer: Retry-After", "[providers]") {
    const int status = GENERATE(429, 500, 502, 503, 504);
    CHECK(read(status, mozilla(status, 201), SubscribedWith::this_key, {{"Retry-After", "120"}})
              .outcome.retry_after == 120s);
    CHECK(read(status, "", SubscribedWith::this_key,
               {{"retry-after", "Thu, 01 Jan 2026 00:00:30 GMT"}})
              .outcome.retry_after == 30s);
}

TEST_CASE("webpush answer: the place of the message is not kept", "[providers]") {
    const PushReading plain =
        read(201, "", SubscribedWith::this_key, {{"location", "https://push.example/m/secret"}});
    CHECK(plain.outcome.verdict == PushVerdict::done);
    CHECK(plain.outcome.provider_id.empty());
    CHECK(read(201, "", SubscribedWith::this_key, {{"apns-id", "0123-AB"}}).outcome.provider_id ==
          "0123-AB");
}
