#include "push_keys.hpp"
#include "vapid.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <support/manual_clock.hpp>

using namespace fanfare;
using namespace fanfare::providers;
using namespace fanfare::test;
using namespace std::chrono_literals;

namespace {

const std::string apple = "https://web.push.apple.com";

struct World {
    std::string pem = ec_key_pem();
    ManualClock clock;
    Vapid vapid{pem, "vapid.pem", "mailto:ops@example.com", clock};
    std::string operator()(const std::string& origin) { return *vapid.authorization(origin); }
};

std::string_view jwt_of(std::string_view authorization) {
    REQUIRE(authorization.starts_with("vapid t="));
    authorization.remove_prefix(8);
    return authorization.substr(0, authorization.find(", k="));
}

} // namespace

TEST_CASE("vapid: what a service is shown", "[providers]") {
    World authorization;
    const std::string text = authorization(apple);
    const std::string k = text.substr(text.find(", k=") + 4);
    CHECK(k.size() == 87);
    CHECK(from_base64url(k) == authorization.vapid.public_key());
    CHECK(token_header(jwt_of(text)) == R"({"typ":"JWT","alg":"ES256"})");
    CHECK(
        verified_by_point(jwt_of(text), authorization.vapid.public_key()) ==
        R"({"aud":"https://web.push.apple.com","exp":1767268800,"sub":"mailto:ops@example.com"})");
}

TEST_CASE("vapid: one token per origin, renewed at half of its life", "[providers]") {
    World authorization;
    const std::string first = authorization(apple);
    for (int i = 0; i < 1'000; ++i) CHECK(authorization(apple) == first);
    const std::string other = authorization("https://push.example.net:8443");
    CHECK(verified_by_point(jwt_of(other), authorization.vapid.public_key())
              .find(R"("aud":"https://push.example.net:8443")") != std::string::npos);
    authorization.clock.advance(6h);
    CHECK(authorization(apple) == first);
    authorization.clock.advance(1s);
    const std::string second = authorization(apple);
    CHECK(second != first);
    CHECK(authorization(apple) == second);
}

TEST_CASE("vapid: a clock that is set back", "[providers]") {
    World authorization;
    const std::string first = authorization(apple);
    authorization.clock.set_wall(authorization.clock.wall() - 24 * 3'600'000LL);
    const std::string second = authorization(apple); // the first would hold for 36 hours: too long
    CHECK(second != first);
    CHECK(authorization(apple) == second);
}

TEST_CASE("vapid: origins are bounded, those that are used stay", "[providers]") {
    World authorization;
    const std::string first = authorization(apple);
    for (std::size_t i = 0; i < Vapid::origins_max + 50; ++i) {
        static_cast<void>(authorization("https://h" + std::to_string(i)));
        CHECK(authorization(apple) == first);
    }
    CHECK(authorization.vapid.origins() == Vapid::origins_max);
}

TEST_CASE("vapid: key and subject are checked", "[providers]") {
    const ManualClock clock;
    const std::string pem = ec_key_pem();
    const auto make = [&](const std::string& key, const char* subject) {
        return Vapid{key, "vapid.pem", subject, clock}.public_key();
    };
    CHECK(make("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw\n", "https://example.com/contact") ==
          from_base64url("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wE"
                         "qKK6PBru3jl7A8"));
    CHECK_THROWS_WITH(make("", "mailto:a@b.c"),
                      "vapid.pem is not a private key on P-256: 32 bytes as base64url, or PEM");
    CHECK_THROWS_WITH(make(ec_key_pem("secp384r1"), "mailto:a@b.c"),
                      "vapid.pem is on another curve: ES256 needs P-256 (prime256v1)");
    const char* const form = "subject must be \"mailto:\" with an address or an https: URL, a "
                             "contact for the push services";
    CHECK_THROWS_WITH(make(pem, ""), form);
    CHECK_THROWS_WITH(make(pem, "ops@example.com"), form);
    CHECK_THROWS_WITH(make(pem, "mailto:ops"), form);
    CHECK_THROWS_WITH(make(pem, "http://example.com"), form);
    const char* const characters = "subject must have no blanks, quotes or angle brackets";
    CHECK_THROWS_WITH(make(pem, "mailto: a@b.c"), characters);
    CHECK_THROWS_WITH(make(pem, "mailto:<a@b.c>"), characters);
    CHECK_THROWS_WITH(make(pem, "mailto:ops@localhost"),
                      "subject must not be at localhost: Apple refuses it");
}
