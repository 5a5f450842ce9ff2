// POST /api/v1/publish/batch: a JSON array, or a stream of lines.
//
// Both give one result per item, in order; one bad item fails alone. An array is collected, so its
// results are answered at once at the end. A stream has no end that we know: its lines are
// published as they come, at most `in_flight_max` at a time (then the client waits), and when
// results have piled up the answer begins, so that memory stays bounded however long the stream is.

#include "context.hpp"

#include <fanfare/net/reactor.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace fanfare::api {
namespace {

constexpr std::size_t in_flight_max = 1'000;
constexpr std::size_t results_bytes_max = std::size_t{1024} * 1024; // before the answer begins

/// The results of one batch, in the order of its items.
class Batch : public EffectClient {
  public:
    Batch(Api::Context& context, http::Exchange& exchange, std::string caller)
        : context_(context), caller_(std::move(caller)), exchange_(exchange.handle()),
          handle_(context.publisher.clients.insert(this)) {}
    virtual ~Batch() { context_.publisher.clients.erase(handle_); }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    void publish(std::string_view text) {
        const std::uint64_t item = first_ + slots_.size();
        slots_.emplace_back();
        ++waiting_;
        PublishBody& body = context_.body;
        if (Error error = context_.parser.parse(text, context_.options.batch_max, body)) {
            fail(item, std::move(error));
            return;
        }
        context_.publisher.publish(body, caller_, body.id, handle_, item, handle_);
    }
    void fail_next(Error error) {
        slots_.emplace_back();
        ++waiting_;
        fail(first_ + slots_.size() - 1, std::move(error));
    }

    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }

  protected:
    [[nodiscard]] http::Exchange* exchange() const {
        return http::find_exchange(context_.sessions.reactor(), exchange_);
    }
    /// Moves the results that are next in order to `text`.
    void collect(std::string& text) {
        for (; !slots_.empty() && slots_.front(); slots_.pop_front(), ++first_) {
            if (any_) text += ',';
            any_ = true;
            text += *slots_.front();
        }
    }
    virtual void on_progress() = 0;

    Api::Context& context_;

  private:
    void fail(std::uint64_t item, Error error) {
        Outcome outcome;
        outcome.error = std::move(error);
        on_outcome(item, outcome);
    }
    void on_outcome(std::uint64_t item, const Outcome& outcome) final {
        std::string& text = slots_[item - first_].emplace();
        // An item with one room that failed is an error; with `rooms` each room says its own.
        write_outcome(text, outcome);
        --waiting_;
        on_progress();
    }

    std::string caller_;
    net::Handle exchange_;
    net::Handle handle_;
    std::deque<std::optional<std::string>> slots_;
    std::uint64_t first_ = 0; // item of slots_.front()
    std::size_t waiting_ = 0;
    bool any_ = false;
};

/// A JSON array: owned by the reactor until it is answered.
class ArrayBatch final : public net::Owned, public Batch {
  public:
    using Batch::Batch;

    void run(const std::vector<std::string_view>& items) {
        for (const std::string_view item : items) publish(item);
        complete_ = true;
        on_progress();
    }

  private:
    void on_progress() override {
        if (!complete_ || waiting() != 0) return;
        complete_ = false;
        if (http::Exchange* const to = exchange()) {
            http::Response response;
            response.body = "{\"results\":[";
            collect(response.body);
            response.body += "]}";
            to->respond(response);
        }
        context_.sessions.reactor().retire(handle());
    }
    bool complete_ = false;
};

/// A stream of lines: owned by its exchange, so it ends with the client.
class StreamBatch final : public http::BodySink, public Batch {
  public:
    using Batch::Batch;

    void on_body(std::string_view piece) override {
        while (!piece.empty()) {
            const std::size_t end = piece.find('\n');
            const std::string_view part = piece.substr(0, end);
            if (!skipping_) line_.append(part);
            if (line_.size() > context_.options.item_bytes_max + 1 && !skipping_) {
                skipping_ = true;
                line_.clear();
                fail_too_large();
            }
            if (end == std::string_view::npos) break;
            piece.remove_prefix(end + 1);
            end_line();
        }
        throttle();
    }

