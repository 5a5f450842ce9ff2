#include "webpush_answer.hpp"

#include "retry_after.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>

namespace fanfare::providers {
namespace {

using delivery::PushVerdict;

struct Body {
    std::string reason;     // "VapidPkHashMismatch" (Apple), "errno 109" (Mozilla); empty: none
    bool about_key = false; // it speaks of VAPID
    bool new_connection = false;
};

// Apple's reasons that are about the VAPID token or key.
constexpr std::array<std::string_view, 4> apple_key_reasons{
    "VapidPkHashMismatch", "BadAuthorizationHeader", "BadJwtToken", "BadVapidPublicKey"};
constexpr std::array<std::string_view, 2> apple_connection_reasons{"IdleTimeout", "Shutdown"};
constexpr std::int64_t mozilla_bad_vapid = 109;

// Google's texts. Pieces, as the sentences around them change.
struct Phrase {
    std::string_view piece; // lower case
    std::string_view reason;
    bool about_key;
};
constexpr std::array phrases{
    Phrase{"unauthorizedregistration", "UnauthorizedRegistration", true},
    Phrase{"do not correspond to the credentials", "VAPID credentials mismatch", true},
    Phrase{"vapid", "VAPID refused", true},
    Phrase{"authorization header", "authorization header", true},
    Phrase{"invalid push subscription endpoint", "invalid push subscription endpoint", false},
    Phrase{"notregistered", "NotRegistered", false},
    Phrase{"unsubscribed or expired", "unsubscribed or expired", false},
};

template <std::size_t Size>
bool is_among(const std::array<std::string_view, Size>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

Body read_object(simdjson::dom::object object) {
    Body body;
    std::string_view reason;
    std::int64_t number = 0;
    if (object["errno"].get(number) == simdjson::SUCCESS) {
        body.reason = "errno " + std::to_string(number);
        body.about_key = number == mozilla_bad_vapid;
    } else if (object["reason"].get(reason) == simdjson::SUCCESS && is_reason(reason)) {
        body.reason = reason;
        body.about_key = is_among(apple_key_reasons, reason);
        body.new_connection = is_among(apple_connection_reasons, reason);
    }
    return body;
}

bool contains(std::string_view text, std::string_view lower_case) {
    return std::search(
               text.begin(), text.end(), lower_case.begin(), lower_case.end(), [](char a, char b) {
                   return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
               }) != text.end();
}

Body read_text(std::string_view text) {
    const auto phrase = std::find_if(phrases.begin(), phrases.end(),
                                     [&](const Phrase& one) { return contains(text, one.piece); });
    if (phrase == phrases.end()) return {};
    return {std::string{phrase->reason}, phrase->about_key};
}

Body read_body(std::string_view text) {
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    text = text.substr(0, answer_bytes_max);
    if (parser.parse(text.data(), text.size()).get(object) == simdjson::SUCCESS)
        return read_object(object);
    return read_text(text);
}

void apply_key_trouble(PushReading& reading, SubscribedWith key, bool about_key) {
    if (about_key && key == SubscribedWith::other_key) {
        reading.outcome.verdict = PushVerdict::drop_device; // its app must subscribe again
        return;
    }
    reading.outcome.verdict = PushVerdict::fix;
    reading.alert = true;
    reading.pause_origin = true;
}

void apply(PushReading& reading, const Body& body, const PushAnswer& answer, WallMillis now,
           SubscribedWith key) {
    PushVerdict& verdict = reading.outcome.verdict;
    const int status = answer.status;
    if (status == 404 || status == 410) {
        verdict = PushVerdict::drop_device;
    } else if (status == 401 || status == 403 || (status == 400 && body.about_key)) {
        apply_key_trouble(reading, key, body.about_key);
    } else if (status == 429) {
        verdict = PushVerdict::later;
        reading.outcome.retry_after = retry_after(answer, now).value_or(std::chrono::seconds{60});
    } else if (status >= 500 || status == 408 || body.new_connection) {
        verdict = PushVerdict::later;
        reading.outcome.retry_after = retry_after(answer, now);
        reading.new_connection = body.new_connection;
    } else {
        verdict = PushVerdict::fix;
        // A redirect is not followed: it leads where the endpoint's check has not been.
        reading.our_fault = status >= 400;
    }
}

} // namespace

PushReading read_webpush_answer(const PushAnswer& answer, WallMillis now, SubscribedWith key) {
    PushReading reading;
    reading.outcome.status = answer.status;
    if (answer.status >= 200 && answer.status < 300) {
        reading.outcome.verdict = PushVerdict::done;
        // Apple's. `Location` is not taken: who has it can delete the message.
        if (const std::string_view id = answer.field("apns-id"); is_reason(id))
            reading.outcome.provider_id = id;
        return reading;
    }
    const Body body = read_body(answer.body);
    reading.outcome.reason = body.reason.empty() ? status_reason(answer.status) : body.reason;
    apply(reading, body, answer, now, key);
    return reading;
}

} // namespace fanfare::providers
