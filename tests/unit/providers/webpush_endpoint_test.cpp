#include "webpush_endpoint.hpp"

#include <catch2/catch.hpp>

using namespace fanfare::providers;

namespace {

std::string fault_of(const std::string& url) {
    const auto parsed = parse_endpoint(url);
    const auto* const fault = std::get_if<const char*>(&parsed);
    return fault != nullptr ? *fault : "accepted";
}

} // namespace

TEST_CASE("webpush endpoint: taken apart, path and query byte for byte", "[providers]") {
    struct Case {
        const char* url;
        const char* host;
        int port;
        const char* path;
        const char* origin;
    };
    const auto c = GENERATE(values<Case>({
        {"https://fcm.googleapis.com/fcm/send/a:b%2F_-?x=%20&y", "fcm.googleapis.com", 443,
         "/fcm/send/a:b%2F_-?x=%20&y", "https://fcm.googleapis.com"},
        {"HTTPS://Push.Example.NET:443/P", "push.example.net", 443, "/P",
         "https://push.example.net"},
        {"https://push.example.net:8443/p", "push.example.net", 8443, "/p",
         "https://push.example.net:8443"},
        {"https://push.example.net", "push.example.net", 443, "/", "https://push.example.net"},
        {"https://push.example.net:?q", "push.example.net", 443, "/?q", "https://push.example.net"},
        {"https://[2001:DB8::1]:9/p", "2001:db8::1", 9, "/p", "https://[2001:db8::1]:9"},
        {"https://[::ffff:10.0.0.1]/", "::ffff:10.0.0.1", 443, "/", "https://[::ffff:10.0.0.1]"},
        {"https://e.x/a@b//../c", "e.x", 443, "/a@b//../c", "https://e.x"},
    }));
    CAPTURE(c.url);
    const auto parsed = parse_endpoint(c.url);
    REQUIRE(std::holds_alternative<WebPushEndpoint>(parsed));
    const auto& endpoint = std::get<WebPushEndpoint>(parsed);
    CHECK(endpoint.host == c.host);
    CHECK(endpoint.port == c.port);
    CHECK(endpoint.path == c.path);
    CHECK(endpoint.origin == c.origin);
}

TEST_CASE("webpush endpoint: refused", "[providers]") {
    struct Case {
        std::string url;
        const char* fault;
    };
    const std::vector<Case> cases{
        {"", "is not an https URL"},
        {"http://push.example.net/p", "is not an https URL"},
        {"//push.example.net/p", "is not an https URL"},
        {"https:push.example.net", "is not an https URL"},
        {"https://user@push.example.net/", "has user information"},
        {"https://user:pass@push.example.net/", "has user information"},
        {"https://push.example.net@10.0.0.1/", "has user information"},
        {"https://push.example.net/p#f", "has a fragment"},
        {"https://push.example.net\\@evil/", "has a backslash behind its host"},
        {"https://", "has no valid host"},
        {"https:///p", "has no valid host"},
        {"https://:443/p", "has no valid host"},
        {"https://.example/", "has no valid host"},
        {"https://a..b/", "has no valid host"},
        {"https://%31%30.0.0.1/", "has no valid host"},
        {"https://a,b/", "has no valid host"},
        {"https://[::1/", "has no valid host"},
        {"https://[::1]x/", "has no valid host"},
        {"https://[1234]/", "has no valid host"},
        {"https://[fe80::1%25eth0]/", "has no valid host"},
        {"https://" + std::string(254, 'a') + "/", "has no valid host"},
        {"https://a:0/", "has no valid port"},
        {"https://a:65536/", "has no valid port"},
        {"https://a:4 43/", "has characters that a URL cannot have"},
        {"https://a:+443/", "has no valid port"},
        {"https://a:443:443/", "has no valid port"},
        {"https://a/\r\nx", "has characters that a URL cannot have"},
        {"https://a/é", "has characters that a URL cannot have"},
        {"https://a/" + std::string(5'000, 'p'), "is longer than 4096 bytes"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.url.substr(0, 60));
        CHECK(fault_of(c.url) == c.fault);
    }
}
