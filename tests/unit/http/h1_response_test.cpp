#include "h1_response.hpp"

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::http;

TEST_CASE("h1 response: the date is an IMF-fixdate, whatever the locale", "[http][rfc9110-5.6.7]") {
    DateCache cache;
    CHECK(cache.at(784'111'777'000) == "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(cache.at(784'111'777'999) == "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(cache.at(784'111'778'000) == "Sun, 06 Nov 1994 08:49:38 GMT");
    CHECK(cache.at(1'709'164'800'000) == "Thu, 29 Feb 2024 00:00:00 GMT");
    CHECK(cache.at(0) == "Thu, 01 Jan 1970 00:00:00 GMT"); // the clock was set back
}

TEST_CASE("h1 response: heads", "[http][rfc9112-6]") {
    Response response;
    response.body = "{}";
    response.headers = "X-Own: 1\r\n";
    const auto head = [&](Framing framing, bool close, bool http_1_0) {
        std::string out;
        AnswerStart start;
        append_head(out, {.response = response,
                          .framing = framing,
                          .start = start.of(response, 0),
                          .request_id = "r",
                          .close = close,
                          .http_1_0 = http_1_0});
        return out;
    };
    CHECK(head(Framing::length, false, false) ==
          "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: "
          "application/json\r\n"
          "Content-Length: 2\r\nX-Request-Id: r\r\nX-Own: 1\r\n\r\n");
    CHECK(head(Framing::chunked, false, false).find("Transfer-Encoding: chunked\r\n") !=
          std::string::npos);
    CHECK(head(Framing::until_close, true, true).find("Content-Length") == std::string::npos);
    CHECK(head(Framing::length, false, true).find("Connection: keep-alive\r\n") !=
          std::string::npos);
    CHECK(head(Framing::length, true, true).find("Connection: close\r\n") != std::string::npos);

    response.content_type = {};
    CHECK(head(Framing::length, false, false).find("Content-Length: 0\r\n") != std::string::npos);
    for (const int status : {101, 204, 304}) {
        response.status = status;
        CHECK_FALSE(may_have_body(status));
        CHECK(head(Framing::length, false, false).find("Content-") == std::string::npos);
    }
}

TEST_CASE("h1 response: what an answer begins with follows status, type and second", "[http]") {
    AnswerStart start;
    Response response;
    const std::string first{start.of(response, 999)};
    CHECK(first == "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                   "Content-Type: application/json\r\n");
    CHECK(start.of(response, 0) == first);
    CHECK(start.of(response, 1'000).find("00:00:01 GMT") != std::string_view::npos);
    response.status = 404;
    CHECK(start.of(response, 1'000).starts_with("HTTP/1.1 404 Not Found\r\n"));
    response.content_type = "text/plain";
    CHECK(start.of(response, 1'000).ends_with("Content-Type: text/plain\r\n"));
    response.content_type = {};
    CHECK(start.of(response, 1'000).ends_with("GMT\r\n"));
    response.status = 200;
    response.content_type = "application/json";
    CHECK(start.of(response, 0) == first); // the clock was set back
}

TEST_CASE("h1 response: a 401 has a challenge, and only one", "[http][rfc9110-15.5.2]") {
    const auto head = [](std::string headers) {
        Response response = problem(Code::unauthorized, "no key");
        response.headers = std::move(headers);
        std::string out;
        append_head(out, {.response = response});
        return out;
    };
    CHECK(head("").find("WWW-Authenticate: Bearer realm=") != std::string::npos);
    const std::string own = head("WWW-Authenticate: Bearer error=\"invalid_token\"\r\n");
    CHECK(own.find("WWW-Authenticate") == own.rfind("WWW-Authenticate"));
}

TEST_CASE("h1 response: chunk sizes are hexadecimal", "[http]") {
    const auto size = [](std::size_t bytes) {
        std::string out;
        append_chunk_size(out, bytes);
        return out;
    };
    CHECK(size(1) == "1\r\n");
    CHECK(size(255) == "ff\r\n");
    CHECK(size(65'536) == "10000\r\n");
}

TEST_CASE("h1 response: request ids that may be repeated", "[http]") {
    CHECK(is_sane_request_id("a"));
    CHECK(is_sane_request_id("!~"));
    CHECK(is_sane_request_id(std::string(128, 'x')));
    CHECK_FALSE(is_sane_request_id(""));
    CHECK_FALSE(is_sane_request_id(std::string(129, 'x')));
    CHECK_FALSE(is_sane_request_id("a b"));
    CHECK_FALSE(is_sane_request_id("a\x7f"));
    CHECK_FALSE(is_sane_request_id("\xc3\xa9"));
}
