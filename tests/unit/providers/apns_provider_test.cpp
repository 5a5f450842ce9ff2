// The APNs provider and a server that answers as Apple does.

#include "provider_world.hpp"
#include "push_keys.hpp"

#include <fanfare/delivery/provider.hpp>

#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
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

const std::string& key_pem() {
    static const std::string pem = test::ec_key_pem();
    return pem;
}

H2ServerOptions patient(std::uint32_t streams_max = 100) {
    H2ServerOptions options;
    options.answer = false;
    options.streams_max = streams_max;
    return options;
}

std::string at(const H2Server& server) {
    return "http://127.0.0.1:" + std::to_string(server.port());
}

struct ApnsWorld : ProviderWorld {
    providers::ApnsTokens tokens;
    explicit ApnsWorld(const std::string& endpoint) {
        options.endpoint = endpoint;
        options.key = key_pem();
        options.key_id = "ABC123DEFG";
        options.team_id = "DEF123GHIJ";
        options.topic = "com.example.app";
        device.token = std::string(64, 'a');
        provider = providers::make_apns(reactor, resolver, tokens, options);
    }
    /// A connection that has had a good answer, and a server that keeps what follows.
    void warm_up(H2Server& server) {
        server.set_answer(true);
        send();
        REQUIRE(wait_told(1));
        REQUIRE(outcome(0).verdict == PushVerdict::done);
        server.set_answer(false);
    }
    providers::ApnsOptions options;
};

