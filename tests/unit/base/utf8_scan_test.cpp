#include "utf8_scan.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <random>
#include <string>

using namespace fanfare;

TEST_CASE("utf8_scan: stops before the first character that is not whole", "[utf8_scan]") {
    CHECK(utf8_prefix("") == 0);
    CHECK(utf8_prefix("abc") == 3);
    CHECK(utf8_prefix("aé€😀") == 10);
    CHECK(utf8_prefix("ab\x80") == 2);
    CHECK(utf8_prefix("é\xc3") == 2);
    CHECK(utf8_prefix("\xe2\x82z") == 0);
    CHECK(utf8_prefix("x\xed\xa0\x80") == 1);
}

TEST_CASE("utf8_scan: agrees with the fast validator", "[utf8_scan][rfc3629]") {
    // Every first three bytes that matter, followed by continuation bytes or by nothing.
    for (unsigned lead = 0x70; lead < 0x100; ++lead)
        for (unsigned second = 0x70; second < 0x100; ++second)
            for (const char* rest : {"", "\x80", "\xbf\x80", "\xc0\x80"}) {
                std::string text{static_cast<char>(lead), static_cast<char>(second)};
                text += rest;
                if (is_utf8(text) != (utf8_prefix(text) == text.size())) {
                    CAPTURE(to_hex(as_byte_view(text)));
                    FAIL("they disagree");
                }
            }
    std::mt19937 random{5};
    for (int i = 0; i < 20'000; ++i) {
        std::string text = "aé€😀z"; // then damaged
        text[random() % text.size()] = static_cast<char>(random() & 0xff);
        const std::size_t good = utf8_prefix(text);
        if (is_utf8(text) != (good == text.size()) || !is_utf8(text.substr(0, good))) {
            CAPTURE(to_hex(as_byte_view(text)));
            FAIL("they disagree");
        }
    }
}
