#pragma once
// The connections to browsers' push services: a pool for each origin that pushes went to lately.
//
// Which origins there are is up to users. So there is a bound, where the one that was not used for
// longest goes first, and their names are looked up with suspicion: unless it is allowed, only
// addresses of the public Internet are connected to, each time anew.

#include "push_pool.hpp"
#include "webpush_endpoint.hpp"

#include <fanfare/providers/providers.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace fanfare::providers {

/// One push service, as far as we use it.
class WebPushOrigin final : PushVendor {
  public:
    WebPushOrigin(net::Reactor& reactor, net::BlockingThread& resolver,
                  const WebPushEndpoint& endpoint, const WebPushOptions& options);

    /// Why it takes no push now; nothing: it does.
    [[nodiscard]] std::optional<delivery::PushOutcome> refusal() const;
    void send(PushRequest request, std::function<void(delivery::PushOutcome)> done) {
        pool_.send(std::move(request), std::move(done));
    }
    [[nodiscard]] bool idle() const noexcept { return pool_.in_flight() == 0 && !pool_.telling(); }
    /// It has asked for a pause, which is not over.
    [[nodiscard]] bool paused() const noexcept;

    std::uint64_t used = 0; // WebPushOrigins': counts up

  private:
    [[nodiscard]] bool authorize(Push& /*push*/) override { return true; } // it is in the request
    [[nodiscard]] PushReading read(const Push& push, const PushAnswer& answer) override;
    void no_answer(http::H2Answer::Kind kind, delivery::PushOutcome& outcome) override;

    net::Reactor& reactor_;
    const bool barred_; // an address that only a proxy would connect to
    MonoMillis paused_until_ = 0;
    bool guarded_ = false; // the last address that it led to is not allowed
    PushPool pool_;
};

class WebPushOrigins {
  public:
    static constexpr std::size_t origins_max = 64;

    /// All outlive it.
    WebPushOrigins(net::Reactor& reactor, net::BlockingThread& resolver,
                   const WebPushOptions& options)
        : reactor_(reactor), resolver_(resolver), options_(options) {}

    /// Null: there are too many, and all are in use.
    [[nodiscard]] WebPushOrigin* find(const WebPushEndpoint& endpoint);
    [[nodiscard]] std::size_t size() const noexcept { return origins_.size(); }

  private:
    [[nodiscard]] bool make_place();

    net::Reactor& reactor_;
    net::BlockingThread& resolver_;
    const WebPushOptions& options_;
    std::unordered_map<std::string, std::unique_ptr<WebPushOrigin>> origins_; // by origin
    std::uint64_t uses_ = 0;
};

} // namespace fanfare::providers
