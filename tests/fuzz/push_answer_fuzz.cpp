// What vendors answer, any bytes at all, to each of their readers: no crash, no device lost without
// the vendor's word, and nothing of the answer in what is shown but plain words. The first byte
// chooses the status, a line is the value of Retry-After and Date, the rest is the body.

#include "apns_answer.hpp"
#include "fcm_answer.hpp"
#include "fcm_grant.hpp"
#include "retry_after.hpp"
#include "webpush_answer.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>

using namespace fanfare;
using namespace fanfare::providers;
using delivery::PushVerdict;

namespace {

constexpr WallMillis now = 1'767'225'600'123;
constexpr std::array statuses{0,   200, 201, 204, 301, 400, 401, 403, 404, 405, 408,
                              410, 411, 413, 415, 429, 500, 502, 503, 504, 999};

void expect(bool promise) {
    if (!promise) std::abort();
}

bool contains(std::string_view text, std::string_view what) {
    return text.find(what) != std::string_view::npos;
}

void check(const PushReading& reading, int status) {
    const delivery::PushOutcome& outcome = reading.outcome;
    expect(outcome.status == status);
    expect((outcome.verdict == PushVerdict::done) == (status >= 200 && status < 300));
    expect(outcome.reason.empty() == (outcome.verdict == PushVerdict::done));
    expect(outcome.reason.empty() || is_reason(outcome.reason));
    expect(outcome.provider_id.size() <= 128);
    for (const char c : outcome.provider_id) expect(c >= ' ' && c < '\x7f');
    expect(!outcome.retry_after ||
           (outcome.retry_after->count() >= 0 && *outcome.retry_after <= retry_after_max));
    expect(outcome.dead_since >= 0);
    expect(outcome.dead_since == 0 || outcome.verdict == PushVerdict::drop_device);
    expect(!reading.wrong_target || outcome.verdict == PushVerdict::drop_device);
    expect(outcome.verdict != PushVerdict::stop || reading.alert);
    expect(reading.token != TokenStep::renew || reading.again);
}

void check_apns(const PushAnswer& answer, Attempt attempt) {
    if (answer.status > 200 && answer.status < 300) return; // Apple has 200 only
    const PushReading reading = read_apns_answer(answer, now, attempt);
    check(reading, answer.status);
    expect(!reading.again || attempt == Attempt::first);
    if (reading.outcome.verdict == PushVerdict::drop_device)
        expect(answer.status == 410 || answer.status == 400);
    const std::string reason = apns_reason(answer.body);
    expect(reason.empty() || is_reason(reason));
    static_cast<void>(apns_goaway_refuses(reason));
}

void check_fcm(const PushAnswer& answer, Attempt attempt) {
    const PushReading reading = read_fcm_answer(answer, now, attempt);
    check(reading, answer.status);
    expect(!reading.again || attempt == Attempt::first);
    // Escapes may hide the words; then there is a backslash.
    if (reading.outcome.verdict == PushVerdict::drop_device)
        expect(contains(answer.body, "UNREGISTERED") ||
               contains(answer.body, "SENDER_ID_MISMATCH") ||
               contains(answer.body, "INVALID_ARGUMENT") || contains(answer.body, "\\"));
}

void check_webpush(const PushAnswer& answer, SubscribedWith key) {
    const PushReading reading = read_webpush_answer(answer, now, key);
    check(reading, answer.status);
    expect(!reading.again);
    const bool gone = answer.status == 404 || answer.status == 410;
    if (reading.outcome.verdict == PushVerdict::drop_device)
        expect(gone || key == SubscribedWith::other_key);
    expect(!gone || reading.outcome.verdict == PushVerdict::drop_device);
}

void check_grant(const PushAnswer& answer) {
    const auto read = read_fcm_grant(answer, now);
    if (const auto* const grant = std::get_if<FcmGrant>(&read)) {
        expect(answer.status == 200);
        expect(!grant->access_token.empty() && grant->lifetime.count() >= 1);
        for (const char c : grant->access_token) expect(c > ' ' && c < '\x7f');
        return;
    }
    expect(!std::get<FcmGrantFault>(read).reason.empty());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    const std::string_view date = line.substr(line.size() / 2);
    const std::array fields{AnswerField{"Retry-After", line}, AnswerField{"date", date},
                            AnswerField{"apns-id", line}};
    const PushAnswer answer{statuses[data[0] % statuses.size()], fields, text};
    for (const Attempt attempt : {Attempt::first, Attempt::repeated}) {
        check_apns(answer, attempt);
        check_fcm(answer, attempt);
    }
    for (const SubscribedWith key : {SubscribedWith::this_key, SubscribedWith::other_key})
        check_webpush(answer, key);
    check_grant(answer);
    return 0;
}
