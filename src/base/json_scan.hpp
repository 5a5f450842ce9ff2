#pragma once
// Skips the plain part of a JSON string eight bytes at a time: what writer and checker share.

#include <bit>
#include <cstdint>
#include <cstring>

namespace fanfare {

static_assert(std::endian::native == std::endian::little,
              "find_json_special takes the lowest byte of a word for the first one");

inline constexpr std::uint64_t json_high_bits = 0x8080808080808080;

/// The first `"`, `\` or control character below 0x20 in [at, end), or `end`.
/// `seen` collects the bits of the bytes passed over (and of up to seven after them): when none of
/// `json_high_bits` is set in it, they were all ASCII.
inline const char* find_json_special(const char* at, const char* end,
                                     std::uint64_t& seen) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101;
    // The high bit of a byte below the limit is set by the subtraction's borrow and masked out if
    // the byte had it before. A borrow can spoil bytes above a hit, never the lowest hit.
    const auto below = [](std::uint64_t word, std::uint64_t limit) {
        return (word - ones * limit) & ~word & json_high_bits;
    };
    for (; end - at >= 8; at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        seen |= word;
        const std::uint64_t hits =
            below(word, 0x20) | below(word ^ (ones * '"'), 1) | below(word ^ (ones * '\\'), 1);
        if (hits != 0) return at + std::countr_zero(hits) / 8;
    }
    for (; at != end; ++at) {
        const auto byte = static_cast<unsigned char>(*at);
        if (byte < 0x20 || byte == '"' || byte == '\\') break;
        seen |= byte;
    }
    return at;
}

} // namespace fanfare
