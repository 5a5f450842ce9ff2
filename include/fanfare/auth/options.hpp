#pragma once
// Identity settings; app/config fills and checks them.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace fanfare::auth {

enum class Algorithm : std::uint8_t { hs256, hs384, hs512, rs256, es256 };

struct JwtOptions {
    std::vector<Algorithm> algorithms; // allow-list; empty: no token is accepted
    std::string secret;                // for HS*: at least 32, 48, 64 bytes
    std::string public_key_pem;        // for RS256 or ES256: the file's text
    std::string public_key_path;       // where it came from, for messages
    std::string issuer;                // empty: not checked
    std::string audience;              // empty: not checked
    std::chrono::seconds leeway{30};
};

enum class Scope : std::uint8_t { publish = 1, read = 2, notify = 4, admin = 8 };

struct ApiKeyOptions {
    std::string name;
    std::string sha256;      // 32 raw bytes: SHA-256 of the whole key text
    std::uint8_t scopes = 0; // bits of Scope
};

} // namespace fanfare::auth
