#include "json_scan.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace fanfare;

TEST_CASE("json_scan: finds the first special byte, whatever surrounds it", "[json_scan]") {
    for (int byte = 0; byte < 256; ++byte) {
        const bool special = byte < 0x20 || byte == '"' || byte == '\\';
        for (const char around : {' ', '!', '#', '[', ']', '\x7f', '\x80', '\xff'})
            for (std::size_t at = 0; at < 42; ++at) {
                std::string text(42, around);
                text[at] = static_cast<char>(byte);
                std::uint64_t seen = 0;
                const char* const end = text.data() + text.size();
                const char* const found = find_json_special(text.data(), end, seen);
                const char* const expected = special ? text.data() + at : end;
                if (found != expected) {
                    CAPTURE(byte, around, at);
                    FAIL("found at " << found - text.data());
                }
                // Never overlooked; it may also be seen a little ahead.
                if (!special && byte >= 0x80) REQUIRE((seen & json_high_bits) != 0);
            }
    }
}

TEST_CASE("json_scan: pure ASCII is seen as such", "[json_scan]") {
    for (std::size_t size = 0; size < 50; ++size) {
        const std::string text(size, '\x7f');
        std::uint64_t seen = 0;
        CHECK(find_json_special(text.data(), text.data() + size, seen) == text.data() + size);
        CHECK((seen & json_high_bits) == 0);
    }
}
