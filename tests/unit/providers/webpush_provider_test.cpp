// The Web Push provider and servers that answer as browsers' push services do.

#include "provider_world.hpp"
#include "push_keys.hpp"
#include "webpush_keys.hpp"

#include <fanfare/base/bytes.hpp>
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
    static const auto files = ca().issue("127.0.0.1");
    H2ServerOptions options;
    options.answer = false;
    options.tls = true;
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    return options;
}

struct WebPushWorld : ProviderWorld {
    explicit WebPushWorld(bool allow_private = true) {
        options.subject = "mailto:ops@example.com";
        options.private_key = test::ec_key_pem();
        options.ca = ca().file();
        options.allow_private = allow_private;
        device.platform = delivery::Platform::web;
        // RFC 8291, appendix A.
        const auto keys = providers::read_webpush_keys(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAi"
            "w4",
            "BTBZMqHH6r4Tts7J_aSIgg");
        device.p256dh = std::get<providers::WebPushKeys>(keys).p256dh;
        device.auth = std::get<providers::WebPushKeys>(keys).auth;
        provider = providers::make_webpush(reactor, resolver, options);
    }
    void subscribe_at(const std::string& origin) { device.token = origin + "/push/secret?a=b"; }
    void subscribe_at(const H2Server& server) { subscribe_at(origin_of(server)); }
    static std::string origin_of(const H2Server& server) {
        return "https://127.0.0.1:" + std::to_string(server.port());
    }
    /// The answer to the next push.
    const delivery::PushOutcome&
    answered(H2Server& server, int status, const std::string& body,
             std::vector<std::pair<std::string, std::string>> headers = {}) {
        const std::size_t number = sent;
        send();
        REQUIRE(wait_requests(server, server_requests_ + 1));
        server.answer(server.requests()[server_requests_++], status, body, std::move(headers));
        REQUIRE(wait([&] { return told.contains(number); }));
        return outcome(number);
    }
    providers::WebPushOptions options;

  private:
    std::size_t server_requests_ = 0;
};

} // namespace

