#include "fcm_token.hpp"
#include "push_contents.hpp"
#include "push_keys.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <support/manual_clock.hpp>
#include <thread>
#include <vector>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;
using namespace std::chrono_literals;

namespace {

FcmAccount account() {
    return {"demo-1", "push@demo-1.iam.gserviceaccount.com", "k1",
            "https://oauth2.googleapis.com/token",
            SigningKey{JoseAlgorithm::rs256, rsa_pem(), "sa.json"}};
}

std::variant<FcmGrant, FcmGrantFault> read(int status, const std::string& body,
                                           std::vector<AnswerField> fields = {}) {
    return read_fcm_grant(Answer{status, body, std::move(fields)}.view(), test_now);
}
FcmGrant granted(const std::string& body) {
    const auto read_it = read(200, body);
    REQUIRE(std::holds_alternative<FcmGrant>(read_it));
    return std::get<FcmGrant>(read_it);
}
FcmGrantFault fault_of(int status, const std::string& body) {
    const auto read_it = read(status, body);
    REQUIRE(std::holds_alternative<FcmGrantFault>(read_it));
    return std::get<FcmGrantFault>(read_it);
}

const FcmGrantFault busy{"HTTP 503", true, std::nullopt};
const FcmGrantFault refused_account{"invalid_grant", false, std::nullopt};

struct Token {
    ManualClock clock;
    FcmToken token{clock};
    void fetch(std::chrono::seconds lifetime) {
        REQUIRE(token.claim());
        token.granted({"ya29.t", lifetime});
    }
    std::uint64_t generation() {
        const auto value = token.current();
        return value ? value->generation : 0;
    }
};

} // namespace

TEST_CASE("fcm grant: the request", "[providers]") {
    const std::string body = fcm_grant_request(account(), test_now);
    constexpr std::string_view before =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    REQUIRE(body.starts_with(before));
    const std::string_view jwt = std::string_view{body}.substr(before.size());
    CHECK(token_header(jwt) == R"({"alg":"RS256","typ":"JWT","kid":"k1"})");
    CHECK(verified_claims(jwt, rsa_pem()) ==
          R"({"iss":"push@demo-1.iam.gserviceaccount.com",)"
          R"("scope":"https://www.googleapis.com/auth/firebase.messaging",)"
          R"("aud":"https://oauth2.googleapis.com/token","iat":1767225600,"exp":1767229200})");
}

TEST_CASE("fcm grant: answers with a token", "[providers]") {
    struct Case {
        const char* body;
        std::chrono::seconds lifetime;
    };
    const auto c = GENERATE(values<Case>({
        {R"({"access_token":"ya29.a","expires_in":3600,"token_type":"Bearer"})", 3600s},
        {R"({"token_type":"bEARER","expires_in":"3599","access_token":"ya29.a","x":[]})", 3599s},
        {R"({"access_token":"ya29.a","token_type":"Bearer"})", 300s},
        {R"({"access_token":"ya29.a","token_type":"Bearer","expires_in":1})", 1s},
        {R"({"access_token":"ya29.a","token_type":"Bearer","expires_in":1e300})", 24h},
    }));
    CAPTURE(c.body);
    const FcmGrant grant = granted(c.body);
    CHECK(grant.access_token == "ya29.a");
    CHECK(grant.lifetime == c.lifetime);
}

TEST_CASE("fcm grant: answers without one", "[providers]") {
    struct Case {
        int status;
        const char* body;
        const char* reason;
        bool transient;
    };
    const auto c = GENERATE(values<Case>({
        {200, "<html>", "the answer is not a JSON object", true},
        {200, "", "the answer is not a JSON object", true},
        {200, R"({"token_type":"Bearer"})", "the answer has no access_token", true},
        {200, R"({"access_token":"a b","token_type":"Bearer"})", "the answer has no access_token",
         true},
        {200, R"({"access_token":"a\r\nb","token_type":"Bearer"})",
         "the answer has no access_token", true},
        {200, R"({"access_token":"a","token_type":"mac"})", "the answer's token_type is not Bearer",
         true},
        {200, R"({"access_token":"a","token_type":"Bearer","expires_in":"soon"})",
         "the answer's expires_in is no number of seconds", true},
        {200, R"({"access_token":"a","token_type":"Bearer","expires_in":-1})",
         "the answer's expires_in is no number of seconds", true},
        {400, R"({"error":"invalid_grant","error_description":"Invalid JWT"})", "invalid_grant",
         false},
        {401, R"({"error":"invalid_client"})", "invalid_client", false},
        {400, R"({"error":"invalid_scope"})", "invalid_scope", false},
        {400, R"({"error":"unauthorized_client"})", "unauthorized_client", false},
        {400, R"({"error":"internal_failure"})", "internal_failure", true},
        {400, R"({"error":"server_error"})", "server_error", true},
        {400, R"({"error":"temporarily_unavailable"})", "temporarily_unavailable", true},
        {400, "<html>", "HTTP 400", false},
        {404, "", "HTTP 404", false},
        {408, "", "HTTP 408", true},
        {429, "", "HTTP 429", true},
        {500, R"({"error":{"code":500}})", "HTTP 500", true},
        {503, "<html>", "HTTP 503", true},
        {504, "", "HTTP 504", true},
    }));
    CAPTURE(c.status, c.body);
    const FcmGrantFault fault = fault_of(c.status, c.body);
    CHECK(fault.reason == c.reason);
    CHECK(fault.transient == c.transient);
    CHECK_FALSE(fault.retry_after);
    const auto later = read(503, "", {{"Retry-After", "30"}});
    CHECK(std::get<FcmGrantFault>(later).retry_after == 30s);
}

TEST_CASE("fcm token: renewed ahead of its end, used until then", "[providers]") {
    Token t;
    CHECK(t.generation() == 0);
    t.fetch(3600s);
    CHECK(t.token.current()->authorization == "Bearer ya29.t");
    CHECK(t.token.next() == 3375s);
    t.clock.advance(3375s - 1ms);
    CHECK_FALSE(t.token.claim());
    t.clock.advance(1ms);
    CHECK(t.token.claim());
    CHECK(t.generation() == 1); // while the next is on its way
    t.token.granted({"ya29.u", 3600s});
    CHECK(t.generation() == 2);

    Token brief;
    brief.fetch(1s);
    CHECK(brief.token.next() == 750ms);
    brief.clock.advance(1s);
    CHECK(brief.generation() == 0);
}

TEST_CASE("fcm token: one fetch at a time", "[providers]") {
    Token t;
    std::atomic<int> claims = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i) threads.emplace_back([&] { claims += t.token.claim() ? 1 : 0; });
    for (std::thread& thread : threads) thread.join();
    CHECK(claims == 1);
    CHECK_FALSE(t.token.next());
}

