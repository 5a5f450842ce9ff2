#include "ws_bytes.hpp"

#include <fanfare/ws/frame.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <string>

using namespace fanfare;
using namespace fanfare::ws;
using namespace fanfare::ws::test;

namespace {

Result<FrameHeader> parse(std::string_view bytes, bool deflate = false) {
    return parse_header(as_byte_view(bytes), deflate);
}

} // namespace

TEST_CASE("ws header: every row of the framing rules", "[ws][rfc6455-5.2][rfc6455-5.5]") {
    struct Case {
        const char* name;
        const char* bytes; // hex
        bool deflate;
        errc fault;
    };
    const auto c = GENERATE(values<Case>({
        {"not masked", "81 05", false, errc::not_masked},
        {"not masked, empty", "81 00", false, errc::not_masked},
        {"not masked ping", "89 00", false, errc::not_masked},
        {"RSV1 without deflate", "c1", false, errc::reserved_bits},
        {"RSV2", "a1", true, errc::reserved_bits},
        {"RSV3", "91", true, errc::reserved_bits},
        {"RSV1 and RSV2 with deflate", "e1", true, errc::reserved_bits},
        {"RSV1 on a continuation", "c0", true, errc::reserved_bits},
        {"RSV1 on close", "c8", true, errc::reserved_bits},
        {"RSV1 on ping", "c9", true, errc::reserved_bits},
        {"RSV1 on pong", "ca", true, errc::reserved_bits},
        {"opcode 3", "83", false, errc::reserved_opcode},
        {"opcode 4", "84", false, errc::reserved_opcode},
        {"opcode 5", "85", false, errc::reserved_opcode},
        {"opcode 6", "86", false, errc::reserved_opcode},
        {"opcode 7", "87", false, errc::reserved_opcode},
        {"opcode 11", "8b", false, errc::reserved_opcode},
        {"opcode 12", "8c", false, errc::reserved_opcode},
        {"opcode 13", "8d", false, errc::reserved_opcode},
        {"opcode 14", "8e", false, errc::reserved_opcode},
        {"opcode 15", "8f", false, errc::reserved_opcode},
        {"fragmented close", "08", false, errc::control_fragmented},
        {"fragmented ping", "09", false, errc::control_fragmented},
        {"fragmented pong", "0a", false, errc::control_fragmented},
        {"ping of 126", "89 fe", false, errc::control_too_long},
        {"close in the 64-bit form", "88 ff", false, errc::control_too_long},
        {"16-bit form of 0", "81 fe 0000", false, errc::length_not_shortest},
        {"16-bit form of 125", "81 fe 007d", false, errc::length_not_shortest},
        {"64-bit form of 0", "81 ff 0000000000000000", false, errc::length_not_shortest},
        {"64-bit form of 65535", "81 ff 000000000000ffff", false, errc::length_not_shortest},
        {"64-bit form, top bit", "81 ff 8000000000010000", false, errc::length_not_shortest},
        {"64-bit form, all bits", "81 ff ffffffffffffffff", false, errc::length_not_shortest},
    }));
    CAPTURE(c.name);
    const std::string bytes = hex(c.bytes);
    CHECK(parse(bytes, c.deflate).error() == c.fault);
    CHECK(close_code_for(c.fault) == CloseCode::protocol_error);
    // Told at its byte: without it the header only needs more, with more bytes nothing changes.
    const bool early = bytes.size() == 1 || c.fault == errc::length_not_shortest ||
                       parse(bytes.substr(0, 1), c.deflate).error() == errc::need_more;
    CHECK(early);
    CHECK(parse(bytes + std::string(20, '\0'), c.deflate).error() == c.fault);
}

