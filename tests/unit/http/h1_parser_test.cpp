#include "h1_parser.hpp"

#include <catch2/catch.hpp>

#include <optional>
#include <string>
#include <vector>

using namespace fanfare::http;

namespace {

constexpr std::size_t limit = 1024;

struct Outcome {
    Fault fault;
    std::optional<ParsedHead> parsed; // its views show the input that was given
    std::size_t bytes = 0;
};

/// Feeds the first bytes, then more and more of the same input, as a connection does.
Outcome parse(std::string_view input, std::size_t step = std::string_view::npos) {
    HeadParser parser;
    ParsedHead parsed;
    for (std::size_t end = std::min(step, input.size());;
         end = std::min(input.size(), end + step)) {
        switch (parser.parse(input.substr(0, end), limit, parsed)) {
        case HeadParser::Status::fault:
            return {parser.fault(), std::nullopt, 0};
        case HeadParser::Status::complete: {
            const std::size_t bytes = parsed.bytes;
            return {{}, std::move(parsed), bytes};
        }
        case HeadParser::Status::need_more:
            break;
        }
        if (end == input.size()) return {};
    }
}

std::string with_head(std::string_view lines) {
    return "GET / HTTP/1.1\r\nHost: h\r\n" + std::string{lines} + "\r\n";
}

} // namespace

TEST_CASE("h1 parser: a plain request", "[http][rfc9112-3]") {
    const std::string input = "POST /api/v1/publish?x=1&y=%20 HTTP/1.1\r\n"
                              "Host: example.com:8080\r\n"
                              "x-api-KEY:  secret \t\r\n"
                              "Idempotency-Key: k\r\n"
                              "X-Request-ID: r1\r\n"
                              "Last-Event-Id: e.1\r\n"
                              "X-Unknown: whatever\r\n"
                              "Content-Type: application/json\r\n"
                              "If-None-Match: \"a\"\r\n"
                              "if-none-match: \"b\"\r\n"
                              "Empty:\r\n"
                              "Origin:\r\n"
                              "Content-Length: 12\r\n\r\n{\"data\":1}";
    const Outcome out = parse(input);
    REQUIRE(out.parsed);
    const RequestHead& head = out.parsed->head;
    CHECK(head.method == Method::post);
    CHECK_FALSE(head.http_1_0);
    CHECK(head.target == "/api/v1/publish?x=1&y=%20");
    CHECK(head.path == "/api/v1/publish");
    CHECK(head.query == "x=1&y=%20");
    CHECK(head[Header::host] == "example.com:8080");
    CHECK(head[Header::x_api_key] == "secret");
    CHECK(head[Header::idempotency_key] == "k");
    CHECK(head[Header::x_request_id] == "r1");
    CHECK(head[Header::last_event_id] == "e.1");
    CHECK(head[Header::content_type] == "application/json");
    CHECK(head[Header::if_none_match] == "\"a\", \"b\"");
    CHECK(head.has(Header::origin));
    CHECK(head[Header::origin].empty());
    CHECK_FALSE(head.has(Header::authorization));
    CHECK(out.parsed->content_length == 12);
    CHECK_FALSE(out.parsed->chunked);
    CHECK(out.parsed->keep_alive);
    CHECK(out.bytes == input.find("{"));
}

TEST_CASE("h1 parser: methods and versions", "[http]") {
    const auto method = [](const std::string& name) {
        return parse(name + " / HTTP/1.1\r\nHost: h\r\n\r\n").parsed->head.method;
    };
    CHECK(method("GET") == Method::get);
    CHECK(method("HEAD") == Method::head);
    CHECK(method("PUT") == Method::put);
    CHECK(method("DELETE") == Method::delete_);
    CHECK(method("OPTIONS") == Method::options);
    CHECK(method("PATCH") == Method::patch);
    CHECK(method("get") == Method::other); // methods have a case
    CHECK(method("TRACE") == Method::other);
    CHECK(method("X-OWN") == Method::other);
    const Outcome old = parse("GET / HTTP/1.0\r\n\r\n");
    REQUIRE(old.parsed);
    CHECK(old.parsed->head.http_1_0);
}

