// auth.jwt: every algorithm of the allow-list has a key that fits it (RFC 7518 §3, RFC 8725 §3.1).

#include "config_check.hpp"
#include "config_files.hpp"

#include <fmt/format.h>

#include <array>

namespace fanfare::app {
namespace {

using auth::Algorithm;

struct HmacRow {
    Algorithm algorithm;
    std::string_view name;
    std::size_t bytes; // RFC 7518 §3.2: not shorter than the hash
};
constexpr std::array<HmacRow, 3> hmac_rows{{{Algorithm::hs256, "HS256", 32},
                                            {Algorithm::hs384, "HS384", 48},
                                            {Algorithm::hs512, "HS512", 64}}};

bool is_hmac(Algorithm algorithm) {
    return algorithm != Algorithm::rs256 && algorithm != Algorithm::es256;
}

KeyCheck read_public_key(const Checks& checks) {
    auth::JwtOptions& jwt = checks.config.jwt;
    if (jwt.public_key_path.empty()) return {};
    jwt.public_key_pem = checks.read("auth.jwt.public_key", jwt.public_key_path);
    KeyCheck key = check_public_key(jwt.public_key_pem);
    if (!key.fault.empty())
        checks.complain_file("auth.jwt.public_key", jwt.public_key_path, key.fault);
    return key;
}

void check_secret(const Checks& checks, Algorithm algorithm) {
    const std::string& secret = checks.config.jwt.secret;
    for (const HmacRow& row : hmac_rows) {
        if (row.algorithm != algorithm || secret.size() >= row.bytes) continue;
        if (secret.empty())
            checks.complain(
                "auth.jwt.algorithms",
                fmt::format("{} needs auth.jwt.secret, at least {} bytes", row.name, row.bytes));
        checks.complain("auth.jwt.secret", fmt::format("has {} bytes; {} needs at least {}",
                                                       secret.size(), row.name, row.bytes));
    }
}

void check_key_type(const Checks& checks, Algorithm algorithm, KeyType type) {
    const bool rsa = algorithm == Algorithm::rs256;
    if (type == (rsa ? KeyType::rsa : KeyType::ec_p256)) return;
    const std::string_view name = rsa ? "RS256" : "ES256";
    const std::string_view needs = rsa ? "an RSA key from 2048 bits" : "an EC P-256 key";
    if (type != KeyType::none)
        checks.complain("auth.jwt.algorithms",
                        fmt::format("{} does not fit auth.jwt.public_key, which is {}; it needs {}",
                                    name, rsa ? "EC P-256" : "RSA", needs));
    // A key set holds keys of every kind; which ones, is known when it has been fetched.
    if (checks.config.jwks_url.empty())
        checks.complain(
            "auth.jwt.algorithms",
            fmt::format("{} needs auth.jwt.public_key, a PEM file with {}", name, needs));
}

} // namespace

void check_tokens(Checks& checks) {
    auth::JwtOptions& jwt = checks.config.jwt;
    const KeyCheck key = read_public_key(checks);
    if (jwt.algorithms.empty()) {
        // Chosen by the operator's keys, never by a token's header.
        if (!jwt.secret.empty()) jwt.algorithms.push_back(Algorithm::hs256);
        if (key.type == KeyType::rsa) jwt.algorithms.push_back(Algorithm::rs256);
        if (key.type == KeyType::ec_p256) jwt.algorithms.push_back(Algorithm::es256);
    }
    bool secret_used = false;
    bool key_used = false;
    for (const Algorithm algorithm : jwt.algorithms) {
        if (is_hmac(algorithm))
            check_secret(checks, algorithm);
        else
            check_key_type(checks, algorithm, key.type);
        (is_hmac(algorithm) ? secret_used : key_used) = true;
    }
    if (!jwt.secret.empty() && !secret_used)
        checks.warn("auth.jwt.secret", "is not used: no HS256, HS384 or HS512 in algorithms");
    if (key.type != KeyType::none && !key_used)
        checks.warn("auth.jwt.public_key", "is not used: no RS256 or ES256 in algorithms");
}

} // namespace fanfare::app
