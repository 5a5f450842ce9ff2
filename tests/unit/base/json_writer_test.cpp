#include <fanfare/base/json_writer.hpp>

#include <catch2/catch.hpp>
#include <simdjson.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

using namespace fanfare;

namespace {

std::string json_string(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

std::string real(double value) {
    std::string out;
    JsonWriter{out}.real(value);
    return out;
}

} // namespace

TEST_CASE("json_writer: strings are escaped where JSON asks for it", "[json_writer][rfc8259-7]") {
    CHECK(json_string("") == R"("")");
    CHECK(json_string("plain text") == R"("plain text")");
    CHECK(json_string(R"(a"b\c/d)") == R"("a\"b\\c/d")");
    CHECK(json_string("\b\f\n\r\t") == R"("\b\f\n\r\t")");
    CHECK(json_string(std::string_view{"\0\x01\x1f\x7f", 4}) == "\"\\u0000\\u0001\\u001f\x7f\"");
    CHECK(json_string("é€😀\u2028") == "\"é€😀\u2028\"");
}

TEST_CASE("json_writer: an escape is found at every place of a word", "[json_writer]") {
    for (std::size_t size = 1; size < 40; ++size)
        for (std::size_t at = 0; at < size; ++at) {
            std::string text(size, '\x7f');
            text[at] = '"';
            std::string expected = text;
            expected.insert(at, "\\");
            CHECK(json_string(text) == '"' + expected + '"');
        }
}

TEST_CASE("json_writer: what was written reads back", "[json_writer]") {
    std::mt19937 random{3};
    simdjson::dom::parser parser;
    for (int i = 0; i < 2'000; ++i) {
        std::string text(random() % 60, '\0');
        for (char& c : text) c = static_cast<char>(random() % 128);
        std::string json = json_string(text);
        std::string_view back;
        REQUIRE(parser.parse(json).get(back) == simdjson::SUCCESS);
        CHECK(back == text);
    }
}

TEST_CASE("json_writer: commas stand between values and nowhere else", "[json_writer]") {
    std::string out;
    JsonWriter w{out};

    SECTION("members") {
        w.begin_object().field("op", "ok").field("id", std::uint64_t{7}).field_bool("more", true);
        w.key("user").null().key("delta").integer(-3).end_object();
        CHECK(out == R"({"op":"ok","id":7,"more":true,"user":null,"delta":-3})");
    }
    SECTION("elements") {
        w.begin_array().number(1).string("a").boolean(false).null().raw("{}").real(0.5).end_array();
        CHECK(out == R"([1,"a",false,null,{},0.5])");
    }
    SECTION("empty containers") {
        w.begin_array().begin_object().end_object().begin_array().end_array().end_array();
        CHECK(out == "[{},[]]");
    }
    SECTION("containers after names and beside each other") {
        w.begin_object().key("a").begin_array().begin_object().field("x", "1").end_object();
        w.begin_object().end_object().number(2).end_array();
        w.key("b").begin_object().key("c").begin_array().end_array().end_object();
        w.key("d").raw("[1]").end_object();
        CHECK(out == R"({"a":[{"x":"1"},{},2],"b":{"c":[]},"d":[1]})");
    }
    SECTION("it appends") {
        out = "data: ";
        w.begin_object().end_object();
        CHECK(out == "data: {}");
    }
}

TEST_CASE("json_writer: integers at their ends", "[json_writer]") {
    std::string out;
    JsonWriter{out}
        .begin_array()
        .number(0)
        .number(std::numeric_limits<std::uint64_t>::max())
        .integer(std::numeric_limits<std::int64_t>::min())
        .integer(std::numeric_limits<std::int64_t>::max())
        .end_array();
    CHECK(out == "[0,18446744073709551615,-9223372036854775808,9223372036854775807]");
    out.clear();
    append_number(out, 42);
    CHECK(out == "42");
}

TEST_CASE("json_writer: doubles are short and exact", "[json_writer]") {
    CHECK(real(0) == "0");
    CHECK(real(-0.0) == "-0");
    CHECK(real(30) == "30");
    CHECK(real(-100000) == "-100000");
    CHECK(real(0.1) == "0.1");
    CHECK(real(2.5) == "2.5");
    CHECK(real(9007199254740992.0) == "9007199254740992");
    CHECK(real(1e300) == "1e+300");
    CHECK(real(std::nan("")) == "null");
    CHECK(real(std::numeric_limits<double>::infinity()) == "null");
    std::mt19937_64 random{4};
    for (int i = 0; i < 2'000; ++i) {
        const double value =
            std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 400) - 200);
        CHECK(std::strtod(real(value).c_str(), nullptr) == value);
    }
}
