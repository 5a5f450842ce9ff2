#pragma once
// Keys on the curve P-256 from and to their bytes.

#include "openssl_ptr.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace fanfare::providers {

inline constexpr std::size_t p256_scalar_bytes = 32;
/// Uncompressed: 0x04, x, y.
inline constexpr std::size_t p256_point_bytes = 65;

/// Null if it is not an uncompressed point of the curve. (The curve's cofactor is 1: who is on it
/// and not at infinity is in the right group, and infinity has no uncompressed form.)
[[nodiscard]] PkeyPtr p256_public_key(std::string_view point);
/// Null if it is not a number from 1 to the order of the curve. The public half is computed.
[[nodiscard]] PkeyPtr p256_private_key(std::string_view scalar);
/// Of an EC key on P-256.
[[nodiscard]] std::string p256_point(const EVP_PKEY& key);

} // namespace fanfare::providers
