#include <fanfare/base/json_check.hpp>

#include <catch2/catch.hpp>

#include <fuzz/json_check_oracle.hpp>
#include <random>
#include <string>
#include <vector>

using namespace fanfare;
using namespace std::string_view_literals;

namespace {

struct Bad {
    std::string_view text;
    std::size_t at;
    const char* what;
};

std::string nested(std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
}

/// Documents with every kind of token, to be damaged.
const std::vector<std::string> documents{
    R"({"id":4,"op":"publish","room":"chat:1","data":{"text":"hé","n":[1,-2.5e+10,0,true]}})",
    R"([ "a\"b\\\/\b\f\n\r\t\u00e9\ud83d\ude00", null , false, {} , [ ], {"":""} ])",
    "\t\r\n [[[[1]]], {\"a\":{\"b\":{\"c\":[{}]}}}] \n",
    R"("just a string that is long enough for several words and 😀")",
    "-0.0e-0",
};

} // namespace

TEST_CASE("json_check: valid documents", "[json_check][rfc8259]") {
    for (const std::string_view text : {
             "null"sv,
             "true"sv,
             "false"sv,
             "0"sv,
             "-0"sv,
             "10"sv,
             "-1.50"sv,
             "0e0"sv,
             "1E+2"sv,
             "1e-2"sv,
             "0.0001"sv,
             "\"\""sv,
             "\"a\""sv,
             "{}"sv,
             "[]"sv,
             " [ ] "sv,
             "\n\r\t {\n}\n"sv,
             "[null]"sv,
             "[1,2]"sv,
             "[[],{}]"sv,
             "{\"a\":1}"sv,
             "{ \"a\" : 1 , \"b\" : [ ] }"sv,
             "{\"\":0}"sv,
             "{\"a\":1,\"a\":2}"sv, // RFC 8259 §4: names SHOULD be unique
             "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""sv,
             "\"\\u0000\\uFFFF\\uabCD\""sv,
             "\"\\ud83d\\ude00\\uDBFF\\uDFFF\""sv,
             "\"\\\\u12\""sv, // an escaped backslash, not a \u
             "\"\x7f\""sv,
             "\"/\""sv,
             "\"é€😀\xef\xbf\xbf\u2028\""sv,
             "\"\xef\xbb\xbf\""sv, // a byte order mark is a character like any other inside
         }) {
        CAPTURE(text);
        const JsonFault fault = check_json(text);
        CHECK_FALSE(fault);
        CHECK((fault.what == nullptr ? "" : fault.what) == ""sv);
        CHECK(test::simdjson_accepts(text));
    }
}

