#include "token_factory.hpp"

#include <fanfare/auth/authority.hpp>

#include <catch2/catch.hpp>

#include <support/manual_clock.hpp>

using namespace fanfare;
using namespace fanfare::auth;

TEST_CASE("authority: answers with the identity, or always with the same refusal", "[auth]") {
    const test::ManualClock clock;
    JwtOptions options;
    options.algorithms = {Algorithm::hs256};
    options.secret = test::hs_secret;
    Authority authority{options, clock};

    session::IdentityRef identity;
    Error error;
    int calls = 0;
    const auto done = [&](session::IdentityRef who, const Error& why) {
        identity = std::move(who);
        error = why;
        ++calls;
    };
    authority.authenticate(test::hs256_token(R"({"sub":"u1","exp":9e9})"), done);
    REQUIRE(calls == 1);
    REQUIRE(identity);
    CHECK(identity->user == "u1");
    CHECK_FALSE(error);

    for (const std::string& token :
         {std::string{}, std::string{"a.b.c"}, test::hs256_token(R"({"sub":"u1","exp":1})"),
          test::hs256_token(R"({"exp":9e9})")}) {
        authority.authenticate(token, done);
        CHECK_FALSE(identity);
        CHECK(error.code == Code::unauthorized);
        CHECK(error.message == "the token is not valid");
    }
    CHECK(calls == 5);
}

TEST_CASE("authority: a bad key is told at construction", "[auth]") {
    const test::ManualClock clock;
    JwtOptions options;
    options.algorithms = {Algorithm::rs256};
    CHECK_THROWS_WITH(Authority(options, clock), "RS256 needs a public key, and none is given");
}
