#include "h1_body.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace fanfare::http;

namespace {

struct Outcome {
    std::string body;
    errc error = errc::none;
    bool done = false;
    std::string rest; // behind the body
};

Outcome decode(BodyDecoder decoder, std::string_view input, std::size_t step_bytes) {
    Outcome out;
    std::size_t at = 0;
    while (at < input.size() && !decoder.done()) {
        std::string_view piece = input.substr(at, step_bytes);
        while (!piece.empty() && !decoder.done()) {
            const auto step = decoder.next(piece);
            if (step.error != errc::none) {
                out.error = step.error;
                out.body.clear(); // how much came before a fault depends on the split
                return out;
            }
            out.body += step.piece;
            piece.remove_prefix(step.consumed);
            at += step.consumed;
        }
    }
    out.done = decoder.done();
    out.rest = input.substr(at);
    return out;
}

} // namespace

TEST_CASE("h1 body: a length ends where it says", "[http][rfc9112-6.2]") {
    for (const std::size_t step : {1U, 2U, 3U, 100U}) {
        const Outcome out = decode(BodyDecoder::of_length(5), "helloGET", step);
        CHECK(out.body == "hello");
        CHECK(out.done);
        CHECK(out.rest == "GET");
    }
    CHECK(BodyDecoder::of_length(0).done());
    CHECK(BodyDecoder{}.done());
    CHECK_FALSE(decode(BodyDecoder::of_length(5), "hell", 9).done);
}

TEST_CASE("h1 body: chunks", "[http][rfc9112-7.1]") {
    struct Case {
        const char* name;
        const char* input;
        const char* body;
    };
    const auto c = GENERATE(values<Case>({
        {"one chunk", "5\r\nhello\r\n0\r\n\r\nGET", "hello"},
        {"two chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", "hello world"},
        {"no data", "0\r\n\r\nGET", ""},
        {"upper and lower case", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\nGET",
         "01234567890123456789a"},
        {"zeros in front", "0005\r\nhello\r\n000\r\n\r\nGET", "hello"},
        {"an extension", "5;name=value\r\nhello\r\n0;last\r\n\r\nGET", "hello"},
        {"white space before it", "5 ;name=\"a b\"\r\nhello\r\n0\r\n\r\nGET", "hello"},
        {"trailers", "5\r\nhello\r\n0\r\nA: b\r\nC:\r\n\r\nGET", "hello"},
        {"line ends in data", "4\r\n\r\n\r\n\r\n0\r\n\r\nGET", "\r\n\r\n"},
    }));
    CAPTURE(c.name);
    for (const std::size_t step : {1U, 2U, 3U, 5U, 7U, 100U}) {
        CAPTURE(step);
        const Outcome out = decode(BodyDecoder::of_chunks(), c.input, step);
        CHECK(out.error == errc::none);
        CHECK(out.done);
        CHECK(out.body == c.body);
        CHECK(out.rest == "GET");
    }
}

TEST_CASE("h1 body: malformed chunks have names", "[http][rfc9112-7.1]") {
    struct Case {
        const char* name;
        std::string input;
        errc error;
    };
    const auto c = GENERATE(values<Case>({
        {"no size", "\r\nhello", errc::bad_chunk_size},
        {"not hexadecimal", "5g\r\nhello", errc::bad_chunk_size},
        {"a sign", "+5\r\nhello", errc::bad_chunk_size},
        {"0x", "0x5\r\nhello", errc::bad_chunk_size},
        {"a space in front", " 5\r\nhello", errc::bad_chunk_size},
        {"a space and no extension", "5 \r\nhello", errc::bad_chunk_size},
        {"overflow", "ffffffffffffffff1\r\n", errc::chunk_too_large},
        {"wraps to 5", "10000000000000005\r\nhello\r\n", errc::chunk_too_large},
        {"endless zeros", std::string(100, '0') + "5\r\nhello", errc::chunk_too_large},
        {"size line ends with LF", "5\nhello", errc::bad_chunk_line},
        {"size line ends with CR", "5\rhello", errc::bad_chunk_line},
        {"extension ends with LF", "5;a\nhello\r\n", errc::bad_chunk_line},
        {"a control in an extension", std::string("5;a\0b\r\n", 7), errc::bad_chunk_line},
        {"data longer than its size", "5\r\nhello!\r\n", errc::bad_chunk_line},
        {"data ends with LF", "5\r\nhello\n0\r\n\r\n", errc::bad_chunk_line},
        {"the end is CR only", "0\r\n\rX", errc::bad_chunk_line},
        {"the end is LF only", "0\r\n\n", errc::bad_chunk_line},
        {"trailer without colon", "0\r\nabc\r\n\r\n", errc::bad_trailer},
        {"trailer without name", "0\r\n: x\r\n\r\n", errc::bad_trailer},
        {"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", errc::bad_trailer},
        {"trailer ends with LF", "0\r\nA: b\n\r\n", errc::bad_chunk_line},
        {"a control in a trailer", "0\r\nA: \x01\r\n\r\n", errc::bad_chunk_line},
        {"extensions without end", "5;" + std::string(20'000, 'a'), errc::chunk_overhead},
        {"trailers without end", "0\r\nA:" + std::string(20'000, 'a'), errc::chunk_overhead},
    }));
    CAPTURE(c.name);
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{100'000}})
        CHECK(fault_name(decode(BodyDecoder::of_chunks(), c.input, step).error) ==
              fault_name(c.error));
}

TEST_CASE("h1 body: many small extensions count together", "[http]") {
    std::string input;
    while (input.size() < 200'000) input += "1;0123456789\r\nx\r\n";
    CHECK(decode(BodyDecoder::of_chunks(), input, 4096).error == errc::chunk_overhead);
}
