// A Last-Event-ID, any bytes at all: what is accepted is exactly what we would write ourselves.

#include "cursor.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

using namespace fanfare;
using namespace fanfare::protocols;

namespace {

/// An epoch whose leading 40 bits are these; the last character is any that fits.
Epoch epoch_of(const std::array<std::uint8_t, 5>& leading) {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::uint64_t bits = 0;
    for (const std::uint8_t byte : leading) bits = (bits << 8) | byte;
    bits <<= 8;
    std::string text;
    for (int shift = 42; shift >= 0; shift -= 6) text += alphabet[(bits >> shift) & 63];
    return Epoch::parse(text);
}

} // namespace

/// First byte: the tag; second: how many rooms; the rest: the text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const RoomsTag tag = data[0];
    const std::size_t rooms = data[1] % 33;
    std::string text(size - 2, '\0');
    if (!text.empty()) std::memcpy(text.data(), data + 2, text.size());
    const auto decoded = decode_cursor(text, tag, rooms);
    if (!decoded) return 0;
    if (decoded->size() != rooms) std::abort();
    std::vector<Position> positions;
    for (const CursorRoom& room : *decoded) {
        positions.push_back({epoch_of(room.epoch), room.offset});
        if (!matches(room, positions.back().epoch)) std::abort();
    }
    std::string again;
    append_cursor(again, tag, positions);
    if (again != text) std::abort();
    return 0;
}
