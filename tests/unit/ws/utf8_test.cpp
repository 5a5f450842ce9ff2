#include "utf8.hpp"
#include "ws_bytes.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace fanfare;
using namespace fanfare::ws;
using namespace fanfare::ws::test;

namespace {

enum class Verdict { whole, cut, refused };

Verdict judge(std::string_view bytes) {
    Utf8Validator validator;
    if (!validator.feed(as_byte_view(bytes))) return Verdict::refused;
    return validator.complete() ? Verdict::whole : Verdict::cut;
}

// In pieces; a refusal anywhere is for good.
template <class Pieces>
Verdict judge_pieces(const Pieces& pieces) {
    Utf8Validator validator;
    bool well = true;
    for (const auto& piece : pieces) {
        const bool now = validator.feed(as_byte_view(piece));
        CHECK_FALSE((now && !well));
        well = now;
    }
    if (!well) return Verdict::refused;
    return validator.complete() ? Verdict::whole : Verdict::cut;
}

// RFC 3629 §3 by decoding, as slow and plain as can be.
Verdict reference(std::string_view text) {
    std::size_t i = 0;
    while (i < text.size()) {
        const auto lead = static_cast<unsigned char>(text[i++]);
        unsigned more = 0;
        std::uint32_t low = 0;
        std::uint32_t value = lead;
        if (lead < 0x80) continue;
        if (lead >= 0xc2 && lead <= 0xdf) {
            more = 1;
            low = 0x80;
            value = lead & 0x1fU;
        } else if (lead >= 0xe0 && lead <= 0xef) {
            more = 2;
            low = 0x800;
            value = lead & 0x0fU;
        } else if (lead >= 0xf0 && lead <= 0xf4) {
            more = 3;
            low = 0x10000;
            value = lead & 0x07U;
        } else
            return Verdict::refused;
        std::uint32_t first = value << 6U * more; // smallest and largest value still possible
        std::uint32_t last = first | ((1U << 6U * more) - 1);
        const auto possible = [&] {
            return last >= low && first <= 0x10ffff && !(first >= 0xd800 && last <= 0xdfff);
        };
        for (; more > 0; --more) {
            if (i == text.size()) return Verdict::cut;
            const auto b = static_cast<unsigned char>(text[i++]);
            if ((b & 0xc0U) != 0x80) return Verdict::refused;
            first |= (b & 0x3fU) << 6U * (more - 1);
            last = first | ((1U << 6U * (more - 1)) - 1);
            if (!possible()) return Verdict::refused;
        }
    }
    return Verdict::whole;
}

} // namespace

TEST_CASE("utf8: what must be accepted and refused", "[ws][utf8][rfc3629]") {
    struct Case {
        const char* name;
        const char* bytes;
        Verdict verdict;
    };
    const auto c = GENERATE(values<Case>({
        {"U+0000", "00", Verdict::whole},
        {"U+007F", "7f", Verdict::whole},
        {"U+0080", "c280", Verdict::whole},
        {"U+07FF", "dfbf", Verdict::whole},
        {"U+0800", "e0a080", Verdict::whole},
        {"U+D7FF", "ed9fbf", Verdict::whole},
        {"U+E000", "ee8080", Verdict::whole},
        {"BOM", "efbbbf", Verdict::whole},
        {"U+FFFE", "efbfbe", Verdict::whole},
        {"U+FFFF", "efbfbf", Verdict::whole},
        {"U+10000", "f0908080", Verdict::whole},
        {"U+10FFFF", "f48fbfbf", Verdict::whole},
        {"overlong NUL", "c080", Verdict::refused},
        {"overlong 7F", "c1bf", Verdict::refused},
        {"overlong of three", "e08080", Verdict::refused},
        {"largest overlong of three", "e09fbf", Verdict::refused},
        {"overlong of four", "f0808080", Verdict::refused},
        {"largest overlong of four", "f08fbfbf", Verdict::refused},
        {"first surrogate", "eda080", Verdict::refused},
        {"last surrogate", "edbfbf", Verdict::refused},
        {"U+110000", "f4908080", Verdict::refused},
        {"five bytes", "f888808080", Verdict::refused},
        {"six bytes", "fc8480808080", Verdict::refused},
        {"FE", "fe", Verdict::refused},
        {"FF", "ff", Verdict::refused},
        {"lone continuation", "80", Verdict::refused},
        {"continuation after a letter", "41bf", Verdict::refused},
        {"cut after one of two", "c3", Verdict::cut},
        {"cut after two of three", "e282", Verdict::cut},
        {"cut after three of four", "f09f98", Verdict::cut},
        {"lead then letter", "c341", Verdict::refused},
        {"two of three then lead", "e282c3", Verdict::refused},
        {"Autobahn 6.4: surrogate in Greek", "cebae1bdb9cf83cebcceb5eda080656469746564",
         Verdict::refused},
    }));
    CAPTURE(c.name);
    const std::string bytes = hex(c.bytes);
    REQUIRE(reference(bytes) == c.verdict);
    CHECK(judge(bytes) == c.verdict);
    // The same behind and before enough ASCII to take the paths for words and blocks.
    for (const std::size_t size :
         std::initializer_list<std::size_t>{1, 7, 8, 9, 61, 62, 63, 64, 65, 200}) {
        const std::string padding(size, 'a');
        CHECK(judge(padding + bytes) == c.verdict);
        if (c.verdict != Verdict::cut) CHECK(judge(bytes + padding) == c.verdict);
    }
    // Refused at the byte that makes it impossible, not later.
    for (std::size_t size = 1; size <= bytes.size(); ++size) {
        const std::string_view prefix = std::string_view{bytes}.substr(0, size);
        CHECK(judge(prefix) == reference(prefix));
    }
}

TEST_CASE("utf8: every lead byte with every second byte", "[ws][utf8][rfc3629]") {
    for (unsigned lead = 0; lead < 256; ++lead) {
        for (unsigned second = 0; second < 256; ++second) {
            std::string bytes;
            bytes += static_cast<char>(lead);
            bytes += static_cast<char>(second);
            for (const char* rest : {"", "\x80", "\xbf\x80", "a"})
                REQUIRE(judge(bytes + rest) == reference(bytes + rest));
        }
    }
}

TEST_CASE("utf8: a split at any two bytes changes nothing", "[ws][utf8][property]") {
    const std::string sample = "Grüße, κόσμε, 你好, \xf0\x9f\x98\x80 – plain words to fill "
                               "more than one block of the fast path, und noch mehr Wörter €";
    for (const std::string& bytes :
         {sample, sample + "\xed\xa0\x80" + sample, sample + "\xf0\x9f"}) {
        const Verdict wanted = reference(bytes);
        REQUIRE(judge(bytes) == wanted);
        for (std::size_t a = 0; a <= bytes.size(); ++a)
            for (std::size_t b = a; b <= bytes.size(); ++b)
                REQUIRE(judge_pieces(std::array<std::string, 3>{bytes.substr(0, a),
                                                                bytes.substr(a, b - a),
                                                                bytes.substr(b)}) == wanted);
    }
}

TEST_CASE("utf8: a refusal is for good until reset", "[ws][utf8]") {
    Utf8Validator validator;
    CHECK_FALSE(validator.feed(as_byte_view("\xff")));
    CHECK_FALSE(validator.feed(as_byte_view("a")));
    CHECK_FALSE(validator.feed(as_byte_view(std::string(100, 'a'))));
    CHECK_FALSE(validator.complete());
    validator.reset();
    CHECK(validator.feed(as_byte_view("a")));
    CHECK(validator.complete());
}
