#include "jwt.hpp"

#include "claims.hpp"
#include "json_object.hpp"

#include <fanfare/base/bytes.hpp>

#include <cjose/cjose.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

namespace fanfare::auth {
namespace {

const char* describe(errc fault) {
    switch (fault) {
    case errc::too_large:
        return "the token is too large";
    case errc::not_compact:
        return "the token does not have three parts";
    case errc::not_base64url:
        return "a part is not base64url";
    case errc::bad_header:
        return "the header is not a JSON object with unique names";
    case errc::wrong_algorithm:
        return "the algorithm is not allowed";
    case errc::critical:
        return "the header has `crit`";
    case errc::forbidden_header:
        return "the header has a member that is not allowed";
    case errc::bad_signature:
        return "the signature does not verify";
    case errc::bad_payload:
        return "the payload is not a JSON object with unique names";
    case errc::no_expiry:
        return "`exp` is missing";
    case errc::expired:
        return "the token has expired";
    case errc::not_yet_valid:
        return "`nbf` is ahead";
    case errc::issued_ahead:
        return "`iat` is ahead";
    case errc::wrong_issuer:
        return "`iss` is not ours";
    case errc::wrong_audience:
        return "`aud` is not ours";
    case errc::bad_subject:
        return "`sub` is missing or not a name";
    case errc::bad_claim:
        return "a claim has the wrong type or range";
    }
    return "unknown";
}

struct Parts {
    std::string_view header;
    std::string_view payload;
    std::string_view signature;
};

std::optional<Parts> split(std::string_view token) {
    const std::size_t first = token.find('.');
    if (first == std::string_view::npos) return std::nullopt;
    const std::size_t second = token.find('.', first + 1);
    if (second == std::string_view::npos) return std::nullopt;
    const Parts parts{token.substr(0, first), token.substr(first + 1, second - first - 1),
                      token.substr(second + 1)};
    // Five parts are an encrypted token (RFC 7516).
    if (parts.signature.find('.') != std::string_view::npos) return std::nullopt;
    return parts;
}

/// The key that the header asks for, if it asks for nothing else.
Result<const JwtKey*> choose_key(const std::string& header, const std::vector<JwtKey>& keys) {
    const std::optional<JsonObject> members = JsonObject::parse(header);
    if (!members) return errc::bad_header;
    const JsonValue* const alg = members->find("alg");
    if (alg == nullptr || alg->kind != JsonValue::Kind::string) return errc::wrong_algorithm;
    const auto key = std::ranges::find_if(keys, [alg](const JwtKey& candidate) {
        return algorithm_name(candidate.algorithm) == alg->text;
    });
    if (key == keys.end()) return errc::wrong_algorithm;
    if (members->find("crit") != nullptr) return errc::critical;
    // Keys that a token brings along prove nothing (RFC 8725 §3.10); the last three change what
    // was signed (RFC 7797) or what the payload is.
    constexpr std::array forbidden{"jwk", "jku", "x5c", "x5u", "b64", "zip", "enc"};
    for (const char* const name : forbidden)
        if (members->find(name) != nullptr) return errc::forbidden_header;
    return &*key;
}

bool verifies(std::string_view token, const JwtKey& key) {
    struct Release {
        void operator()(cjose_jws_t* jws) const noexcept { cjose_jws_release(jws); }
    };
    const std::unique_ptr<cjose_jws_t, Release> jws{
        cjose_jws_import(token.data(), token.size(), nullptr)};
    const bool good = jws && cjose_jws_verify(jws.get(), key.key.get(), nullptr);
    // A failed verification leaves entries that the next TLS read would take for its own.
    ERR_clear_error();
    return good;
}

} // namespace

const boost::system::error_category& error_category() noexcept {
    static const Category<errc> category{"fanfare.auth", describe};
    return category;
}

JwtVerifier::JwtVerifier(const JwtOptions& options, const Clock& clock)
    : options_(options), clock_(clock), keys_(make_jwt_keys(options)) {
    options_.secret.clear(); // the keys have it
}

Result<session::IdentityRef> JwtVerifier::verify(std::string_view token) const {
    if (token.size() > token_bytes_max) return errc::too_large;
    const std::optional<Parts> parts = split(token);
    if (!parts) return errc::not_compact;
    const std::optional<std::string> header = from_base64url(parts->header);
    const std::optional<std::string> payload = from_base64url(parts->payload);
    const std::optional<std::string> signature = from_base64url(parts->signature);
    if (!header || !payload || !signature) return errc::not_base64url;

    const Result<const JwtKey*> key = choose_key(*header, keys_);
    if (!key) return key.error();
    // ES256 is R and S, 32 bytes each, never DER; cjose would halve any length.
    if (signature->size() != (*key)->signature_bytes) return errc::bad_signature;
    if (!verifies(token, **key)) return errc::bad_signature;

    Result<session::Identity> identity = read_claims(*payload, options_, clock_.wall());
    if (!identity) return identity.error();
    return std::make_shared<const session::Identity>(std::move(*identity));
}

} // namespace fanfare::auth
