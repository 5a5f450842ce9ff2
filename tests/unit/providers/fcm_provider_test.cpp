// The FCM provider, a server that answers as FCM does, and one that gives tokens away as Google's.

#include "provider_world.hpp"
#include "push_keys.hpp"

#include <fanfare/delivery/provider.hpp>

#include <catch2/catch.hpp>

#include <nghttp2/nghttp2.h>
#include <set>
#include <support/test_ca.hpp>

using namespace fanfare;
using namespace std::chrono_literals;
using delivery::PushVerdict;
using test::H2Server;
using test::H2ServerOptions;
using test::ProviderWorld;

namespace {

test::TestCa& ca() {
    static test::TestCa made;
    return made;
}

H2ServerOptions patient() {
    H2ServerOptions options;
    options.answer = false;
    return options;
}
H2ServerOptions patient_with_tls() {
    const auto files = ca().issue("127.0.0.1");
    H2ServerOptions options = patient();
    options.tls = true;
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    return options;
}

std::string service_account(const std::string& token_uri) {
    std::string key = test::rsa_pem();
    for (std::size_t at = 0; (at = key.find('\n', at)) != std::string::npos; at += 2)
        key.replace(at, 1, "\\n");
    return R"({"type":"service_account","project_id":"demo-1","client_email":"push@demo-1.test",)"
           R"("private_key":")" +
           key + R"(","token_uri":")" + token_uri + R"("})";
}

std::string grant(const char* token, int seconds = 3'600) {
    return std::string{R"({"access_token":")"} + token +
           R"(","token_type":"Bearer","expires_in":)" + std::to_string(seconds) + "}";
}

const std::string unauthenticated =
    R"({"error":{"code":401,"message":"m","status":"UNAUTHENTICATED"}})";
const std::string taken = R"({"name":"projects/demo-1/messages/0:15%abc"})";

struct FcmWorld : ProviderWorld {
    FcmWorld() {
        options.endpoint = "http://127.0.0.1:" + std::to_string(server.port());
        options.service_account =
            service_account("https://127.0.0.1:" + std::to_string(tokens.port()) + "/token");
        options.ca = ca().file();
        device.platform = delivery::Platform::android;
        device.token = "fcm-token";
        provider = providers::make_fcm(reactor, resolver, options);
        pass(100ms);
    }
    ~FcmWorld() { provider.reset(); }
    /// The next request for a token, which is number `count`, is answered.
    void give(std::size_t count, int status, const std::string& body) {
        REQUIRE(wait_requests(tokens, count));
        tokens.answer(tokens.requests()[count - 1], status, body);
    }
    /// No request is under way.
    [[nodiscard]] bool wait_quiet() {
        return wait([&] { return metrics.sum("h2_client_streams") == 0; });
    }
    /// There is a token, and a connection that has answered.
    void warm_up() {
        give(1, 200, grant("first"));
        REQUIRE(wait_room(true));
        send();
        REQUIRE(wait_requests(server, 1));
        server.answer(server.requests()[0], 200, taken);
        REQUIRE(wait_told(1));
    }
    H2Server server{patient()};
    H2Server tokens{patient_with_tls()};
    providers::FcmOptions options;
};

std::string authorization(const H2Server::Request& request) {
    return request.headers.at("authorization");
}

} // namespace

