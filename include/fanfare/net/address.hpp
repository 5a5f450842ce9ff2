#pragma once
// What kind of address a peer has.

struct sockaddr;

namespace fanfare::net {

/// A unicast address of the public Internet: not private, loopback, link-local, shared, multicast,
/// reserved or unspecified, for IPv4, IPv6, and IPv4 addresses within IPv6 ones (mapped, NAT64,
/// 6to4). For connections to places that users name. Source: IANA special-purpose registries
/// (RFC 6890).
[[nodiscard]] bool is_public_address(const sockaddr& address) noexcept;

} // namespace fanfare::net
