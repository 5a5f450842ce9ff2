#include <fanfare/auth/token_issuer.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/base/json_writer.hpp>

#include <cjose/header.h>
#include <cjose/jwk.h>
#include <cjose/jws.h>

#include <memory>

namespace fanfare::auth {
namespace {

const char* describe(issue_errc code) {
    switch (code) {
    case issue_errc::no_secret:
        return "there is no secret and HS256, HS384 or HS512 to sign with";
    case issue_errc::bad_claims:
        return "a claim is missing or cannot be";
    case issue_errc::signing_failed:
        return "the token could not be signed";
    }
    return "unknown error";
}
constexpr Category<issue_errc> category{"fanfare.auth.issue", describe};

template <auto Free>
struct Freer {
    template <class T>
    void operator()(T* pointer) const noexcept {
        Free(pointer);
    }
};
using Header = std::unique_ptr<cjose_header_t, Freer<cjose_header_release>>;
using Jwk = std::unique_ptr<cjose_jwk_t, Freer<cjose_jwk_release>>;
using Jws = std::unique_ptr<cjose_jws_t, Freer<cjose_jws_release>>;

/// JWA name of the first algorithm that a secret is for; null if there is none.
const char* secret_algorithm(const JwtOptions& options) {
    for (const Algorithm algorithm : options.algorithms) {
        switch (algorithm) {
        case Algorithm::hs256:
            return CJOSE_HDR_ALG_HS256;
        case Algorithm::hs384:
            return CJOSE_HDR_ALG_HS384;
        case Algorithm::hs512:
            return CJOSE_HDR_ALG_HS512;
        case Algorithm::rs256:
        case Algorithm::es256:
            break;
        }
    }
    return nullptr;
}

const std::uint8_t* as_bytes(const std::string& text) {
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    return reinterpret_cast<const std::uint8_t*>(text.data());
}

bool all_utf8(const std::vector<std::string>& texts) {
    for (const std::string& text : texts)
        if (!is_utf8(text)) return false;
    return true;
}

bool are_possible(const Claims& claims) {
    return !claims.sub.empty() && is_utf8(claims.sub) && is_utf8(claims.device) &&
           all_utf8(claims.subscribe) && all_utf8(claims.publish) &&
           claims.expires > claims.issued_at && (claims.info.empty() || !check_json(claims.info));
}

void write_list(JsonWriter& json, std::string_view name, const std::vector<std::string>& texts) {
    json.key(name).begin_array();
    for (const std::string& text : texts) json.string(text);
    json.end_array();
}

std::string write_claims(const JwtOptions& options, const Claims& claims) {
    std::string out;
    JsonWriter json{out};
    json.begin_object().field("sub", claims.sub);
    json.key("iat").integer(claims.issued_at);
    json.key("exp").integer(claims.expires);
    if (!options.issuer.empty()) json.field("iss", options.issuer);
    if (!options.audience.empty()) json.field("aud", options.audience);
    if (!claims.subscribe.empty() || !claims.publish.empty()) {
        json.key("rooms").begin_object();
        write_list(json, "subscribe", claims.subscribe);
        write_list(json, "publish", claims.publish);
        json.end_object();
    }
    if (!claims.info.empty()) json.key("info").raw(claims.info);
    if (!claims.device.empty()) json.field("device", claims.device);
    json.end_object();
    return out;
}

} // namespace

error_code make_error_code(issue_errc code) noexcept {
    return {static_cast<int>(code), category};
}

Result<std::string> issue_token(const JwtOptions& options, const Claims& claims) {
    const char* algorithm = secret_algorithm(options);
    if (algorithm == nullptr || options.secret.empty())
        return make_error_code(issue_errc::no_secret);
    if (!are_possible(claims)) return make_error_code(issue_errc::bad_claims);
    const error_code failed = make_error_code(issue_errc::signing_failed);

    const Header header{cjose_header_new(nullptr)};
    if (!header || !cjose_header_set(header.get(), CJOSE_HDR_ALG, algorithm, nullptr) ||
        !cjose_header_set(header.get(), "typ", "JWT", nullptr))
        return failed;
    const Jwk key{
        cjose_jwk_create_oct_spec(as_bytes(options.secret), options.secret.size(), nullptr)};
    if (!key) return failed;
    const std::string payload = write_claims(options, claims);
    const Jws jws{
        cjose_jws_sign(key.get(), header.get(), as_bytes(payload), payload.size(), nullptr)};
    const char* compact = nullptr; // owned by the JWS
    if (!jws || !cjose_jws_export(jws.get(), &compact, nullptr)) return failed;
    return std::string{compact};
}

} // namespace fanfare::auth
