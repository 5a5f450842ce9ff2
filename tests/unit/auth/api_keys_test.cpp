#include <fanfare/auth/api_keys.hpp>
#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <string>

using namespace fanfare;
using namespace fanfare::auth;

namespace {

constexpr std::uint8_t bits(Scope scope) {
    return static_cast<std::uint8_t>(scope);
}

ApiKeys two_keys() {
    return ApiKeys{{{"backend", sha256("ff_one"),
                     static_cast<std::uint8_t>(bits(Scope::publish) | bits(Scope::read))},
                    {"operator", sha256("ff_two"), bits(Scope::admin)}}};
}

http::RequestHead head(http::Header header, std::string_view value) {
    http::RequestHead result;
    result.headers[static_cast<std::size_t>(header)] = value;
    return result;
}

} // namespace

TEST_CASE("api keys: a key is found by its whole text", "[auth][protocol-4]") {
    const ApiKeys keys = two_keys();
    REQUIRE(keys.find("ff_one") != nullptr);
    CHECK(keys.find("ff_one")->name == "backend");
    REQUIRE(keys.find("ff_two") != nullptr);
    CHECK(keys.find("ff_two")->name == "operator");
    for (const std::string& text :
         {std::string{}, std::string{"ff_on"}, std::string{"ff_one "}, std::string{"FF_ONE"},
          std::string{"ff_one\0", 7}, sha256("ff_one"), std::string(100'000, 'x')})
        CHECK(keys.find(text) == nullptr);
    CHECK(ApiKeys{{}}.find("ff_one") == nullptr);
    // Set-up that lost its hash must not match everything.
    CHECK(ApiKeys{{{"broken", "", 15}}}.find("ff_one") == nullptr);
}

TEST_CASE("api keys: either header, and X-API-Key counts if there are both", "[auth][protocol-4]") {
    const ApiKeys keys = two_keys();
    using http::Header;
    CHECK(keys.authenticate(head(Header::x_api_key, "ff_one")).key->name == "backend");
    CHECK(keys.authenticate(head(Header::authorization, "Bearer ff_one")).key->name == "backend");
    CHECK(keys.authenticate(head(Header::authorization, "bearer ff_two")).key->name == "operator");

    http::RequestHead both = head(Header::authorization, "Bearer ff_one");
    both.headers[static_cast<std::size_t>(Header::x_api_key)] = "ff_two";
    CHECK(keys.authenticate(both).key->name == "operator");
    both.headers[static_cast<std::size_t>(Header::x_api_key)] = "wrong";
    CHECK(keys.authenticate(both).key == nullptr);
}

TEST_CASE("api keys: refusals have the code of their cause", "[auth][protocol-4]") {
    const ApiKeys keys = two_keys();
    using http::Header;
    const auto refusal = [&keys](const http::RequestHead& request, Scope scope) {
        const ApiKeys::Caller caller = keys.authenticate(request, scope);
        CHECK(caller.key == nullptr);
        return caller.error;
    };
    CHECK(refusal({}, Scope::read).code == Code::unauthorized);
    CHECK(refusal(head(Header::x_api_key, ""), Scope::read).code == Code::unauthorized);
    CHECK(refusal(head(Header::x_api_key, "ff_one, ff_one"), Scope::read).code ==
          Code::unauthorized);
    CHECK(refusal(head(Header::authorization, "Basic ff_one"), Scope::read).code ==
          Code::unauthorized);
    const Error lacks = refusal(head(Header::x_api_key, "ff_one"), Scope::admin);
    CHECK(lacks.code == Code::forbidden);
    CHECK(lacks.message == "the API key lacks the scope `admin`");

    const ApiKeys::Caller caller =
        keys.authenticate(head(Header::x_api_key, "ff_one"), Scope::read);
    REQUIRE(caller.key != nullptr);
    CHECK_FALSE(caller.error);
}

TEST_CASE("api keys: scopes", "[auth]") {
    const ApiKeyOptions all{"all", "", 15};
    const ApiKeyOptions none{"none", "", 0};
    for (const Scope scope : {Scope::publish, Scope::read, Scope::notify, Scope::admin}) {
        CHECK(has_scope(all, scope));
        CHECK_FALSE(has_scope(none, scope));
        CHECK_FALSE(scope_name(scope).empty());
    }
}