TEST_CASE("h1 parser: forms of the target", "[http][rfc9112-3.2]") {
    struct Case {
        const char* line;
        const char* path;
        const char* query;
        const char* host;
    };
    const auto c = GENERATE(values<Case>({
        {"GET /a?b?c=/ HTTP/1.1", "/a", "b?c=/", "h"},
        {"GET //a HTTP/1.1", "//a", "", "h"},
        {"GET /? HTTP/1.1", "/", "", "h"},
        {"GET /{a}|^ HTTP/1.1", "/{a}|^", "", "h"},
        {"OPTIONS * HTTP/1.1", "*", "", "h"},
        {"GET http://other:1/a?b HTTP/1.1", "/a", "b", "other:1"},
        {"GET HTTPS://other HTTP/1.1", "/", "", "other"},
        {"GET http://[::1]:80?q HTTP/1.1", "/", "q", "[::1]:80"},
        {"OPTIONS http://other HTTP/1.1", "*", "", "other"},
    }));
    CAPTURE(c.line);
    const std::string input = std::string{c.line} + "\r\nHost: h\r\n\r\n";
    const Outcome out = parse(input);
    REQUIRE(out.parsed);
    CHECK(out.parsed->head.path == c.path);
    CHECK(out.parsed->head.query == c.query);
    CHECK(out.parsed->head[Header::host] == c.host);
}

TEST_CASE("h1 parser: keep-alive by version and Connection", "[http][rfc9112-9.3]") {
    const auto keeps = [](const std::string& version, const std::string& connection) {
        const std::string line = connection.empty() ? "" : "Connection: " + connection + "\r\n";
        return parse("GET / HTTP/" + version + "\r\nHost: h\r\n" + line + "\r\n")
            .parsed->keep_alive;
    };
    CHECK(keeps("1.1", ""));
    CHECK(keeps("1.1", "Upgrade"));
    CHECK_FALSE(keeps("1.1", "close"));
    CHECK_FALSE(keeps("1.1", "keep-alive, Close"));
    CHECK_FALSE(keeps("1.0", ""));
    CHECK(keeps("1.0", "Keep-Alive"));
    CHECK_FALSE(keeps("1.0", "keep-alive, close"));
}

TEST_CASE("h1 parser: list headers that come again are joined", "[http][rfc9110-5.3]") {
    const std::string input =
        with_head("Connection: keep-alive\r\nAccept: a\r\nconnection: Upgrade\r\n"
                  "Sec-WebSocket-Protocol: p1\r\n"
                  "Sec-WebSocket-Protocol: p2, p3\r\n"
                  "Accept: b\r\nAccept: c\r\nCookie: x=1\r\nCookie: y=2\r\n");
    const Outcome out = parse(input);
    REQUIRE(out.parsed);
    const RequestHead& head = out.parsed->head;
    CHECK(head[Header::connection] == "keep-alive, Upgrade");
    CHECK(head[Header::accept] == "a, b, c");
    CHECK(head[Header::sec_websocket_protocol] == "p1, p2, p3");
    CHECK(head[Header::cookie] == "x=1; y=2");
}

