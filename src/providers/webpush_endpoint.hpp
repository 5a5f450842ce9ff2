#pragma once
// A subscription's endpoint, taken apart. It comes from users, and it is a secret: never logged.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace fanfare::providers {

struct WebPushEndpoint {
    std::string host; // lower case; an IPv6 address without its brackets
    std::uint16_t port = 443;
    std::string path;   // with its query, byte for byte
    std::string origin; // "https://host", with the port if it is not 443: what a VAPID token is for
};
inline constexpr std::size_t endpoint_bytes_max = 4'096;

/// The endpoint, or one phrase that says why it cannot be one, without any part of it. Accepted:
/// https, no user information, no fragment, visible ASCII. Where the host leads to is checked by
/// whoever connects, each time: a name may lead elsewhere tomorrow.
[[nodiscard]] std::variant<WebPushEndpoint, const char*> parse_endpoint(std::string_view url);

} // namespace fanfare::providers
