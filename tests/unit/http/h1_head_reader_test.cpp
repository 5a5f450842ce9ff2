#include "h1_head_reader.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <string_view>

using namespace fanfare::http;

namespace {

constexpr std::size_t limit = 1024;
constexpr auto complete = HeadParser::Status::complete;

std::string post(std::string_view length, std::string_view more = {}) {
    return "POST /p?q HTTP/1.1\r\nHost: h\r\nX-API-Key: k\r\nContent-Length: " +
           std::string{length} + "\r\nAccept: a\r\nAccept: b\r\n" + std::string{more} + "\r\n";
}

/// What a reader makes of `second` after `first`, which is gone by then, is what a fresh one makes.
bool same_as_fresh(HeadReader& reader, std::string first, const std::string& second) {
    static_cast<void>(reader.read(first, limit));
    reader.end_request();
    first.assign(first.size(), 'X');
    HeadReader fresh;
    const auto status = fresh.read(second, limit);
    if (reader.read(second, limit) != status) return false;
    if (status != complete) return reader.fault() == fresh.fault();
    const ParsedHead& a = reader.head();
    const ParsedHead& b = fresh.head();
    return a.bytes == b.bytes && a.content_length == b.content_length && a.chunked == b.chunked &&
           a.keep_alive == b.keep_alive && a.expects_continue == b.expects_continue &&
           a.head.method == b.head.method && a.head.http_1_0 == b.head.http_1_0 &&
           a.head.target == b.head.target && a.head.path == b.head.path &&
           a.head.query == b.head.query && a.head.headers == b.head.headers;
}

} // namespace

TEST_CASE("h1 head reader: what is shown outlives the input", "[http]") {
    HeadReader reader;
    std::string input = "\r\n" + post("3") + "abc";
    REQUIRE(reader.read(input, limit) == complete);
    input.assign(input.size(), 'X');
    CHECK_FALSE(reader.repeated());
    CHECK(reader.head().bytes == input.size() - 3);
    CHECK(reader.head().head.path == "/p");
    CHECK(reader.head().head[Header::x_api_key] == "k");
    CHECK(reader.head().head[Header::accept] == "a, b");
}

TEST_CASE("h1 head reader: a repeated head is known, a different one is parsed", "[http]") {
    struct Case {
        const char* name;
        std::string first;
        std::string second;
        bool repeated;
    };
    const std::string plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const Case cases[] = {
        {"the same", plain, plain, true},
        {"the same, more behind it", plain, plain + plain, true},
        {"another length", post("3"), post("12345"), true},
        {"a shorter length", post("12345"), post("3"), true},
        {"zeros in front", post("3"), post("0003"), true},
        {"no length after one", post("3"), plain, false},
        {"the number is missing", post("3"), post(""), false},
        {"not a number", post("3"), post("3x"), false},
        {"a sign", post("3"), post("+3"), false},
        {"two numbers", post("3"), post("3, 3"), false},
        {"a space inside", post("3"), post("3 4"), false},
        {"18 digits", post("3"), post("123456789012345678"), true},
        {"the largest", post("3"), post("18446744073709551615"), false},
        {"one beyond it", post("3"), post("18446744073709551616"), false},
        {"one byte of a value", plain, "GET / HTTP/1.1\r\nHost: i\r\n\r\n", false},
        {"another method", plain, "PUT / HTTP/1.1\r\nHost: h\r\n\r\n", false},
        {"a header more", post("3"), post("3", "Upgrade: x\r\n"), false},
        {"a header less", post("3", "Upgrade: x\r\n"), post("3"), false},
        {"a second length", post("3"), post("3", "Content-Length: 3\r\n"), false},
        {"chunks too", post("3"), post("3", "Transfer-Encoding: chunked\r\n"), false},
        {"the bound of a head", plain, post("3", "A: " + std::string(limit, 'x') + "\r\n"), false},
        {"after a fault", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", false},
        {"an empty line first", plain, "\r\n" + plain, false},
        {"an empty line first, again", "\r\n" + plain, "\r\n" + plain, true},
        {"cut short", post("3"), post("3").substr(0, post("3").size() - 1), false},
        {"cut in the number", post("345"), post("345").substr(0, post("345").find("45")), false},
    };
    for (const Case& c : cases) {
        CAPTURE(c.name);
        HeadReader reader;
        CHECK(same_as_fresh(reader, c.first, c.second));
        CHECK(reader.repeated() == c.repeated);
        // What was read last is what counts from now on.
        HeadReader again;
        static_cast<void>(again.read(c.first, limit));
        again.end_request();
        CHECK(same_as_fresh(again, c.second, c.first));
    }
}

TEST_CASE("h1 head reader: a repeated head may come in pieces", "[http]") {
    const std::string first = post("3");
    const std::string second = post("777");
    for (std::size_t cut = 0; cut < second.size(); ++cut) {
        HeadReader reader;
        REQUIRE(reader.read(first, limit) == complete);
        reader.end_request();
        REQUIRE(reader.read(second.substr(0, cut), limit) == HeadParser::Status::need_more);
        REQUIRE(reader.read(second, limit) == complete);
        CHECK(reader.head().content_length == 777);
        CHECK(reader.head().bytes == second.size());
    }
}

TEST_CASE("h1 head reader: a known head obeys a bound that was lowered", "[http]") {
    for (const std::string& head : {post("3"), std::string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n"}}) {
        HeadReader reader;
        REQUIRE(reader.read(head, head.size()) == complete);
        reader.end_request();
        CHECK(reader.read(head, head.size() - 1) == HeadParser::Status::fault);
        CHECK(reader.fault().error == errc::head_too_large);
    }
}

TEST_CASE("h1 head reader: a long head is not remembered", "[http]") {
    const std::string head =
        post("3", "A: " + std::string(HeadReader::remembered_bytes_max, 'x') + "\r\n");
    HeadReader reader;
    for (int i = 0; i < 2; ++i) {
        REQUIRE(reader.read(head, 2 * head.size()) == complete);
        CHECK_FALSE(reader.repeated());
        reader.end_request();
    }
    CHECK_FALSE(reader.head().head.has(Header::host));
}

TEST_CASE("h1 head reader: a fault is not told about an earlier head", "[http]") {
    HeadReader reader;
    REQUIRE(reader.read("HEAD / HTTP/1.0\r\n\r\n", limit) == complete);
    reader.end_request();
    REQUIRE(reader.read("GET / HTTP/1.1\n", limit) == HeadParser::Status::fault);
    CHECK(reader.head().head.method == Method::other);
    CHECK_FALSE(reader.head().head.http_1_0);
}
