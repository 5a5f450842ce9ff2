#include "context.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/delivery/devices.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/room/message.hpp>

#include <algorithm>
#include <charconv>

namespace fanfare::api {

using http::Header;

Api::Api(session::Sessions& sessions, room::IdempotencyLog& idempotency,
         const std::shared_ptr<const auth::ApiKeys>& keys, Metrics& metrics, Status status,
         const Options& options, delivery::Inboxes* inboxes, delivery::Devices* devices,
         delivery::DeadLetters* letters)
    : context_(std::make_unique<Context>(sessions, idempotency, keys, metrics, std::move(status),
                                         options, inboxes, devices, letters)) {}

Api::~Api() = default;

void Api::add_routes(http::Router& router) {
    add_publish_routes(*context_, router);
    add_batch_route(*context_, router);
    add_room_routes(*context_, router);
    add_user_routes(*context_, router);
    add_notification_routes(*context_, router);
    add_inbox_routes(*context_, router);
    add_device_routes(*context_, router);
    add_dead_letter_routes(*context_, router);
    add_client_routes(router);
    if (context_->options.demo_page) add_page_routes(router);
}

void Api::add_operations(http::Router& router, bool open) {
    add_operation_routes(*context_, router, open);
}

std::function<bool(const delivery::PushDevice&)>
devices_until_now(const Api::Context& context, const std::string& user, const std::string& name) {
    return [user, name, now = context.sessions.reactor().wall()](const delivery::PushDevice& one) {
        return one.user == user && (name.empty() || one.name == name) && one.registered <= now;
    };
}

void Api::on_devices_gone(ForgetDevices forget) {
    context_->forget_devices = std::move(forget);
}

void Api::reload(std::shared_ptr<const auth::ApiKeys> keys, const Options& options) {
    context_->keys = std::move(keys);
    context_->known_ = nullptr;
    const bool demo = context_->options.demo_page; // its route is there or not
    context_->options = options;
    context_->options.demo_page = demo;
}

const auth::ApiKeyOptions* Api::Context::require(http::Exchange& exchange, auth::Scope scope) {
    const http::RequestHead& head = exchange.head();
    const std::string_view text =
        head.has(Header::x_api_key) ? head[Header::x_api_key] : http::bearer_token(head);
    if (known_ != nullptr && auth::has_scope(*known_, scope) &&
        equal_constant_time(text, presented_))
        return known_;
    const auto [key, error] = keys->authenticate(head, scope);
    if (key != nullptr) {
        presented_ = text;
        known_ = key;
        return key;
    }
    http::Response response = http::problem(error);
    if (response.status == 401)
        response.headers += "WWW-Authenticate: Bearer realm=\"fanfare\"\r\n";
    exchange.respond(response);
    return nullptr;
}

namespace {

/// The media type without its parameters is `wanted` (lower case).
bool is_media_type(std::string_view value, std::string_view wanted) noexcept {
    if (value == wanted) return true; // as most clients write it
    value = value.substr(0, value.find(';'));
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    return std::equal(value.begin(), value.end(), wanted.begin(), wanted.end(), [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    });
}

} // namespace

bool require_store(const Api::Context& context, http::Exchange& exchange) {
    if (context.inboxes != nullptr && context.devices != nullptr && context.letters != nullptr)
        return true;
    exchange.respond(
        http::problem(Code::unavailable, "this gateway has no store for notifications"));
    return false;
}

bool is_ndjson(const http::RequestHead& head) {
    return is_media_type(head[Header::content_type], "application/x-ndjson");
}

bool require_json(http::Exchange& exchange, bool allow_ndjson) {
    const http::RequestHead& head = exchange.head();
    if (!head.has(Header::content_type)) return true;
    if (is_media_type(head[Header::content_type], "application/json")) return true;
    if (allow_ndjson && is_ndjson(head)) return true;
    exchange.respond(http::problem(Code::unsupported_media_type,
                                   allow_ndjson ? "send application/json or application/x-ndjson"
                                                : "send application/json"));
    return false;
}

std::variant<Error, std::string> header_key(const http::RequestHead& head) {
    if (!head.has(Header::idempotency_key)) return std::string{};
    std::string_view key = head[Header::idempotency_key];
    // The draft standard writes it as a quoted string, most clients bare: the same key.
    if (key.size() >= 2 && key.front() == '"' && key.back() == '"')
        key = key.substr(1, key.size() - 2);
    if (const char* const fault = room::id_fault(key))
        return Error{Code::bad_request, std::string{"`Idempotency-Key` "} + fault,
                     "Idempotency-Key"};
    return std::string{key};
}

std::variant<Error, std::string> one_key(const http::RequestHead& head, const std::string& in_body,
                                         const char* member) {
    if (!head.has(Header::idempotency_key)) return in_body;
    auto in_header = header_key(head);
    if (const auto* key = std::get_if<std::string>(&in_header);
        key != nullptr && !in_body.empty() && *key != in_body)
        return Error{Code::bad_request,
                     std::string{"`"} + member +
                         "` and the header `Idempotency-Key` are not the same",
                     member};
    return in_header;
}

std::optional<std::size_t> query_limit(std::string_view query) {
    constexpr std::uint64_t limit_default = 100;
    constexpr std::uint64_t limit_max = 1'000;
    const auto limit = query_number(query, "limit", limit_default);
    if (!limit || *limit == 0) return std::nullopt;
    return static_cast<std::size_t>(std::min(*limit, limit_max));
}

std::optional<bool> query_flag(std::string_view query, std::string_view name) {
    const std::string text = http::query_value(query, name).value_or("false");
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
    return std::nullopt;
}

std::optional<std::uint64_t> query_number(std::string_view query, std::string_view name,
                                          std::uint64_t otherwise) {
    const auto text = http::query_value(query, name);
    if (!text) return otherwise;
    std::uint64_t value = 0;
    const char* const end = text->data() + text->size();
    const auto [rest, fault] = std::from_chars(text->data(), end, value);
    if (text->empty() || rest != end || fault != std::errc{}) return std::nullopt;
    return value;
}

} // namespace fanfare::api