TEST_CASE("json_check: numbers of any size are valid", "[json_check][rfc8259-6]") {
    const std::string digits(1'000, '9');
    for (const std::string& number :
         {std::string{"18446744073709551616"}, std::string{"-9223372036854775809"}, digits,
          "-" + digits, "0." + digits, "1e" + digits, "1e-" + digits, std::string{"1e400"},
          digits + "." + digits + "E+" + digits}) {
        CAPTURE(number);
        CHECK_FALSE(check_json(number));
        CHECK_FALSE(check_json("[" + number + "]"));
        CHECK_FALSE(check_json("{\"n\":" + number + "}"));
        CHECK(check_json("[" + number + "x]"));
        CHECK(check_json("[" + number + "."));
    }
}

TEST_CASE("json_check: faults name their place and reason", "[json_check][rfc8259]") {
    const auto bad = GENERATE(values<Bad>({
        // Ends
        {"", 0, "a value is expected, but the text is empty"},
        {" \n", 2, "a value is expected, but the text is empty"},
        {"[", 1, "the text ends where a value is expected"},
        {"[1", 2, "the text ends inside an array"},
        {"[1,", 3, "the text ends where a value is expected"},
        {"{", 1, "the text ends where a name is expected"},
        {"{\"a\"", 4, "a colon is missing after the name"},
        {"{\"a\":", 5, "the text ends where a value is expected"},
        {"{\"a\":1", 6, "the text ends inside an object"},
        {"{\"a\":1,", 7, "the text ends where a name is expected"},
        {"[[]", 3, "the text ends inside an array"},
        {"1 2", 2, "something follows the end of the value"},
        {"{}}", 2, "something follows the end of the value"},
        {"[],", 2, "something follows the end of the value"},
        {"null\0"sv, 4, "something follows the end of the value"},
        {"\"a\"b", 3, "something follows the end of the value"},
        // Arrays and objects
        {"[1 2]", 3, "a comma or ']' is missing"},
        {"[1}", 2, "a comma or ']' is missing"},
        {"[1:2]", 2, "a comma or ']' is missing"},
        {"[1,]", 3, "a value is expected after the comma"},
        {"[1, ]", 4, "a value is expected after the comma"},
        {"[,1]", 1, "a value is missing"},
        {"[1,,2]", 3, "a value is missing"},
        {"]", 0, "a value is missing"},
        {"{\"a\":1 \"b\":2}", 7, "a comma or '}' is missing"},
        {"{\"a\":1]", 6, "a comma or '}' is missing"},
        {"{\"a\":1,}", 7, "a name in double quotes is expected after the comma"},
        {"{\"a\":1,,", 7, "a name in double quotes is expected after the comma"},
        {"{,}", 1, "a name in double quotes or '}' is expected"},
        {"{a:1}", 1, "a name in double quotes or '}' is expected"},
        {"{'a':1}", 1, "a name in double quotes or '}' is expected"},
        {"{1:1}", 1, "a name in double quotes or '}' is expected"},
        {"{\"a\" 1}", 5, "a colon is missing after the name"},
        {"{\"a\",1}", 4, "a colon is missing after the name"},
        {"{\"a\":}", 5, "a value is missing"},
        {"{\"a\"::1}", 5, "a value is missing"},
        // Words
        {"nul", 0, "an unknown word (only true, false and null are values)"},
        {"[nulll]", 1, "an unknown word (only true, false and null are values)"},
        {"True", 0, "an unknown word (only true, false and null are values)"},
        {"NaN", 0, "an unknown word (only true, false and null are values)"},
        {"[undefined]", 1, "an unknown word (only true, false and null are values)"},
        {"true_", 0, "an unknown word (only true, false and null are values)"},
        {"true1", 0, "an unknown word (only true, false and null are values)"},
        {"'a'", 0, "a string needs double quotes"},
        {"// no\n1", 0, "a value is expected"},
        {"[\f1]", 1, "a value is expected"},
        {"\xc2\xa0"
         "1",
         0, "a value is expected"},
        {"\xef\xbb\xbf{}", 0, "a byte order mark is not allowed"},
        {"\xef\xbb", 0, "a value is expected"},
        {"\0"sv, 0, "a value is expected"},
        // Numbers
        {"+1", 0, "a number must not begin with '+'"},
        {".5", 0, "a number must begin with a digit"},
        {"-", 1, "a digit is missing after '-'"},
        {"--1", 1, "a digit is missing after '-'"},
        {"-a", 1, "a digit is missing after '-'"},
        {"-.5", 1, "a digit is missing after '-'"},
        {"[-Infinity]", 2, "a digit is missing after '-'"},
        {"01", 0, "a number has a leading zero"},
        {"[-012]", 1, "a number has a leading zero"},
        {"00", 0, "a number has a leading zero"},
        {"1.", 2, "a digit is missing after the decimal point"},
        {"[1.,2]", 3, "a digit is missing after the decimal point"},
        {"1.e5", 2, "a digit is missing after the decimal point"},
        {"1e", 2, "a digit is missing in the exponent"},
        {"1e+", 3, "a digit is missing in the exponent"},
        {"[1E-]", 4, "a digit is missing in the exponent"},
        {"1e5.5", 3, "something follows the end of the value"},
        {"0x10", 1, "something follows the end of the value"},
        {"[1_000]", 2, "a comma or ']' is missing"},
        {"1-2", 1, "something follows the end of the value"},
        // Strings
        {"\"", 0, "a string is not closed"},
        {"[\"abc", 1, "a string is not closed"},
        {"\"abcdefghijklmnop", 0, "a string is not closed"},
        {"\"\\", 0, "a string is not closed"},
        {"\"a\\\"", 0, "a string is not closed"},
        {"\"a\nb\"", 2, "a control character in a string must be escaped"},
        {"\"0123456789\tb\"", 11, "a control character in a string must be escaped"},
        {"\"\0\""sv, 1, "a control character in a string must be escaped"},
        {"\"a\x1f\"", 2, "a control character in a string must be escaped"},
        {"\"\\a\"", 1, "an unknown escape in a string"},
        {"\"ab\\'\"", 3, "an unknown escape in a string"},
        {"\"\\x41\"", 1, "an unknown escape in a string"},
        {"\"\\U0041\"", 1, "an unknown escape in a string"},
        {"\"\\\0\""sv, 1, "an unknown escape in a string"},
        {"\"\\u\"", 1, "a \\u escape needs four hex digits"},
        {"\"\\u12", 1, "a \\u escape needs four hex digits"},
        {"\"\\u123g\"", 1, "a \\u escape needs four hex digits"},
        {"\"\\u-123\"", 1, "a \\u escape needs four hex digits"},
        {"\"\\ud83d\"", 1, "a \\u escape is half of a surrogate pair"},
        {"\"\\ude00\"", 1, "a \\u escape is half of a surrogate pair"},
        {"\"a\\ude00\\ud83d\"", 2, "a \\u escape is half of a surrogate pair"},
        {"\"\\ud83d\\u0041\"", 1, "a \\u escape is half of a surrogate pair"},
        {"\"\\ud83d\\ud83d\"", 1, "a \\u escape is half of a surrogate pair"},
        {"\"\\ud83dx\"", 1, "a \\u escape is half of a surrogate pair"},
        {"\"\\ud83d\\n\"", 1, "a \\u escape is half of a surrogate pair"},
        {"\"\\ud83d\\u12\"", 7, "a \\u escape needs four hex digits"},
        // UTF-8
        {"\"\x80\"", 1, "the text is not UTF-8"},
        {"\"ab\xff\"", 3, "the text is not UTF-8"},
        {"\"\xc3\"", 1, "the text is not UTF-8"},
        {"\"\xc0\xaf\"", 1, "the text is not UTF-8"},
        {"\"\xed\xa0\x80\"", 1, "the text is not UTF-8"},
        {"\"\xf4\x90\x80\x80\"", 1, "the text is not UTF-8"},
        {"{\"\xff\":1}", 2, "the text is not UTF-8"},
        {"[\"é\xc3\"]", 4, "the text is not UTF-8"},
        // The first of several faults
        {"[\"\xff\",]", 2, "the text is not UTF-8"},
        {"[,\"\xff\"]", 1, "a value is missing"},
        {"[\"\xff\\q\"]", 2, "the text is not UTF-8"},
    }));
    CAPTURE(bad.text);
    const JsonFault fault = check_json(bad.text);
    REQUIRE(fault);
    CHECK(fault.what == std::string_view{bad.what});
    CHECK(fault.at == bad.at);
    CHECK_FALSE(test::simdjson_accepts(bad.text));
}

TEST_CASE("json_check: depth is bounded", "[json_check]") {
    CHECK_FALSE(check_json(nested(json_depth_max)));
    const JsonFault fault = check_json(nested(json_depth_max + 1));
    REQUIRE(fault);
    CHECK(fault.what == "nested too deeply"sv);
    CHECK(fault.at == json_depth_max);
    CHECK(check_json(std::string(64 * 1024, '[')).at == json_depth_max);

    std::string objects;
    for (int i = 0; i < 200; ++i) objects += "{\"a\":";
    CHECK(check_json(objects).at == json_depth_max * 5);

    // Brackets that are closed again do not count, nor do those in strings.
    std::string wide = "[";
    for (int i = 0; i < 1'000; ++i) wide += "[[]],";
    wide += '"' + std::string(1'000, '[') + "\"]";
    CHECK_FALSE(check_json(wide));
}

TEST_CASE("json_check: each kind of bracket is remembered at each depth", "[json_check]") {
    std::mt19937 random{7};
    for (int round = 0; round < 200; ++round) {
        std::string open;
        std::string close;
        for (std::size_t i = 0; i < json_depth_max; ++i) {
            const bool object = random() % 2 == 0;
            open += object ? "{\"k\":" : "[";
            close.insert(0, 1, object ? '}' : ']');
        }
        REQUIRE_FALSE(check_json(open + "1" + close));
        const std::size_t wrong = random() % close.size();
        close[wrong] = close[wrong] == '}' ? ']' : '}';
        REQUIRE(check_json(open + "1" + close).at == open.size() + 1 + wrong);
    }
}

TEST_CASE("json_check: tells the members of the outermost object", "[json_check]") {
    struct Case {
        std::string_view text;
        std::vector<test::Members::Member> members;
    };
    const Case cases[] = {
        {" { } ", {}},
        {"1", {}},
        {R"([{"a":1}])", {}},
        {R"({"a":1})", {{"a", "1", ""}}},
        {" {\"a\"\n:\t1.50e9 , \"b\" :null\n} ", {{"a", "1.50e9", ""}, {"b", "null", ""}}},
        {R"({"a":{"b":[{"c":2}]}, "a":[ ] ,"":{}})",
         {{"a", R"({"b":[{"c":2}]})", ""}, {"a", "[ ]", ""}, {"", "{}", ""}}},
        {R"({"\u0061":"x\n","b":""})", {{"a", R"("x\n")", "x\n"}, {"b", R"("")", ""}}},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        test::Members told;
        CHECK_FALSE(check_json(c.text, told));
        CHECK(told.list == c.members);
        CHECK(test::members_agree(c.text));
    }
    test::Members told;
    CHECK(check_json(R"({"a":1,"b":)", told).at == 11); // the fault is the same
}

TEST_CASE("json_check: what strings say", "[json_check][rfc8259-7]") {
    const auto said = [](std::string_view inside) {
        std::string out = "-";
        append_unescaped(out, inside);
        return out;
    };
    CHECK(said("") == "-");
    CHECK(said("plain é") == "-plain é");
    CHECK(said(R"(\"\\\/\b\f\n\r\t)") == "-\"\\/\b\f\n\r\t");
    CHECK(said(R"(a\u0000b)") == std::string("-a\0b", 4));
    CHECK(said(R"(\u007f\u0080\u07FF\u0800\uffff)") == "-\x7f\u0080\u07ff\u0800\uffff");
    CHECK(said(R"(\ud800\udc00x\uDBFF\uDFFF)") == "-\U00010000x\U0010ffff");
}

TEST_CASE("json_check: agrees with simdjson on damaged documents", "[json_check]") {
    const auto agree = [](const std::string& text) {
        const JsonFault fault = check_json(text);
        if (fault.at > text.size() || static_cast<bool>(fault) == test::simdjson_accepts(text)) {
            CAPTURE(text, fault.at);
            FAIL((fault ? fault.what : "accepted"));
        }
        if (!fault && !test::members_agree(text)) {
            CAPTURE(text);
            FAIL("other members");
        }
    };
    for (const std::string& document : documents) {
        REQUIRE_FALSE(check_json(document));
        for (std::size_t at = 0; at <= document.size(); ++at) {
            agree(document.substr(0, at));
            agree(document.substr(at));
            if (at < document.size()) agree(std::string{document}.erase(at, 1));
            for (int byte = 0; byte < 256; ++byte) {
                std::string text = document;
                if (at < text.size()) {
                    text[at] = static_cast<char>(byte);
                    agree(text);
                }
                text = document;
                agree(text.insert(at, 1, static_cast<char>(byte)));
            }
        }
    }
    // Several at once, from the bytes that mean something.
    constexpr std::string_view alphabet = "[]{}:,\"\\ut0123456789-+.eEnla \n\xc3\xa9\xed\xa0";
    std::mt19937 random{8};
    for (int i = 0; i < 20'000; ++i) {
        std::string text = documents[random() % documents.size()];
        for (auto damages = random() % 4 + 1; damages > 0; --damages)
            text[random() % text.size()] = alphabet[random() % alphabet.size()];
        agree(text);
    }
    for (int i = 0; i < 20'000; ++i) {
        std::string text(random() % 9, ' ');
        for (char& c : text) c = alphabet[random() % alphabet.size()];
        agree(text);
    }
}