std::string reason(const char* word) {
    return std::string{R"({"reason":")"} + word + R"("})";
}

std::string authorization(const H2Server::Request& request) {
    return request.headers.at("authorization");
}

std::string text_of(const std::string& file) {
    std::ifstream in{file};
    return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

TEST_CASE("apns provider: a push as Apple wants it", "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    CHECK(world.provider->name() == "apns");
    CHECK(world.provider->room() == 1); // until Apple has seen the token
    world.send();
    REQUIRE(world.wait_requests(server, 1));
    const H2Server::Request got = server.requests()[0];
    CHECK(got.headers.at(":method") == "POST");
    CHECK(got.headers.at(":path") == "/3/device/" + std::string(64, 'a'));
    CHECK(got.headers.at("apns-topic") == "com.example.app");
    CHECK(got.headers.at("apns-push-type") == "alert");
    CHECK(got.headers.at("apns-id") == "01234567-89ab-cdef-fedc-ba9876543210");
    CHECK(got.body.find(R"("title":"Hello")") != std::string::npos);
    REQUIRE(authorization(got).starts_with("bearer "));
    const std::string claims = test::verified_claims(authorization(got).substr(7), key_pem());
    CHECK(claims.starts_with(R"({"iss":"DEF123GHIJ")"));
    CHECK(world.told.empty());
    server.answer(got, 200, "", {{"apns-id", "01234567-89AB-CDEF-FEDC-BA9876543210"}});
    REQUIRE(world.wait_told(1));
    CHECK(world.outcome(0).verdict == PushVerdict::done);
    CHECK(world.outcome(0).provider_id == "01234567-89ab-cdef-fedc-ba9876543210");
    CHECK(world.provider->room() == 100);
    CHECK(world.each_once());
}

TEST_CASE("apns provider: an answer becomes an outcome", "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.warm_up(server);
    world.send_many(3);
    REQUIRE(world.wait_requests(server, 4));
    server.answer(server.requests()[1], 410,
                  R"({"reason":"Unregistered","timestamp":1700000000000})");
    server.answer(server.requests()[2], 400, reason("BadCollapseId"));
    server.answer(server.requests()[3], 503, reason("ServiceUnavailable"), {{"retry-after", "7"}});
    REQUIRE(world.wait_told(4));
    CHECK(world.outcome(1).verdict == PushVerdict::drop_device);
    CHECK(world.outcome(1).dead_since == 1'700'000'000'000);
    CHECK(world.outcome(2).verdict == PushVerdict::fix);
    CHECK(world.outcome(2).reason == "BadCollapseId");
    CHECK(world.outcome(3).verdict == PushVerdict::later);
    CHECK(world.outcome(3).retry_after == 7s);
    CHECK_FALSE(world.outcome(3).not_attempted);
    CHECK(world.each_once());
}

TEST_CASE("apns provider: 50 pushes with an expired token lead to one new token",
          "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.warm_up(server);
    world.jump(21min); // Apple takes a new one now
    world.send_many(50);
    REQUIRE(world.wait_requests(server, 51));
    auto requests = server.requests();
    for (std::size_t i = 1; i < 51; ++i)
        server.answer(requests[i], 403, reason("ExpiredProviderToken"));
    // On a new connection one goes first, the rest when its token was taken.
    REQUIRE(world.wait_requests(server, 52));
    requests = server.requests();
    CHECK(requests[51].connection == 1);
    server.set_answer(true);
    server.answer(requests[51], 200);
    REQUIRE(world.wait_told(51));
    CHECK(world.count(PushVerdict::done) == 51);
    CHECK(world.each_once());
    CHECK(server.request_count() == 101); // each once more
    CHECK(server.accepted() == 2);
    std::set<std::string> tokens;
    requests = server.requests();
    for (std::size_t i = 51; i < requests.size(); ++i) {
        tokens.insert(authorization(requests[i]));
        CHECK(requests[i].connection == 1);
    }
    CHECK(tokens.size() == 1);
    CHECK_FALSE(tokens.contains(authorization(requests[0])));
}

TEST_CASE("apns provider: a token that may not be renewed yet pauses the credential",
          "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.warm_up(server);
    world.jump(5min);
    world.send();
    REQUIRE(world.wait_requests(server, 2));
    server.answer(server.requests()[1], 403, reason("ExpiredProviderToken"));
    REQUIRE(world.wait_told(2));
    CHECK(world.outcome(1).verdict == PushVerdict::pause);
    CHECK(world.outcome(1).retry_after == 15min);
    CHECK(server.request_count() == 2);
}

TEST_CASE("apns provider: a token that stays refused stops the credential", "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.warm_up(server);
    world.jump(21min);
    world.send();
    REQUIRE(world.wait_requests(server, 2));
    server.answer(server.requests()[1], 403, reason("InvalidProviderToken"));
    REQUIRE(world.wait_requests(server, 3));
    CHECK(server.requests()[2].connection == 1);
    server.answer(server.requests()[2], 403, reason("InvalidProviderToken"));
    REQUIRE(world.wait_told(2));
    CHECK(world.outcome(1).verdict == PushVerdict::stop);
    CHECK(world.outcome(1).reason == "InvalidProviderToken");
    CHECK(server.request_count() == 3);
}

TEST_CASE("apns provider: a GOAWAY in mid-flight", "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.warm_up(server);
    world.send_many(10); // streams 3 to 21
    REQUIRE(world.wait_requests(server, 11));
    const auto requests = server.requests();
    SECTION("what was not processed comes again, the rest is answered") {
        server.goaway(0, 7, NGHTTP2_NO_ERROR, reason("Shutdown"));
        for (std::size_t i = 1; i < 4; ++i) server.answer(requests[i], 200);
        REQUIRE(world.wait_told(11));
        CHECK(world.count(PushVerdict::done) == 4);
        CHECK(world.count(PushVerdict::later) == 7);
        for (std::size_t i = 4; i < 11; ++i) CHECK(world.outcome(i).not_attempted);
    }
    SECTION("one that refuses the credential") {
        server.goaway(0, 1, NGHTTP2_NO_ERROR, reason("BadCertificateEnvironment"));
        REQUIRE(world.wait_told(11));
        CHECK(world.count(PushVerdict::stop) == 10);
        CHECK(world.outcome(5).reason == "BadCertificateEnvironment");
        server.set_answer(true);
        world.send(); // it may be mended
        REQUIRE(world.wait_told(12));
        CHECK(world.outcome(11).verdict == PushVerdict::done);
    }
    SECTION("a connection that breaks may have delivered") {
        server.close(0);
        REQUIRE(world.wait_told(11));
        CHECK(world.count(PushVerdict::later) == 10);
        CHECK_FALSE(world.outcome(1).not_attempted);
        CHECK(world.outcome(1).status == 0);
        CHECK(world.outcome(1).reason == "connection closed by the peer");
    }
    CHECK(world.each_once());
}

TEST_CASE("apns provider: an unreachable service was not asked", "[providers][apns]") {
    H2Server server;
    server.stop_listening();
    ApnsWorld world{at(server)};
    world.send();
    REQUIRE(world.wait_told(1));
    CHECK(world.outcome(0).verdict == PushVerdict::later);
    CHECK(world.outcome(0).not_attempted);
    CHECK(world.outcome(0).reason == "not connected: Connection refused");
    CHECK(world.provider->room() == 0);
    world.pass(2s);
    CHECK(world.provider->room() != 0);
}

TEST_CASE("apns provider: what finds no room waits, up to a bound and a time",
          "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.send_many(1 + 64 + 1);
    CHECK(world.provider->room() == 0);
    REQUIRE(world.told.size() == 1);
    CHECK(world.outcome(65).not_attempted);
    CHECK(world.outcome(65).reason == "too many wait already");
    REQUIRE(world.wait_requests(server, 1));
    SECTION("all go when the first was answered") {
        server.set_answer(true);
        server.answer(server.requests()[0], 200);
        REQUIRE(world.wait_told(66));
        CHECK(world.count(PushVerdict::done) == 65);
    }
    SECTION("no answer in time") {
        world.jump(16s);
        REQUIRE(world.wait_told(66));
        CHECK(world.count(PushVerdict::later) == 66);
        CHECK_FALSE(world.outcome(0).not_attempted);
        CHECK(world.outcome(1).not_attempted);
    }
    CHECK(world.each_once());
}

TEST_CASE("apns provider: room follows what Apple allows", "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.warm_up(server);
    CHECK(world.provider->room() == 100);
    world.send_many(10);
    CHECK(world.provider->room() == 90);
    REQUIRE(world.wait_requests(server, 11));
    server.settings(0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
    REQUIRE(world.wait_room(false));
    world.send(); // waits
    for (int i = 0; i < 20; ++i) world.reactor.run_turn();
    CHECK(server.request_count() == 11);
    server.settings(0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 20);
    REQUIRE(world.wait_requests(server, 12));
    CHECK(world.provider->room() == 9);
    server.answer_all(200);
    REQUIRE(world.wait_told(12));
    CHECK(world.each_once());
}

TEST_CASE("apns provider: tokens of the other environment do not wipe the devices",
          "[providers][apns]") {
    H2Server server{patient()};
    ApnsWorld world{at(server)};
    world.warm_up(server);
    world.send_many(50);
    REQUIRE(world.wait_requests(server, 51));
    const auto requests = server.requests();
    for (std::size_t i = 1; i < 51; ++i) server.answer(requests[i], 400, reason("BadDeviceToken"));
    REQUIRE(world.wait_told(51));
    CHECK(world.count(PushVerdict::drop_device) == 20);
    CHECK(world.count(PushVerdict::stop) == 30);
}

TEST_CASE("apns provider: a client certificate takes the token's place", "[providers][apns]") {
    test::TestCa ca;
    const auto of_server = ca.issue("127.0.0.1");
    const auto of_client = ca.issue("com.example.app");
    H2ServerOptions how;
    how.tls = true;
    how.certificate_file = of_server.certificate;
    how.key_file = of_server.key;
    how.client_ca_file = ca.file();
    H2Server server{how};
    ProviderWorld world;
    providers::ApnsOptions options;
    options.endpoint = "https://127.0.0.1:" + std::to_string(server.port());
    options.topic = "com.example.app";
    options.certificate = text_of(of_client.certificate);
    options.certificate_key = text_of(of_client.key);
    options.ca = ca.file();
    world.device.token = "ab";
    providers::ApnsTokens tokens;
    world.provider = providers::make_apns(world.reactor, world.resolver, tokens, options);
    world.send();
    REQUIRE(world.wait_told(1));
    CHECK(world.outcome(0).verdict == PushVerdict::done);
    CHECK(server.client_subject().find("com.example.app") != std::string::npos);
    CHECK_FALSE(server.requests()[0].headers.contains("authorization"));
}

TEST_CASE("apns provider: apps of one team and key have one token", "[providers][apns]") {
    H2Server server{H2ServerOptions{}};
    ApnsWorld world{at(server)};
    world.send();
    REQUIRE(world.wait_told(1));
    const auto first = std::move(world.provider);
    world.options.app = "shop";
    world.options.topic = "com.example.shop";
    world.jump(2s); // another token would have another time in it
    const auto send = [&] {
        world.provider =
            providers::make_apns(world.reactor, world.resolver, world.tokens, world.options);
        CHECK(world.provider->name() == "apns");
        CHECK(world.provider->app() == "shop");
        world.send();
        REQUIRE(world.wait_told(world.sent));
    };
    send();
    world.options.key_id = "ABC123DEFH";
    send();
    const auto requests = server.requests();
    REQUIRE(requests.size() == 3);
    CHECK(requests[0].headers.at("authorization") == requests[1].headers.at("authorization"));
    CHECK(requests[0].headers.at("authorization") != requests[2].headers.at("authorization"));
    CHECK(requests[1].headers.at("apns-topic") == "com.example.shop");
    CHECK(world.metrics.text().find(R"(pool="apns:shop")") != std::string::npos);
}

TEST_CASE("apns provider: options that cannot be", "[providers][apns]") {
    ApnsWorld world{"http://127.0.0.1:1"};
    providers::ApnsOptions options = world.options;
    const auto refused = [&] {
        return test::thrown_by([&] {
            (void)providers::make_apns(world.reactor, world.resolver, world.tokens, options);
        });
    };
    SECTION("endpoint") {
        options.endpoint = "api.push.apple.com";
        CHECK(refused() == "endpoint is not an https URL");
        options.endpoint = "https://api.push.apple.com/3";
        CHECK(refused() == "endpoint must have no path");
    }
    SECTION("key") {
        options.key = "no key";
        CHECK(refused().starts_with("key"));
        options.key = key_pem();
        options.key_id = "short";
        CHECK(refused().starts_with("key_id"));
    }
    SECTION("topic") {
        options.topic = "";
        CHECK(refused() == "topic must be the app's bundle id");
    }
    SECTION("certificate") {
        options.certificate = "no certificate";
        CHECK(refused().starts_with("endpoint must be https"));
        options.endpoint = "https://127.0.0.1:1";
        CHECK(refused().starts_with("certificate: no certificate can be read from it"));
        test::TestCa ca;
        options.certificate = text_of(ca.issue("app").certificate);
        options.certificate_key = test::ec_key_pem();
        CHECK(refused().starts_with("certificate_key: no key for the certificate can be read"));
    }
}
