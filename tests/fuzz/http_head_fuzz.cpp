// The HTTP head and body codecs: any bytes, whole and in pieces, give the same result, and what is
// accepted keeps the promises that handlers rely on.
//
// The first byte of the input chooses how the rest is split.

#include "h1_body.hpp"
#include "h1_head_reader.hpp"

#include <fanfare/http/message.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace fanfare::http;

constexpr std::size_t head_bytes_max = 4096;

struct Outcome {
    HeadParser::Status status = HeadParser::Status::need_more;
    Fault fault;
    ParsedHead parsed;
};

void parse(std::string_view input, std::size_t step, Outcome& out) {
    HeadParser parser;
    for (std::size_t end = 0; out.status == HeadParser::Status::need_more && end < input.size();) {
        end = std::min(input.size(), end + step);
        out.status = parser.parse(input.substr(0, end), head_bytes_max, out.parsed);
    }
    out.fault = parser.fault();
}

struct Body {
    errc error = errc::none;
    std::string text;
    std::size_t bytes = 0;
    bool done = false;
    friend bool operator==(const Body&, const Body&) = default;
};

Body decode(BodyDecoder decoder, std::string_view input, std::size_t step) {
    Body out;
    while (out.bytes < input.size() && !decoder.done()) {
        std::string_view piece = input.substr(out.bytes, step);
        while (!piece.empty() && !decoder.done()) {
            const BodyDecoder::Step taken = decoder.next(piece);
            if (taken.error != errc::none) return {taken.error, {}, 0, false};
            if (taken.consumed == 0) std::abort(); // it would never end
            out.text += taken.piece;
            out.bytes += taken.consumed;
            piece.remove_prefix(taken.consumed);
        }
    }
    out.done = decoder.done();
    return out;
}

void require(bool condition) {
    if (!condition) std::abort();
}

void check_accepted(const Outcome& whole, std::string_view input) {
    const ParsedHead& parsed = whole.parsed;
    require(parsed.bytes <= input.size() && parsed.bytes <= head_bytes_max);
    require(!parsed.head.path.empty());
    require(parsed.head.path.front() == '/' || parsed.head.path == "*");
    require(!(parsed.chunked && parsed.content_length != 0));
    for (const std::string_view value : parsed.head.headers)
        require(value.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos);
    static_cast<void>(parse_query(parsed.head.query));
    static_cast<void>(percent_decode(parsed.head.path));
    static_cast<void>(bearer_token(parsed.head));
}

/// A reader that knows the head of `before` makes of `input` what a parser makes of it.
void check_memory(std::string_view before, std::string_view input, const Outcome& whole) {
    HeadReader reader;
    static_cast<void>(reader.read(before, head_bytes_max));
    reader.end_request();
    require(reader.read(input, head_bytes_max) == whole.status);
    if (whole.status == HeadParser::Status::fault) require(reader.fault() == whole.fault);
    if (whole.status != HeadParser::Status::complete) return;
    const ParsedHead& read = reader.head();
    require(read.bytes == whole.parsed.bytes);
    require(read.content_length == whole.parsed.content_length);
    require(read.chunked == whole.parsed.chunked);
    require(read.keep_alive == whole.parsed.keep_alive);
    require(read.head.target == whole.parsed.head.target);
    require(read.head.path == whole.parsed.head.path);
    require(read.head.headers == whole.parsed.head.headers);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t step = 1 + data[0] % 64;
    // NOLINTNEXTLINE: bytes are characters here
    const std::string_view input{reinterpret_cast<const char*>(data) + 1, size - 1};

    Outcome whole;
    Outcome split;
    parse(input, input.size() + 1, whole);
    parse(input, step, split);
    require(whole.status == split.status);
    require(whole.fault == split.fault);
    if (whole.status == HeadParser::Status::fault) {
        require(whole.fault.error != errc::none);
        require(fault_response(whole.fault).status >= 400);
    }
    if (whole.status == HeadParser::Status::complete) {
        require(whole.parsed.bytes == split.parsed.bytes);
        require(whole.parsed.head.headers == split.parsed.head.headers);
        require(whole.parsed.head.path == split.parsed.head.path);
        require(whole.parsed.keep_alive == split.parsed.keep_alive);
        check_accepted(whole, input);
        check_memory(input, input, whole);
        // The request behind it: a mutation of the same bytes, often.
        const std::string_view behind = input.substr(whole.parsed.bytes);
        Outcome next;
        parse(behind, behind.size() + 1, next);
        if (!behind.empty()) check_memory(input, behind, next);
        const BodyDecoder decoder = whole.parsed.chunked
                                        ? BodyDecoder::of_chunks()
                                        : BodyDecoder::of_length(whole.parsed.content_length);
        const std::string_view body = input.substr(whole.parsed.bytes);
        require(decode(decoder, body, body.size() + 1) == decode(decoder, body, step));
    }
    return 0;
}
