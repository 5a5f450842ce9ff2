// /api/v1/users/{user}/inbox…, …/export and DELETE /api/v1/users/{user}: what is kept of a user.

#include "answer.hpp"
#include "context.hpp"
#include "device_json.hpp"
#include "notification_body.hpp"
#include "notification_json.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/devices.hpp>
#include <fanfare/delivery/inboxes.hpp>

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

namespace fanfare::api {
namespace {

using delivery::InboxQuery;
using delivery::InboxView;

/// The offset at which the next page begins; as long as it is opaque, its form may change.
std::string cursor_at(std::uint64_t offset) {
    return to_base64url(as_byte_view(std::to_string(offset)));
}

std::optional<std::uint64_t> parse_cursor(std::string_view cursor) {
    const auto text = from_base64url(cursor);
    if (!text) return std::nullopt;
    std::uint64_t offset = 0;
    const char* const end = text->data() + text->size();
    const auto [rest, fault] = std::from_chars(text->data(), end, offset);
    if (fault != std::errc{} || rest != end || offset == 0 || offset > inbox_offset_max)
        return std::nullopt;
    return offset;
}

/// The part of a query that all pages have; else answers and returns false.
bool read_page(http::Exchange& exchange, InboxQuery& query) {
    const std::string_view text = exchange.head().query;
    const auto limit = query_limit(text);
    if (!limit) {
        refuse(exchange, "limit", "`limit` must be an integer ≥ 1");
        return false;
    }
    query.limit = *limit;
    if (const auto cursor = http::query_value(text, "cursor")) {
        const auto offset = parse_cursor(*cursor);
        if (!offset) {
            refuse(exchange, "cursor", "`cursor` is not one that this call returned");
            return false;
        }
        query.first = *offset;
    }
    return true;
}

void write_message(JsonWriter& json, const delivery::Notification& notification,
                   std::uint64_t acked) {
    json.begin_object()
        .field("offset", notification.offset)
        .field("id", notification.id.text())
        .key("data")
        .raw(notification.data)
        .field("status", delivery::status_name(notification.status))
        .field("attempts", std::uint64_t{notification.attempts})
        .field_bool("read", notification.offset <= acked)
        .field("time", rfc3339(notification.created))
        .field("expires", rfc3339(notification.expires))
        .end_object();
}

void inbox(Api::Context& context, http::Exchange& exchange) {
    const std::string* const user = require_user(exchange);
    if (user == nullptr) return;
    InboxQuery query;
    query.user = *user;
    query.first = inbox_offset_max;
    query.reverse = true;
    const auto unread = query_flag(exchange.head().query, "unread");
    if (!unread) return refuse(exchange, "unread", "`unread` must be true or false");
    query.unread_only = *unread;
    if (!read_page(exchange, query)) return;
    context.inboxes->log().view(
        query, [to = AnswerTo{exchange}, name = *user](const InboxView& view) {
            if (to.failed(view.code, view.detail)) return;
            to.with([&](http::Response& response) {
                JsonWriter json{response.body};
                json.begin_object().field("user", name);
                write_position(json, view);
                json.field("unread", view.unread);
                write_devices(json, view.devices);
                json.key("messages").begin_array();
                for (const delivery::Notification& notification : view.notifications)
                    write_message(json, notification, view.acked);
                json.end_array();
                if (view.more)
                    json.field("cursor", cursor_at(view.notifications.back().offset - 1));
                json.end_object();
            });
        });
}

void mark_read(Api::Context& context, http::Exchange& exchange) {
    const std::string* const user = require_user(exchange);
    if (user == nullptr) return;
    const auto upto = parse_read(exchange.body());
    if (const auto* error = std::get_if<Error>(&upto)) {
        exchange.respond(http::problem(*error));
        return;
    }
    context.inboxes->mark_read(
        *user, std::get<std::uint64_t>(upto),
        [to = AnswerTo{exchange}, name = *user](const delivery::Acked& acked) {
            if (to.failed(acked.code, acked.detail)) return;
            to.with([&](http::Response& response) {
                JsonWriter{response.body}
                    .begin_object()
                    .field("user", name)
                    .field("acked", acked.acked)
                    .field("unread", acked.unread)
                    .end_object();
            });
        });
}

using Timelines = std::vector<std::vector<delivery::TimelineEntry>>;

/// Of an export, but for the timelines.
struct Page {
    InboxView view;
    std::vector<delivery::PushDevice> devices;
    delivery::Channels served = 0;
};

/// `timelines`: one per notification. Each has its beginning, so an empty one could not be read, or
/// its notification was removed meanwhile: the page is asked for again.
void answer_export(const AnswerTo& to, const std::string& user, const Page& page,
                   const Timelines& timelines) {
    const InboxView& view = page.view;
    if (timelines.size() != view.notifications.size() ||
        std::any_of(timelines.begin(), timelines.end(),
                    [](const auto& timeline) { return timeline.empty(); })) {
        static_cast<void>(to.failed(Code::unavailable, "the timelines could not be read"));
        return;
    }
    to.with([&](http::Response& response) {
        JsonWriter json{response.body};
        json.begin_object().field("user", user);
        write_position(json, view);
        write_devices(json, view.devices);
        json.key("push_devices");
        write_push_devices(json, page.devices);
        json.key("notifications").begin_array();
        for (std::size_t i = 0; i < view.notifications.size(); ++i) {
            json.begin_object().field("offset", view.notifications[i].offset);
            write_notification(json, view.notifications[i], timelines[i], page.served);
            json.key("timeline");
            write_events(json, timelines[i]);
            json.end_object();
        }
        json.end_array();
        if (view.more) json.field("cursor", cursor_at(view.notifications.back().offset + 1));
        json.end_object();
    });
}

void export_page(delivery::InboxLog& log, const AnswerTo& to, const std::string& user,
                 const std::shared_ptr<const Page>& page) {
    if (page->view.notifications.empty()) return answer_export(to, user, *page, {});
    std::vector<std::uint64_t> offsets;
    for (const delivery::Notification& notification : page->view.notifications)
        offsets.push_back(notification.offset);
    log.timelines(user, std::move(offsets), [to, user, page](const Timelines& timelines) {
        answer_export(to, user, *page, timelines);
    });
}

void export_user(Api::Context& context, http::Exchange& exchange) {
    const std::string* const user = require_user(exchange);
    if (user == nullptr) return;
    InboxQuery query;
    query.user = *user;
    query.records = true;
    if (!read_page(exchange, query)) return;
    context.devices->list(*user, [&log = context.inboxes->log(), to = AnswerTo{exchange}, query,
                                  served =
                                      context.options.channels](const delivery::DeviceList& list) {
        if (to.failed(list.code, list.detail)) return;
        log.view(query, [&log, to, name = query.user, devices = list.devices,
                         served](const InboxView& view) {
            if (to.failed(view.code, view.detail)) return;
            export_page(log, to, name, std::make_shared<const Page>(Page{view, devices, served}));
        });
    });
}

void erase_user(Api::Context& context, http::Exchange& exchange) {
    const std::string* const user = require_user(exchange);
    if (user == nullptr) return;
    const auto answer = [to = AnswerTo{exchange}, name = *user](const delivery::Erased& erased) {
        to.with([&](http::Response& response) {
            JsonWriter{response.body}
                .begin_object()
                .field("user", name)
                .key("erased")
                .begin_object()
                .field("notifications", erased.notifications)
                .field("devices", erased.devices)
                .field("push_devices", erased.push_devices)
                .end_object()
                .end_object();
        });
    };
    context.inboxes->erase(
        *user, [&context, to = AnswerTo{exchange}, answer,
                gone = devices_until_now(context, *user)](const delivery::Erased& erased) {
            if (to.failed(erased.code, erased.detail)) return;
            context.forget_devices(gone, [answer, erased] { answer(erased); });
        });
}

} // namespace

void add_inbox_routes(Api::Context& context, http::Router& router) {
    const auto add = [&](http::Method method, const char* pattern, auth::Scope scope,
                         void (*handle)(Api::Context&, http::Exchange&)) {
        const bool body = method == http::Method::post;
        http::Route route;
        route.method = method;
        route.pattern = pattern;
        route.body_bytes_max = body ? context.options.body_bytes_max : 0;
        route.guard = [&context, scope, body](http::Exchange& exchange) {
            return context.require(exchange, scope) != nullptr &&
                   (!body || require_json(exchange)) && require_store(context, exchange);
        };
        route.handler = [&context, handle](http::Exchange& exchange) { handle(context, exchange); };
        router.add(std::move(route));
    };
    add(http::Method::get, "/api/v1/users/{user}/inbox", auth::Scope::notify, inbox);
    add(http::Method::post, "/api/v1/users/{user}/inbox/read", auth::Scope::notify, mark_read);
    add(http::Method::get, "/api/v1/users/{user}/export", auth::Scope::admin, export_user);
    add(http::Method::delete_, "/api/v1/users/{user}", auth::Scope::admin, erase_user);
}

} // namespace fanfare::api
