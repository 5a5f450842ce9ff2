#include <fanfare/ws/origin.hpp>

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace fanfare::ws;

namespace {

bool allowed(std::optional<std::string_view> origin, std::string_view host,
             const std::vector<std::string>& list = {}) {
    return is_origin_allowed(origin, host, list);
}

} // namespace

TEST_CASE("origin: without a list the page's host must be ours", "[ws][rfc6455-10.2]") {
    struct Case {
        const char* origin;
        const char* host;
        bool allowed;
    };
    const auto c = GENERATE(values<Case>({
        {"https://example.com", "example.com", true},
        {"https://Example.COM", "eXample.com", true},
        {"HTTPS://example.com", "example.com", true},
        {"https://example.com:443", "example.com", true},
        {"https://example.com", "example.com:443", true},
        {"http://example.com", "example.com:80", true},
        {"http://localhost:3000", "localhost:3000", true},
        {"http://[::1]:8080", "[::1]:8080", true},
        {"http://[::1]", "[::1]", true},
        {"http://127.0.0.1:8080", "127.0.0.1:8080", true},
        {"http://localhost:3000", "localhost:8080", false},
        {"http://localhost:3000", "localhost", false},
        {"https://example.com", "example.com:80", false},
        {"https://evil.com", "example.com", false},
        {"https://example.com.evil.org", "example.com", false},
        {"https://evil-example.com", "example.com", false},
        {"https://a.example.com", "example.com", false},
        {"https://example.com", "a.example.com", false},
        {"null", "null", false},
        {"", "", false},
        {"", "example.com", false},
        {"example.com", "example.com", false},
        {"https://", "example.com", false},
        {"://example.com", "example.com", false},
        {"https://example.com/", "example.com", false},
        {"https://example.com/path", "example.com", false},
        {"https://example.com?", "example.com", false},
        {"https://example.com#", "example.com", false},
        {"https://evil.com@example.com", "example.com", false},
        {"https://example.com@evil.com", "example.com", false},
        {"https://example.com\\.evil.com", "example.com", false},
        {"https://example.com, https://evil.com", "example.com", false},
        {"https://evil.com https://example.com", "example.com", false},
        {"https://example.com ", "example.com", false},
        {"https://example.com:", "example.com", false},
        {"https://example.com:0", "example.com", false},
        {"https://example.com:65536", "example.com", false},
        {"https://example.com:443:443", "example.com", false},
        {"https://example.com:+443", "example.com", false},
        {"https://[::1", "[::1", false},
        {"https://[]", "[]", false},
        {"1http://example.com", "example.com", false},
        {"https://example.com", "", false},
    }));
    CAPTURE(c.origin, c.host);
    CHECK(allowed(c.origin, c.host) == c.allowed);
}

TEST_CASE("origin: no header passes, with any list", "[ws][rfc6455-10.2]") {
    CHECK(allowed(std::nullopt, "example.com"));
    CHECK(allowed(std::nullopt, "example.com", {"https://other.com"}));
}

TEST_CASE("origin: lists", "[ws][rfc6455-10.2]") {
    struct Case {
        const char* entry;
        const char* origin;
        bool allowed;
    };
    const auto c = GENERATE(values<Case>({
        {"*", "https://any.com", true},
        {"*", "null", true},
        {"*", "", true},
        {"https://app.example.com", "https://app.example.com", true},
        {"https://app.example.com", "https://APP.example.com:443", true},
        {"https://app.example.com:443", "https://app.example.com", true},
        {"https://app.example.com", "http://app.example.com", false},
        {"https://app.example.com", "https://app.example.com:8443", false},
        {"https://app.example.com", "https://example.com", false},
        {"https://app.example.com", "https://app.example.com.evil.org", false},
        {"https://app.example.com", "https://xapp.example.com", false},
        {"https://app.example.com", "https://app.example.com/", false},
        {"https://app.example.com", "null", false},
        {"http://localhost:3000", "http://localhost:3000", true},
        {"http://localhost:3000", "http://localhost", false},
        {"capacitor://localhost", "capacitor://localhost", true},
        {"https://*.example.com", "https://a.example.com", true},
        {"https://*.example.com", "https://a.b.example.com", true},
        {"https://*.example.com", "https://A.EXAMPLE.com:443", true},
        {"https://*.example.com:8443", "https://a.example.com:8443", true},
        {"https://*.example.com", "https://example.com", false},
        {"https://*.example.com", "https://.example.com", false},
        {"https://*.example.com", "https://evil-example.com", false},
        {"https://*.example.com", "https://evilexample.com", false},
        {"https://*.example.com", "https://a.example.com.evil.org", false},
        {"https://*.example.com", "http://a.example.com", false},
        {"https://*.example.com", "https://a.example.com:8443", false},
        {"https://*.example.com", "https://evil.com/.example.com", false},
        {"https://*.example.com", "https://evil.com#.example.com", false},
        {"https://*.example.com", "https://*.example.com", false},
        {"https://*", "https://example.com", false},
        {"https://*example.com", "https://evilexample.com", false},
        {"https://app.*.com", "https://app.example.com", false},
        {"null", "null", false},
        {"", "", false},
        // The list replaces the default: the own host is not added.
        {"https://app.example.com", "https://gateway.example.com", false},
    }));
    CAPTURE(c.entry, c.origin);
    CHECK(allowed(c.origin, "gateway.example.com", {c.entry}) == c.allowed);
    CHECK(allowed(c.origin, "gateway.example.com", {"https://other.com", c.entry}) == c.allowed);
}

TEST_CASE("origin: entries that can never match are known as such", "[ws][config]") {
    for (const char* entry : {"*", "https://a.com", "http://localhost:3000", "https://*.a.com:1"})
        CHECK(is_origin_pattern(entry));
    for (const char* entry : {"", "a.com", "*.a.com", "https://*", "https://*a.com",
                              "https://a.com/", "https://*.*.com", "null", "https://a.com:x"}) {
        CAPTURE(entry);
        CHECK_FALSE(is_origin_pattern(entry));
    }
}
