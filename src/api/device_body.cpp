#include "device_body.hpp"

#include "body_members.hpp"
#include "body_values.hpp"

#include <fanfare/base/bytes.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <system_error>

namespace fanfare::api {
namespace {

using delivery::Platform;
using delivery::PushDevice;

enum class Member : std::uint8_t {
    user_id,
    device_id,
    platform,
    device_token,
    subscription,
    locale,
    timezone,
    topics,
    app,
    ttl
};
constexpr std::array<std::string_view, 10> names{
    "user_id", "device_id", "platform", "device_token", "subscription",
    "locale",  "timezone",  "topics",   "app",          "ttl"};
using Members = BodyMembers<Member, names>;

// As browsers write a PushSubscription.
enum class SubscriptionMember : std::uint8_t { endpoint, expiration_time, keys };
constexpr std::array<std::string_view, 3> subscription_names{"endpoint", "expirationTime", "keys"};
using SubscriptionMembers = BodyMembers<SubscriptionMember, subscription_names>;

enum class KeyMember : std::uint8_t { p256dh, auth };
constexpr std::array<std::string_view, 2> key_names{"p256dh", "auth"};
using KeyMembers = BodyMembers<KeyMember, key_names>;

/// Later ends are taken as none: a hundred years from now, in milliseconds.
constexpr std::uint64_t life_max = std::uint64_t{36'500} * 86'400'000;

/// What a text of the body may be is asked in one place, once all of it is there.
const char* any_text(std::string_view /*text*/) noexcept {
    return nullptr;
}
/// An empty one would be taken for none.
const char* some_text(std::string_view text) noexcept {
    return text.empty() ? "must not be empty" : nullptr;
}

/// base64url; also with padding and in the other alphabet, as old browsers' helpers write it.
std::optional<std::string> lenient_base64(std::string text) {
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    for (int padding = 0; padding < 2 && !text.empty() && text.back() == '='; ++padding)
        text.pop_back();
    return from_base64url(text);
}

/// The earlier end counts.
void end_by(PushDevice& device, std::uint64_t life) {
    if (life >= life_max) return;
    const WallMillis end = device.registered + static_cast<WallMillis>(life);
    if (device.expires == 0 || end < device.expires) device.expires = end;
}

Error read_key(const char* name, std::string_view value, std::string& to) {
    std::string text;
    if (Error error = read_text(value, name, any_text, text)) return error;
    auto bytes = lenient_base64(std::move(text));
    if (!bytes) return wrong_member(name, "must be base64url");
    to = *std::move(bytes);
    return {};
}

Error read_keys(std::string_view value, PushDevice& device) {
    KeyMembers members;
    if (value.front() != '{') return wrong_member("subscription.keys", "must be an object");
    if (Error error = members.take(value)) return error;
    if (Error error = members.each(
            [&](KeyMember member, std::string_view key) {
                return member == KeyMember::p256dh
                           ? read_key("subscription.keys.p256dh", key, device.p256dh)
                           : read_key("subscription.keys.auth", key, device.auth);
            },
            "subscription.keys."))
        return error;
    if (!members.has(KeyMember::p256dh))
        return wrong_member("subscription.keys.p256dh", "is missing");
    if (!members.has(KeyMember::auth)) return wrong_member("subscription.keys.auth", "is missing");
    return {};
}

/// Milliseconds since 1970, or null. Browsers write it with a fraction where their clock has one.
Error read_expiration(std::string_view value, PushDevice& device) {
    constexpr const char* name = "subscription.expirationTime";
    if (value == "null") return {};
    if (!is_number(value))
        return wrong_member(name, "must be null, or milliseconds since 1970 as a number");
    double time = 0;
    const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), time);
    // What is too large for a double never comes; what is too small, or below zero, has long been.
    if (fault == std::errc::result_out_of_range)
        time = value.find('-') == std::string_view::npos ? std::numeric_limits<double>::max() : 0;
    const double left = time - static_cast<double>(device.registered);
    if (left < 1) return wrong_member(name, "is over already");
    end_by(device, static_cast<std::uint64_t>(std::min(left, static_cast<double>(life_max))));
    return {};
}

Error read_subscription(std::string_view value, PushDevice& device) {
    SubscriptionMembers members;
    if (value.front() != '{') return wrong_member("subscription", "must be an object");
    if (Error error = members.take(value)) return error;
    if (Error error = members.each(
            [&](SubscriptionMember member, std::string_view text) {
                if (member == SubscriptionMember::endpoint)
                    return read_text(text, "subscription.endpoint", some_text, device.token);
                if (member == SubscriptionMember::keys) return read_keys(text, device);
                return read_expiration(text, device);
            },
            "subscription."))
        return error;
    if (!members.has(SubscriptionMember::endpoint))
        return wrong_member("subscription.endpoint", "is missing");
    if (!members.has(SubscriptionMember::keys))
        return wrong_member("subscription.keys", "is missing");
    return {};
}

Error read_platform(std::string_view value, Platform& to) {
    const auto platform =
        is_string(value) ? delivery::parse_platform(unescaped(value)) : std::nullopt;
    if (!platform) return wrong_member("platform", "must be ios, android or web");
    to = *platform;
    return {};
}

Error read_topics(std::string_view value, std::vector<std::string>& to) {
    constexpr const char* what = "must be an array of strings";
    if (value.front() != '[') return wrong_member("topics", what);
    return each_element(value, [&](std::string_view element) -> Error {
        if (!is_string(element)) return wrong_member("topics", what);
        to.push_back(unescaped(element));
        return {};
    });
}

Error read_ttl(std::string_view value, PushDevice& device) {
    const auto seconds = whole_number(value, life_max / 1'000);
    if (!seconds || *seconds == 0) return wrong_member("ttl", "must be an integer ≥ 1, in seconds");
    end_by(device, *seconds * 1'000);
    return {};
}

Error read(Member member, std::string_view value, PushDevice& to) {
    switch (member) {
    case Member::user_id:
        return read_user(value, "user_id", to.user);
    case Member::device_id:
        return read_text(value, "device_id", some_text, to.name);
    case Member::platform:
        return read_platform(value, to.platform);
    case Member::device_token:
        return read_text(value, "device_token", some_text, to.token);
    case Member::subscription:
        return read_subscription(value, to);
    case Member::locale:
        return read_text(value, "locale", some_text, to.locale);
    case Member::timezone:
        return read_text(value, "timezone", some_text, to.timezone);
    case Member::topics:
        return read_topics(value, to.topics);
    case Member::app:
        return read_text(value, "app", any_text, to.app);
    case Member::ttl:
        return read_ttl(value, to);
    }
    return {};
}

/// Each platform has its own way to say where it is reached.
Error check_members(const Members& members, Platform platform) {
    for (const Member needed : {Member::user_id, Member::device_id, Member::platform})
        if (!members.has(needed))
            return wrong_member(std::string{names[static_cast<std::size_t>(needed)]}, "is missing");
    const bool web = platform == Platform::web;
    if (members.has(web ? Member::device_token : Member::subscription))
        return web ? wrong_member("device_token", "is not for web, which has a `subscription`")
                   : wrong_member("subscription", "is only for web");
    if (!members.has(web ? Member::subscription : Member::device_token))
        return wrong_member(web ? "subscription" : "device_token", "is missing");
    return {};
}

} // namespace

Error parse_device(std::string_view text, WallMillis now, PushDevice& device) {
    Members members;
    if (Error error = members.take(text)) return error;
    device = {};
    device.registered = now;
    if (Error error = members.each(
            [&](Member member, std::string_view value) { return read(member, value, device); }))
        return error;
    if (Error error = check_members(members, device.platform)) return error;
    return delivery::check_device(device);
}

} // namespace fanfare::api
