// /api/v1/users/{user}…: where a user is, and what may be done to its sessions.

#include "context.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/net/reactor.hpp>

#include <simdjson.h>

namespace fanfare::api {
namespace {

void respond(net::Reactor& reactor, net::Handle handle, std::string body) {
    http::Exchange* const exchange = http::find_exchange(reactor, handle);
    if (exchange == nullptr) return;
    http::Response response;
    response.body = std::move(body);
    exchange->respond(response);
}

void user_info(Api::Context& context, http::Exchange& exchange) {
    const std::string user = exchange.path_parameter(0);
    net::Reactor& reactor = exchange.reactor();
    context.sessions.find_user(
        user, [&reactor, user, handle = exchange.handle(),
               node = context.status.node](const std::vector<session::SessionInfo>& sessions) {
            std::string body;
            JsonWriter json{body};
            json.begin_object().field("user", user).field_bool("online", !sessions.empty());
            json.key("sessions").begin_array();
            for (const session::SessionInfo& info : sessions)
                json.begin_object()
                    .field("session", info.id)
                    .field("node", node)
                    .field("transport", info.transport)
                    .field("connected_at", rfc3339(info.connected_at))
                    .end_object();
            json.end_array().end_object();
            respond(reactor, handle, std::move(body));
        });
}

/// Answers with `{"<what>":n}`.
std::function<void(std::uint64_t)> count_answer(http::Exchange& exchange, std::string what) {
    return [&reactor = exchange.reactor(), handle = exchange.handle(),
            what = std::move(what)](std::uint64_t n) {
        std::string body;
        JsonWriter{body}.begin_object().field(what, n).end_object();
        respond(reactor, handle, std::move(body));
    };
}

void disconnect(Api::Context& context, http::Exchange& exchange) {
    context.sessions.disconnect_user(exchange.path_parameter(0),
                                     count_answer(exchange, "disconnected"));
}

/// The member `room` of a body; or an error.
std::variant<Error, std::string> room_of(std::string_view padded) {
    if (const JsonFault fault = check_json(padded))
        return Error{Code::bad_request, "byte " + std::to_string(fault.at) + ": " + fault.what, {}};
    simdjson::ondemand::parser parser;
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    if (parser.iterate(padded.data(), padded.size(), padded.size() + simdjson::SIMDJSON_PADDING)
            .get(document) != simdjson::SUCCESS)
        return Error{Code::internal, "the body could not be read", {}};
    if (document.get_object().get(object) != simdjson::SUCCESS)
        return Error{Code::bad_request, "the body must be a JSON object", {}};
    std::string_view room;
    const auto found = object.find_field_unordered("room").get_string().get(room);
    if (found == simdjson::NO_SUCH_FIELD)
        return Error{Code::bad_request, "`room` is missing", "room"};
    if (found != simdjson::SUCCESS)
        return Error{Code::bad_request, "`room` must be a string", "room"};
    if (const char* const fault = room::room_name_fault(room))
        return Error{Code::bad_request, std::string{"`room` "} + fault, "room"};
    return std::string{room};
}

using ForUser = void (session::Sessions::*)(const std::string&, const std::string&,
                                            std::function<void(std::uint64_t)>);

void change(Api::Context& context, http::Exchange& exchange, ForUser act, const char* what) {
    const auto room = room_of(exchange.body());
    if (const auto* error = std::get_if<Error>(&room)) {
        exchange.respond(http::problem(*error));
        return;
    }
    const auto& name = std::get<std::string>(room);
    if (context.sessions.rooms().rule(name) == nullptr) {
        exchange.respond(
            http::problem(Error{Code::not_found, "no rule allows a room of this name", "room"}));
        return;
    }
    (context.sessions.*act)(exchange.path_parameter(0), name, count_answer(exchange, what));
}

} // namespace

void add_user_routes(Api::Context& context, http::Router& router) {
    const auto add = [&](http::Method method, const char* pattern, auth::Scope scope, bool body,
                         std::function<void(http::Exchange&)> handler) {
        http::Route route;
        route.method = method;
        route.pattern = pattern;
        // A disconnect has no body; an empty object (what some clients send) does no harm.
        route.body_bytes_max = body                           ? context.options.body_bytes_max
                               : method == http::Method::post ? 1'024
                                                              : 0;
        route.guard = [&context, scope, body](http::Exchange& exchange) {
            return context.require(exchange, scope) != nullptr && (!body || require_json(exchange));
        };
        route.handler = std::move(handler);
        router.add(std::move(route));
    };
    add(http::Method::get, "/api/v1/users/{user}", auth::Scope::read, false,
        [&context](http::Exchange& exchange) { user_info(context, exchange); });
    add(http::Method::post, "/api/v1/users/{user}/disconnect", auth::Scope::admin, false,
        [&context](http::Exchange& exchange) { disconnect(context, exchange); });
    add(http::Method::post, "/api/v1/users/{user}/subscribe", auth::Scope::admin, true,
        [&context](http::Exchange& exchange) {
            change(context, exchange, &session::Sessions::subscribe_user, "subscribed");
        });
    add(http::Method::post, "/api/v1/users/{user}/unsubscribe", auth::Scope::admin, true,
        [&context](http::Exchange& exchange) {
            change(context, exchange, &session::Sessions::unsubscribe_user, "unsubscribed");
        });
}

} // namespace fanfare::api
