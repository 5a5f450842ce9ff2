#pragma once
// Identifiers and where randomness comes from.

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare {

/// From the system generator (getrandom through OpenSSL); never fails quietly.
void random_bytes(void* to, std::size_t size);
[[nodiscard]] std::uint64_t random_u64();
/// `characters` characters of base64url, 6 random bits each.
[[nodiscard]] std::string random_text(std::size_t characters);

/// One life of a room's numbering: 8 base64url characters (48 random bits), so 8 bytes by value.
/// Never reused. An all-zero value means "none".
class Epoch {
  public:
    constexpr Epoch() = default;
    [[nodiscard]] static Epoch fresh();
    /// Nothing that a client may send is refused here: a text that is no epoch of ours equals none.
    [[nodiscard]] static Epoch parse(std::string_view text) noexcept;
    [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), none() ? 0 : 8U}; }
    [[nodiscard]] bool none() const noexcept { return text_[0] == '\0'; }
    friend bool operator==(const Epoch&, const Epoch&) = default;

    /// An epoch of which only the leading 40 bits are known (an SSE cursor keeps no more). Equal to
    /// nothing; `stands_for` tells which epochs it may be.
    [[nodiscard]] static Epoch abridged(const std::array<std::uint8_t, 5>& leading) noexcept;
    /// `full` is this epoch, or begins with the known bits of this abridged one.
    [[nodiscard]] bool stands_for(const Epoch& full) const noexcept;

  private:
    std::array<char, 8> text_{}; // the last one is NUL in an abridged epoch
};

/// A place in a room: offsets count from 1 in an epoch; 0 is "before the first".
struct Position {
    Epoch epoch;
    std::uint64_t offset = 0;
    friend bool operator==(const Position&, const Position&) = default;
};

} // namespace fanfare