TEST_CASE("h1 parser: bodies are announced", "[http][rfc9112-6]") {
    CHECK(parse(with_head("Transfer-Encoding: CHUNKED\r\n")).parsed->chunked);
    CHECK(parse(with_head("Content-Length: 18446744073709551615\r\n")).parsed->content_length ==
          18446744073709551615U);
    CHECK(parse(with_head("Content-Length: 007\r\n")).parsed->content_length == 7);
    CHECK(parse(with_head("Expect: 100-Continue\r\n")).parsed->expects_continue);
    CHECK_FALSE(parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").parsed->expects_continue);
}

TEST_CASE("h1 parser: views move with a copy of the head", "[http]") {
    std::string input =
        "\r\nGET http://h?q HTTP/1.1\r\nHost: h\r\nAccept: a\r\nAccept: b\r\n\r\nrest";
    Outcome out = parse(input);
    REQUIRE(out.parsed);
    const std::string copy = input.substr(0, out.bytes);
    out.parsed->rebase(input.data(), copy.data());
    input.assign(input.size(), 'X');
    CHECK(out.parsed->head.target == "http://h?q");
    CHECK(out.parsed->head.path == "/");
    CHECK(out.parsed->head.query == "q");
    CHECK(out.parsed->head[Header::host] == "h");
    CHECK(out.parsed->head[Header::accept] == "a, b");
    out.parsed->forget_views();
    CHECK_FALSE(out.parsed->head.has(Header::host));
    CHECK(out.parsed->head.method == Method::get);
}

TEST_CASE("h1 parser: every refusal has its name, place and status", "[http][rfc9112]") {
    struct Case {
        errc error;
        int status;
        std::string input;
        std::string place = {};
    };
    using namespace std::string_literals;
    const auto c = GENERATE(values<Case>({
        // the request line
        {errc::malformed_request_line, 400, "GET /\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET / HT\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET / HTTP/1.1x\r\nHost: h\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET / http/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET / FTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::malformed_request_line, 400, "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_method, 400, " GET / HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_method, 400, "G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_method, 400, "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_method, 400, "\x16\x03\x01\x02\x00\x01\x00\x01"s, "line 1"},
        {errc::bad_target, 400, "GET a HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "GET * HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "OPTIONS ** HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "GET http:// HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_target, 400, "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::connect_refused, 501, "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_version, 505, "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_version, 505, "GET / HTTP/0.9\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bad_version, 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "line 1"},
        {errc::too_many_empty_lines, 400, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", "line 5"},
        // line ends and controls
        {errc::bare_lf, 400, "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bare_lf, 400, "GET / HTTP/1.1\nHost: h\r\n\r\n", "line 1"},
        {errc::bare_lf, 400, "GET / HTTP/1.1\r\nHost: h\n\r\n", "line 2, header \"Host\""},
        {errc::bare_lf, 400, "GET / HTTP/1.1\r\nHost: h\r\n\n", "line 3"},
        {errc::bare_cr, 400, "GET / HTTP/1.1\rX\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bare_cr, 400, "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::bare_cr, 400, with_head("A: b\rc\r\n"), "line 3, header \"A\""},
        {errc::bare_cr, 400, with_head("A: b\r\r\n"), "line 3, header \"A\""},
        {errc::bare_cr, 400, with_head("A\r: b\r\n"), "line 3"},
        {errc::control_character, 400, "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"s, "line 1"},
        {errc::control_character, 400, "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", "line 1"},
        {errc::control_character, 400, with_head("A: b\0c\r\n"s), "line 3, header \"A\""},
        {errc::control_character, 400, with_head("A: \x01\r\n"), "line 3, header \"A\""},
        {errc::control_character, 400, with_head("A\0: b\r\n"s), "line 3"},
        {errc::obs_fold, 400, with_head("A: b\r\n c\r\n"), "line 4"},
        {errc::obs_fold, 400, with_head("A: b\r\n\tc\r\n"), "line 4"},
        {errc::obs_fold, 400, "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "line 2"},
        // header lines
        {errc::missing_colon, 400, with_head("Abc\r\n"), "line 3"},
        {errc::bad_header_name, 400, with_head(": b\r\n"), "line 3"},
        {errc::bad_header_name, 400, with_head("A(b: c\r\n"), "line 3"},
        {errc::bad_header_name, 400, with_head("A b: c\r\n"), "line 3, header \"A\""},
        {errc::bad_header_name, 400, with_head("\xc3\xa9: c\r\n"), "line 3"},
        {errc::space_before_colon, 400, with_head("Abc : d\r\n"), "line 3, header \"Abc\""},
        {errc::space_before_colon, 400, with_head("Abc\t: d\r\n"), "line 3, header \"Abc\""},
        {errc::bad_header_value, 400, with_head("Connection: a b\r\n"),
         "line 3, header \"Connection\""},
        {errc::head_too_large, 431, with_head("A: " + std::string(2 * limit, 'x') + "\r\n"),
         "more than 1024 bytes"},
        {errc::head_too_large, 431, "GET /" + std::string(2 * limit, 'x'), "more than 1024 bytes"},
        // Host
        {errc::missing_host, 400, "GET / HTTP/1.1\r\nA: b\r\n\r\n"},
        {errc::missing_host, 400, "GET http://h/ HTTP/1.1\r\n\r\n"},
        {errc::duplicate_host, 400, with_head("host: h\r\n"), "line 3, header \"host\""},
        {errc::bad_host, 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "line 2, header \"Host\""},
        {errc::bad_host, 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "line 2, header \"Host\""},
        {errc::bad_host, 400, "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", "line 2, header \"Host\""},
        // lengths and encodings
        {errc::bad_content_length, 400, with_head("Content-Length: +5\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length: -5\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length: 5 5\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length: 5, 5\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length: 5, 6\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length:\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length: 0x5\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length: 5,\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::bad_content_length, 400, with_head("Content-Length: 18446744073709551616\r\n"),
         "line 3, header \"Content-Length\""},
        {errc::duplicate_content_length, 400,
         with_head("Content-Length: 5\r\nContent-Length: 5\r\n"),
         "line 4, header \"Content-Length\""},
        {errc::duplicate_content_length, 400,
         with_head("Content-Length: 5\r\nContent-Length: 6\r\n"),
         "line 4, header \"Content-Length\""},
        {errc::length_and_encoding, 400,
         with_head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
         "line 4, header \"Transfer-Encoding\""},
        {errc::length_and_encoding, 400,
         with_head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
         "line 4, header \"Content-Length\""},
        {errc::encoding_in_http_1_0, 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {errc::unknown_encoding, 501, with_head("Transfer-Encoding: gzip\r\n"),
         "line 3, header \"Transfer-Encoding\""},
        {errc::unknown_encoding, 501, with_head("Transfer-Encoding: gzip, chunked\r\n"),
         "line 3, header \"Transfer-Encoding\""},
        {errc::unknown_encoding, 501, with_head("Transfer-Encoding: chunked, chunked\r\n"),
         "line 3, header \"Transfer-Encoding\""},
        {errc::unknown_encoding, 501, with_head("Transfer-Encoding: xchunked\r\n"),
         "line 3, header \"Transfer-Encoding\""},
        {errc::unknown_encoding, 501, with_head("Transfer-Encoding:\r\n"),
         "line 3, header \"Transfer-Encoding\""},
        {errc::unknown_encoding, 501,
         with_head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
         "line 4, header \"Transfer-Encoding\""},
        {errc::expectation_failed, 417, with_head("Expect: a-miracle\r\n")},
        // one value only
        {errc::duplicate_header, 400, with_head("Authorization: a\r\nAuthorization: a\r\n"),
         "line 4, header \"Authorization\""},
        {errc::duplicate_header, 400, with_head("X-API-Key: a\r\nX-API-Key: b\r\n"),
         "line 4, header \"X-API-Key\""},
        {errc::duplicate_header, 400, with_head("Origin: a\r\nOrigin: a\r\n"),
         "line 4, header \"Origin\""},
        {errc::duplicate_header, 400, with_head("Last-Event-ID: a\r\nLast-Event-ID: a\r\n"),
         "line 4, header \"Last-Event-ID\""},
        {errc::duplicate_header, 400, with_head("Idempotency-Key: a\r\nIdempotency-Key: a\r\n"),
         "line 4, header \"Idempotency-Key\""},
        {errc::duplicate_header, 400, with_head("Content-Type: a\r\nContent-Type: a\r\n"),
         "line 4, header \"Content-Type\""},
        {errc::duplicate_header, 400, with_head("Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n"),
         "line 4, header \"Sec-WebSocket-Key\""},
        {errc::duplicate_header, 400,
         with_head("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n"),
         "line 4, header \"Sec-WebSocket-Version\""},
    }));
    CAPTURE(c.input, c.place);
    for (std::size_t step = 1; step <= c.input.size(); step = step < 8 ? step + 1 : step * 3) {
        CAPTURE(step);
        const Outcome out = parse(c.input, step);
        CHECK(fault_name(out.fault.error) == fault_name(c.error));
        CHECK(out.fault.place == c.place);
    }
    CHECK(fault_status(c.error) == c.status);
    const auto response = fault_response({c.error, c.place});
    CHECK(response.status == c.status);
    CHECK(response.close);
}

TEST_CASE("h1 parser: any split of the bytes gives the same result", "[http]") {
    const std::string input = "\r\n\r\nPOST /a?b HTTP/1.1\r\nHost: h\r\nAccept: x\r\nAccept: y\r\n"
                              "Content-Length: 3\r\n\r\nabc";
    const Outcome whole = parse(input);
    REQUIRE(whole.parsed);
    for (std::size_t first = 0; first <= input.size(); ++first)
        for (const std::size_t step : {std::size_t{1}, std::size_t{7}, input.size()}) {
            HeadParser parser;
            ParsedHead parsed;
            auto status = HeadParser::Status::need_more;
            for (std::size_t end = first; status == HeadParser::Status::need_more;
                 end = std::min(end + step, input.size())) {
                const bool all = end == input.size();
                status = parser.parse(std::string_view{input}.substr(0, end), limit, parsed);
                if (all) break;
            }
            REQUIRE(status == HeadParser::Status::complete);
            CHECK(parsed.bytes == whole.bytes);
            CHECK(parsed.head.headers == whole.parsed->head.headers);
            CHECK(parsed.head.query == "b");
        }
}

TEST_CASE("h1 parser: what is not whole yet is waited for", "[http]") {
    for (const char* const input : {"", "G", "GET / HTTP/1.1", "GET / HTTP/1.1\r", "\r\n",
                                    "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r"}) {
        HeadParser parser;
        ParsedHead parsed;
        CHECK(parser.parse(input, limit, parsed) == HeadParser::Status::need_more);
    }
}

TEST_CASE("h1 parser: a head may be exactly as long as allowed", "[http]") {
    std::string input = "GET / HTTP/1.1\r\nHost: h\r\nA: ";
    input += std::string(limit - input.size() - 4, 'x') + "\r\n\r\n";
    REQUIRE(input.size() == limit);
    CHECK(parse(input).parsed);
    CHECK(parse(input, 1).parsed);
    input.insert(input.size() - 4, "x");
    CHECK(parse(input).fault.error == errc::head_too_large);
    CHECK(parse(input, 1).fault.error == errc::head_too_large);
}

TEST_CASE("h1 parser: many equal list headers cost linear time", "[http]") {
    std::string lines;
    for (int i = 0; i < 100'000; ++i) lines += "Accept:a\r\n";
    const std::string input = with_head(lines);
    HeadParser parser;
    ParsedHead parsed;
    REQUIRE(parser.parse(input, 16 << 20, parsed) == HeadParser::Status::complete);
    CHECK(parsed.head[Header::accept].size() == 100'000 + 99'999 * 2);
}
