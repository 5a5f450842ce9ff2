#include "apns_answer.hpp"

#include "retry_after.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>

namespace fanfare::providers {
namespace {

using delivery::PushVerdict;

enum class Meaning : std::uint8_t {
    drop,           // the token is dead
    drop_if_lonely, // dead, unless many are: then our settings are wrong
    fix,            // never, and the fault is ours
    fix_settings,   // never, and an operator must look
    later,
    later_elsewhere, // on a new connection
    expired,         // the provider token
    refused_token,   // the provider token, for another cause than its age
    too_many_tokens,
    stop,
};

struct Row {
    int status;
    std::string_view reason;
    Meaning meaning;
};
// Apple, "Handling notification responses from APNs".
constexpr std::array rows{
    Row{400, "BadCollapseId", Meaning::fix},
    Row{400, "BadDeviceToken", Meaning::drop_if_lonely},
    Row{400, "BadExpirationDate", Meaning::fix},
    Row{400, "BadMessageId", Meaning::fix},
    Row{400, "BadPriority", Meaning::fix},
    Row{400, "BadTopic", Meaning::fix_settings},
    Row{400, "DeviceTokenNotForTopic", Meaning::drop_if_lonely},
    Row{400, "DuplicateHeaders", Meaning::fix},
    Row{400, "IdleTimeout", Meaning::later_elsewhere},
    Row{400, "InvalidPushType", Meaning::fix},
    Row{400, "MissingDeviceToken", Meaning::fix},
    Row{400, "MissingTopic", Meaning::fix_settings},
    Row{400, "PayloadEmpty", Meaning::fix},
    Row{400, "TopicDisallowed", Meaning::fix_settings},
    Row{403, "BadCertificate", Meaning::stop},
    Row{403, "BadCertificateEnvironment", Meaning::stop},
    // Documented in the first spelling; servers answer in the second.
    Row{403, "BadEnvironmentKeyIdInToken", Meaning::stop},
    Row{403, "BadEnvironmentKeyInToken", Meaning::stop},
    Row{403, "ExpiredProviderToken", Meaning::expired},
    Row{403, "Forbidden", Meaning::fix_settings},
    Row{403, "InvalidProviderToken", Meaning::refused_token},
    Row{403, "MissingProviderToken", Meaning::stop},
    Row{403, "UnrelatedKeyIdInToken", Meaning::later_elsewhere},
    Row{404, "BadPath", Meaning::fix},
    Row{405, "MethodNotAllowed", Meaning::fix},
    Row{410, "ExpiredToken", Meaning::drop},
    Row{410, "Unregistered", Meaning::drop},
    Row{413, "PayloadTooLarge", Meaning::fix},
    Row{429, "TooManyProviderTokenUpdates", Meaning::too_many_tokens},
    Row{429, "TooManyRequests", Meaning::later},
    Row{500, "InternalServerError", Meaning::later},
    Row{503, "ServiceUnavailable", Meaning::later},
    Row{503, "Shutdown", Meaning::later_elsewhere},
};

Meaning meaning_of(int status, std::string_view reason) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& one) {
        return one.status == status && one.reason == reason;
    });
    if (row != rows.end()) return row->meaning;
    return status == 429 || status >= 500 ? Meaning::later : Meaning::fix;
}

struct Body {
    std::string reason;
    WallMillis timestamp = 0; // 0: none
};

/// Apple writes milliseconds; seconds were seen from old servers. As milliseconds a time of this
/// century in seconds would be in January 1970.
WallMillis to_millis(std::uint64_t timestamp) {
    constexpr std::uint64_t seconds_max = 100'000'000'000; // the year 5138; as millis March 1973
    constexpr std::uint64_t millis_max = seconds_max * 1'000;
    if (timestamp < seconds_max) timestamp *= 1'000;
    return timestamp <= millis_max ? static_cast<WallMillis>(timestamp) : 0;
}

