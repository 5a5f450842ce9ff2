// POST /api/v1/publish

#include "context.hpp"

#include <fanfare/net/reactor.hpp>

namespace fanfare::api {
namespace {

/// Waits for the outcomes of single publishes and answers their exchanges. `item` is the exchange.
class SinglePublishes final : public EffectClient {
  public:
    explicit SinglePublishes(Api::Context& context)
        : context_(context), handle_(context.publisher.clients.insert(this)) {}

    void publish(http::Exchange& exchange) {
        const auth::ApiKeyOptions* const caller = context_.require(exchange, auth::Scope::publish);
        if (caller == nullptr) return;
        PublishBody& body = context_.body;
        if (const Error error =
                context_.parser.parse(exchange.body(), context_.options.batch_max, body)) {
            exchange.respond(http::problem(error));
            return;
        }
        if (!exchange.head().has(http::Header::idempotency_key)) {
            publish(exchange, body, caller->name, body.id);
            return;
        }
        const auto header = header_key(exchange.head());
        if (const auto* error = std::get_if<Error>(&header)) {
            exchange.respond(http::problem(*error));
            return;
        }
        const std::string& from_header = std::get<std::string>(header);
        if (!body.id.empty() && from_header != body.id) {
            exchange.respond(http::problem(
                Error{Code::bad_request, "`id` and the header `Idempotency-Key` are not the same",
                      "id"}));
            return;
        }
        publish(exchange, body, caller->name, from_header);
    }

  private:
    void publish(http::Exchange& exchange, const PublishBody& body, std::string_view caller,
                 std::string_view key) {
        context_.publisher.publish(body, caller, key, handle_, exchange.handle(), 0);
    }

    void on_outcome(std::uint64_t item, const Outcome& outcome) override {
        http::Exchange* const exchange = http::find_exchange(context_.sessions.reactor(), item);
        if (exchange == nullptr) return;
        // With `rooms` the answer lists each room's own result; only a whole failure is a problem.
        if (const Error error = failure_of(outcome)) {
            exchange->respond(http::problem(error));
            return;
        }
        answer_.body.clear();
        write_outcome(answer_.body, outcome);
        exchange->respond(answer_);
        // The answer to a publish to many rooms is rare, and not worth its memory.
        if (answer_.body.capacity() > kept_bytes_max) answer_.body = {};
    }

    static constexpr std::size_t kept_bytes_max = std::size_t{16} * 1024;

    Api::Context& context_;
    net::Handle handle_;
    http::Response answer_; // composed in the same memory each time
};

} // namespace

void add_publish_routes(Api::Context& context, http::Router& router) {
    auto publishes = std::make_shared<SinglePublishes>(context);
    http::Route route;
    route.method = http::Method::post;
    route.pattern = "/api/v1/publish";
    route.body_bytes_max = context.options.body_bytes_max;
    // The key is looked at before the body is read, and again with it: keys may be reloaded.
    route.guard = [&context](http::Exchange& exchange) {
        return context.require(exchange, auth::Scope::publish) != nullptr && require_json(exchange);
    };
    route.handler = [publishes](http::Exchange& exchange) { publishes->publish(exchange); };
    router.add(std::move(route));
}

} // namespace fanfare::api
