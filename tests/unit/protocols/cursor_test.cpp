#include "cursor.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <limits>
#include <random>

using namespace fanfare;
using namespace fanfare::protocols;

namespace {

std::string cursor(RoomsTag tag, const std::vector<Position>& positions) {
    std::string out;
    append_cursor(out, tag, positions);
    return out;
}

constexpr RoomsTag tag = 0x5a;

} // namespace

TEST_CASE("cursor: the text does not change between versions", "[protocols]") {
    // 01 5a | epoch "AbCd-_12" = 01 b0 9d fb fd 76, five of it | 300 = ac 02
    CHECK(cursor(tag, {{Epoch::parse("AbCd-_12"), 300}}) == "AVoBsJ37_awC");
    // 01 5a | 01 b0 9d fb fd | 00
    CHECK(cursor(tag, {{Epoch::parse("AbCd-_12"), 0}}) == "AVoBsJ37_QA");
    CHECK(rooms_tag("news") == 172);
}

TEST_CASE("cursor: decoding gives what was encoded", "[protocols]") {
    std::mt19937_64 random{7};
    for (std::size_t rooms = 1; rooms <= 32; ++rooms) {
        std::vector<Position> positions;
        for (std::size_t i = 0; i < rooms; ++i)
            positions.push_back({Epoch::fresh(), random() >> (random() % 64)});
        positions.front().offset = std::numeric_limits<std::uint64_t>::max();
        const std::string text = cursor(tag, positions);
        CHECK(text.find_first_not_of(
                  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-") ==
              std::string::npos);
        const auto decoded = decode_cursor(text, tag, rooms);
        REQUIRE(decoded);
        REQUIRE(decoded->size() == rooms);
        for (std::size_t i = 0; i < rooms; ++i) {
            CHECK((*decoded)[i].offset == positions[i].offset);
            CHECK(matches((*decoded)[i], positions[i].epoch));
            CHECK_FALSE(matches((*decoded)[i], Epoch::fresh()));
        }
    }
}

TEST_CASE("cursor: at most 128 characters for 8 rooms", "[protocols][protocol-3]") {
    const std::vector<Position> positions(8, {Epoch::fresh(), (std::uint64_t{1} << 42) - 1});
    CHECK(cursor(tag, positions).size() <= 128);
    CHECK(decode_cursor(cursor(tag, positions), tag, 8));
}

TEST_CASE("cursor: no epoch matches nothing", "[protocols]") {
    const auto decoded = decode_cursor(cursor(tag, {{Epoch{}, 5}}), tag, 1);
    REQUIRE(decoded);
    CHECK_FALSE(matches(decoded->front(), Epoch{}));
    CHECK_FALSE(matches(decoded->front(), Epoch::parse("AbCd-_12")));
    // The sixth byte is not in the cursor; all others are.
    const auto other = decode_cursor(cursor(tag, {{Epoch::parse("AbCd-_12"), 5}}), tag, 1);
    CHECK(matches(other->front(), Epoch::parse("AbCd-_1z")));
    CHECK_FALSE(matches(other->front(), Epoch::parse("AbCd-AA2")));
    CHECK_FALSE(matches(other->front(), Epoch::parse("BbCd-_12")));
}

TEST_CASE("cursor: what is not exactly a cursor is none", "[protocols]") {
    const std::vector<Position> positions{{Epoch::parse("AbCd-_12"), 300},
                                          {Epoch::parse("ABCDEFGH"), 1}};
    const std::string good = cursor(tag, positions);
    REQUIRE(decode_cursor(good, tag, 2));
    CHECK_FALSE(decode_cursor(good, tag + 1, 2)); // another URL
    CHECK_FALSE(decode_cursor(good, tag, 1));
    CHECK_FALSE(decode_cursor(good, tag, 3));
    for (std::size_t size = 0; size < good.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(decode_cursor(good.substr(0, size), tag, 2));
    }
    for (const char* more : {"A", "AA", "AAAA", "=", " ", "\n"})
        CHECK_FALSE(decode_cursor(good + more, tag, 2));
    CHECK_FALSE(decode_cursor(std::string(100'000, 'A'), tag, 2));
    CHECK_FALSE(decode_cursor("42", tag, 1));
    // Another version, an offset in a longer form than needed, an offset beyond 64 bits.
    CHECK_FALSE(decode_cursor(to_base64url(as_byte_view("\x02\x5a"
                                                        "12345\x01")),
                              tag, 1));
    CHECK(decode_cursor(to_base64url(as_byte_view("\x01\x5a"
                                                  "12345\x01")),
                        tag, 1));
    using namespace std::string_view_literals;
    CHECK_FALSE(decode_cursor(to_base64url(as_byte_view("\x01\x5a"
                                                        "12345\x81\x00"sv)),
                              tag, 1));
    CHECK_FALSE(
        decode_cursor(to_base64url(as_byte_view("\x01\x5a"
                                                "12345\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"sv)),
                      tag, 1));
    CHECK_FALSE(decode_cursor(
        to_base64url(as_byte_view("\x01\x5a"
                                  "12345\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00"sv)),
        tag, 1));
}

TEST_CASE("cursor: the tag tells URLs apart, their order too", "[protocols]") {
    using Rooms = std::vector<std::string>;
    CHECK(rooms_tag(Rooms{"news"}) == rooms_tag("news"));
    CHECK(rooms_tag(Rooms{"a", "b"}) != rooms_tag(Rooms{"b", "a"}));
    CHECK(rooms_tag(Rooms{"ab", "c"}) != rooms_tag(Rooms{"a", "bc"}));
}