TEST_CASE("ws header: what is legal is read field by field", "[ws][rfc6455-5.2]") {
    struct Case {
        const char* name;
        std::uint64_t length;
        std::size_t header_bytes;
    };
    const auto c = GENERATE(values<Case>({{"empty", 0, 6},
                                          {"largest 7-bit", 125, 6},
                                          {"smallest 16-bit", 126, 8},
                                          {"largest 16-bit", 65'535, 8},
                                          {"smallest 64-bit", 65'536, 14},
                                          {"two to the 62", std::uint64_t{1} << 62U, 14}}));
    CAPTURE(c.name);
    const std::string bytes = client_header(c.length, {.fin = false, .rsv = 4, .opcode = 2});
    REQUIRE(bytes.size() == c.header_bytes);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
        CHECK(parse(bytes.substr(0, cut), true).error() == errc::need_more);
    const auto header = parse(bytes, true);
    REQUIRE(header.has_value());
    CHECK(header->length == c.length);
    CHECK(header->header_bytes == c.header_bytes);
    CHECK(header->opcode == Opcode::binary);
    CHECK_FALSE(header->fin);
    CHECK(header->rsv1);
    CHECK(header->mask == FrameSpec{}.key);
}

TEST_CASE("ws header: RFC 6455 section 5.7, a single masked text frame", "[ws][rfc6455-5.7]") {
    const std::string frame = hex("81 85 37fa213d 7f9f4d5158");
    const auto header = parse(frame);
    REQUIRE(header.has_value());
    CHECK(header->fin);
    CHECK(header->opcode == Opcode::text);
    CHECK(header->length == 5);
    CHECK(text("Hello") == frame);
}

TEST_CASE("ws header: server frames use the shortest length form", "[ws][rfc6455-5.2]") {
    struct Case {
        const char* name;
        std::size_t length;
        Opcode opcode;
        bool rsv1;
        const char* bytes;
    };
    const auto c = GENERATE(values<Case>({
        {"RFC 5.7 Hello", 5, Opcode::text, false, "81 05"},
        {"RFC 5.7 ping", 5, Opcode::ping, false, "89 05"},
        {"RFC 5.7 256 bytes", 256, Opcode::binary, false, "82 7e 0100"},
        {"RFC 5.7 64 KiB", 65'536, Opcode::binary, false, "82 7f 0000000000010000"},
        {"RFC 7692 compressed", 7, Opcode::text, true, "c1 07"},
        {"empty", 0, Opcode::pong, false, "8a 00"},
        {"largest 7-bit", 125, Opcode::text, false, "81 7d"},
        {"smallest 16-bit", 126, Opcode::text, false, "81 7e 007e"},
        {"largest 16-bit", 65'535, Opcode::text, false, "81 7e ffff"},
    }));
    CAPTURE(c.name);
    std::array<char, server_header_bytes_max> to{};
    const std::size_t size = write_header(to.data(), c.opcode, c.rsv1, c.length);
    CHECK(size == header_size(c.length));
    CHECK(to_hex(as_byte_view({to.data(), size})) == to_hex(as_byte_view(hex(c.bytes))));
}

TEST_CASE("ws mask: any length, any offset, any cut equals the definition", "[ws][rfc6455-5.3]") {
    const MaskKey key{std::byte{0x01}, std::byte{0x80}, std::byte{0xfe}, std::byte{0x37}};
    for (std::size_t size = 0; size < 150; ++size) {
        for (std::size_t offset = 0; offset < 9; ++offset) {
            std::vector<std::byte> bytes(size);
            std::vector<std::byte> wanted(size);
            for (std::size_t i = 0; i < size; ++i) {
                bytes[i] = static_cast<std::byte>(i * 7);
                wanted[i] = bytes[i] ^ key[(offset + i) % 4];
            }
            auto whole = bytes;
            unmask(whole, key, offset);
            REQUIRE(whole == wanted);
            const std::size_t cut = size / 3;
            unmask(std::span{bytes}.first(cut), key, offset);
            unmask(std::span{bytes}.subspan(cut), key, offset + cut);
            REQUIRE(bytes == wanted);
        }
    }
}

TEST_CASE("ws close: which codes may be on the wire", "[ws][rfc6455-7.4]") {
    struct Range {
        unsigned first, last;
        bool valid;
    };
    const auto r = GENERATE(values<Range>({{0, 999, false},
                                           {1000, 1003, true},
                                           {1004, 1006, false},
                                           {1007, 1014, true},
                                           {1015, 2999, false},
                                           {3000, 4999, true},
                                           {5000, 65'535, false}}));
    for (unsigned code = r.first; code <= r.last; ++code) {
        CAPTURE(code);
        std::string payload;
        payload += static_cast<char>(code >> 8U);
        payload += static_cast<char>(code & 0xffU);
        const auto close = parse_close(as_byte_view(payload));
        REQUIRE(close.has_value() == r.valid);
        if (close)
            REQUIRE(static_cast<unsigned>(close->code) == code);
        else
            REQUIRE(close.error() == errc::close_code_invalid);
    }
}

TEST_CASE("ws close: payload rules", "[ws][rfc6455-5.5.1]") {
    const auto empty = parse_close({});
    REQUIRE(empty.has_value());
    CHECK(empty->code == CloseCode::no_status);
    CHECK(parse_close(as_byte_view("\x03")).error() == errc::close_truncated);
    CHECK(close_code_for(errc::close_truncated) == CloseCode::protocol_error);
    CHECK(close_code_for(errc::close_code_invalid) == CloseCode::protocol_error);

    const auto bye = parse_close(as_byte_view("\x03\xe8"
                                              "bye"));
    REQUIRE(bye.has_value());
    CHECK(bye->code == CloseCode::normal);
    CHECK(bye->reason == "bye");
    CHECK(parse_close(as_byte_view("\x03\xe8\xce\xba\xe1")).error() == errc::close_reason_not_utf8);
    CHECK(close_code_for(errc::close_reason_not_utf8) == CloseCode::invalid_payload);
}

TEST_CASE("ws close: the reason is cut on a code point's boundary", "[ws][rfc6455-5.5]") {
    struct Case {
        const char* name;
        std::string reason;
        std::size_t kept;
    };
    const auto c = GENERATE(values<Case>({
        {"empty", "", 0},
        {"fits", std::string(123, 'x'), 123},
        {"one too many", std::string(124, 'x'), 123},
        {"two-byte letter ends at 123", std::string(121, 'x') + "\xc3\xa4" + "y", 123},
        {"two-byte letter crosses", std::string(122, 'x') + "\xc3\xa4", 122},
        {"three-byte sign crosses", std::string(121, 'x') + "\xe2\x82\xac", 121},
        {"four-byte sign crosses", std::string(120, 'x') + "\xf0\x9f\x98\x80", 120},
        {"four-byte sign ends at 123", std::string(119, 'x') + "\xf0\x9f\x98\x80" + "zz", 123},
    }));
    CAPTURE(c.name);
    std::array<char, control_payload_bytes_max> to{};
    const std::size_t size = write_close(to.data(), CloseCode::going_away, c.reason);
    REQUIRE(size == 2 + c.kept);
    const auto close = parse_close(as_byte_view({to.data(), size}));
    REQUIRE(close.has_value());
    CHECK(close->code == CloseCode::going_away);
    CHECK(close->reason == c.reason.substr(0, c.kept));
}

TEST_CASE("ws close: an empty close is answered by an empty one", "[ws][rfc6455-5.5.1]") {
    std::array<char, control_payload_bytes_max> to{};
    CHECK(write_close(to.data(), CloseCode::no_status, "ignored") == 0);
}

TEST_CASE("ws close: the table is complete, sorted and valid", "[ws][protocol-2]") {
    std::set<std::string_view> names;
    unsigned previous = 0;
    for (const CloseCodeRow& row : close_codes) {
        const auto number = static_cast<std::uint16_t>(row.code);
        CHECK(number > previous);
        previous = number;
        CHECK(is_valid_close_code(number));
        CHECK(names.insert(row.name).second);
        CHECK_FALSE(row.meaning.empty());
        CHECK(find_close_code(row.code) == &row);
    }
    CHECK(find_close_code(CloseCode::no_status) == nullptr);
    CHECK(find_close_code(CloseCode::unauthorized)->reaction == ClientReaction::fresh_token);
    for (const unsigned code : {1001U, 1011U, 1013U, 4408U, 4409U})
        CHECK(find_close_code(static_cast<CloseCode>(code))->reaction == ClientReaction::reconnect);
    for (const unsigned code : {1002U, 1003U, 1007U, 1009U, 4400U, 4403U, 4429U})
        CHECK(find_close_code(static_cast<CloseCode>(code))->reaction == ClientReaction::stay_away);
}

TEST_CASE("ws errors: every fault has words that fit a close frame", "[ws]") {
    std::set<std::string> words;
    for (int value = 1; value <= static_cast<int>(errc::close_reason_not_utf8); ++value) {
        const error_code code{value, error_category()};
        CHECK(code.message().size() <= close_reason_bytes_max);
        CHECK(words.insert(code.message()).second);
        CHECK(find_close_code(close_code_for(static_cast<errc>(value))) != nullptr);
    }
    CHECK(error_code{errc::not_masked}.category().name() == std::string{"fanfare.ws"});
    CHECK(close_code_for(errc::message_too_large) == CloseCode::too_big);
    CHECK(close_code_for(errc::not_utf8) == CloseCode::invalid_payload);
    CHECK(close_code_for(errc::bad_deflate) == CloseCode::invalid_payload);
    CHECK(close_code_for(errc::too_many_fragments) == CloseCode::too_big);
}