    void on_answer_taken() override { on_progress(); }

    void on_body_end() override {
        end_line();
        ended_ = true;
        on_progress();
    }

  private:
    void fail_too_large() {
        fail_next(
            {Code::too_large,
             "the line has more than " + std::to_string(context_.options.item_bytes_max) + " bytes",
             {}});
    }

    void end_line() {
        if (!line_.empty() && line_.back() == '\r') line_.pop_back();
        const bool blank = line_.find_first_not_of(" \t") == std::string::npos;
        if (line_.size() > context_.options.item_bytes_max) {
            fail_too_large(); // by the one byte that might have been its CR
        } else if (!blank && !skipping_) {
            publish(line_);
        }
        line_.clear();
        skipping_ = false;
    }

    void on_progress() override {
        collect(results_);
        http::Exchange* const to = exchange();
        if (to == nullptr) return;
        if (results_.size() > results_bytes_max) {
            begin(*to);
            to->write_body(results_);
            results_.clear();
        }
        if (ended_ && waiting() == 0) {
            ended_ = false;
            if (begun_) {
                to->write_body(results_ + "]}");
                to->end_body();
            } else {
                http::Response response;
                response.body = "{\"results\":[" + results_ + "]}";
                to->respond(response);
            }
            return; // the exchange, and this with it, may be gone
        }
        if (paused_ && waiting() < in_flight_max / 2 && to->queued_bytes() < results_bytes_max) {
            paused_ = false;
            to->resume_body();
        }
    }

    void begin(http::Exchange& to) {
        if (begun_) return;
        begun_ = true;
        to.begin_response(http::Response{});
        to.write_body("{\"results\":[");
    }

    void throttle() {
        if (paused_ || waiting() < in_flight_max) return;
        if (http::Exchange* const to = exchange()) {
            paused_ = true;
            to->pause_body();
        }
    }

    std::string line_;
    std::string results_;
    bool skipping_ = false; // the line is too long: up to its end nothing is kept
    bool ended_ = false;
    bool begun_ = false;
    bool paused_ = false;
};

void run_array(Api::Context& context, http::Exchange& exchange) {
    const auth::ApiKeyOptions* const caller = context.require(exchange, auth::Scope::publish);
    if (caller == nullptr) return;
    const auto items = context.parser.split(exchange.body(), context.options.batch_max);
    if (const auto* error = std::get_if<Error>(&items)) {
        exchange.respond(http::problem(*error));
        return;
    }
    auto batch = std::make_unique<ArrayBatch>(context, exchange, caller->name);
    ArrayBatch& raw = *batch;
    context.sessions.reactor().adopt(std::move(batch));
    raw.run(std::get<std::vector<std::string_view>>(items));
}

} // namespace

void add_batch_route(Api::Context& context, http::Router& router) {
    http::Route route;
    route.method = http::Method::post;
    route.pattern = "/api/v1/publish/batch";
    route.body_bytes_max = 8 * context.options.body_bytes_max;
    route.guard = [&context](http::Exchange& exchange) {
        if (context.require(exchange, auth::Scope::publish) == nullptr) return false;
        if (!require_json(exchange, true)) return false;
        if (!exchange.head().has(http::Header::idempotency_key)) return true;
        exchange.respond(http::problem(
            Error{Code::bad_request, "a batch has no key of its own: give each item an `id`",
                  "Idempotency-Key"}));
        return false;
    };
    route.open_body = [&context](http::Exchange& exchange) -> std::unique_ptr<http::BodySink> {
        if (!is_ndjson(exchange.head())) return nullptr;
        const auto [key, error] = context.keys->authenticate(exchange.head(), auth::Scope::publish);
        return std::make_unique<StreamBatch>(context, exchange, key != nullptr ? key->name : "");
    };
    route.handler = [&context](http::Exchange& exchange) { run_array(context, exchange); };
    router.add(std::move(route));
}

} // namespace fanfare::api
