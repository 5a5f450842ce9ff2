#include "fcm_grant.hpp"

#include "retry_after.hpp"

#include <fanfare/base/json_writer.hpp>

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace fanfare::providers {
namespace {

constexpr std::string_view scope = "https://www.googleapis.com/auth/firebase.messaging";
constexpr std::int64_t assertion_seconds = 3'600;
constexpr std::chrono::seconds lifetime_default = std::chrono::minutes{5};
constexpr std::int64_t lifetime_max = 24 * 3'600;
constexpr std::size_t access_token_max = 8 * 1'024;

constexpr std::array transient_statuses{408, 429, 500, 502, 503, 504};
constexpr std::array<std::string_view, 3> transient_words{"internal_failure", "server_error",
                                                          "temporarily_unavailable"};

template <class Range, class Value>
bool is_among(const Range& range, const Value& value) {
    return std::find(range.begin(), range.end(), value) != range.end();
}

std::string write_header(const FcmAccount& account) {
    std::string out;
    JsonWriter json{out};
    json.begin_object().field("alg", "RS256").field("typ", "JWT");
    if (!account.private_key_id.empty()) json.field("kid", account.private_key_id);
    json.end_object();
    return out;
}

std::string write_claims(const FcmAccount& account, WallMillis now) {
    const std::int64_t issued = now / 1'000;
    std::string out;
    JsonWriter json{out};
    json.begin_object().field("iss", account.client_email).field("scope", scope);
    json.field("aud", account.token_uri).key("iat").integer(issued);
    json.key("exp").integer(issued + assertion_seconds).end_object();
    return out;
}

/// It becomes a part of a header.
bool is_access_token(std::string_view text) {
    return !text.empty() && text.size() <= access_token_max &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

/// Nothing if it is there and no number of seconds.
std::optional<std::chrono::seconds> read_lifetime(simdjson::dom::object object) {
    simdjson::dom::element element;
    if (object["expires_in"].get(element) != simdjson::SUCCESS) return lifetime_default;
    double seconds = 0;
    std::string_view text;
    if (element.get(text) == simdjson::SUCCESS) {
        std::int64_t whole = 0;
        const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), whole);
        if (fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
        seconds = static_cast<double>(whole);
    } else if (element.get(seconds) != simdjson::SUCCESS) {
        return std::nullopt;
    }
    if (!(seconds >= 1)) return std::nullopt;
    return std::chrono::seconds{
        static_cast<std::int64_t>(std::min(seconds, static_cast<double>(lifetime_max)))};
}

FcmGrantFault soon(std::string reason) {
    return {std::move(reason), true, std::nullopt};
}

std::variant<FcmGrant, FcmGrantFault> read_granted(simdjson::dom::object object) {
    std::string_view token;
    std::string_view type;
    if (object["access_token"].get(token) != simdjson::SUCCESS || !is_access_token(token))
        return soon("the answer has no access_token");
    if (object["token_type"].get(type) != simdjson::SUCCESS || !equal_without_case(type, "bearer"))
        return soon("the answer's token_type is not Bearer");
    const auto lifetime = read_lifetime(object);
    if (!lifetime) return soon("the answer's expires_in is no number of seconds");
    return FcmGrant{std::string{token}, *lifetime};
}

} // namespace

std::string fcm_grant_request(const FcmAccount& account, WallMillis now) {
    // The characters of a token need no escapes in a form.
    return "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" +
           account.key.sign_token(write_header(account), write_claims(account, now));
}

std::variant<FcmGrant, FcmGrantFault> read_fcm_grant(const PushAnswer& answer, WallMillis now) {
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    const bool is_object =
        answer.body.size() <= answer_bytes_max &&
        parser.parse(answer.body.data(), answer.body.size()).get(object) == simdjson::SUCCESS;
    if (answer.status == 200)
        return is_object ? read_granted(object) : soon("the answer is not a JSON object");

    FcmGrantFault fault;
    fault.reason = status_reason(answer.status);
    fault.transient = is_among(transient_statuses, answer.status);
    fault.retry_after = retry_after(answer, now);
    std::string_view word;
    if (is_object && object["error"].get(word) == simdjson::SUCCESS && is_reason(word)) {
        fault.reason = word;
        fault.transient = fault.transient || is_among(transient_words, word);
    }
    return fault;
}

} // namespace fanfare::providers
