#include "cursor.hpp"

#include <fanfare/base/bytes.hpp>

#include <algorithm>

namespace fanfare::protocols {
namespace {

constexpr std::uint8_t version = 1;
constexpr std::size_t header_bytes = 2; // version, tag
constexpr std::size_t epoch_bytes = std::tuple_size_v<decltype(CursorRoom::epoch)>;
constexpr std::size_t offset_bytes_max = 10; // LEB128 of 64 bits

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr auto values = [] {
    std::array<std::uint8_t, 256> table{};
    for (std::uint8_t i = 0; i < 64; ++i) table[static_cast<unsigned char>(alphabet[i])] = i;
    return table;
}();

/// The leading bytes of an epoch, whose text is base64url; zeros for "none".
std::array<std::uint8_t, epoch_bytes> leading_bytes(const Epoch& epoch) noexcept {
    std::uint64_t bits = 0;
    for (const char c : epoch.text()) bits = (bits << 6) | values[static_cast<unsigned char>(c)];
    std::array<std::uint8_t, epoch_bytes> bytes{};
    for (std::size_t i = 0; i < epoch_bytes; ++i)
        bytes[i] = static_cast<std::uint8_t>(bits >> (40 - 8 * i));
    return bytes;
}

/// Base64url a byte at a time, straight into the output: a cursor is written once per message.
class Base64Out {
  public:
    explicit Base64Out(std::string& out) noexcept : out_(out) {}
    void put(std::uint8_t byte) {
        bits_ = (bits_ << 8) | byte;
        for (count_ += 8; count_ >= 6; count_ -= 6) out_ += alphabet[(bits_ >> (count_ - 6)) & 63];
    }
    void finish() {
        if (count_ > 0) out_ += alphabet[(bits_ << (6 - count_)) & 63];
    }

  private:
    std::string& out_;
    std::uint32_t bits_ = 0;
    unsigned count_ = 0; // bits that wait in bits_
};

/// Takes bytes off the front of a decoded cursor; what is missing is noted, not thrown.
class ByteIn {
  public:
    explicit ByteIn(std::string_view bytes) noexcept : bytes_(bytes) {}

    std::uint8_t byte() noexcept {
        if (bytes_.empty()) {
            broken_ = true;
            return 0;
        }
        const auto first = static_cast<std::uint8_t>(bytes_.front());
        bytes_.remove_prefix(1);
        return first;
    }

    /// Only the shortest form, so that one position has one text.
    std::uint64_t leb128() noexcept {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const std::uint8_t next = byte();
            const std::uint64_t low = next & 0x7fU;
            const bool overflows = shift == 63 && low > 1;
            const bool padded = shift > 0 && next == 0;
            if (overflows || padded) break;
            value |= low << shift;
            if ((next & 0x80U) == 0) return value;
        }
        broken_ = true;
        return 0;
    }

    [[nodiscard]] bool whole() const noexcept { return !broken_ && bytes_.empty(); }
    [[nodiscard]] bool broken() const noexcept { return broken_; }

  private:
    std::string_view bytes_;
    bool broken_ = false;
};

// FNV-1a, because hash_bytes differs between processes and a cursor must not.
constexpr std::uint32_t fnv_start = 2'166'136'261U;
std::uint32_t fnv(std::uint32_t hash, std::string_view name) noexcept {
    const auto add = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 16'777'619U; };
    for (const char c : name) add(static_cast<std::uint8_t>(c));
    add(0); // ends the name: {"ab","c"} is not {"a","bc"}
    return hash;
}
RoomsTag fold(std::uint32_t hash) noexcept {
    hash ^= hash >> 16;
    return static_cast<RoomsTag>(hash ^ (hash >> 8));
}

} // namespace

RoomsTag rooms_tag(std::span<const std::string> rooms) noexcept {
    std::uint32_t hash = fnv_start;
    for (const std::string& room : rooms) hash = fnv(hash, room);
    return fold(hash);
}

RoomsTag rooms_tag(std::string_view only_room) noexcept {
    return fold(fnv(fnv_start, only_room));
}

void append_cursor(std::string& out, RoomsTag tag, std::span<const Position> positions) {
    Base64Out to{out};
    to.put(version);
    to.put(tag);
    for (const Position& position : positions) {
        for (const std::uint8_t byte : leading_bytes(position.epoch)) to.put(byte);
        std::uint64_t rest = position.offset;
        for (; rest >= 0x80; rest >>= 7) to.put(static_cast<std::uint8_t>(rest | 0x80U));
        to.put(static_cast<std::uint8_t>(rest));
    }
    to.finish();
}

std::optional<std::vector<CursorRoom>> decode_cursor(std::string_view text, RoomsTag tag,
                                                     std::size_t rooms) {
    const std::size_t bytes_max = header_bytes + rooms * (epoch_bytes + offset_bytes_max);
    if (text.size() > (bytes_max * 4 + 2) / 3) return std::nullopt; // before anything is copied
    const std::optional<std::string> bytes = from_base64url(text);
    if (!bytes) return std::nullopt;
    ByteIn in{*bytes};
    if (in.byte() != version || in.byte() != tag || in.broken()) return std::nullopt;
    std::vector<CursorRoom> result(rooms);
    for (CursorRoom& room : result) {
        std::generate(room.epoch.begin(), room.epoch.end(), [&in] { return in.byte(); });
        room.offset = in.leb128();
    }
    if (!in.whole()) return std::nullopt;
    return result;
}

bool matches(const CursorRoom& room, const Epoch& epoch) noexcept {
    return !epoch.none() && room.epoch == leading_bytes(epoch);
}

} // namespace fanfare::protocols
