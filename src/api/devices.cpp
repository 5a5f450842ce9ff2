// /api/v1/sessions…: the devices on which users are reached by push.

#include "answer.hpp"
#include "context.hpp"
#include "device_body.hpp"
#include "device_json.hpp"

#include <fanfare/base/json_writer.hpp>
#include <fanfare/delivery/devices.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fanfare::api {
namespace {

using delivery::PushDevice;
using delivery::Registered;

constexpr const char* store_is_busy = "too many operations wait for the store";

/// What is told of a registration; the token stays out of it.
struct Receipt {
    explicit Receipt(const PushDevice& device)
        : user(device.user), name(device.name), platform(device.platform),
          registered(device.registered), expires(device.expires) {}

    void write(std::string& body) const {
        JsonWriter json{body};
        json.begin_object()
            .field("user_id", user)
            .field("device_id", name)
            .field("platform", delivery::platform_name(platform))
            .field("registered", rfc3339(registered));
        if (expires != 0) json.field("expires", rfc3339(expires));
        json.end_object();
    }

    std::string user;
    std::string name;
    delivery::Platform platform;
    WallMillis registered;
    WallMillis expires;
};

void register_device(Api::Context& context, http::Exchange& exchange) {
    PushDevice device;
    if (const Error error =
            parse_device(exchange.body(), context.sessions.reactor().wall(), device)) {
        exchange.respond(http::problem(error));
        return;
    }
    const std::vector<std::string>& apps = context.options.push_apps;
    if (!device.app.empty() && std::find(apps.begin(), apps.end(), device.app) == apps.end())
        return refuse(exchange, "app", "`app` is none of those that are configured");
    const AnswerTo to{exchange};
    // Whoever had the token is not pushed to with it any more: it is somebody else's phone now.
    const auto others = [platform = device.platform, token = device.token, user = device.user,
                         name = device.name](const PushDevice& other) {
        return other.platform == platform && other.token == token &&
               (other.user != user || other.name != name);
    };
    const auto answer = [&context, to, receipt = Receipt{device},
                         others](const Registered& registered) {
        if (to.failed(registered.code, registered.detail)) return;
        const auto tell = [to, receipt, fresh = registered.fresh] {
            to.with([&](http::Response& response) {
                response.status = fresh ? 201 : 200;
                receipt.write(response.body);
            });
        };
        if (!registered.taken) return tell();
        context.forget_devices(others, tell);
    };
    if (!context.devices->put(std::move(device), context.options.devices_max, answer))
        static_cast<void>(to.failed(Code::unavailable, store_is_busy));
}

void list_devices(Api::Context& context, http::Exchange& exchange) {
    const std::string* const user = require_user(exchange, "user_id");
    if (user == nullptr) return;
    context.devices->list(
        *user, [to = AnswerTo{exchange}, name = *user](const delivery::DeviceList& list) {
            if (to.failed(list.code, list.detail)) return;
            to.with([&](http::Response& response) {
                JsonWriter json{response.body};
                json.begin_object().field("user_id", name).key("devices");
                write_push_devices(json, list.devices);
                json.end_object();
            });
        });
}

void unregister_device(Api::Context& context, http::Exchange& exchange) {
    const std::string* const user = require_user(exchange, "user_id");
    if (user == nullptr) return;
    // A name that is there and empty is somebody's mistake, and never means all.
    const std::optional<std::string> name = http::query_value(exchange.head().query, "device_id");
    if (const char* const fault = name ? room::id_fault(*name) : nullptr)
        return refuse(exchange, "device_id", std::string{"`device_id` "} + fault);
    const AnswerTo to{exchange};
    const auto answer = [&context, to, gone = devices_until_now(context, *user, name.value_or(""))](
                            const delivery::Unregistered& removed) {
        if (to.failed(removed.code, removed.detail)) return;
        context.forget_devices(
            gone, [to] { to.with([](http::Response& response) { response.status = 204; }); });
    };
    if (!context.devices->remove(*user, name.value_or(std::string{}), answer))
        static_cast<void>(to.failed(Code::unavailable, store_is_busy));
}

} // namespace

void add_device_routes(Api::Context& context, http::Router& router) {
    const auto add = [&](http::Method method, const char* pattern,
                         void (*handle)(Api::Context&, http::Exchange&)) {
        const bool body = method == http::Method::post;
        http::Route route;
        route.method = method;
        route.pattern = pattern;
        route.body_bytes_max = body ? context.options.body_bytes_max : 0;
        route.guard = [&context, body](http::Exchange& exchange) {
            return context.require(exchange, auth::Scope::notify) != nullptr &&
                   (!body || require_json(exchange)) && require_store(context, exchange);
        };
        route.handler = [&context, handle](http::Exchange& exchange) { handle(context, exchange); };
        router.add(std::move(route));
    };
    add(http::Method::post, "/api/v1/sessions", register_device);
    add(http::Method::get, "/api/v1/sessions/{user_id}", list_devices);
    add(http::Method::delete_, "/api/v1/sessions/{user_id}", unregister_device);
}

} // namespace fanfare::api
