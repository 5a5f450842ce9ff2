#include "dead_letter_body.hpp"

#include "body_members.hpp"
#include "body_values.hpp"
#include "notification_body.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/http/message.hpp>
#include <fanfare/room/message.hpp>

#include <charconv>
#include <limits>
#include <string>
#include <unordered_set>

namespace fanfare::api {
namespace {

using delivery::LetterEdit;
using delivery::LetterFilter;
using delivery::LetterOrder;

enum class EditMember : std::uint8_t { title, body, data, ttl };
constexpr std::array<std::string_view, 4> edit_names{"title", "body", "data", "ttl"};
using EditMembers = BodyMembers<EditMember, edit_names>;

enum class OrderMember : std::uint8_t { ids, filter, all, limit };
constexpr std::array<std::string_view, 4> order_names{"ids", "filter", "all", "limit"};
using OrderMembers = BodyMembers<OrderMember, order_names>;

enum class FilterMember : std::uint8_t {
    user_id,
    device_id,
    provider,
    reason,
    notification_id,
    since,
    until
};
constexpr std::array<std::string_view, 7> filter_names{
    "user_id", "device_id", "provider", "reason", "notification_id", "since", "until"};
using FilterMembers = BodyMembers<FilterMember, filter_names>;

/// An empty one would be taken for none.
const char* some_text(std::string_view text) noexcept {
    return text.empty() ? "must not be empty" : nullptr;
}

// --- an edit ---

Error read_string(std::string_view value, const char* name, std::optional<std::string>& to) {
    if (!is_string(value)) return wrong_member(name, "must be a string, or null");
    to = value;
    return {};
}

Error read_ttl(std::string_view value, std::optional<std::chrono::seconds>& to) {
    constexpr auto max = static_cast<std::uint64_t>(NotificationBody::ttl_max.count());
    const auto seconds = whole_number(value, max);
    if (!seconds || *seconds == 0)
        return wrong_member("ttl", "must be an integer ≥ 1, in seconds, or null");
    to = std::chrono::seconds{*seconds};
    return {};
}

Error read(EditMember member, std::string_view value, LetterEdit& to) {
    const bool away = value == "null";
    switch (member) {
    case EditMember::title:
        if (!away) return read_string(value, "title", to.title);
        to.title.emplace();
        return {};
    case EditMember::body:
        if (!away) return read_string(value, "body", to.body);
        to.body.emplace();
        return {};
    case EditMember::data:
        to.data.emplace(away ? std::string_view{} : value);
        return {};
    case EditMember::ttl:
        if (!away) return read_ttl(value, to.ttl);
        to.ttl = std::chrono::seconds{0};
        return {};
    }
    return {};
}

// --- a filter ---

Error take_notification(const std::string& text, std::string field, LetterFilter& to) {
    to.notification = delivery::NotificationId::parse(text);
    if (!to.notification) return wrong_member(std::move(field), "is no id of a notification");
    return {};
}

Error take_time(const std::string& text, std::string field, std::optional<WallMillis>& to) {
    to = parse_rfc3339(text);
    if (!to) return wrong_member(std::move(field), "must be a time such as 2026-11-20T10:58:00Z");
    return {};
}

Error take_text(std::string text, std::string field, TextFault fault_of, std::string& to) {
    if (const char* const fault = fault_of(text)) return wrong_member(std::move(field), fault);
    to = std::move(text);
    return {};
}

/// What a body and a query have in common: the member's text.
Error take(FilterMember member, std::string text, std::string field, LetterFilter& to) {
    switch (member) {
    case FilterMember::user_id:
        return take_text(std::move(text), std::move(field), room::id_fault, to.user);
    case FilterMember::device_id:
        return take_text(std::move(text), std::move(field), room::id_fault, to.device);
    case FilterMember::provider:
        return take_text(std::move(text), std::move(field), some_text, to.provider);
    case FilterMember::reason:
        return take_text(std::move(text), std::move(field), some_text, to.reason);
    case FilterMember::notification_id:
        return take_notification(text, std::move(field), to);
    case FilterMember::since:
        return take_time(text, std::move(field), to.since);
    case FilterMember::until:
        return take_time(text, std::move(field), to.until);
    }
    return {};
}

Error read_filter(std::string_view value, LetterFilter& to) {
    constexpr std::string_view within = "filter.";
    FilterMembers members;
    if (value.front() != '{') return wrong_member("filter", "must be an object");
    if (Error error = members.take(value)) return error;
    if (Error error = members.refuse_others(within)) return error;
    bool any = false;
    if (Error error = members.each(
            [&](FilterMember member, std::string_view text) -> Error {
                any = true;
                std::string field{within};
                field += filter_names[static_cast<std::size_t>(member)];
                if (member == FilterMember::user_id) return read_user(text, field.c_str(), to.user);
                if (!is_string(text)) return wrong_member(std::move(field), "must be a string");
                return take(member, unescaped(text), std::move(field), to);
            },
            within))
        return error;
    // Somebody's list of restrictions that came out empty does not mean all.
    if (!any) return wrong_member("filter", "must name something; for all there is `all`");
    return {};
}

// --- an order ---

Error read_ids(std::string_view value, std::vector<std::int64_t>& to) {
    constexpr const char* what = "must be an array of integers ≥ 1";
    if (value.front() != '[') return wrong_member("ids", what);
    if (Error error = each_element(value, [&](std::string_view element) -> Error {
            if (to.size() == LetterOrder::limit_max)
                return {Code::too_large,
                        "`ids` has more than " + std::to_string(LetterOrder::limit_max), "ids"};
            const auto id = parse_letter_id(element);
            if (!id) return wrong_member("ids", what);
            to.push_back(*id);
            return {};
        }))
        return error;
    if (to.empty()) return wrong_member("ids", "must not be empty");
    const std::unordered_set<std::int64_t> different(to.begin(), to.end());
    if (different.size() != to.size()) return wrong_member("ids", "must not name a letter twice");
    return {};
}

Error read(OrderMember member, std::string_view value, LetterOrder& to) {
    switch (member) {
    case OrderMember::ids:
        return read_ids(value, to.ids);
    case OrderMember::filter:
        return read_filter(value, to.filter);
    case OrderMember::all:
        return value == "true" ? Error{} : wrong_member("all", "must be true");
    case OrderMember::limit: {
        const auto limit = whole_number(value, LetterOrder::limit_max);
        if (!limit || *limit == 0) return wrong_member("limit", "must be an integer ≥ 1");
        to.limit = static_cast<std::size_t>(*limit);
        return {};
    }
    }
    return {};
}

} // namespace

std::optional<std::int64_t> parse_letter_id(std::string_view text) noexcept {
    std::int64_t id = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, fault] = std::from_chars(text.data(), end, id);
    if (fault != std::errc{} || rest != end || id < 1) return std::nullopt;
    return id;
}

