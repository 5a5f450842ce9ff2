#include "proxy_connect.hpp"

#include <catch2/catch.hpp>

#include <string>

using fanfare::http::proxy_connect_request;
using fanfare::http::ProxyConnectAnswer;

namespace {

/// Feeds it in pieces of `step` bytes; what was not taken.
std::string feed(ProxyConnectAnswer& answer, std::string bytes, std::size_t step) {
    for (std::size_t at = 0; at < bytes.size();) {
        const std::string piece = bytes.substr(at, step);
        const auto* const data = reinterpret_cast<const std::byte*>(piece.data()); // NOLINT: bytes
        const std::size_t taken = answer.feed({data, piece.size()});
        at += taken;
        if (taken < piece.size()) return bytes.substr(at);
        if (answer.open()) return bytes.substr(at);
    }
    return {};
}

} // namespace

TEST_CASE("proxy: CONNECT names the origin and, if asked to, the user", "[http][rfc9110-9.3.6]") {
    CHECK(proxy_connect_request("a.example:443", "", "unused") ==
          "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    CHECK(proxy_connect_request("[::1]:1", "Aladdin", "open sesame") ==
          "CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n"
          "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
}

TEST_CASE("proxy: any split of the bytes gives the same answer, and leaves what follows",
          "[http][rfc9110-9.3.6]") {
    struct Case {
        std::string bytes;
        bool open;
        std::string failed;
        std::string rest;
    };
    const auto c = GENERATE_COPY(values<Case>(
        {{"HTTP/1.1 200 Connection established\r\n\r\nabc", true, "", "abc"},
         {"HTTP/1.0 204 \r\nA: b\r\n\r\n", true, "", ""},
         {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ok\r\n\r\n\x16", true, "", "\x16"},
         {"HTTP/1.1 407 no\r\n\r\nbody", false, "the proxy refused: status 407", "body"},
         {"HTTP/1.1 302 x\r\n\r\n", false, "the proxy refused: status 302", ""},
         {"HTTP/1.1 2000 x\r\n\r\n", false, "the proxy does not answer as HTTP", ""},
         {"HTTP/2 200 x\r\n\r\n", false, "the proxy does not answer as HTTP", ""},
         {"\r\n\r\n", false, "the proxy does not answer as HTTP", ""},
         {std::string(8'192, 'x') + "yz", false, "the proxy's answer is too large", "yz"},
         {"HTTP/1.1 200", false, "", ""}}));
    const auto step = GENERATE(std::size_t{1}, 2U, 3U, 7U, 20'000U);
    CAPTURE(c.bytes.substr(0, 40), step);
    ProxyConnectAnswer answer;
    CHECK(feed(answer, c.bytes, step) == c.rest);
    CHECK(answer.open() == c.open);
    CHECK(answer.failed() == c.failed);
}
