#pragma once
// Skips the plain part of a JSON string 16 bytes at a time where SSE2 is (every x86-64), elsewhere
// eight: what writer and checker share.

#include <bit>
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace fanfare {

static_assert(std::endian::native == std::endian::little,
              "find_json_special takes the lowest byte of a word for the first one");

inline constexpr std::uint64_t json_high_bits = 0x8080808080808080;

/// The first `"`, `\` or control character below 0x20 in [at, end), or `end`.
/// `seen` collects the bits of the bytes passed over (and of up to 15 after them): when none of
/// `json_high_bits` is set in it, they were all ASCII.
inline const char* find_json_special(const char* at, const char* end,
                                     std::uint64_t& seen) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101;
    // The high bit of a byte below the limit is set by the subtraction's borrow and masked out if
    // the byte had it before. A borrow can spoil bytes above a hit, never the lowest hit.
    const auto below = [](std::uint64_t word, std::uint64_t limit) {
        return (word - ones * limit) & ~word & json_high_bits;
    };
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); // NOLINT
        if (_mm_movemask_epi8(bytes) != 0) seen |= json_high_bits;
        // Bytes are compared without a sign by this detour: below 0x20 is min(byte, 0x1f) == byte.
        const __m128i below_space = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        const __m128i hits =
            _mm_or_si128(below_space, _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                                   _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
        const auto mask = static_cast<unsigned>(_mm_movemask_epi8(hits));
        if (mask != 0) return at + std::countr_zero(mask);
    }
#endif
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