TEST_CASE("webpush provider: a push as the services want it", "[providers][webpush]") {
    H2Server server{patient()};
    WebPushWorld world;
    world.subscribe_at(server);
    CHECK(world.provider->name() == "webpush");
    CHECK(world.provider->room() == 1'000);
    world.send();
    CHECK(world.provider->room() == 999);
    REQUIRE(world.wait_requests(server, 1));
    const H2Server::Request got = server.requests()[0];
    CHECK(got.headers.at(":method") == "POST");
    CHECK(got.headers.at(":path") == "/push/secret?a=b");
    CHECK(got.headers.at("content-encoding") == "aes128gcm");
    CHECK(got.headers.at("ttl") == "60");
    CHECK(got.headers.at("urgency") == "normal");
    CHECK(got.body.size() > 86);
    CHECK(got.body.find("Hello") == std::string::npos); // sealed
    const std::string authorization = got.headers.at("authorization");
    REQUIRE(authorization.starts_with("vapid t="));
    const std::size_t end = authorization.find(", k=");
    REQUIRE(end != std::string::npos);
    const auto point = from_base64url(authorization.substr(end + 4));
    REQUIRE(point);
    const std::string claims = test::verified_by_point(authorization.substr(8, end - 8), *point);
    CHECK(claims.starts_with(R"({"aud":")" + WebPushWorld::origin_of(server) + R"(",)"));
    server.answer(got, 201, "");
    REQUIRE(world.wait_told(1));
    CHECK(world.outcome(0).verdict == PushVerdict::done);
    CHECK(world.provider->room() == 1'000);
    CHECK(world.each_once());
}

TEST_CASE("webpush provider: an answer becomes an outcome", "[providers][webpush]") {
    H2Server server{patient()};
    WebPushWorld world;
    world.subscribe_at(server);
    CHECK(world.answered(server, 410, "").verdict == PushVerdict::drop_device);
    CHECK(world.answered(server, 404, "").verdict == PushVerdict::drop_device);
    CHECK(world.answered(server, 413, "").verdict == PushVerdict::fix);
    const auto& limited = world.answered(server, 429, "", {{"retry-after", "90"}});
    CHECK(limited.verdict == PushVerdict::later);
    CHECK(limited.retry_after == 90s);
    CHECK(world.answered(server, 503, "").verdict == PushVerdict::later);
    CHECK(world.answered(server, 201, "").verdict == PushVerdict::done);
    CHECK(server.accepted() == 1);
    CHECK(world.each_once());
}

TEST_CASE("webpush provider: an origin that refuses our key is left alone for a while",
          "[providers][webpush]") {
    H2Server refusing{patient()};
    H2Server other{patient()};
    WebPushWorld world;
    world.subscribe_at(refusing);
    const auto& outcome = world.answered(refusing, 403, R"({"reason":"BadJwtToken"})");
    CHECK(outcome.verdict == PushVerdict::fix); // the device stays
    world.send();
    REQUIRE(world.told.size() == 2); // at once
    CHECK(world.outcome(1).verdict == PushVerdict::later);
    CHECK(world.outcome(1).not_attempted);
    CHECK(world.outcome(1).reason == "the push service is paused");
    CHECK(world.outcome(1).retry_after == 5min);
    CHECK(refusing.request_count() == 1);
    // Others go on.
    other.set_answer(true);
    world.subscribe_at(other);
    world.send();
    REQUIRE(world.wait_told(3));
    CHECK(world.outcome(2).verdict == PushVerdict::done);
    // It is over.
    world.jump(5min);
    refusing.set_answer(true);
    world.subscribe_at(refusing);
    world.send();
    REQUIRE(world.wait_told(4));
    CHECK(world.outcome(3).verdict == PushVerdict::done);
}

TEST_CASE("webpush provider: a subscription that can never work is dropped",
          "[providers][webpush]") {
    WebPushWorld world;
    SECTION("endpoint") {
        world.subscribe_at("http://127.0.0.1");
        world.send();
        CHECK(world.outcome(0).reason == "the endpoint is not an https URL");
    }
    SECTION("key") {
        world.subscribe_at("https://127.0.0.1");
        world.device.p256dh[40] = static_cast<char>(world.device.p256dh[40] ^ 1);
        world.send();
        CHECK(world.outcome(0).reason == "the subscription's key is not a point on P-256");
    }
    SECTION("secret") {
        world.subscribe_at("https://127.0.0.1");
        world.device.auth = "short";
        world.send();
        CHECK(world.outcome(0).reason == "the subscription's secret is not 16 bytes");
    }
    CHECK(world.outcome(0).verdict == PushVerdict::drop_device);
    CHECK(world.outcome(0).not_attempted);
    CHECK(world.each_once());
    CHECK(world.provider->room() == 1'000);
}

TEST_CASE("webpush provider: endpoints lead to the public Internet only", "[providers][webpush]") {
    H2Server server{patient()};
    const std::string port = ":" + std::to_string(server.port());
    const std::string host =
        GENERATE("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "10.1.2.3",
                 "169.254.169.254", "192.168.0.1", "172.16.0.1", "224.0.0.1", "[fe80::1]",
                 "[fc00::1]", "[::]", "[ff02::1]", "2130706433", "0x7f.1");
    CAPTURE(host);
    WebPushWorld world{false};
    world.subscribe_at("https://" + host + port);
    world.send();
    REQUIRE(world.wait_told(1));
    CHECK(world.outcome(0).verdict == PushVerdict::fix);
    CHECK(world.outcome(0).reason == "the address is not allowed");
    CHECK(world.outcome(0).not_attempted);
    CHECK(server.accepted() == 0);
}

TEST_CASE("webpush provider: a proxy is not asked for a private address", "[providers][webpush]") {
    H2Server proxy{H2ServerOptions{}};
    const std::string host = GENERATE("127.0.0.1", "[::1]", "10.1.2.3", "2130706433", "0x7f.1");
    CAPTURE(host);
    WebPushWorld world{false};
    world.options.proxy.host = "127.0.0.1";
    world.options.proxy.port = proxy.port();
    world.provider = providers::make_webpush(world.reactor, world.resolver, world.options);
    world.subscribe_at("https://" + host);
    world.send();
    REQUIRE(world.told.size() == 1);
    CHECK(world.outcome(0).verdict == PushVerdict::fix);
    CHECK(world.outcome(0).reason == "the address is not allowed");
    CHECK(world.provider->room() == 1'000);
    // Names are the proxy's matter.
    world.subscribe_at("https://push.example.com");
    world.send();
    CHECK(world.told.size() == 1);
}

TEST_CASE("webpush provider: the table of origins is bounded", "[providers][webpush]") {
    H2Server server{patient()};
    server.set_answer(true);
    WebPushWorld world;
    world.subscribe_at(server);
    world.send();
    REQUIRE(world.wait_told(1));
    const auto closed = [&](int number) { // ports where nobody is
        world.subscribe_at("https://127.0.0.1:" + std::to_string(number));
        world.send();
    };
    SECTION("who was not used for longest goes first") {
        for (int i = 1; i <= 63; ++i) closed(i);
        REQUIRE(world.wait_told(64));
        world.subscribe_at(server);
        world.send();
        REQUIRE(world.wait_told(65));
        CHECK(server.accepted() == 1);
        for (int i = 64; i < 64 + 63; ++i) closed(i);
        REQUIRE(world.wait_told(65 + 63));
        CHECK(server.open() == 1); // the newest but 63
        closed(200);
        REQUIRE(world.wait_told(65 + 64));
        REQUIRE(world.wait([&] { return server.open() == 0; }));
    }
    SECTION("none goes that is in use") {
        for (int i = 1; i <= 64; ++i) closed(i); // the first place is that of the server
        CHECK(world.told.size() == 1);
        closed(65);
        REQUIRE(world.told.size() == 2);
        CHECK(world.outcome(65).not_attempted);
        CHECK(world.outcome(65).reason == "too many push services are in use");
        REQUIRE(world.wait_told(66));
        CHECK(world.provider->room() == 1'000);
    }
    CHECK(world.each_once());
}

TEST_CASE("webpush provider: an origin that is down does not take the places of others",
          "[providers][webpush]") {
    H2Server down{patient()};
    down.stop_listening();
    WebPushWorld world;
    world.subscribe_at(down);
    world.send_many(200);
    CHECK(world.told.size() == 200 - 64);
    CHECK(world.outcome(199).reason == "no connection to the push service");
    CHECK(world.provider->room() == 1'000 - 64);
    REQUIRE(world.wait_told(200));
    CHECK(world.count(PushVerdict::later) == 200);
    CHECK(std::all_of(world.told.begin(), world.told.end(),
                      [](const auto& one) { return one.second.outcome.not_attempted; }));
    CHECK(world.each_once());
}

TEST_CASE("webpush provider: a GOAWAY in mid-flight", "[providers][webpush]") {
    H2Server server{patient()};
    WebPushWorld world;
    world.subscribe_at(server);
    REQUIRE(world.answered(server, 201, "").verdict == PushVerdict::done);
    world.send_many(4); // streams 3 to 9
    REQUIRE(world.wait_requests(server, 5));
    server.goaway(0, 3, NGHTTP2_NO_ERROR, "");
    server.answer(server.requests()[1], 201);
    REQUIRE(world.wait_told(5));
    CHECK(world.count(PushVerdict::done) == 2);
    CHECK(world.outcome(2).not_attempted);
    CHECK(world.each_once());
}

TEST_CASE("webpush provider: what a service allows no stream for waits", "[providers][webpush]") {
    H2ServerOptions how = patient();
    how.streams_max = 0;
    how.answer = true;
    H2Server server{how};
    WebPushWorld world;
    world.subscribe_at(server);
    world.send();
    REQUIRE(world.wait([&] { return world.metrics.sum("h2_client_connections") == 1; }));
    world.send_many(299); // more than would wait without a connection
    CHECK(world.told.empty());
    CHECK(world.provider->room() == 700);
    server.settings(0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100);
    REQUIRE(world.wait_told(300));
    CHECK(world.count(PushVerdict::done) == 300);
    CHECK(world.provider->room() == 1'000);
    CHECK(world.each_once());
}

TEST_CASE("webpush provider: options that cannot be", "[providers][webpush]") {
    WebPushWorld world;
    providers::WebPushOptions options = world.options;
    const auto refused = [&] {
        return test::thrown_by(
            [&] { (void)providers::make_webpush(world.reactor, world.resolver, options); });
    };
    options.private_key = "no key";
    CHECK(refused().starts_with("private_key"));
    options = world.options;
    options.subject = "ops@example.com";
    CHECK(refused().starts_with("subject must be"));
    options = world.options;
    options.ca = "/nowhere.pem";
    CHECK(refused().starts_with("/nowhere.pem: "));
}
