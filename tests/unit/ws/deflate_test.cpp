#include "ws_bytes.hpp"

#include <fanfare/ws/deflate.hpp>
#include <fanfare/ws/frame.hpp>

#include <catch2/catch.hpp>
#include <libdeflate.h>

#include <initializer_list>
#include <random>
#include <string>

using namespace fanfare;
using namespace fanfare::ws;
using namespace fanfare::ws::test;

namespace {

constexpr std::size_t big = 16 * 1024 * 1024;

std::string json(std::size_t size, unsigned seed) {
    std::mt19937 random{seed};
    std::string out = R"({"op":"message","room":"prices","data":[)";
    while (out.size() < size)
        out += R"({"symbol":"S)" + std::to_string(random() % 500) + R"(","bid":)" +
               std::to_string(random() % 100'000) + R"(,"ask":)" +
               std::to_string(random() % 100'000) + "},";
    out.resize(size);
    return out;
}

std::string noise(std::size_t size, unsigned seed) {
    std::mt19937 random{seed};
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
}

// True if a decoder that stops at a final block comes to the one that is added here behind the
// tail, and not to one before it.
bool has_no_final_block(ByteView payload, std::size_t size) {
    std::string in = to_string(payload) + hex("0000ffff");
    const std::size_t without_end = in.size();
    in += hex("0300");
    std::string out(size, '\0');
    std::size_t taken = 0;
    std::size_t given = 0;
    libdeflate_decompressor* decoder = libdeflate_alloc_decompressor();
    const auto result = libdeflate_deflate_decompress_ex(decoder, in.data(), in.size(), out.data(),
                                                         out.size(), &taken, &given);
    libdeflate_free_decompressor(decoder);
    return result == LIBDEFLATE_SUCCESS && taken == without_end + 2 && given == size;
}

} // namespace

TEST_CASE("deflate: what is compressed inflates to itself, without a final block",
          "[ws][deflate][property]") {
    Deflater deflater;
    Inflater inflater;
    for (const std::size_t size :
         std::initializer_list<std::size_t>{100, 255, 256, 1000, 4096, 16'384, 40'000, 65'535,
                                            65'536, 65'537, 131'072, 300'000, 1'048'576}) {
        const std::string message = json(size, static_cast<unsigned>(size));
        CAPTURE(size);
        const auto payload = deflater.compress(as_byte_view(message));
        REQUIRE(payload.has_value());
        CHECK(payload->size() < message.size());
        CHECK(has_no_final_block(*payload, message.size()));
        const auto back = inflater.inflate(*payload, message.size());
        REQUIRE(back.has_value());
        CHECK(as_text(*back) == message);
    }
}

TEST_CASE("deflate: small messages of every size", "[ws][deflate][property]") {
    // Every number of padding bits in the last byte comes up; nearly all must compress.
    Deflater deflater;
    Inflater inflater;
    int sent = 0;
    for (std::size_t size = 100; size < 1100; ++size) {
        const std::string message = json(size, static_cast<unsigned>(size));
        const auto payload = deflater.compress(as_byte_view(message));
        if (!payload) continue;
        ++sent;
        REQUIRE(has_no_final_block(*payload, message.size()));
        const auto back = inflater.inflate(*payload, big);
        REQUIRE(back.has_value());
        REQUIRE(as_text(*back) == message);
    }
    CHECK(sent == 1000);
}

TEST_CASE("deflate: large messages compress although they take several blocks", "[ws][deflate]") {
    Deflater deflater;
    const auto ratio = [&](const std::string& message) {
        const auto payload = deflater.compress(as_byte_view(message));
        REQUIRE(payload.has_value());
        Inflater inflater;
        REQUIRE(as_text(inflater.inflate(*payload, big).value()) == message);
        return static_cast<double>(payload->size()) / static_cast<double>(message.size());
    };
    CHECK(ratio(json(1 << 20, 1)) < 0.4);
    CHECK(ratio(json(1 << 17, 2)) < 0.4);
    CHECK(ratio(std::string(1 << 20, 'x')) < 0.01);
    // Text, then noise, then text: the last block is stored, or a stored one is in between.
    CHECK(ratio(json(200'000, 3) + noise(50'000, 3)) < 0.6);
    CHECK(ratio(json(100'000, 4) + noise(50'000, 4) + json(100'000, 5)) < 0.6);
}

TEST_CASE("deflate: what does not get smaller is to be sent plain", "[ws][deflate]") {
    Deflater deflater;
    CHECK_FALSE(deflater.compress({}).has_value());
    CHECK_FALSE(deflater.compress(as_byte_view("a")).has_value());
    CHECK_FALSE(deflater.compress(as_byte_view(R"({"op":"pong"})")).has_value());
    for (const std::size_t size : std::initializer_list<std::size_t>{100, 1000, 65'536, 200'000})
        CHECK_FALSE(deflater.compress(as_byte_view(noise(size, 1))).has_value());
    CHECK(deflater.compress(as_byte_view(std::string(100, 'a'))).has_value());
}

TEST_CASE("deflate: calls do not influence each other", "[ws][deflate]") {
    Deflater used;
    const std::string message = json(3000, 9);
    const std::string alone = to_string(Deflater{}.compress(as_byte_view(message)).value());
    for (const std::string& other : {json(1 << 20, 1), noise(500, 2), std::string{}}) {
        (void)used.compress(as_byte_view(other));
        CHECK(to_string(used.compress(as_byte_view(message)).value()) == alone);
    }
}

TEST_CASE("inflate: vectors", "[ws][deflate][rfc7692-7.2.3]") {
    struct Case {
        const char* name;
        const char* payload;
        const char* text; // nullptr: corrupt
    };
    const auto c = GENERATE(values<Case>({
        {"one block", "f248cdc9c90700", "Hello"},
        {"stored block", "000500faff48656c6c6f00", "Hello"},
        {"BFINAL, and a byte for the tail", "f348cdc9c9070000", "Hello"},
        {"BFINAL, nothing after it", "f348cdc9c90700", "Hello"},
        {"BFINAL twice", "f348cdc9c90700f348cdc9c9070000", "HelloHello"},
        {"BFINAL, then a block", "f348cdc9c90700f248cdc9c90700", "HelloHello"},
        {"two blocks", "f24805000000ffffcac9c90700", "Hello"},
        {"empty 00", "00", ""},
        {"empty 0200", "0200", ""},
        {"empty, many flushes", "000000ffff000000ffff00", ""},
        {"nothing", "", ""},
        {"reference before the beginning", "f200110000", nullptr},
        {"block type 3", "06", nullptr},
        {"stored lengths that differ", "000500faf048656c6c6f00", nullptr},
        {"cut inside a block", "f248cdc9", nullptr},
        {"cut stored block", "000500faff4865", nullptr},
        {"no place for the tail", "000500faff48656c6c6f", nullptr},
        {"garbage after BFINAL", "f348cdc9c90700ff", nullptr},
    }));
    CAPTURE(c.name);
    Inflater inflater;
    const std::string payload = hex(c.payload);
    const auto result = inflater.inflate(as_byte_view(payload), 1000);
    if (c.text == nullptr) {
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error() == errc::bad_deflate);
    } else {
        REQUIRE(result.has_value());
        CHECK(as_text(*result) == c.text);
    }
    // Whatever came before, the next message is read from a clean state.
    CHECK(as_text(inflater.inflate(as_byte_view(hex("f248cdc9c90700")), 1000).value()) == "Hello");
}

TEST_CASE("inflate: the limit is exact, on every size of buffer", "[ws][deflate][limits]") {
    Deflater deflater;
    Inflater inflater;
    for (const std::size_t size :
         std::initializer_list<std::size_t>{100, 16'383, 16'384, 16'385, 32'768, 65'536, 300'000}) {
        const std::string message = json(size, 1);
        const std::string payload = to_string(deflater.compress(as_byte_view(message)).value());
        CAPTURE(size);
        CHECK(inflater.inflate(as_byte_view(payload), size).value().size() == size);
        CHECK(inflater.inflate(as_byte_view(payload), size - 1).error() == errc::message_too_large);
        CHECK(inflater.inflate(as_byte_view(payload), 0).error() == errc::message_too_large);
        CHECK(inflater.inflate(as_byte_view(payload), size + 1).value().size() == size);
    }
    CHECK(inflater.inflate(as_byte_view(hex("00")), 0).value().empty());
}

TEST_CASE("inflate: a bomb stops at the limit", "[ws][deflate][limits]") {
    Deflater deflater;
    const std::string bomb =
        to_string(deflater.compress(as_byte_view(std::string(big, '\0'))).value());
    REQUIRE(bomb.size() < 100'000);
    Inflater inflater;
    CHECK(inflater.inflate(as_byte_view(bomb), 64 * 1024).error() == errc::message_too_large);
    // Bombs made of final blocks cost no more: an empty one is two bytes.
    std::string blocks;
    for (int i = 0; i < 32'768; ++i) blocks += hex("0300");
    CHECK(inflater.inflate(as_byte_view(blocks), 64 * 1024).value().empty());
}
