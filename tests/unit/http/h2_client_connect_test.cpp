// How the HTTP/2 client gets and keeps its connections: names, addresses, proxies, TLS, the size of
// the pool, and what it does when there is none to be had.

#include <fanfare/http/h2_client.hpp>
#include <fanfare/net/address.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <nghttp2/nghttp2.h>
#include <string>
#include <support/connect_proxy.hpp>
#include <support/h2_server.hpp>
#include <support/h2_world.hpp>
#include <support/test_ca.hpp>

using namespace fanfare;
using namespace std::chrono_literals;
using test::ConnectProxy;
using test::H2Server;
using test::H2ServerOptions;
using test::H2World;
using test::TestCa;
using Kind = http::H2Answer::Kind;

namespace {

H2ServerOptions secured(const test::CertificateFiles& files) {
    H2ServerOptions options;
    options.tls = true;
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    return options;
}

http::H2Options towards(const H2Server& server, const TestCa& ca) {
    http::H2Options options = H2World::plain(server.port());
    options.host = "localhost";
    options.tls = true;
    options.ca_file = ca.file();
    return options;
}

/// The first request of a world; what became of it.
H2World::Result first_result(H2World& world) {
    REQUIRE(world.send());
    REQUIRE(world.wait_answers(1));
    CHECK(world.each_once());
    return world.results[0];
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

/// Milliseconds until there is room again, by the world's clock.
int until_room(H2World& world) {
    int waited = 0;
    while (world.pool->room() == 0 && waited < 1'000'000) {
        world.clock.advance(5ms);
        world.turn();
        waited += 5;
    }
    return waited;
}

} // namespace

TEST_CASE("h2 connect: nobody listens", "[http][h2_client]") {
    H2Server server;
    server.stop_listening();
    H2World world{H2World::plain(server.port())};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::unreachable);
    CHECK(result.reason == "not connected: Connection refused");
    CHECK(world.pool->room() == 0);
    CHECK(contains(world.metrics.text(), R"(outcome="tcp")"));
}

TEST_CASE("h2 connect: a name is looked up, one that does not exist said so", "[http][h2_client]") {
    H2Server server;
    http::H2Options options = H2World::plain(server.port());
    SECTION("localhost") {
        options.host = "localhost"; // ::1 may come first, where nobody listens
        H2World world{options};
        CHECK(first_result(world).kind == Kind::response);
        CHECK(server.requests()[0].headers.at(":authority") ==
              "localhost:" + std::to_string(server.port()));
    }
    SECTION("no such name") {
        options.host = "no-such-host.invalid";
        H2World world{options};
        const auto result = first_result(world);
        CHECK(result.kind == Kind::unreachable);
        CHECK(contains(result.reason, "name not resolved: "));
    }
}

TEST_CASE("h2 connect: failures back off, longer each time, up to the cap", "[http][h2_client]") {
    H2Server server;
    server.stop_listening();
    http::H2Options options = H2World::plain(server.port());
    options.backoff_start = 1s;
    options.backoff_max = 8s;
    H2World world{options};
    for (const int whole : {1'000, 2'000, 4'000, 8'000, 8'000, 8'000}) {
        const std::size_t before = world.results.size();
        REQUIRE(world.send());
        REQUIRE(world.wait_answers(before + 1));
        CHECK_FALSE(world.send());
        const int rooms = world.rooms;
        const int waited = until_room(world);
        CAPTURE(whole, waited);
        CHECK(waited >= whole / 2);
        CHECK(waited <= whole + 50);
        world.pass(50ms);                // the wheel turns in steps
        CHECK(world.rooms == rooms + 1); // the owner heard of it
    }
    CHECK(world.count(Kind::unreachable) == 6);
}

TEST_CASE("h2 connect: a server that lets us in and throws us out is backed off from",
          "[http][h2_client]") {
    H2Server server;
    H2World world{H2World::plain(server.port())};
    server.set_answer(false);
    REQUIRE(world.send());
    REQUIRE(world.wait([&] { return server.request_count() == 1; }));
    server.goaway(0, 0, NGHTTP2_NO_ERROR, R"({"reason":"BadCertificateEnvironment"})");
    REQUIRE(world.wait_answers(1));
    CHECK(world.results[0].kind == Kind::refused);
    REQUIRE(world.wait([&] { return world.pool->connections() == 0; }));
    CHECK(world.pool->room() == 0);
    REQUIRE(world.goaways.size() == 1);
    server.set_answer(true);
    CHECK(until_room(world) >= 500);
    REQUIRE(world.send());
    REQUIRE(world.wait_answers(2));
    CHECK(world.results[1].kind == Kind::response);
    CHECK(world.pool->room() == 100);
}

