// A backend's notification, any bytes at all, and the call that marks an inbox as read: no crash,
// and what is accepted keeps its promises.

#include "notification_body.hpp"

#include <fanfare/base/json_check.hpp>
#include <fanfare/room/message.hpp>

#include <cstdint>
#include <cstdlib>
#include <set>

using namespace fanfare;
using namespace fanfare::api;

namespace {

constexpr std::size_t users_max = 4;

void expect(bool promise) {
    if (!promise) std::abort();
}

void check_error(const Error& error) {
    expect(error.code == Code::bad_request || error.code == Code::too_large);
    expect(!error.message.empty());
}

void expect_json_within(std::string_view part, std::string_view text) {
    if (part.empty()) return;
    expect(part.data() >= text.data());
    expect(part.data() + part.size() <= text.data() + text.size());
    expect(!check_json(part));
}

void check_body(const NotificationBody& body, std::string_view text) {
    const bool one = !is_send(body);
    const int targets = int{one} + int{body.many} + int{body.broadcast} + int{!body.topic.empty()};
    expect(targets == 1);
    expect(body.users.size() <= users_max);
    expect(one ? body.users.size() == 1 : body.many != body.users.empty());
    expect(std::set<std::string>(body.users.begin(), body.users.end()).size() == body.users.size());
    for (const std::string& user : body.users) expect(room::id_fault(user) == nullptr);
    expect(!body.title.empty() || !body.body.empty() || !body.data.empty());
    for (const std::string_view part : {body.title, body.body, body.data})
        expect_json_within(part, text);
    for (const std::string_view part : {body.title, body.body})
        expect(part.empty() || part.front() == '"');
    expect(body.channels < 16);
    expect(!body.ttl || (body.ttl->count() >= 0 && *body.ttl <= NotificationBody::ttl_max));
    for (const std::string& word : {body.collapse_key, body.category, body.topic})
        expect(word.empty() || (word.size() <= 64 && room::id_fault(word) == nullptr));
    expect(body.key.empty() || room::id_fault(body.key) == nullptr);
}

void read(std::string_view text) {
    const auto read = parse_read(text);
    if (const auto* const error = std::get_if<Error>(&read)) return check_error(*error);
    expect(!check_json(text));
    expect(std::get<std::uint64_t>(read) <= inbox_offset_max);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    read(text);
    static NotificationBody body; // used again and again
    if (const Error error = parse_notification(text, users_max, body)) {
        check_error(error);
        return 0;
    }
    expect(!check_json(text));
    check_body(body, text);
    expect(!check_json(client_data(body, 1'767'225'600'123)));
    static_cast<void>(fingerprint(body));
    return 0;
}
