#include "notification_body.hpp"

#include "body_members.hpp"
#include "body_values.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/room/message.hpp>

#include <algorithm>
#include <unordered_set>

namespace fanfare::api {
namespace {

enum class Member : std::uint8_t {
    user_id,
    user_ids,
    topic,
    broadcast,
    title,
    body,
    data,
    channels,
    priority,
    ttl,
    collapse_key,
    category,
    idempotency_key,
    badge,
    sound,
    silent
};
constexpr std::array<std::string_view, 16> names{
    "user_id",         "user_ids", "topic",        "broadcast",
    "title",           "body",     "data",         "channels",
    "priority",        "ttl",      "collapse_key", "category",
    "idempotency_key", "badge",    "sound",        "silent"};
using Members = BodyMembers<Member, names>;

enum class ReadMember : std::uint8_t { offset, all };
constexpr std::array<std::string_view, 2> read_names{"offset", "all"};
using ReadMembers = BodyMembers<ReadMember, read_names>;

const char* word_fault(std::string_view word) noexcept {
    return word.size() > 64 ? "must have at most 64 bytes" : room::id_fault(word);
}

Error read_users(std::string_view value, std::size_t users_max, std::vector<std::string>& to) {
    if (value.front() != '[')
        return wrong_member("user_ids", "must be an array of strings or integers");
    if (Error error = each_element(value, [&](std::string_view element) -> Error {
            if (to.size() == users_max)
                return {Code::too_large,
                        "`user_ids` has more than " + std::to_string(users_max) + " users",
                        "user_ids"};
            return read_user(element, "user_ids", to.emplace_back());
        }))
        return error;
    if (to.empty()) return wrong_member("user_ids", "must not be empty");
    const std::unordered_set<std::string_view> different(to.begin(), to.end());
    if (different.size() != to.size())
        return wrong_member("user_ids", "must not name a user twice");
    return {};
}

Error read_channels(std::string_view value, delivery::Channels& to) {
    constexpr const char* what = "must be an array of realtime, push, email, sms";
    if (value.front() != '[') return wrong_member("channels", what);
    to = 0;
    if (Error error = each_element(value, [&](std::string_view element) -> Error {
            if (!is_string(element)) return wrong_member("channels", what);
            const auto channel = delivery::parse_channel(unescaped(element));
            if (!channel) return wrong_member("channels", what);
            if ((to & *channel) != 0)
                return wrong_member("channels", "must not name a channel twice");
            to = static_cast<delivery::Channels>(to | *channel);
            return {};
        }))
        return error;
    if (to == 0) return wrong_member("channels", "must not be empty");
    return {};
}

Error read_string(std::string_view value, const char* name, std::string_view& to) {
    if (!is_string(value)) return wrong_member(name, "must be a string");
    to = value;
    return {};
}

Error read_priority(std::string_view value, delivery::Priority& to) {
    const auto priority =
        is_string(value) ? delivery::parse_priority(unescaped(value)) : std::nullopt;
    if (!priority) return wrong_member("priority", "must be critical, high, normal or low");
    to = *priority;
    return {};
}

Error read_ttl(std::string_view value, std::optional<std::chrono::seconds>& to) {
    constexpr auto max = static_cast<std::uint64_t>(NotificationBody::ttl_max.count());
    const auto seconds = whole_number(value, max);
    if (!seconds) return wrong_member("ttl", "must be an integer ≥ 0, in seconds");
    to = std::chrono::seconds{*seconds};
    return {};
}

Error read_badge(std::string_view value, std::optional<std::uint32_t>& to) {
    constexpr std::uint64_t max = NotificationBody::badge_max;
    const auto number = whole_number(value, max + 1);
    if (!number || *number > max)
        return wrong_member("badge", "must be an integer from 0 to 2147483647");
    to = static_cast<std::uint32_t>(*number);
    return {};
}

Error read_silent(std::string_view value, bool& to) {
    if (value != "true" && value != "false") return wrong_member("silent", "must be true or false");
    to = value == "true";
    return {};
}

/// A push that only wakes the app cannot show or sound: Apple refuses it, and others would show it.
Error check_silent(const NotificationBody& body) {
    const char* shown = nullptr;
    if (!body.title.empty()) shown = "title";
    if (!body.body.empty()) shown = "body";
    if (body.badge) shown = "badge";
    if (!body.sound.empty()) shown = "sound";
    if (!body.silent || shown == nullptr) return {};
    return wrong_member("silent", std::string{"and `"} + shown + "` exclude each other");
}

Error read(Member member, std::string_view value, std::size_t users_max, NotificationBody& to) {
    switch (member) {
    case Member::user_id:
        return read_user(value, "user_id", to.users.emplace_back());
    case Member::user_ids:
        to.many = true;
        return read_users(value, users_max, to.users);
    case Member::topic:
        return read_text(value, "topic", word_fault, to.topic);
    case Member::broadcast:
        to.broadcast = value == "true";
        return to.broadcast ? Error{} : wrong_member("broadcast", "must be true");
    case Member::title:
        return read_string(value, "title", to.title);
    case Member::body:
        return read_string(value, "body", to.body);
    case Member::data:
        to.data = value;
        return {};
    case Member::channels:
        return read_channels(value, to.channels);
    case Member::priority:
        return read_priority(value, to.priority);
    case Member::ttl:
        return read_ttl(value, to.ttl);
    case Member::collapse_key:
        return read_text(value, "collapse_key", word_fault, to.collapse_key);
    case Member::category:
        return read_text(value, "category", word_fault, to.category);
    case Member::idempotency_key:
        return read_text(value, "idempotency_key", room::id_fault, to.key);
    case Member::badge:
        return read_badge(value, to.badge);
    case Member::sound:
        return read_text(value, "sound", word_fault, to.sound);
    case Member::silent:
        return read_silent(value, to.silent);
    }
    return {};
}

/// For whom it is must be said once. Known before the users are read: those of two members would be
/// taken for one list.
Error check_targets(const Members& members) {
    constexpr std::array<std::pair<Member, const char*>, 4> targets{{
        {Member::user_id, "user_id"},
        {Member::user_ids, "user_ids"},
        {Member::topic, "topic"},
        {Member::broadcast, "broadcast"},
    }};
    const char* first = nullptr;
    for (const auto& target : targets) {
        if (!members.has(target.first)) continue;
        if (first != nullptr)
            return wrong_member(target.second,
                                "and `" + std::string{first} + "` exclude each other");
        first = target.second;
    }
    return first != nullptr ? Error{} : wrong_member("user_id", "is missing");
}

} // namespace

Error parse_notification(std::string_view text, std::size_t users_max, NotificationBody& body) {
    Members members;
    if (Error error = members.take(text)) return error;
    body = {};
    if (Error error = check_targets(members)) return error;
    if (Error error = members.each([&](Member member, std::string_view value) {
            return read(member, value, users_max, body);
        }))
        return error;
    if (body.title.empty() && body.body.empty() && body.data.empty())
        return {Code::bad_request, "one of `title`, `body` and `data` must be there", "title"};
    return check_silent(body);
}

std::string push_options(const NotificationBody& body) {
    std::string text;
    if (!body.badge && body.sound.empty() && !body.silent) return text;
    JsonWriter json{text};
    json.begin_object();
    if (body.badge) json.field("badge", std::uint64_t{*body.badge});
    if (!body.sound.empty()) json.field("sound", body.sound);
    if (body.silent) json.field_bool("silent", true);
    json.end_object();
    return text;
}

std::string client_data(const NotificationBody& body, WallMillis created) {
    std::string text;
    text.reserve(body.title.size() + body.body.size() + body.data.size() + 160);
    JsonWriter json{text};
    json.begin_object();
    if (!body.title.empty()) json.key("title").raw(body.title);
    if (!body.body.empty()) json.key("body").raw(body.body);
    if (!body.data.empty()) json.key("data").raw(body.data);
    if (!body.category.empty()) json.field("category", body.category);
    json.field("priority", delivery::priority_name(body.priority));
    json.field("created", rfc3339(created)).end_object();
    return text;
}

std::uint64_t fingerprint(const NotificationBody& body) {
    // Only `data` can have line feeds in it, so it comes last and nothing reads two ways.
    std::string asked = body.many ? "many\n" : "one\n";
    if (body.broadcast) asked = "broadcast\n";
    if (!body.topic.empty()) asked = "topic\n" + body.topic + "\n";
    for (const std::string& user : body.users) asked.append(user).append("\n");
    asked.append("\n").append(body.title).append("\n").append(body.body).append("\n");
    asked.append(body.category).append("\n").append(body.collapse_key).append("\n");
    asked.append(delivery::priority_name(body.priority)).append("\n");
    asked.append(std::to_string(body.channels)).append("\n");
    asked.append(body.ttl ? std::to_string(body.ttl->count()) : std::string{}).append("\n");
    // No JSON begins like this: without them it is what it was before there were any.
    if (const std::string options = push_options(body); !options.empty())
        asked.append("push ").append(options).append("\n");
    return lasting_fingerprint(asked.append(body.data));
}

std::variant<Error, std::uint64_t> parse_read(std::string_view text) {
    ReadMembers members;
    if (Error error = members.take(text)) return error;
    if (members.has(ReadMember::offset) && members.has(ReadMember::all))
        return wrong_member("all", "and `offset` exclude each other");
    std::optional<std::uint64_t> upto;
    if (Error error = members.each([&](ReadMember member, std::string_view value) -> Error {
            if (member == ReadMember::all) {
                if (value != "true") return wrong_member("all", "must be true");
                upto = inbox_offset_max;
                return {};
            }
            upto = whole_number(value, inbox_offset_max);
            return upto ? Error{} : wrong_member("offset", "must be an integer ≥ 0");
        }))
        return error;
    if (!upto) return wrong_member("offset", "is missing");
    return *upto;
}

} // namespace fanfare::api
