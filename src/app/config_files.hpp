#pragma once
// Files that the configuration names: read whole, bounded, and looked at with OpenSSL.

#include <fanfare/base/result.hpp>

#include <string>

namespace fanfare::app {

inline constexpr std::size_t file_bytes_max = std::size_t{1024} * 1024;

/// The bytes of a file of at most file_bytes_max. `pipe_allowed`: a FIFO or a terminal will do too
/// (`--config /dev/stdin`); else only a plain file, so that nothing waits for a writer.
[[nodiscard]] Result<std::string> read_file(const std::string& path, bool pipe_allowed);

enum class KeyType : unsigned char { none, rsa, ec_p256 };
struct KeyCheck {
    KeyType type = KeyType::none;
    std::string fault; // why it will not do; empty: it will
};
/// A PEM public key that RS256 (RSA, 2048 bits or more) or ES256 (EC P-256) can use.
/// Source: RFC 7518 §3.3, §3.4.
[[nodiscard]] KeyCheck check_public_key(const std::string& pem);
/// A PEM private key without a passphrase, of any type that OpenSSL reads; `type` none if it is
/// neither RSA nor EC P-256.
[[nodiscard]] KeyCheck check_private_key(const std::string& pem);
/// Why `pem` holds no certificates; empty: it does.
[[nodiscard]] std::string certificate_fault(const std::string& pem);
/// Whole days until the first certificate is over; below 0: it is. `pem` holds one.
[[nodiscard]] int certificate_days_left(const std::string& pem);
/// True if the first certificate is for that private key.
[[nodiscard]] bool is_pair(const std::string& certificate_pem, const std::string& key_pem);

} // namespace fanfare::app