Error parse_letter_edit(std::string_view text, LetterEdit& edit) {
    EditMembers members;
    if (Error error = members.take(text)) return error;
    edit = {};
    bool any = false;
    if (Error error = members.each([&](EditMember member, std::string_view value) {
            any = true;
            return read(member, value, edit);
        }))
        return error;
    if (!any)
        return {Code::bad_request, "one of `title`, `body`, `data` and `ttl` must be there",
                "title"};
    return {};
}

Error parse_letter_order(std::string_view text, LetterOrder& order) {
    OrderMembers members;
    if (Error error = members.take(text)) return error;
    if (Error error = members.refuse_others()) return error;
    const LetterOrder::Act act = order.act;
    order = {};
    order.act = act;
    if (Error error = members.each(
            [&](OrderMember member, std::string_view value) { return read(member, value, order); }))
        return error;
    const int which = (members.has(OrderMember::ids) ? 1 : 0) +
                      (members.has(OrderMember::filter) ? 1 : 0) +
                      (members.has(OrderMember::all) ? 1 : 0);
    if (which != 1)
        return {Code::bad_request, "one of `ids`, `filter` and `all` must be there, and only one",
                "ids"};
    // Whoever names them has counted them.
    if (members.has(OrderMember::ids) && !members.has(OrderMember::limit))
        order.limit = order.ids.size();
    return {};
}

Error parse_letter_query(std::string_view query, delivery::LetterQuery& to) {
    for (std::size_t i = 0; i < filter_names.size(); ++i) {
        std::string name{filter_names[i]};
        auto value = http::query_value(query, name);
        if (!value) continue;
        if (Error error =
                take(static_cast<FilterMember>(i), *std::move(value), std::move(name), to.filter))
            return error;
    }
    const std::string order = http::query_value(query, "order").value_or("newest");
    if (order != "newest" && order != "oldest")
        return wrong_member("order", "must be newest or oldest");
    to.oldest_first = order == "oldest";
    return {};
}

} // namespace fanfare::api
