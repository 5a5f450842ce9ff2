#include "claims.hpp"

#include "json_object.hpp"

#include <fanfare/base/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>
#include <utility>

namespace fanfare::auth {
namespace {

using session::Identity;
using Kind = JsonValue::Kind;

constexpr std::size_t name_bytes_max = 255; // of `sub` and `device`

/// Seconds since 1970 as RFC 7519 §2 "NumericDate" has them, fractions included. Nothing for what
/// is no number, negative, or beyond 2^53, where seconds can no longer be told apart.
std::optional<double> numeric_date(const JsonValue& value) {
    if (value.kind != Kind::number) return std::nullopt;
    constexpr double max = 9'007'199'254'740'992.0;
    double seconds = 0;
    const char* const end = value.raw.data() + value.raw.size();
    const auto [stop, fault] = std::from_chars(value.raw.data(), end, seconds);
    if (fault != std::errc{} || stop != end || !(seconds >= 0 && seconds <= max))
        return std::nullopt;
    return seconds;
}

error_code check_times(const JsonObject& claims, const JwtOptions& options, WallMillis now_ms,
                       Identity& identity) {
    const double now = static_cast<double>(now_ms) / 1000;
    const auto leeway = static_cast<double>(options.leeway.count());

    const JsonValue* const exp = claims.find("exp");
    if (exp == nullptr) return errc::no_expiry;
    const std::optional<double> expires = numeric_date(*exp);
    if (!expires) return errc::bad_claim;
    if (now >= *expires + leeway) return errc::expired;
    identity.expires = static_cast<std::int64_t>(std::floor(*expires));
    // Rounded up: a token of half a second more must not end its session at once.
    const double closes = now >= *expires ? *expires + leeway : *expires;
    identity.closes = static_cast<std::int64_t>(std::ceil(closes));

    for (const auto& [name, fault] :
         {std::pair{"nbf", errc::not_yet_valid}, std::pair{"iat", errc::issued_ahead}}) {
        const JsonValue* const claim = claims.find(name);
        if (claim == nullptr) continue;
        const std::optional<double> time = numeric_date(*claim);
        if (!time) return errc::bad_claim;
        if (*time > now + leeway) return fault;
    }
    return {};
}

bool is_issuer(const JsonObject& claims, const std::string& issuer) {
    const JsonValue* const iss = claims.find("iss");
    return iss != nullptr && iss->kind == Kind::string && iss->text == issuer;
}

bool is_audience(const JsonObject& claims, const std::string& audience) {
    const JsonValue* const aud = claims.find("aud");
    if (aud == nullptr) return false;
    if (aud->kind == Kind::string) return aud->text == audience;
    const auto list = parse_string_list(aud->raw);
    return list && std::ranges::find(*list, audience) != list->end();
}

/// A claim that names something: not empty, bounded, printable in logs and admin pages.
bool is_name(const JsonValue& value) {
    return value.kind == Kind::string && !value.text.empty() &&
           value.text.size() <= name_bytes_max && !has_control(value.text);
}

/// `rooms`: {"subscribe":[…],"publish":[…]}.
bool read_rooms(const JsonObject& claims, Identity& identity) {
    const JsonValue* const rooms = claims.find("rooms");
    if (rooms == nullptr) return true;
    const std::optional<JsonObject> object = JsonObject::parse(rooms->raw);
    if (!object) return false;
    const auto read = [&object](const char* name, std::vector<std::string>& to) {
        const JsonValue* const value = object->find(name);
        if (value == nullptr) return true;
        auto list = parse_string_list(value->raw);
        if (list) to = std::move(*list);
        return list.has_value();
    };
    return read("subscribe", identity.subscribe) && read("publish", identity.publish);
}

} // namespace

Result<Identity> read_claims(std::string_view payload, const JwtOptions& options, WallMillis now) {
    const std::optional<JsonObject> claims = JsonObject::parse(payload);
    if (!claims) return errc::bad_payload;

    Identity identity;
    if (const error_code fault = check_times(*claims, options, now, identity)) return fault;
    if (!options.issuer.empty() && !is_issuer(*claims, options.issuer)) return errc::wrong_issuer;
    if (!options.audience.empty() && !is_audience(*claims, options.audience))
        return errc::wrong_audience;

    const JsonValue* const sub = claims->find("sub");
    if (sub == nullptr || !is_name(*sub)) return errc::bad_subject;
    identity.user = sub->text;
    if (!read_rooms(*claims, identity)) return errc::bad_claim;
    if (const JsonValue* const device = claims->find("device")) {
        if (!is_name(*device)) return errc::bad_claim;
        identity.device = device->text;
    }
    if (const JsonValue* const info = claims->find("info")) identity.info = info->raw;
    return identity;
}

} // namespace fanfare::auth
