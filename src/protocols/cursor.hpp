#pragma once
// The SSE cursor: where a stream stands in each of its rooms, as the `id:` of an event, and back
// from `Last-Event-ID`. Opaque to clients, [A-Za-z0-9_-], no I/O.
//
// base64url of: a version byte; a byte that stands for the URL's rooms, so that the cursor of
// another URL is not mistaken for this one's; then per room, in the order of the URL, the first 5
// of the epoch's 6 bytes and the offset as LEB128. The names are not in it, since the URL repeats
// them. Protocol and browsers want at most 128 characters for 8 rooms (a longer Last-Event-ID makes
// a cross-origin reconnect need a preflight): that is 11 bytes a room, so it holds while offsets
// are below 2^42, 4.4 million million messages each.
//
// Five bytes: an epoch that differs from the old one is told apart but for once in 2^40 lives of a
// room; the sixth byte would bring offsets above 2^35 over the limit.

#include <fanfare/base/ids.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::protocols {

/// Stands for the rooms of a URL, in its order; the same in every process and version.
using RoomsTag = std::uint8_t;
[[nodiscard]] RoomsTag rooms_tag(std::span<const std::string> rooms) noexcept;
[[nodiscard]] RoomsTag rooms_tag(std::string_view only_room) noexcept;

/// Appends the cursor for `positions`, one per room of the URL in its order.
void append_cursor(std::string& out, RoomsTag tag, std::span<const Position> positions);

/// What a cursor tells about one room.
struct CursorRoom {
    std::array<std::uint8_t, 5> epoch{}; // the leading 40 of the epoch's 48 bits
    std::uint64_t offset = 0;
};

/// One entry per room in the URL's order. Nothing if the text is not exactly what append_cursor
/// writes for that many rooms with that tag: broken, of another URL, or of another version.
[[nodiscard]] std::optional<std::vector<CursorRoom>> decode_cursor(std::string_view text,
                                                                   RoomsTag tag, std::size_t rooms);

/// Whether the cursor's offset counts in `epoch`: the leading 40 bits are equal (never so for "no
/// epoch"). Then `Position{epoch, room.offset}` is the position to resume from; else the room has
/// begun another life, or this is one of the 2^-40 cases above.
[[nodiscard]] bool matches(const CursorRoom& room, const Epoch& epoch) noexcept;

} // namespace fanfare::protocols
