// /api/v1/notifications…: what users are to know, and what became of it.

#include "answer.hpp"
#include "body_members.hpp"
#include "context.hpp"
#include "notification_body.hpp"
#include "notification_json.hpp"
#include "send_json.hpp"

#include <fanfare/base/json_writer.hpp>
#include <fanfare/base/log.hpp>
#include <fanfare/delivery/inboxes.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::api {
namespace {

using delivery::Found;
using delivery::Placed;

/// Of `user_ids`. So many are placed in the call's own transaction; more are placed later, as those
/// of a topic and of a broadcast are (docs/decisions/0015-mass-sends.md).
constexpr std::size_t users_max = 10'000;
constexpr std::size_t users_at_once_max = 100;

std::optional<delivery::Audience> audience_of(const NotificationBody& body) {
    using Kind = delivery::Audience::Kind;
    if (body.broadcast) return delivery::Audience{Kind::broadcast, {}};
    if (!body.topic.empty()) return delivery::Audience{Kind::topic, body.topic};
    if (body.many) return delivery::Audience{Kind::users, {}};
    return std::nullopt;
}

delivery::Order order_of(Api::Context& context, NotificationBody& body, const std::string& caller,
                         const std::string& key) {
    using std::chrono::milliseconds;
    const milliseconds ttl_max = context.inboxes->options().ttl;
    delivery::Order order;
    order.created = context.sessions.reactor().wall();
    order.data = client_data(body, order.created);
    order.push_options = push_options(body);
    order.expires =
        order.created + std::min(body.ttl ? milliseconds{*body.ttl} : ttl_max, ttl_max).count();
    order.priority = body.priority;
    order.channels = body.channels != 0 ? body.channels : context.options.channels;
    if (!key.empty()) {
        order.key.append("key\n").append(caller).append("\nnotifications\n").append(key);
        order.fingerprint = fingerprint(body);
        order.key_expires = order.created + context.options.idempotency_window.count();
    }
    order.audience = audience_of(body);
    order.later = is_send(body) && (!body.many || body.users.size() > users_at_once_max);
    order.users = std::move(body.users);
    order.category = std::move(body.category);
    order.collapse_key = std::move(body.collapse_key);
    return order;
}

void write_one(JsonWriter& json, const Placed::One& one) {
    json.field("id", one.id.text())
        .field("status", delivery::status_name(delivery::Status::pending));
}

void write_accepted(JsonWriter& json, const std::vector<std::string>& users, const Placed& placed) {
    json.field("id", placed.send->text())
        .field("status", delivery::status_name(delivery::Status::pending));
    if (!users.empty()) json.field("accepted", std::uint64_t{users.size()});
    if (placed.notifications.empty()) return;
    json.key("results").begin_array();
    for (std::size_t i = 0; i < users.size(); ++i) {
        json.begin_object().field("user_id", users[i]);
        write_one(json, placed.notifications[i]);
        json.end_object();
    }
    json.end_array();
}

/// `users`: those of `user_ids`.
void answer_placed(const AnswerTo& to, const std::vector<std::string>& users,
                   const Placed& placed) {
    to.with([&](http::Response& response) {
        if (placed.code == Code::conflict) {
            response = http::problem(Error{
                Code::conflict, "the key was used for another notification", "idempotency_key"});
            return;
        }
        response.status = 202;
        JsonWriter json{response.body};
        json.begin_object();
        if (placed.send)
            write_accepted(json, users, placed);
        else
            write_one(json, placed.notifications.front());
        if (placed.duplicate) json.field_bool("duplicate", true);
        json.end_object();
    });
}

/// Of one that is placed later; empty: it is none. Not the topic: callers may put a name into it.
std::string log_target(const delivery::Order& order) {
    if (!order.later) return {};
    switch (order.audience->kind) {
    case delivery::Audience::Kind::users:
        return "user_ids";
    case delivery::Audience::Kind::topic:
        return "topic";
    case delivery::Audience::Kind::broadcast:
        break;
    }
    return "broadcast";
}

void create(Api::Context& context, http::Exchange& exchange) {
    const auth::ApiKeyOptions* const caller = context.require(exchange, auth::Scope::notify);
    if (caller == nullptr) return;
    NotificationBody body;
    if (const Error error = parse_notification(exchange.body(), users_max, body)) {
        exchange.respond(http::problem(error));
        return;
    }
    const auto key = one_key(exchange.head(), body.key, "idempotency_key");
    if (const auto* error = std::get_if<Error>(&key)) {
        exchange.respond(http::problem(*error));
        return;
    }
    std::vector<std::string> users;
    if (body.many) users = body.users;
    delivery::Order order = order_of(context, body, caller->name, std::get<std::string>(key));
    if (order.data.size() > context.options.item_bytes_max) {
        exchange.respond(http::problem(
            Code::too_large, "what clients are sent of it has " +
                                 std::to_string(order.data.size()) + " bytes, and at most " +
                                 std::to_string(context.options.item_bytes_max) + " are allowed"));
        return;
    }
    if (order.later && order.expires <= order.created) {
        exchange.respond(http::problem(
            wrong_member("ttl", "must be at least 1: so many are not reached in no time")));
        return;
    }
    std::string target = log_target(order);
    context.inboxes->place(std::move(order), [to = AnswerTo{exchange}, users = std::move(users),
                                              target = std::move(target),
                                              key = caller->name](const Placed& placed) {
        if (placed.code != Code::conflict && to.failed(placed.code, placed.detail)) return;
        if (!target.empty() && placed.code == Code::ok && !placed.duplicate)
            log::info("send_accepted", {{"send", placed.send->text()},
                                        {"target", target},
                                        {"users", std::uint64_t{users.size()}},
                                        {"key", key}});
        answer_placed(to, users, placed);
    });
}

using Write = void (*)(JsonWriter&, const Found&, delivery::Channels served);

/// Looks up the notification of the path and answers with what `write` says of it.
void show(Api::Context& context, http::Exchange& exchange, bool timeline, Write write) {
    const auto id = delivery::NotificationId::parse(exchange.path_parameter(0));
    const AnswerTo to{exchange};
    const auto answer = [to, write, served = context.options.channels](const Found& found) {
        if (to.failed(found.code, found.code == Code::not_found
                                      ? "there is no notification of this id"
                                      : found.detail))
            return;
        to.with([&](http::Response& response) {
            JsonWriter json{response.body};
            json.begin_object();
            write(json, found, served);
            json.end_object();
        });
    };
    if (id) return context.inboxes->log().find(*id, timeline, answer);
    Found none;
    none.code = Code::not_found; // a text that is no id of ours
    answer(none);
}

void write_all(JsonWriter& json, const Found& found, delivery::Channels served) {
    if (found.send) return write_send(json, *found.send);
    write_notification(json, found.notification, found.timeline, served);
}

void write_status(JsonWriter& json, const Found& found, delivery::Channels /*served*/) {
    if (found.send) return write_send_status(json, *found.send);
    json.field("id", found.notification.id.text())
        .field("status", delivery::status_name(found.notification.status))
        .field("updated", rfc3339(found.notification.updated));
}

void write_timeline(JsonWriter& json, const Found& found, delivery::Channels /*served*/) {
    if (found.send) return write_send_timeline(json, *found.send);
    json.field("id", found.notification.id.text())
        .field("status", delivery::status_name(found.notification.status))
        .key("events");
    write_events(json, found.timeline);
}

} // namespace

void add_notification_routes(Api::Context& context, http::Router& router) {
    http::Route route;
    route.method = http::Method::post;
    route.pattern = "/api/v1/notifications";
    route.body_bytes_max = context.options.body_bytes_max;
    route.guard = [&context](http::Exchange& exchange) {
        return context.require(exchange, auth::Scope::notify) != nullptr &&
               require_json(exchange) && require_store(context, exchange);
    };
    route.handler = [&context](http::Exchange& exchange) { create(context, exchange); };
    router.add(std::move(route));

    const auto add = [&](const char* pattern, bool timeline, Write write) {
        http::Route read;
        read.pattern = pattern;
        read.guard = [&context](http::Exchange& exchange) {
            return context.require(exchange, auth::Scope::notify) != nullptr &&
                   require_store(context, exchange);
        };
        read.handler = [&context, timeline, write](http::Exchange& exchange) {
            show(context, exchange, timeline, write);
        };
        router.add(std::move(read));
    };
    add("/api/v1/notifications/{id}", true, write_all);
    add("/api/v1/notifications/{id}/status", false, write_status);
    add("/api/v1/notifications/{id}/timeline", true, write_timeline);
}

} // namespace fanfare::api
