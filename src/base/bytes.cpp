#include "base64url.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/base/ids.hpp>

#include <openssl/evp.h>
#include <simdjson.h>

#include <cstring>

namespace fanfare {
namespace {

constexpr std::string_view base64_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view hex_digits = "0123456789abcdef";

std::string encode_base64(ByteView bytes, std::string_view alphabet) {
    std::string out((bytes.size() * 4 + 2) / 3, '\0');
    char* to = out.data();
    std::uint32_t bits = 0;
    int count = 0; // bits that wait in `bits`
    for (const std::byte byte : bytes) {
        bits = (bits << 8) | std::to_integer<std::uint32_t>(byte);
        for (count += 8; count >= 6; count -= 6) *to++ = alphabet[(bits >> (count - 6)) & 63];
    }
    if (count > 0) *to++ = alphabet[(bits << (6 - count)) & 63];
    return out;
}

int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string digest(const EVP_MD* method, std::string_view data) {
    std::string out(static_cast<std::size_t>(EVP_MD_get_size(method)), '\0');
    // NOLINTNEXTLINE: OpenSSL speaks unsigned char.
    auto* to = reinterpret_cast<unsigned char*>(out.data());
    const int done = EVP_Digest(data.data(), data.size(), to, nullptr, method, nullptr);
    FANFARE_ASSERT(done == 1);
    return out;
}

/// Looked up once: OpenSSL 3 otherwise searches its providers at every digest, which costs more
/// than hashing a handshake key does.
const EVP_MD* fetch(const char* name) {
    const EVP_MD* method = EVP_MD_fetch(nullptr, name, nullptr);
    FANFARE_ASSERT(method != nullptr);
    return method;
}

// hash_bytes follows wyhash: 16 bytes a step, folded by one 64×64→128 bit multiplication.
__extension__ using Wide = unsigned __int128;

std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
std::uint64_t load8(const char* from) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, from, sizeof word);
    return word;
}
std::uint64_t load4(const char* from) noexcept {
    std::uint32_t word = 0;
    std::memcpy(&word, from, sizeof word);
    return word;
}

// All three are secret, not the seed alone: with a known `a`, a client could send the bytes of `a`,
// make a factor zero, and so cancel the seed and everything before it.
struct HashSecret {
    std::uint64_t seed = random_u64();
    std::uint64_t a = random_u64();
    std::uint64_t b = random_u64();
};

} // namespace

std::string to_hex(ByteView bytes) {
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const std::byte byte : bytes) {
        const auto value = std::to_integer<unsigned>(byte);
        out += hex_digits[value >> 4];
        out += hex_digits[value & 15];
    }
    return out;
}

std::optional<std::string> from_hex(std::string_view hex) {
    if (hex.size() % 2 != 0) return std::nullopt;
    std::string out;
    out.reserve(hex.size() / 2);
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        const int high = hex_value(hex[i]);
        const int low = hex_value(hex[i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
    }
    return out;
}

std::string to_base64url(ByteView bytes) {
    return encode_base64(bytes, base64url_alphabet);
}

std::optional<std::string> from_base64url(std::string_view text) {
    std::string out;
    out.reserve(text.size() * 3 / 4);
    std::uint32_t bits = 0;
    int count = 0; // bits that wait in `bits`
    for (const char c : text) {
        const std::uint8_t value = base64url_values[static_cast<unsigned char>(c)];
        if (value == not_base64url) return std::nullopt;
        bits = (bits << 6) | value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out += static_cast<char>((bits >> count) & 0xff);
        }
    }
    // Six bits left: a lone character, which encodes nothing. Bits that are set beyond the last
    // byte would give the same bytes a second spelling, and with it signatures and keys.
    if (count == 6 || (bits & ((1U << count) - 1)) != 0) return std::nullopt;
    return out;
}

std::string to_base64(ByteView bytes) {
    std::string out = encode_base64(bytes, base64_alphabet);
    while (out.size() % 4 != 0) out += '=';
    return out;
}

bool equal_constant_time(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    std::uint64_t difference = 0;
    const auto mix = [&](std::uint64_t word) {
        difference |= word;
        // What the compiler cannot see through keeps it from leaving as soon as it knows the
        // outcome.
        __asm__("" : "+r"(difference));
    };
    const char* const x = a.data();
    const char* const y = b.data();
    const std::size_t size = a.size();
    if (size < 8) {
        for (std::size_t i = 0; i < size; ++i) mix(static_cast<unsigned char>(x[i] ^ y[i]));
        return difference == 0;
    }
    for (std::size_t i = 0; i + 8 <= size; i += 8) mix(load8(x + i) ^ load8(y + i));
    mix(load8(x + size - 8) ^ load8(y + size - 8)); // the rest, with some seen before
    return difference == 0;
}

std::string sha256(std::string_view data) {
    static const EVP_MD* const method = fetch("SHA256");
    return digest(method, data);
}

std::uint64_t lasting_fingerprint(std::string_view text) {
    const std::string digest = sha256(text);
    std::uint64_t leading = 0;
    for (std::size_t i = 0; i < sizeof leading; ++i)
        leading = leading << 8 | static_cast<unsigned char>(digest[i]);
    return leading;
}

std::string sha1(std::string_view data) {
    static const EVP_MD* const method = fetch("SHA1");
    return digest(method, data);
}

bool is_utf8(std::string_view text) noexcept {
    return simdjson::validate_utf8(text.data(), text.size());
}

bool has_control(std::string_view text) noexcept {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
    return false;
}

std::uint64_t hash_bytes(std::string_view text) noexcept {
    static const HashSecret secret;
    const char* at = text.data();
    std::size_t left = text.size();
    std::uint64_t state = secret.seed;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    if (left > 16) {
        for (; left > 16; left -= 16, at += 16)
            state = fold(load8(at) ^ secret.a, load8(at + 8) ^ state);
        // The last 16 bytes, which may overlap what has been mixed in already.
        first = load8(at + left - 16);
        last = load8(at + left - 8);
    } else if (left >= 8) {
        first = load8(at);
        last = load8(at + left - 8);
    } else if (left >= 4) {
        first = load4(at);
        last = load4(at + left - 4);
    } else if (left > 0) { // first, middle and last byte: all that there are
        first = static_cast<unsigned char>(at[0]);
        last = static_cast<std::uint64_t>(static_cast<unsigned char>(at[left / 2])) << 8 |
               static_cast<unsigned char>(at[left - 1]);
    }
    // The length goes in last: overlapping loads make "aaaa" and "aaaaa" look alike.
    return fold(fold(first ^ secret.a, last ^ state) ^ secret.b, text.size() ^ secret.a);
}

} // namespace fanfare
