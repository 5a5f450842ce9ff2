#include <fanfare/base/error.hpp>

#include <catch2/catch.hpp>

#include <set>

using namespace fanfare;

TEST_CASE("error: each code has its name and status", "[error][protocol]") {
    struct Case {
        Code code;
        const char* name;
        int status;
    };
    const auto c =
        GENERATE(values<Case>({{Code::bad_request, "bad_request", 400},
                               {Code::unknown_op, "unknown_op", 400},
                               {Code::unauthorized, "unauthorized", 401},
                               {Code::forbidden, "forbidden", 403},
                               {Code::not_found, "not_found", 404},
                               {Code::conflict, "conflict", 409},
                               {Code::already_subscribed, "already_subscribed", 409},
                               {Code::not_subscribed, "not_subscribed", 409},
                               {Code::too_large, "too_large", 413},
                               {Code::rate_limited, "rate_limited", 429},
                               {Code::limit_reached, "limit_reached", 409},
                               {Code::unavailable, "unavailable", 503},
                               {Code::internal, "internal", 500},
                               {Code::method_not_allowed, "method_not_allowed", 405},
                               {Code::unsupported_media_type, "unsupported_media_type", 415}}));
    CAPTURE(c.name);
    CHECK(code_name(c.code) == c.name);
    CHECK(code_status(c.code) == c.status);
}

TEST_CASE("error: names are distinct", "[error]") {
    std::set<std::string_view> names;
    constexpr int count = static_cast<int>(Code::unsupported_media_type) + 1;
    for (int i = 0; i < count; ++i) names.insert(code_name(static_cast<Code>(i)));
    CHECK(names.size() == count);
}

TEST_CASE("error: is true only if something is wrong", "[error]") {
    CHECK_FALSE(Error{});
    CHECK(Error{Code::conflict, "taken", "key"});
}
