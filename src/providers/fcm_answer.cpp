#include "fcm_answer.hpp"

#include "retry_after.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <optional>

namespace fanfare::providers {
namespace {

using delivery::PushVerdict;
using simdjson::SUCCESS;
namespace dom = simdjson::dom;

enum class Meaning : std::uint8_t {
    unregistered,
    invalid_argument, // bad token or bad message: see is_bad_token
    wrong_sender,     // a token of another project
    quota,
    unavailable,
    third_party,  // the project's credential for Apple or for the web
    own_token,    // our access token
    not_allowed,  // API off, permission missing
    nothing_here, // wrong project, wrong URL
    fix,
    unexpected, // a redirect: not followed
};

struct Word {
    std::string_view word;
    Meaning meaning;
};
// `errorCode` of FcmError. UNSPECIFIED_ERROR says nothing and is not here.
constexpr std::array fcm_words{
    Word{"UNREGISTERED", Meaning::unregistered},
    Word{"INVALID_ARGUMENT", Meaning::invalid_argument},
    Word{"SENDER_ID_MISMATCH", Meaning::wrong_sender},
    Word{"QUOTA_EXCEEDED", Meaning::quota},
    Word{"UNAVAILABLE", Meaning::unavailable},
    Word{"INTERNAL", Meaning::unavailable},
    Word{"THIRD_PARTY_AUTH_ERROR", Meaning::third_party},
    Word{"APNS_AUTH_ERROR", Meaning::third_party}, // its older name
};
// `error.status`, where FcmError is missing.
constexpr std::array status_words{
    Word{"INVALID_ARGUMENT", Meaning::invalid_argument},
    Word{"UNAUTHENTICATED", Meaning::own_token},
    Word{"PERMISSION_DENIED", Meaning::not_allowed},
    Word{"NOT_FOUND", Meaning::nothing_here},
    Word{"RESOURCE_EXHAUSTED", Meaning::quota},
    Word{"UNAVAILABLE", Meaning::unavailable},
    Word{"INTERNAL", Meaning::unavailable},
    Word{"DEADLINE_EXCEEDED", Meaning::unavailable},
};

template <std::size_t Size>
std::optional<Meaning> find_word(const std::array<Word, Size>& words, std::string_view word) {
    const auto found =
        std::find_if(words.begin(), words.end(), [&](const Word& one) { return one.word == word; });
    if (found == words.end()) return std::nullopt;
    return found->meaning;
}

Meaning by_http_status(int status) {
    if (status == 401) return Meaning::own_token;
    if (status == 403) return Meaning::not_allowed;
    if (status == 404) return Meaning::nothing_here;
    if (status == 429) return Meaning::quota;
    if (status == 408 || status >= 500) return Meaning::unavailable;
    return status >= 300 && status < 400 ? Meaning::unexpected : Meaning::fix;
}

/// What of a failure's body counts.
struct Body {
    std::string status;           // error.status
    std::string error_code;       // of FcmError
    bool token_text = false;      // error.message speaks of a bad token
    bool token_violation = false; // BadRequest names message.token
    bool other_violation = false; // BadRequest names something else
    bool quota_failure = false;
    bool apns_gone = false; // ApnsError: 410
};

std::string_view text_of(dom::object object, const char* name) {
    std::string_view text;
    return object[name].get(text) == SUCCESS ? text : std::string_view{};
}

std::string word_of(dom::object object, const char* name) {
    const std::string_view word = text_of(object, name);
    return is_reason(word) ? std::string{word} : std::string{};
}

void read_violations(dom::object detail, Body& body) {
    dom::array violations;
    if (detail["fieldViolations"].get(violations) != SUCCESS) return;
    for (const dom::element one : violations) {
        dom::object violation;
        if (one.get(violation) != SUCCESS) continue;
        const bool token = text_of(violation, "field") == "message.token";
        (token ? body.token_violation : body.other_violation) = true;
    }
}

void read_detail(dom::object detail, Body& body) {
    const std::string_view type = text_of(detail, "@type");
    if (type.ends_with("firebase.fcm.v1.FcmError")) {
        if (std::string word = word_of(detail, "errorCode"); !word.empty())
            body.error_code = std::move(word);
    } else if (type.ends_with("firebase.fcm.v1.ApnsError")) {
        std::int64_t code = 0;
        if (detail["statusCode"].get(code) == SUCCESS && code == 410) body.apns_gone = true;
    } else if (type.ends_with("google.rpc.BadRequest")) {
        read_violations(detail, body);
    } else if (type.ends_with("google.rpc.QuotaFailure")) {
        body.quota_failure = true;
    }
}

Body read_body(std::string_view text) {
    Body body;
    dom::parser parser;
    dom::element document;
    dom::object error;
    if (text.size() > answer_bytes_max ||
        parser.parse(text.data(), text.size()).get(document) != SUCCESS ||
        document["error"].get(error) != SUCCESS)
        return body;
    body.status = word_of(error, "status");
    body.token_text = text_of(error, "message")
                          .find("registration token is not a valid FCM registration token") !=
                      std::string_view::npos;
    dom::array details;
    if (error["details"].get(details) != SUCCESS) return body;
    for (const dom::element one : details) {
        dom::object detail;
        if (one.get(detail) == SUCCESS) read_detail(detail, body);
    }
    return body;
}

Meaning meaning_of(int status, const Body& body) {
    if (const auto meaning = find_word(fcm_words, body.error_code)) return *meaning;
    // FcmError is there and says nothing: the HTTP status does, not the general word beside it.
    if (!body.error_code.empty()) return by_http_status(status);
    if (const auto meaning = find_word(status_words, body.status)) return *meaning;
    return by_http_status(status);
}

bool is_bad_token(const Body& body) {
    return body.apns_gone || body.token_violation || (body.token_text && !body.other_violation);
}

void apply_own_token(PushReading& reading, Attempt attempt) {
    const bool fresh = attempt == Attempt::repeated;
    reading.outcome.verdict = fresh ? PushVerdict::stop : PushVerdict::later;
    reading.alert = fresh;
    reading.again = !fresh;
    reading.token = fresh ? TokenStep::keep : TokenStep::renew;
}

void apply_wait(PushReading& reading, const PushAnswer& answer, WallMillis now,
                std::chrono::seconds at_least) {
    reading.outcome.verdict = PushVerdict::later;
    reading.outcome.retry_after = retry_after(answer, now).value_or(at_least);
}

void apply(PushReading& reading, const Body& body, const PushAnswer& answer, WallMillis now,
           Attempt attempt) {
    PushVerdict& verdict = reading.outcome.verdict;
    switch (meaning_of(answer.status, body)) {
    case Meaning::unregistered:
        verdict = PushVerdict::drop_device;
        return;
    case Meaning::wrong_sender:
        verdict = PushVerdict::drop_device;
        reading.wrong_target = true;
        return;
    case Meaning::invalid_argument:
        verdict = is_bad_token(body) ? PushVerdict::drop_device : PushVerdict::fix;
        reading.our_fault = verdict == PushVerdict::fix;
        return;
    case Meaning::quota:
        apply_wait(reading, answer, now, std::chrono::seconds{60});
        if (body.quota_failure) verdict = PushVerdict::pause;
        return;
    case Meaning::unavailable:
        return apply_wait(reading, answer, now, std::chrono::seconds{10});
    case Meaning::own_token:
        return apply_own_token(reading, attempt);
    case Meaning::third_party: // an operator's matter, but Android goes on
    case Meaning::unexpected:
        verdict = PushVerdict::fix;
        reading.alert = true;
        return;
    case Meaning::not_allowed:
    case Meaning::nothing_here:
        verdict = PushVerdict::stop;
        reading.alert = true;
        return;
    case Meaning::fix:
        verdict = PushVerdict::fix;
        reading.our_fault = true;
        return;
    }
}

void read_success(PushReading& reading, std::string_view text) {
    reading.outcome.verdict = PushVerdict::done;
    dom::parser parser;
    dom::object object;
    std::string_view name;
    if (text.size() > answer_bytes_max ||
        parser.parse(text.data(), text.size()).get(object) != SUCCESS ||
        object["name"].get(name) != SUCCESS || !name.starts_with("projects/")) {
        reading.unread = true; // it was taken all the same
        return;
    }
    name.remove_prefix(name.rfind('/') + 1);
    // Ids look like "0:1500415314455276%31bd1c9631bd1c96", or are UUIDs.
    constexpr std::size_t id_max = 128;
    const bool plain = std::all_of(name.begin(), name.end(),
                                   [](char c) { return c > ' ' && c < '\x7f' && c != '"'; });
    if (plain && name.size() <= id_max) reading.outcome.provider_id = name;
}

std::string reason_of(int status, const Body& body) {
    if (!body.error_code.empty()) return body.error_code;
    return body.status.empty() ? status_reason(status) : body.status;
}

} // namespace

PushReading read_fcm_answer(const PushAnswer& answer, WallMillis now, Attempt attempt) {
    PushReading reading;
    reading.outcome.status = answer.status;
    if (answer.status >= 200 && answer.status < 300) {
        read_success(reading, answer.body);
        return reading;
    }
    const Body body = read_body(answer.body);
    reading.outcome.reason = reason_of(answer.status, body);
    apply(reading, body, answer, now, attempt);
    return reading;
}

} // namespace fanfare::providers
