// Browsers' push services.

#include "vapid.hpp"
#include "webpush_origins.hpp"
#include "webpush_request.hpp"

#include <fanfare/net/reactor.hpp>
#include <fanfare/providers/providers.hpp>

#include <openssl/crypto.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace fanfare::providers {
namespace {

using delivery::PushContent;
using delivery::PushOutcome;
using delivery::PushVerdict;

// Pushes that are with the provider at once, to all origins together.
constexpr std::size_t in_flight_max = 1'000;

/// A subscription that can never work.
PushOutcome dead(std::string reason) {
    PushOutcome outcome;
    outcome.verdict = PushVerdict::drop_device;
    outcome.reason = std::move(reason);
    outcome.not_attempted = true;
    return outcome;
}

PushOutcome refused_by(const error_code& error) {
    PushOutcome outcome = dead(error.message());
    if (error == webpush_errc::too_large) outcome.verdict = PushVerdict::fix;
    return outcome;
}

PushOutcome crowded() {
    PushOutcome outcome;
    outcome.reason = "too many push services are in use";
    outcome.not_attempted = true;
    return outcome;
}

class WebPush final : public delivery::Provider {
  public:
    WebPush(net::Reactor& reactor, net::BlockingThread& resolver, const WebPushOptions& options)
        : reactor_(reactor), options_(options),
          vapid_(options.private_key, "private_key", options.subject, reactor.clock()),
          origins_(reactor, resolver, options_) {
        // It is in `vapid_` now, where it is a key.
        ::OPENSSL_cleanse(options_.private_key.data(), options_.private_key.size());
        options_.private_key.clear();
        // Origins come later; a file that cannot be used is to be said now.
        const WebPushOrigin tried{reactor, resolver, {}, options_};
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "webpush"; }
    [[nodiscard]] std::string_view app() const noexcept override { return options_.app; }
    [[nodiscard]] Error check(const PushContent& content) const override {
        return check_webpush(content);
    }
    [[nodiscard]] std::size_t room() const noexcept override {
        return in_flight_max - std::min(in_flight_max, in_flight_);
    }
    void send(const delivery::NotificationId& id, const PushContent& content,
              const delivery::PushDevice& device, std::function<void(PushOutcome)> done) override;

  private:
    net::Reactor& reactor_;
    WebPushOptions options_; // without the key
    Vapid vapid_;
    WebPushEncryptor encryptor_;
    std::size_t in_flight_ = 0;
    WebPushOrigins origins_;
};

void WebPush::send(const delivery::NotificationId& id, const PushContent& content,
                   const delivery::PushDevice& device, std::function<void(PushOutcome)> done) {
    const auto parsed = parse_endpoint(device.token);
    if (const char* const* why = std::get_if<const char*>(&parsed))
        return done(dead(std::string{"the endpoint "} + *why));
    const auto& endpoint = std::get<WebPushEndpoint>(parsed);
    WebPushOrigin* const origin = origins_.find(endpoint);
    if (origin == nullptr) return done(crowded());
    if (auto refusal = origin->refusal()) return done(std::move(*refusal));
    auto request = webpush_request(encryptor_, endpoint, *vapid_.authorization(endpoint.origin), id,
                                   content, device, reactor_.wall());
    if (!request) return done(refused_by(request.error()));
    ++in_flight_;
    origin->send(std::move(*request), [this, done = std::move(done)](PushOutcome outcome) {
        --in_flight_;
        done(std::move(outcome));
    });
}

} // namespace

std::unique_ptr<delivery::Provider>
make_webpush(net::Reactor& reactor, net::BlockingThread& resolver, const WebPushOptions& options) {
    return std::make_unique<WebPush>(reactor, resolver, options);
}

} // namespace fanfare::providers
