#include <fanfare/net/address.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>

namespace fanfare::net {
namespace {

struct Range4 {
    std::uint32_t prefix;
    unsigned bits;
};
constexpr std::uint32_t v4(std::uint32_t a, std::uint32_t b, std::uint32_t c = 0,
                           std::uint32_t d = 0) {
    return a << 24 | b << 16 | c << 8 | d;
}
constexpr std::array special4{
    Range4{v4(0, 0), 8},          // this network
    Range4{v4(10, 0), 8},         // private
    Range4{v4(100, 64), 10},      // shared by a provider's customers
    Range4{v4(127, 0), 8},        // loopback
    Range4{v4(169, 254), 16},     // link-local; metadata services of clouds
    Range4{v4(172, 16), 12},      // private
    Range4{v4(192, 0, 0), 24},    // protocol assignments
    Range4{v4(192, 0, 2), 24},    // documentation
    Range4{v4(192, 88, 99), 24},  // 6to4 relays
    Range4{v4(192, 168), 16},     // private
    Range4{v4(198, 18), 15},      // benchmarks
    Range4{v4(198, 51, 100), 24}, // documentation
    Range4{v4(203, 0, 113), 24},  // documentation
    Range4{v4(224, 0), 4},        // multicast
    Range4{v4(240, 0), 4},        // reserved, broadcast
};

bool is_public4(std::uint32_t address) noexcept {
    for (const Range4& range : special4)
        if ((address ^ range.prefix) >> (32 - range.bits) == 0) return false;
    return true;
}

std::uint32_t big_endian(const std::uint8_t* at) noexcept {
    return v4(at[0], at[1], at[2], at[3]);
}

bool is_public6(const std::uint8_t* a) noexcept {
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    constexpr std::array<std::uint8_t, 12> nat64{0, 0x64, 0xff, 0x9b};
    if (std::memcmp(a, mapped.data(), 12) == 0 || std::memcmp(a, nat64.data(), 12) == 0)
        return is_public4(big_endian(a + 12));
    if (a[0] >> 5 != 1) return false; // only 2000::/3 is global unicast
    const std::uint32_t high = big_endian(a);
    if (high >> 9 == 0x2001'0000U >> 9) return false; // 2001::/23: Teredo, benchmarks, ORCHID
    if (high == 0x2001'0db8U) return false;           // documentation
    if (high >> 12 == 0x3fff0U) return false;         // documentation
    if (high >> 16 == 0x2002U) return is_public4(big_endian(a + 2)); // 6to4
    return true;
}

} // namespace

bool is_public_address(const sockaddr& address) noexcept {
    if (address.sa_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &address, sizeof in);
        return is_public4(ntohl(in.sin_addr.s_addr));
    }
    if (address.sa_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, &address, sizeof in);
        return is_public6(in.sin6_addr.s6_addr);
    }
    return false;
}

} // namespace fanfare::net
