#include "apns_token.hpp"
#include "push_keys.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>
#include <support/manual_clock.hpp>
#include <thread>
#include <vector>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;
using namespace std::chrono_literals;

namespace {

struct Tokens {
    std::string pem = ec_key_pem();
    ManualClock clock;
    ApnsToken token{SigningKey{JoseAlgorithm::es256, pem, "key.p8"}, "ABC123DEFG", "DEF123GHIJ",
                    clock};
    std::uint64_t generation() { return token.current()->generation; }
};

} // namespace

TEST_CASE("apns token: as Apple wants it", "[providers]") {
    Tokens t;
    const std::string text = t.token.current()->authorization;
    REQUIRE(text.starts_with("bearer "));
    const std::string_view jwt = std::string_view{text}.substr(7);
    CHECK(token_header(jwt) == R"({"alg":"ES256","kid":"ABC123DEFG"})");
    CHECK(verified_claims(jwt, t.pem) == R"({"iss":"DEF123GHIJ","iat":1767225600})");
}

TEST_CASE("apns token: names that Apple cannot have given", "[providers]") {
    const ManualClock clock;
    const std::string pem = ec_key_pem();
    const auto make = [&](const char* key_id, const char* team_id) {
        const ApnsToken token{SigningKey{JoseAlgorithm::es256, pem, "key.p8"}, key_id, team_id,
                              clock};
    };
    CHECK_THROWS_WITH(make("short", "DEF123GHIJ"),
                      "key_id must be the 10 letters and digits that Apple gave");
    CHECK_THROWS_WITH(make("ABC123DEFG", "DEF123GHI\""),
                      "team_id must be the 10 letters and digits that Apple gave");
}

TEST_CASE("apns token: renewed at 50 minutes, not before", "[providers]") {
    Tokens t;
    CHECK(t.generation() == 1);
    t.clock.advance(50min - 1ms);
    CHECK(t.generation() == 1);
    t.clock.advance(1ms);
    CHECK(t.generation() == 2);
    CHECK(t.token.current()->issued_at == t.clock.wall() / 1'000);
}

TEST_CASE("apns token: expired answers lead to one new token, none within 20 minutes",
          "[providers]") {
    Tokens t;
    CHECK(t.generation() == 1);
    CHECK_FALSE(t.token.renew(1)); // too soon
    CHECK(t.token.wait() == 20min);
    t.clock.advance(19min);
    CHECK_FALSE(t.token.renew(1));
    CHECK(t.token.wait() == 1min);
    t.clock.advance(1min);
    CHECK(t.token.wait() == 0ms);
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i) threads.emplace_back([&] { static_cast<void>(t.token.renew(1)); });
    for (std::thread& thread : threads) thread.join();
    CHECK(t.generation() == 2);
    CHECK(t.token.renew(1)); // the current one is newer than the one that failed
    CHECK(t.generation() == 2);
}

TEST_CASE("apns token: too many updates go back to the one before", "[providers]") {
    Tokens t;
    const std::string first = t.token.current()->authorization;
    t.clock.advance(50min);
    CHECK(t.generation() == 2);
    t.token.hold(1); // an answer that is late: it was not the current one
    CHECK(t.generation() == 2);
    t.token.hold(2);
    CHECK(t.token.current()->authorization == first);
    t.clock.advance(9min);
    CHECK(t.generation() == 1); // old, but no new one may be made yet
    t.clock.advance(11min);
    CHECK(t.generation() == 3);
}

TEST_CASE("apns token: a dead predecessor is not gone back to", "[providers]") {
    Tokens t;
    CHECK(t.generation() == 1);
    t.clock.advance(61min);
    CHECK(t.generation() == 2);
    t.token.hold(2);
    CHECK(t.generation() == 2);
    CHECK_FALSE(t.token.renew(2));
}

TEST_CASE("apns token: clocks that jump", "[providers]") {
    Tokens t;
    CHECK(t.generation() == 1);
    SECTION("back an hour: issued in the future, renewed as soon as it may be, once") {
        t.clock.set_wall(t.clock.wall() - 3'600'000);
        CHECK(t.generation() == 1);
        t.clock.advance(20min);
        for (int i = 0; i < 5; ++i) CHECK(t.generation() == 2);
    }
    SECTION("the machine slept for hours: dead by the wall clock, renewed at once") {
        t.clock.set_wall(t.clock.wall() + 3 * 3'600'000);
        for (int i = 0; i < 5; ++i) CHECK(t.generation() == 2);
    }
    SECTION("a second back is nothing") {
        t.clock.advance(25min);
        CHECK(t.token.renew(1));
        t.clock.set_wall(t.clock.wall() - 1'000);
        CHECK(t.generation() == 2);
    }
}
