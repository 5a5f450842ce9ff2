// GET /health, /ready, /metrics, /metrics/stream.

#include "context.hpp"

#include <fanfare/base/json_writer.hpp>
#include <fanfare/net/reactor.hpp>

namespace fanfare::api {
namespace {

void health(Api::Context& context, http::Exchange& exchange) {
    // Alive: this reactor answers, and the others turn. Whether it can serve is what /ready says.
    const std::string reason = context.status.not_healthy();
    http::Response response;
    response.status = reason.empty() ? 200 : 503;
    JsonWriter json{response.body};
    json.begin_object().field("status", reason.empty() ? "ok" : "failed");
    if (!reason.empty()) json.field("reason", reason);
    json.field("node", context.status.node)
        .field("version", FANFARE_VERSION)
        .key("parts")
        .begin_object()
        .field("api", "ok")
        .field("broker", "ok")
        .field("reactors", reason.empty() ? "ok" : "failed")
        .end_object()
        .end_object();
    exchange.respond(response);
}

/// On the clients' listener the details are for this machine, or a key that may read.
bool may_see(const Api::Context& context, http::Exchange& exchange, bool open) {
    if (open || exchange.peer_is_loopback()) return true;
    return context.keys->authenticate(exchange.head(), auth::Scope::read).key != nullptr;
}

void ready(Api::Context& context, http::Exchange& exchange, bool open) {
    const std::string reason = context.status.not_ready();
    const bool details = may_see(context, exchange, open);
    http::Response response;
    response.status = reason.empty() ? 200 : 503;
    if (!reason.empty()) response.headers = "Retry-After: 1\r\n";
    JsonWriter json{response.body};
    json.begin_object().field("status", reason.empty() ? "ready" : "not_ready");
    if (details) {
        if (!reason.empty()) json.field("reason", reason);
        json.field("node", context.status.node)
            .key("sessions")
            .real(context.metrics.sum("sessions"));
    }
    json.end_object();
    exchange.respond(response);
}

/// Answers 403 and returns false to those who may not see metrics.
bool allow_metrics(const Api::Context& context, http::Exchange& exchange, bool open) {
    if (may_see(context, exchange, open)) return true;
    exchange.respond(
        http::problem(Code::forbidden, "metrics are for this machine, or a key with scope `read`"));
    return false;
}

void metrics(const Api::Context& context, http::Exchange& exchange, bool open) {
    if (!allow_metrics(context, exchange, open)) return;
    http::Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = context.metrics.text();
    exchange.respond(response);
}

} // namespace

void add_operation_routes(Api::Context& context, http::Router& router, bool open) {
    const auto add = [&](const char* pattern, std::function<void(http::Exchange&)> handler) {
        http::Route route;
        route.pattern = pattern;
        route.handler = std::move(handler);
        router.add(std::move(route));
    };
    add("/health", [&context](http::Exchange& exchange) { health(context, exchange); });
    add("/ready", [&context, open](http::Exchange& exchange) { ready(context, exchange, open); });
    add("/metrics",
        [&context, open](http::Exchange& exchange) { metrics(context, exchange, open); });
    add("/metrics/stream", [&context, open](http::Exchange& exchange) {
        if (allow_metrics(context, exchange, open)) context.metrics_streams.open(exchange);
    });
}

} // namespace fanfare::api
