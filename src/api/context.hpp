#pragma once
// What the handlers of one reactor share.

#include "metrics_stream.hpp"
#include "publish_body.hpp"
#include "publisher.hpp"

#include <fanfare/api/api.hpp>
#include <fanfare/http/exchange.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace fanfare::api {

struct Api::Context {
    session::Sessions& sessions;
    std::shared_ptr<const auth::ApiKeys> keys;
    Metrics& metrics;
    Status status;
    Options options;
    PublishParser parser;
    PublishBody body; // of the parse before: its memory is used again
    Publisher publisher;
    MetricsStreams metrics_streams;
    // null: there is no store
    delivery::Inboxes* inboxes;
    delivery::Devices* devices;
    delivery::DeadLetters* letters;
    /// Without push there is nobody to tell.
    ForgetDevices forget_devices = [](const auto& /*gone*/, const auto& then) { then(); };

    Context(session::Sessions& owner, room::IdempotencyLog& idempotency,
            std::shared_ptr<const auth::ApiKeys> accepted, Metrics& process_metrics,
            Status process_status, const Options& limits, delivery::Inboxes* users_inboxes,
            delivery::Devices* users_devices, delivery::DeadLetters* dead_letters)
        : sessions(owner), keys(std::move(accepted)), metrics(process_metrics),
          status(std::move(process_status)), options(limits), publisher(owner.rooms(), idempotency),
          metrics_streams(owner.reactor(), process_metrics, status), inboxes(users_inboxes),
          devices(users_devices), letters(dead_letters) {}

    /// The key of a request, if it has the scope; else answers 401 or 403 and returns null.
    const auth::ApiKeyOptions* require(http::Exchange& exchange, auth::Scope scope);

  private:
    // The key that was presented last, so that a backend's stream of publishes is hashed once.
    std::string presented_;
    const auth::ApiKeyOptions* known_ = nullptr;
    friend class Api;
};

/// Tells a user's devices (all, without a name) as they are registered now; what is registered anew
/// behind this is not meant.
[[nodiscard]] std::function<bool(const delivery::PushDevice&)>
devices_until_now(const Api::Context& context, const std::string& user,
                  const std::string& name = {});

/// For bodies of JSON: answers 415 and returns false for another media type. No type is taken as
/// JSON; `ndjson` is set if it is application/x-ndjson, which must be `allow`ed.
[[nodiscard]] bool require_json(http::Exchange& exchange, bool allow_ndjson = false);
[[nodiscard]] bool is_ndjson(const http::RequestHead& head);

/// The idempotency key of the header, quotes taken off; or an error.
[[nodiscard]] std::variant<Error, std::string> header_key(const http::RequestHead& head);

/// The key of the body (`member`), or of the header, which must be the same if both are there.
[[nodiscard]] std::variant<Error, std::string>
one_key(const http::RequestHead& head, const std::string& in_body, const char* member);

/// Answers 503 and returns false if there is no store for notifications.
[[nodiscard]] bool require_store(const Api::Context& context, http::Exchange& exchange);

/// A number of the query within [0, max]; `otherwise` if it is absent; nothing if it is none.
[[nodiscard]] std::optional<std::uint64_t>
query_number(std::string_view query, std::string_view name, std::uint64_t otherwise);

/// `limit` of a page: 100 if it is absent, at most 1,000; nothing if it is no integer ≥ 1.
[[nodiscard]] std::optional<std::size_t> query_limit(std::string_view query);
/// true, 1, false, 0; false if it is absent; nothing if it is something else.
[[nodiscard]] std::optional<bool> query_flag(std::string_view query, std::string_view name);

void add_publish_routes(Api::Context& context, http::Router& router);
void add_batch_route(Api::Context& context, http::Router& router);
void add_room_routes(Api::Context& context, http::Router& router);
void add_user_routes(Api::Context& context, http::Router& router);
void add_notification_routes(Api::Context& context, http::Router& router);
void add_inbox_routes(Api::Context& context, http::Router& router);
void add_device_routes(Api::Context& context, http::Router& router);
void add_dead_letter_routes(Api::Context& context, http::Router& router);
void add_operation_routes(Api::Context& context, http::Router& router, bool open);
void add_client_routes(http::Router& router);
void add_page_routes(http::Router& router);

} // namespace fanfare::api
