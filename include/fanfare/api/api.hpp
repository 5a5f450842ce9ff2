#pragma once
// The HTTP face for backends and operators: /api/v1, /health, /ready, /metrics, and the demo page.

#include <fanfare/auth/api_keys.hpp>
#include <fanfare/base/metrics.hpp>
#include <fanfare/http/router.hpp>
#include <fanfare/session/sessions.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fanfare::delivery {
class DeadLetters;
class Devices;
class Inboxes;
struct PushDevice;
} // namespace fanfare::delivery

namespace fanfare::api {

struct Options {
    std::size_t body_bytes_max = std::size_t{1024} * 1024; // of a request; a batch: 8 times this
    std::size_t batch_max = 1'000;                         // items of a batch, rooms of a publish
    std::size_t item_bytes_max = std::size_t{64} * 1024;   // of one line of an NDJSON stream
    bool demo_page = false;                                // at `/`
    std::chrono::milliseconds idempotency_window{std::chrono::minutes{10}}; // of notifications
    std::size_t devices_max = 20;       // of one user; above: refused
    std::vector<std::string> push_apps; // that devices may name
    std::uint8_t channels = 1;          // of a notification that names none (delivery::Channels)
};

/// What the process knows about itself, asked when somebody asks. Callable on any reactor.
struct Status {
    /// Empty: ready. Else why not, for people: "starting", "draining".
    std::function<std::string()> not_ready;
    std::string node;
    /// Empty: alive. Else what has failed for good, for people: "1 reactors are stuck".
    std::function<std::string()> not_healthy = [] { return std::string{}; };
};

/// One per reactor.
class Api {
  public:
    /// `keys` may be replaced by a reload: it is asked for each request. `inboxes`: this reactor's;
    /// these and what follows outlive it; null: there is no store, and calls that need one are
    /// answered 503.
    Api(session::Sessions& sessions, room::IdempotencyLog& idempotency,
        const std::shared_ptr<const auth::ApiKeys>& keys, Metrics& metrics, Status status,
        const Options& options, delivery::Inboxes* inboxes = nullptr,
        delivery::Devices* devices = nullptr, delivery::DeadLetters* letters = nullptr);
    ~Api();
    Api(const Api&) = delete;
    Api& operator=(const Api&) = delete;

    /// /api/v1 and, with `demo_page`, `/`.
    void add_routes(http::Router& router);
    /// /health, /ready, /metrics, /metrics/stream. `open`: on the operators' own listener, where
    /// all may ask.
    void add_operations(http::Router& router, bool open);
    /// From now on these keys count. On the API's reactor.
    void reload(std::shared_ptr<const auth::ApiKeys> keys, const Options& options);

    /// `forget`: told which devices are no more (on the API's reactor), it calls `then` there when
    /// nothing is sent to them any more. Answers wait for that. Before requests come.
    using ForgetDevices = std::function<void(std::function<bool(const delivery::PushDevice&)> gone,
                                             std::function<void()> then)>;
    void on_devices_gone(ForgetDevices forget);

    struct Context;

  private:
    std::unique_ptr<Context> context_;
};

} // namespace fanfare::api
