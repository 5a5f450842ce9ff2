#include <fanfare/http/message.hpp>

#include <catch2/catch.hpp>

using namespace fanfare;
using namespace fanfare::http;

TEST_CASE("http message: percent escapes decode to UTF-8 or not at all", "[http][rfc3986-2.1]") {
    CHECK(percent_decode("") == "");
    CHECK(percent_decode("chat%3A1") == "chat:1");
    CHECK(percent_decode("a%2Fb") == "a/b");
    CHECK(percent_decode("a+b") == "a+b"); // a plus is a plus in a path
    CHECK(percent_decode("%e2%82%AC") == "€");
    CHECK_FALSE(percent_decode("%"));
    CHECK_FALSE(percent_decode("%4"));
    CHECK_FALSE(percent_decode("%4g"));
    CHECK_FALSE(percent_decode("%-1"));
    CHECK_FALSE(percent_decode("%ff"));
    CHECK_FALSE(percent_decode("%e2%82"));
}

TEST_CASE("http message: query values", "[http]") {
    constexpr std::string_view query = "room=a&room=b%2Bc&last=10&&empty=&flag&e%6Ed=1&bad=%zz";
    CHECK(query_value(query, "room") == "a");
    CHECK(query_value(query, "last") == "10");
    CHECK(query_value(query, "empty") == "");
    CHECK(query_value(query, "flag") == "");
    CHECK(query_value(query, "end") == "1");
    CHECK_FALSE(query_value(query, "bad"));
    CHECK_FALSE(query_value(query, "absent"));
    CHECK_FALSE(query_value("", ""));
    CHECK(query_value("a=1+2%2B3", "a") == "1 2+3");
    CHECK(query_value("token=a=b=c", "token") == "a=b=c");
}

TEST_CASE("http message: a whole query keeps its order", "[http]") {
    const auto items = parse_query("room=a&room=b%2Bc&&x=1+2&flag&=v");
    REQUIRE(items);
    REQUIRE(items->size() == 5);
    CHECK((*items)[0].value == "a");
    CHECK((*items)[1].value == "b+c");
    CHECK((*items)[2].value == "1 2");
    CHECK((*items)[3].name == "flag");
    CHECK((*items)[4].name.empty());
    CHECK(parse_query("")->empty());
    CHECK_FALSE(parse_query("a=%"));
    CHECK_FALSE(parse_query("%ff=1"));
}

TEST_CASE("http message: bearer tokens", "[http][rfc6750-2.1]") {
    const auto token = [](std::string_view value) {
        RequestHead head;
        head.headers[static_cast<std::size_t>(Header::authorization)] = value;
        return bearer_token(head);
    };
    CHECK(token("Bearer abc") == "abc");
    CHECK(token("bEARER  abc ") == "abc");
    CHECK(token("Bearer").empty());
    CHECK(token("Bearer ").empty());
    CHECK(token("Bearerabc").empty());
    CHECK(token("Basic abc").empty());
    CHECK(token("").empty());
}

TEST_CASE("http message: tokens of a list", "[http]") {
    CHECK(has_token("keep-alive, Upgrade", "upgrade"));
    CHECK(has_token("close", "close"));
    CHECK(has_token(" , \tclose\t ,", "close"));
    CHECK_FALSE(has_token("closed, not close", "close"));
    CHECK_FALSE(has_token("", "close"));
}

TEST_CASE("http problem: the members of RFC 9457", "[http][rfc9457]") {
    const Response response = problem(Error{Code::bad_request, "data is \"missing\"", "data"});
    CHECK(response.status == 400);
    CHECK(response.content_type == "application/problem+json");
    CHECK(response.headers.empty());
    CHECK(response.body ==
          R"({"type":"about:blank","title":"Bad Request","status":400,)"
          R"("detail":"data is \"missing\"","code":"bad_request","field":"data"})");
}

TEST_CASE("http problem: who may come again is told when", "[http]") {
    CHECK(problem(Code::rate_limited, "").headers == "Retry-After: 1\r\n");
    CHECK(problem(Code::unavailable, "").headers == "Retry-After: 1\r\n");
    CHECK(problem(Code::internal, "").headers.empty());
    const Response response = problem(431, Code::too_large, "long");
    CHECK(response.status == 431);
    CHECK(response.body.find("\"title\":\"Request Header Fields Too Large\"") != std::string::npos);
}

TEST_CASE("http problem: bytes that are not UTF-8 do not break the document", "[http]") {
    CHECK(problem(Code::not_found, "a\xff"
                                   "b")
              .body.find("a?b") != std::string::npos);
}