TEST_CASE("h2 connect: an end before the peer's SETTINGS means never sent", "[http][h2_client]") {
    H2ServerOptions how;
    how.drop_first = true;
    H2Server server{how};
    H2World world{H2World::plain(server.port())};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::unreachable);
    CHECK(contains(result.reason, "before its SETTINGS"));
    CHECK(contains(world.metrics.text(), R"(outcome="http2")"));
}

TEST_CASE("h2 connect: a peer that says nothing takes the connect timeout", "[http][h2_client]") {
    TestCa ca;
    H2ServerOptions how = secured(ca.issue("localhost"));
    how.silent = true;
    H2Server server{how};
    http::H2Options options = towards(server, ca);
    options.tls = GENERATE(true, false);
    CAPTURE(options.tls);
    H2World world{options};
    REQUIRE(world.send());
    REQUIRE(world.wait([&] { return server.accepted() == 1; }));
    for (int i = 0; i < 10; ++i) world.turn();
    world.pass(options.connect_timeout - 100ms);
    CHECK(world.results.empty());
    world.pass(200ms);
    REQUIRE(world.results.size() == 1);
    CHECK(world.results[0].kind == Kind::unreachable);
    CHECK(world.results[0].reason == (options.tls ? "no connection in time: TLS handshake"
                                                  : "no connection in time: SETTINGS"));
    CHECK(contains(world.metrics.text(), R"(outcome="timeout")"));
}