TEST_CASE("fcm provider: a token, then a push as Google wants them", "[providers][fcm]") {
    FcmWorld world;
    CHECK(world.provider->name() == "fcm");
    CHECK(world.provider->room() == 0); // no token
    REQUIRE(world.wait_requests(world.tokens, 1));
    const H2Server::Request asked = world.tokens.requests()[0];
    CHECK(asked.headers.at(":path") == "/token");
    CHECK(asked.headers.at("content-type") == "application/x-www-form-urlencoded");
    const std::size_t assertion = asked.body.find("&assertion=");
    REQUIRE(assertion != std::string::npos);
    const std::string claims =
        test::verified_claims(asked.body.substr(assertion + 11), test::rsa_pem());
    CHECK(claims.starts_with(R"({"iss":"push@demo-1.test")"));
    world.tokens.answer(asked, 200, grant("first"));
    REQUIRE(world.wait_room(true));

    world.send();
    REQUIRE(world.wait_requests(world.server, 1));
    const H2Server::Request got = world.server.requests()[0];
    CHECK(got.headers.at(":path") == "/v1/projects/demo-1/messages:send");
    CHECK(authorization(got) == "Bearer first");
    CHECK(got.body.find(R"("token":"fcm-token")") != std::string::npos);
    world.server.answer(got, 200, taken);
    REQUIRE(world.wait_told(1));
    CHECK(world.outcome(0).verdict == PushVerdict::done);
    CHECK(world.outcome(0).provider_id == "0:15%abc");
    CHECK(world.each_once());
}

TEST_CASE("fcm provider: an answer becomes an outcome", "[providers][fcm]") {
    FcmWorld world;
    world.warm_up();
    world.send_many(3);
    REQUIRE(world.wait_requests(world.server, 4));
    const auto requests = world.server.requests();
    world.server.answer(requests[1], 404,
                        R"({"error":{"code":404,"status":"NOT_FOUND","details":[{"@type":)"
                        R"("type.googleapis.com/google.firebase.fcm.v1.FcmError",)"
                        R"("errorCode":"UNREGISTERED"}]}})");
    world.server.answer(requests[2], 503, "", {{"retry-after", "30"}});
    world.server.answer(requests[3], 403, R"({"error":{"code":403,"status":"PERMISSION_DENIED"}})");
    REQUIRE(world.wait_told(4));
    CHECK(world.outcome(1).verdict == PushVerdict::drop_device);
    CHECK(world.outcome(2).verdict == PushVerdict::later);
    CHECK(world.outcome(2).retry_after == 30s);
    CHECK(world.outcome(3).verdict == PushVerdict::stop);
    CHECK(world.each_once());
}

TEST_CASE("fcm provider: many refused together lead to one new token", "[providers][fcm]") {
    FcmWorld world;
    world.warm_up();
    world.send_many(99);
    REQUIRE(world.wait_requests(world.server, 100));
    const auto requests = world.server.requests();
    for (std::size_t i = 1; i < 100; ++i) world.server.answer(requests[i], 401, unauthenticated);
    REQUIRE(world.wait_requests(world.tokens, 2));
    CHECK(world.provider->room() == 0);
    CHECK(world.told.size() == 1);
    world.server.set_answer(true);
    world.give(2, 200, grant("second"));
    REQUIRE(world.wait_told(100));
    CHECK(world.count(PushVerdict::done) == 100);
    CHECK(world.each_once());
    CHECK(world.tokens.request_count() == 2);
    const auto all = world.server.requests();
    CHECK(all.size() == 199); // each once more
    CHECK(std::all_of(all.begin() + 100, all.end(), [](const auto& request) {
        return authorization(request) == "Bearer second";
    }));
}

TEST_CASE("fcm provider: a fresh token that is refused stops the credential", "[providers][fcm]") {
    FcmWorld world;
    world.warm_up();
    world.send();
    REQUIRE(world.wait_requests(world.server, 2));
    world.server.answer(world.server.requests()[1], 401, unauthenticated);
    world.give(2, 200, grant("second"));
    REQUIRE(world.wait_requests(world.server, 3));
    world.server.answer(world.server.requests()[2], 401, unauthenticated);
    REQUIRE(world.wait_told(2));
    CHECK(world.outcome(1).verdict == PushVerdict::stop);
    CHECK(world.each_once());
}