TEST_CASE("fcm token: the old one serves while fetches fail", "[providers]") {
    Token t;
    t.fetch(3600s);
    t.clock.advance(3375s);
    std::chrono::milliseconds least = 1s;
    int fetches = 0;
    while (t.generation() == 1) {
        REQUIRE(t.token.claim());
        t.token.failed(busy);
        ++fetches;
        const auto wait = t.token.next().value();
        CHECK(wait >= least);
        CHECK(wait <= least + least / 5);
        CHECK_FALSE(t.token.claim());
        t.clock.advance(wait);
        least = std::min<std::chrono::milliseconds>(least * 2, 1min);
    }
    CHECK(fetches >= 6); // 1, 2, 4 … 60 s within 225 s
    CHECK(t.generation() == 0);
    t.fetch(3600s);
    CHECK(t.generation() == 2);
}

TEST_CASE("fcm token: what an operator must mend is tried seldom, and Retry-After counts",
          "[providers]") {
    Token t;
    REQUIRE(t.token.claim());
    t.token.failed(refused_account);
    CHECK(t.token.next().value() >= 1min);
    for (int i = 0; i < 10; ++i) {
        t.clock.advance(t.token.next().value());
        REQUIRE(t.token.claim());
        t.token.failed(refused_account);
    }
    CHECK(t.token.next().value() >= 15min);
    CHECK(t.token.next().value() <= 18min);

    Token asked;
    REQUIRE(asked.token.claim());
    asked.token.failed({"HTTP 429", true, 30s});
    CHECK(asked.token.next().value() >= 30s);
    CHECK(asked.token.next().value() <= 36s);
}

TEST_CASE("fcm token: 500 refusals of one token cause one fetch", "[providers]") {
    Token t;
    t.fetch(3600s);
    t.clock.advance(10min);
    for (int i = 0; i < 500; ++i) t.token.refused(1);
    CHECK(t.generation() == 0);
    t.fetch(3600s);
    for (int i = 0; i < 500; ++i) t.token.refused(1);
    CHECK(t.generation() == 2);
    CHECK_FALSE(t.token.claim());
}

TEST_CASE("fcm token: fresh tokens that are refused are no loop without a pause", "[providers]") {
    Token t;
    t.fetch(3600s);
    t.token.refused(1);
    t.fetch(3600s); // at once, the first time
    t.token.refused(2);
    CHECK_FALSE(t.token.claim());
    CHECK(t.token.next().value() >= 1s);
    t.clock.advance(t.token.next().value());
    t.fetch(3600s);
    t.token.refused(3);
    CHECK(t.token.next().value() >= 2s);
}

TEST_CASE("fcm token: the wall clock does not matter", "[providers]") {
    Token t;
    t.fetch(3600s);
    t.clock.set_wall(0);
    CHECK(t.generation() == 1);
    CHECK_FALSE(t.token.claim());
}