TEST_CASE("h2 connect: what waits for a connection has a deadline too", "[http][h2_client]") {
    H2ServerOptions how;
    how.silent = true;
    H2Server server{how};
    H2World world{H2World::plain(server.port())};
    REQUIRE(world.send("{}", 1s));
    REQUIRE(world.send("{}", 20s));
    world.pass(1'100ms);
    REQUIRE(world.results.size() == 1);
    CHECK(world.results[0].kind == Kind::refused);
    CHECK(world.results[0].reason == "no connection took it in time");
}

TEST_CASE("h2 connect: TLS, by name and by address", "[http][h2_client]") {
    TestCa ca;
    const std::string host = GENERATE("localhost", "127.0.0.1");
    H2Server server{secured(ca.issue(host))};
    http::H2Options options = towards(server, ca);
    options.host = host;
    H2World world{options};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::response);
    CHECK(result.body == "{}");
    CHECK(server.requests()[0].headers.at(":scheme") == "https");
    // Much in both directions, in records of all sizes.
    REQUIRE(world.send_many(90) == 90);
    for (std::size_t i = 0; i < 8; ++i) REQUIRE(world.send(std::string(7'000 * i, 'x')));
    REQUIRE(world.wait_answers(99));
    CHECK(world.count(Kind::response) == 99);
    for (std::size_t i = 91; i < 99; ++i) CHECK(world.results[i].body.size() == 7'000 * (i - 91));
}

TEST_CASE("h2 connect: the next connection resumes the TLS session", "[http][h2_client]") {
    TestCa ca;
    H2Server server{secured(ca.issue("localhost"))};
    H2World world{towards(server, ca)};
    CHECK(first_result(world).kind == Kind::response);
    CHECK(server.resumed() == 0);
    server.close(0);
    REQUIRE(world.wait([&] { return world.pool->connections() == 0; }));
    REQUIRE(world.send());
    REQUIRE(world.wait_answers(2));
    CHECK(world.results[1].kind == Kind::response);
    CHECK(server.resumed() == 1);
}

TEST_CASE("h2 connect: a certificate that does not fit is refused, in words", "[http][h2_client]") {
    TestCa ca;
    TestCa other;
    struct Case {
        const char* name;
        test::CertificateFiles files;
        const char* reason;
    };
    const std::array cases{
        Case{"another CA", other.issue("localhost"),
             "certificate refused: unable to get local issuer certificate"},
        Case{"expired", ca.issue("localhost", -60), "certificate refused: certificate has expired"},
        Case{"another name", ca.issue("example.org"), "certificate refused: hostname mismatch"}};
    const Case& c = cases.at(GENERATE(0U, 1U, 2U));
    CAPTURE(c.name);
    H2Server server{secured(c.files)};
    H2World world{towards(server, ca)};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::unreachable);
    CHECK(result.reason == c.reason);
    CHECK(server.request_count() == 0);
    CHECK(contains(world.metrics.text(), R"(outcome="tls")"));
    CHECK(world.pool->room() == 0);
}

TEST_CASE("h2 connect: a server without HTTP/2 is not talked to", "[http][h2_client]") {
    TestCa ca;
    H2ServerOptions how = secured(ca.issue("localhost"));
    how.alpn = false;
    H2Server server{how};
    H2World world{towards(server, ca)};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::unreachable);
    CHECK(result.reason == "the server does not offer HTTP/2 (ALPN)");
    CHECK(server.request_count() == 0);
}

TEST_CASE("h2 connect: a server that does not speak TLS", "[http][h2_client]") {
    TestCa ca;
    H2Server server;
    http::H2Options options = towards(server, ca);
    H2World world{options};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::unreachable);
    CHECK(contains(world.metrics.text(), R"(outcome="tls")"));
}

TEST_CASE("h2 connect: a client certificate is shown where one is asked for", "[http][h2_client]") {
    TestCa ca;
    H2ServerOptions how = secured(ca.issue("localhost"));
    how.client_ca_file = ca.file();
    H2Server server{how};
    http::H2Options options = towards(server, ca);
    SECTION("with one") {
        const auto mine = ca.issue("provider.example");
        options.certificate_file = mine.certificate;
        options.key_file = mine.key;
        H2World world{options};
        CHECK(first_result(world).kind == Kind::response);
        CHECK(server.client_subject() == "/CN=provider.example");
    }
    SECTION("without") {
        H2World world{options};
        CHECK(first_result(world).kind == Kind::unreachable);
        CHECK(server.request_count() == 0);
    }
}

TEST_CASE("h2 connect: files that cannot be used are named", "[http][h2_client]") {
    TestCa ca;
    const auto mine = ca.issue("provider.example");
    http::H2Options options = H2World::plain(1);
    options.tls = true;
    const auto refusal = [&] {
        try {
            H2World world{options};
        } catch (const std::exception& why) {
            return std::string{why.what()};
        }
        return std::string{};
    };
    SECTION("CA") {
        options.ca_file = "/nowhere/ca.pem";
        CHECK(contains(refusal(), "/nowhere/ca.pem: no certificates can be read from it"));
    }
    SECTION("certificate") {
        options.certificate_file = "/nowhere/mine.pem";
        CHECK(contains(refusal(), "/nowhere/mine.pem: no certificate can be read from it"));
    }
    SECTION("a key of another certificate") {
        options.certificate_file = mine.certificate;
        options.key_file = ca.issue("other.example").key;
        CHECK(contains(refusal(), "no key for the certificate can be read from it"));
    }
}

TEST_CASE("h2 connect: through a proxy", "[http][h2_client]") {
    TestCa ca;
    const bool tls = GENERATE(true, false);
    H2Server server{tls ? secured(ca.issue("localhost")) : H2ServerOptions{}};
    ConnectProxy proxy{"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n", server.port()};
    http::H2Options options = towards(server, ca);
    options.tls = tls;
    options.proxy.host = "127.0.0.1";
    options.proxy.port = proxy.port();
    options.proxy.user = "fan";
    options.proxy.password = "fare";
    options.address_guard = [](const sockaddr&) { return false; }; // not asked about the proxy
    H2World world{options};
    CHECK(first_result(world).kind == Kind::response);
    const std::string target = "localhost:" + std::to_string(server.port());
    CHECK(proxy.head() == "CONNECT " + target + " HTTP/1.1\r\nHost: " + target +
                              "\r\nProxy-Authorization: Basic ZmFuOmZhcmU=\r\n\r\n");
}

TEST_CASE("h2 connect: a proxy that does not let us through", "[http][h2_client]") {
    struct Case {
        const char* answer;
        const char* reason;
    };
    const auto c = GENERATE(
        values<Case>({{"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
                       "the proxy refused: status 407"},
                      {"HTTP/1.0 503 no\r\n\r\n", "the proxy refused: status 503"},
                      {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the proxy does not answer as HTTP"},
                      {"HTTP/1.1 200", "connection closed by the peer (proxy)"},
                      {"", "connection closed by the peer (proxy)"}}));
    CAPTURE(c.answer);
    ConnectProxy proxy{c.answer, 1};
    http::H2Options options = H2World::plain(1);
    options.proxy.host = "localhost";
    options.proxy.port = proxy.port();
    H2World world{options};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::unreachable);
    CHECK(result.reason == c.reason);
    CHECK(contains(world.metrics.text(), R"(outcome="proxy")"));
}

TEST_CASE("h2 connect: a proxy that is not there", "[http][h2_client]") {
    H2Server nobody;
    nobody.stop_listening();
    http::H2Options options = H2World::plain(1);
    options.proxy.host = "127.0.0.1";
    options.proxy.port = nobody.port();
    H2World world{options};
    CHECK(first_result(world).reason == "not connected: Connection refused");
}

TEST_CASE("h2 connect: an address that is not allowed is not connected to", "[http][h2_client]") {
    H2Server server;
    http::H2Options options = H2World::plain(server.port());
    options.host = GENERATE("127.0.0.1", "localhost");
    options.address_guard = net::is_public_address;
    H2World world{options};
    const auto result = first_result(world);
    CHECK(result.kind == Kind::unreachable);
    CHECK(result.reason == "the address is not allowed");
    CHECK(server.accepted() == 0);
    CHECK(contains(world.metrics.text(), R"(outcome="guard")"));
}

TEST_CASE("h2 connect: the pool grows when all are busy, and shrinks again", "[http][h2_client]") {
    H2ServerOptions how;
    how.streams_max = 10;
    H2Server server{how};
    http::H2Options options = H2World::plain(server.port());
    options.connections_max = 3;
    options.spare_idle_timeout = 10s;
    H2World world{options};
    REQUIRE(world.warm_up());
    server.set_answer(false);
    REQUIRE(world.send_many(100) == 10);
    // The others have proved nothing yet: they get one answer each before another one is opened.
    for (std::size_t made = 2; made <= 3; ++made) {
        REQUIRE(world.wait([&] { return world.pool->connections() == made; }));
        REQUIRE(world.send_many(100) == 10);
        REQUIRE(world.wait([&] { return server.request_count() == world.sent; }));
        for (int i = 0; i < 10; ++i) world.turn();
        CHECK(server.accepted() == made);
        server.answer(server.requests().back(), 200);
        REQUIRE(world.wait([&] { return world.pool->room() == 1; }));
        REQUIRE(world.send());
    }
    for (int i = 0; i < 10; ++i) world.turn();
    CHECK(server.accepted() == 3); // and no more
    CHECK(world.pool->room() == 0);
    REQUIRE(world.wait([&] {
        server.answer_all(200);
        return world.results.size() == world.sent;
    }));
    CHECK(world.count(Kind::response) == world.sent);
    CHECK(world.each_once());
    world.pass(9'500ms);
    CHECK(world.pool->connections() == 3);
    world.pass(2s);
    CHECK(world.pool->connections() == 1);
    REQUIRE(world.wait([&] { return server.open() == 1; }));
    CHECK(world.metrics.sum("h2_client_connections") == 1);
}

TEST_CASE("h2 connect: the last connection goes only if it is told to", "[http][h2_client]") {
    H2Server server;
    http::H2Options options = H2World::plain(server.port());
    options.idle_timeout = GENERATE(0s, 30s);
    H2World world{options};
    REQUIRE(world.warm_up());
    world.pass(29s);
    CHECK(world.pool->connections() == 1);
    world.pass(2s);
    CHECK(world.pool->connections() == (options.idle_timeout == 0s ? 1 : 0));
    REQUIRE(world.send()); // at once, either way
    REQUIRE(world.wait_answers(2));
    CHECK(world.results[1].kind == Kind::response);
}

TEST_CASE("h2 connect: a pool that is destroyed while it connects", "[http][h2_client]") {
    H2Server server;
    http::H2Options options = H2World::plain(server.port());
    options.host = GENERATE("127.0.0.1", "localhost");
    H2World world{options};
    REQUIRE(world.send());
    world.pool.reset();
    for (int i = 0; i < 100; ++i) world.turn(); // the name's addresses come for nobody
    CHECK(world.results.empty());
}