Body read_body(std::string_view text) {
    Body body;
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    if (text.size() > answer_bytes_max ||
        parser.parse(text.data(), text.size()).get(object) != simdjson::SUCCESS)
        return body;
    std::string_view reason;
    if (object["reason"].get(reason) == simdjson::SUCCESS && is_reason(reason))
        body.reason = reason;
    double timestamp = 0; // whatever form the number has
    if (object["timestamp"].get(timestamp) == simdjson::SUCCESS && timestamp > 0 &&
        timestamp < 1e15)
        body.timestamp = to_millis(static_cast<std::uint64_t>(timestamp));
    return body;
}

void apply_expired(PushReading& reading, Attempt attempt) {
    // A token that is fresh and still called old: our clock is wrong, which no new token mends.
    const bool fresh = attempt == Attempt::repeated;
    reading.outcome.verdict = fresh ? PushVerdict::stop : PushVerdict::later;
    reading.alert = fresh;
    reading.again = !fresh;
    reading.token = fresh ? TokenStep::keep : TokenStep::renew;
    // Once Apple thinks that a connection's token has expired, it stays with that opinion.
    reading.new_connection = true;
}

void apply_refused_token(PushReading& reading, Attempt attempt) {
    // One fresh token, then never again: a wrong key or team stays wrong.
    reading.outcome.verdict = PushVerdict::stop;
    reading.alert = true;
    reading.again = attempt == Attempt::first;
    reading.token = reading.again ? TokenStep::renew : TokenStep::keep;
    reading.new_connection = reading.again;
}

void apply_too_many_tokens(PushReading& reading) {
    reading.outcome.verdict = PushVerdict::later;
    reading.token = TokenStep::hold;
    reading.alert = true;
    // Tokens of one team do not mix on a connection, and after this answer it refuses for a while.
    reading.new_connection = true;
}

void apply(PushReading& reading, Meaning meaning, Attempt attempt) {
    PushVerdict& verdict = reading.outcome.verdict;
    switch (meaning) {
    case Meaning::drop:
    case Meaning::drop_if_lonely:
        verdict = PushVerdict::drop_device;
        reading.wrong_target = meaning == Meaning::drop_if_lonely;
        break;
    case Meaning::fix:
        verdict = PushVerdict::fix;
        reading.our_fault = true;
        break;
    case Meaning::fix_settings:
        verdict = PushVerdict::fix;
        reading.alert = true;
        break;
    case Meaning::later:
    case Meaning::later_elsewhere:
        verdict = PushVerdict::later;
        reading.new_connection = meaning == Meaning::later_elsewhere;
        break;
    case Meaning::expired:
        return apply_expired(reading, attempt);
    case Meaning::refused_token:
        return apply_refused_token(reading, attempt);
    case Meaning::too_many_tokens:
        return apply_too_many_tokens(reading);
    case Meaning::stop:
        verdict = PushVerdict::stop;
        reading.alert = true;
        break;
    }
}

/// Apple may give our UUID back in upper case.
std::string provider_id(const PushAnswer& answer) {
    const std::string_view said = answer.field("apns-id");
    if (!is_reason(said)) return {};
    std::string id{said};
    for (char& c : id)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return id;
}

} // namespace

std::string apns_reason(std::string_view json) {
    return read_body(json).reason;
}

bool apns_goaway_refuses(std::string_view reason) noexcept {
    return std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
        return row.reason == reason && row.meaning == Meaning::stop;
    });
}

PushReading read_apns_answer(const PushAnswer& answer, WallMillis now, Attempt attempt) {
    PushReading reading;
    reading.outcome.status = answer.status;
    reading.outcome.provider_id = provider_id(answer);
    if (answer.status == 200) {
        reading.outcome.verdict = PushVerdict::done;
        return reading;
    }
    Body body = read_body(answer.body);
    apply(reading, meaning_of(answer.status, body.reason), attempt);
    // Not in Apple's pages; honoured if it is there.
    if (reading.outcome.verdict == PushVerdict::later && !reading.again)
        reading.outcome.retry_after = retry_after(answer, now);
    if (reading.outcome.verdict == PushVerdict::drop_device && answer.status == 410)
        reading.outcome.dead_since = body.timestamp;
    reading.outcome.reason =
        body.reason.empty() ? status_reason(answer.status) : std::move(body.reason);
    return reading;
}

} // namespace fanfare::providers