TEST_CASE("fcm provider: the token's server fails, and recovers", "[providers][fcm]") {
    FcmWorld world;
    world.send_many(3); // they wait for the token
    std::size_t failures = 1;
    SECTION("with answers") {
        world.give(1, 503, "");
        for (std::size_t asked = 1; asked < 3; ++asked) {
            REQUIRE(world.wait_quiet());
            world.pass(3s);
            world.give(asked + 1, 500, "");
        }
        REQUIRE(world.wait_quiet());
        world.pass(5s);
        failures = 3;
    }
    SECTION("and is gone for a while") {
        REQUIRE(world.wait_requests(world.tokens, 1));
        world.tokens.close(0);
        REQUIRE(world.wait_quiet());
        world.pass(3s);
    }
    CHECK(world.told.empty());
    CHECK(world.provider->room() == 0);
    world.server.set_answer(true);
    world.give(failures + 1, 200, grant("good"));
    REQUIRE(world.wait_told(3));
    CHECK(world.count(PushVerdict::done) == 3);
    CHECK(world.provider->room() != 0);
    CHECK(world.each_once());
}

TEST_CASE("fcm provider: without a token pushes are given back in time", "[providers][fcm]") {
    FcmWorld world;
    world.send_many(2);
    world.give(1, 400, R"({"error":"invalid_grant"})"); // an operator must look
    REQUIRE(world.wait_quiet());
    world.pass(16s);
    REQUIRE(world.told.size() == 2);
    CHECK(world.count(PushVerdict::later) == 2);
    CHECK(world.outcome(0).not_attempted);
    CHECK(world.outcome(0).reason == "not sent in time");
    CHECK(world.tokens.request_count() == 1); // not again within a minute
}

TEST_CASE("fcm provider: a token is renewed before its end", "[providers][fcm]") {
    FcmWorld world;
    world.warm_up();
    world.jump(56min + 30s);
    world.give(2, 200, grant("second"));
    world.server.set_answer(true);
    REQUIRE(world.wait([&] {
        world.send();
        if (!world.wait_told(world.sent)) return true;
        return authorization(world.server.requests().back()) == "Bearer second";
    }));
    CHECK(world.tokens.request_count() == 2);
}

TEST_CASE("fcm provider: a GOAWAY in mid-flight, and nobody there", "[providers][fcm]") {
    FcmWorld world;
    world.warm_up();
    world.send_many(4); // streams 3 to 9
    REQUIRE(world.wait_requests(world.server, 5));
    world.server.goaway(0, 5, NGHTTP2_NO_ERROR, "");
    const auto requests = world.server.requests();
    world.server.answer(requests[1], 200, taken);
    world.server.answer(requests[2], 200, taken);
    REQUIRE(world.wait_told(5));
    CHECK(world.count(PushVerdict::done) == 3);
    CHECK(world.outcome(3).not_attempted);
    CHECK(world.outcome(4).not_attempted);
    world.server.stop_listening();
    world.send();
    REQUIRE(world.wait_told(6));
    CHECK(world.outcome(5).verdict == PushVerdict::later);
    CHECK(world.outcome(5).not_attempted);
    CHECK(world.provider->room() == 0);
    CHECK(world.each_once());
}

TEST_CASE("fcm provider: room follows what Google allows", "[providers][fcm]") {
    FcmWorld world;
    world.warm_up();
    CHECK(world.provider->room() == 100);
    world.server.settings(0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
    REQUIRE(world.wait_room(false));
    world.server.settings(0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 5);
    REQUIRE(world.wait_room(true));
    CHECK(world.provider->room() == 5);
}

TEST_CASE("fcm provider: options that cannot be", "[providers][fcm]") {
    FcmWorld world;
    providers::FcmOptions options = world.options;
    const auto refused = [&] {
        return test::thrown_by(
            [&] { (void)providers::make_fcm(world.reactor, world.resolver, options); });
    };
    options.endpoint = "https://user@fcm.googleapis.com";
    CHECK(refused() == "endpoint has user information");
    options = world.options;
    options.service_account = "{}";
    CHECK(refused().starts_with("service_account: "));
    options.service_account = service_account("https://host:99999/token");
    CHECK(refused() == "service_account: `token_uri` has no valid port");
    options = world.options;
    options.ca = "/nowhere.pem";
    CHECK(refused().starts_with("/nowhere.pem: "));
}
