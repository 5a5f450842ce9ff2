#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <random>
#include <set>

using namespace fanfare;

namespace {

std::string random_string(std::mt19937& random, std::size_t size) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random() & 0xff);
    return out;
}

} // namespace

TEST_CASE("bytes: hex", "[bytes]") {
    CHECK(to_hex(as_byte_view("")).empty());
    CHECK(to_hex(as_byte_view(std::string_view{"\x00\x7f\x80\xff", 4})) == "007f80ff");
    CHECK(from_hex("007f80FF") == std::string{"\x00\x7f\x80\xff", 4});
    CHECK(from_hex("") == "");
    for (const char* bad : {"0", "0g", "g0", " 0", "0x", "00 ", "\xff\xff"}) {
        CAPTURE(bad);
        CHECK_FALSE(from_hex(bad));
    }
}

TEST_CASE("bytes: base64 and base64url of the RFC's examples", "[bytes][rfc4648-10]") {
    struct Case {
        const char* bytes;
        const char* base64;
        const char* base64url;
    };
    const auto c = GENERATE(values<Case>({{"", "", ""},
                                          {"f", "Zg==", "Zg"},
                                          {"fo", "Zm8=", "Zm8"},
                                          {"foo", "Zm9v", "Zm9v"},
                                          {"foob", "Zm9vYg==", "Zm9vYg"},
                                          {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                                          {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                                          {"\xfb\xff\xbf", "+/+/", "-_-_"}}));
    CAPTURE(c.bytes);
    CHECK(to_base64(as_byte_view(c.bytes)) == c.base64);
    CHECK(to_base64url(as_byte_view(c.bytes)) == c.base64url);
    CHECK(from_base64url(c.base64url) == c.bytes);
}

TEST_CASE("bytes: base64url has one spelling", "[bytes][rfc7515-2]") {
    struct Case {
        const char* name;
        std::string_view text;
    };
    const auto c = GENERATE(values<Case>({{"padding", "Zg=="},
                                          {"other alphabet", "+/+/"},
                                          {"white space", "Zm9v\n"},
                                          {"a lone character", "Z"},
                                          {"a lone character of zero bits", "A"},
                                          {"a lone character after four", "Zm9vZ"},
                                          {"unused bits after one byte", "Zh"},
                                          {"unused bits after two bytes", "Zm9"},
                                          {"zero byte", std::string_view{"Zg\0A", 4}},
                                          {"beyond ASCII", "Zm9\xc3"}}));
    CAPTURE(c.name);
    CHECK_FALSE(from_base64url(c.text));
}

TEST_CASE("bytes: decoding reverses encoding", "[bytes]") {
    std::mt19937 random{1};
    for (std::size_t size = 0; size < 70; ++size) {
        const std::string bytes = random_string(random, size);
        CHECK(from_hex(to_hex(as_byte_view(bytes))) == bytes);
        CHECK(from_base64url(to_base64url(as_byte_view(bytes))) == bytes);
    }
}

TEST_CASE("bytes: constant-time comparison compares", "[bytes]") {
    CHECK(equal_constant_time("", ""));
    CHECK(equal_constant_time("secret", "secret"));
    CHECK_FALSE(equal_constant_time("secret", "secreT"));
    CHECK_FALSE(equal_constant_time("Secret", "secret"));
    CHECK_FALSE(equal_constant_time("secret", "secret!"));
    CHECK_FALSE(equal_constant_time("", "x"));
    const std::string text(21, 'k'); // words of eight, and a rest
    CHECK(equal_constant_time(text, std::string(21, 'k')));
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string other = text;
        other[i] = static_cast<char>(other[i] ^ 0x80);
        CHECK_FALSE(equal_constant_time(text, other));
    }
    CHECK_FALSE(equal_constant_time(std::string_view{"a\0b", 3}, std::string_view{"a\0c", 3}));
}

TEST_CASE("bytes: digests of known texts", "[bytes][fips180-4]") {
    const auto hex = [](const std::string& raw) { return to_hex(as_byte_view(raw)); };
    CHECK(hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex(sha1("abc")) == "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST_CASE("bytes: the accept key of the handshake example", "[bytes][rfc6455-1.3]") {
    const std::string key = "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    CHECK(to_base64(as_byte_view(sha1(key))) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("bytes: UTF-8 is well-formed or not", "[bytes][rfc3629]") {
    for (const char* good :
         {"", "plain", "é", "€", "😀", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
        CAPTURE(good);
        CHECK(is_utf8(good));
    }
    for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                            "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "a\xff"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_utf8(bad));
    }
}

TEST_CASE("bytes: control characters are found", "[bytes]") {
    CHECK_FALSE(has_control(""));
    CHECK_FALSE(has_control("news: é~"));
    CHECK(has_control("a\tb"));
    CHECK(has_control("a\x7f"));
    CHECK(has_control("\x1f"));
    CHECK(has_control(std::string_view{"a\0", 2}));
}

TEST_CASE("bytes: hash is a function of the text", "[bytes]") {
    std::mt19937 random{2};
    for (std::size_t size = 0; size < 100; ++size) {
        const std::string text = random_string(random, size);
        // At another alignment too.
        const std::string shifted = "x" + text;
        CHECK(hash_bytes(text) == hash_bytes(std::string_view{shifted}.substr(1)));
    }
}

TEST_CASE("bytes: hash tells near texts apart", "[bytes]") {
    std::set<std::uint64_t> hashes;
    std::size_t texts = 0;
    const auto add = [&](std::string_view text) {
        hashes.insert(hash_bytes(text));
        ++texts;
    };
    for (std::size_t size = 0; size <= 80; ++size) add(std::string(size, 'a'));
    for (std::size_t size = 1; size <= 80; ++size) add(std::string(size, '\0'));
    for (int i = 0; i < 20'000; ++i) add("room:" + std::to_string(i));
    // Every single bit of every length counts.
    for (std::size_t size = 1; size <= 40; ++size)
        for (std::size_t bit = 0; bit < size * 8; ++bit) {
            std::string text(size, 'a');
            text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
            add(text);
        }
    CHECK(hashes.size() == texts);
}

TEST_CASE("bytes: hash spreads over its low and its high bits", "[bytes]") {
    // Tables use the low bits, reactors any. 64 buckets with 1,000 expected each: a good hash stays
    // within ±20 % (six standard deviations).
    std::array<int, 64> low{};
    std::array<int, 64> high{};
    for (int i = 0; i < 64'000; ++i) {
        const std::uint64_t hash = hash_bytes("user-" + std::to_string(i));
        ++low[hash & 63];
        ++high[hash >> 58];
    }
    for (const auto& counts : {low, high})
        for (const int count : counts) {
            CHECK(count > 800);
            CHECK(count < 1200);
        }
}
