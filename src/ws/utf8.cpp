#include "utf8.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace fanfare::ws {

namespace {

// The table of Unicode 15 §3.9 "Well-Formed UTF-8 Byte Sequences" as an automaton. Only the byte
// after E0, ED, F0 and F4 has a narrower range than 80–BF; each of them has a state of its own.
enum State : std::uint8_t {
    between,  // between code points
    need_1,   // one more byte 80–BF
    need_2,   // two more
    need_3,   // three more
    after_e0, // A0–BF, else overlong
    after_ed, // 80–9F, else a surrogate
    after_f0, // 90–BF, else overlong
    after_f4, // 80–8F, else above U+10FFFF
    refused,  // for good
    states
};
using Row = std::array<std::uint8_t, 256>;

constexpr void allow(Row& row, unsigned first, unsigned last, State next) {
    for (unsigned b = first; b <= last; ++b) row[b] = next;
}

constexpr std::array<Row, states> make_automaton() {
    std::array<Row, states> next{};
    for (Row& row : next) row.fill(refused);
    Row& start = next[between];
    allow(start, 0x00, 0x7f, between);
    allow(start, 0xc2, 0xdf, need_1); // C0, C1 could only be overlong
    allow(start, 0xe0, 0xef, need_2);
    allow(start, 0xf1, 0xf3, need_3);
    start[0xe0] = after_e0;
    start[0xed] = after_ed;
    start[0xf0] = after_f0;
    start[0xf4] = after_f4;
    allow(next[need_1], 0x80, 0xbf, between);
    allow(next[need_2], 0x80, 0xbf, need_1);
    allow(next[need_3], 0x80, 0xbf, need_2);
    allow(next[after_e0], 0xa0, 0xbf, need_1);
    allow(next[after_ed], 0x80, 0x9f, need_1);
    allow(next[after_f0], 0x90, 0xbf, need_2);
    allow(next[after_f4], 0x80, 0x8f, need_2);
    return next;
}
// 2.3 KiB; 256 columns save the class look-up that a smaller table needs.
constexpr std::array<Row, states> automaton = make_automaton();

// From here on the vector code behind is_utf8 wins over one step a byte, even with the split.
constexpr std::size_t block_bytes_min = 64;

// Bytes at the end that may be the beginning of a code point whose rest is yet to come.
std::size_t cut_tail(ByteView bytes) {
    const std::size_t look = std::min<std::size_t>(3, bytes.size());
    for (std::size_t back = 1; back <= look; ++back) {
        const auto b = std::to_integer<unsigned>(bytes[bytes.size() - back]);
        if (b < 0x80) return 0;
        if (b >= 0xc0) return back; // a lead byte: let the automaton judge what it has so far
    }
    return 0;
}

} // namespace

void Utf8Validator::step_all(ByteView bytes) noexcept {
    std::uint8_t state = state_;
    std::size_t i = 0;
    while (i < bytes.size()) {
        if (state == between && bytes.size() - i >= 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes.data() + i, sizeof word);
            if ((word & 0x8080808080808080U) == 0) {
                i += sizeof word;
                continue;
            }
        }
        state = automaton[state][std::to_integer<std::size_t>(bytes[i++])];
    }
    state_ = state;
}

bool Utf8Validator::feed(ByteView bytes) noexcept {
    // The rest of a code point that an earlier piece began: at most three bytes.
    while (state_ != between && !bytes.empty()) {
        step_all(bytes.first(1));
        if (state_ == refused) return false;
        bytes = bytes.subspan(1);
    }
    if (bytes.size() >= block_bytes_min) {
        const std::size_t whole = bytes.size() - cut_tail(bytes);
        if (!is_utf8(as_text(bytes.first(whole)))) {
            state_ = refused;
            return false;
        }
        bytes = bytes.subspan(whole);
    }
    step_all(bytes);
    return state_ != refused;
}

} // namespace fanfare::ws
