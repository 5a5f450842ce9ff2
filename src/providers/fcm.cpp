// Google's push service.

#include "fcm_answer.hpp"
#include "fcm_request.hpp"
#include "fcm_token_source.hpp"
#include "mass_drop_guard.hpp"
#include "push_pool.hpp"
#include "service_url.hpp"

#include <fanfare/net/reactor.hpp>
#include <fanfare/providers/providers.hpp>

#include <utility>

namespace fanfare::providers {
namespace {

using delivery::PushContent;
using delivery::PushOutcome;

http::H2Options pool_options(const FcmOptions& options) {
    const ServiceUrl url = read_service_origin(options.endpoint, "endpoint");
    http::H2Options pool;
    pool.host = url.host;
    pool.port = url.port;
    pool.tls = url.tls;
    pool.ca_file = options.ca;
    pool.proxy = options.proxy;
    return pool;
}

class Fcm final : public delivery::Provider, PushVendor {
  public:
    Fcm(net::Reactor& reactor, net::BlockingThread& resolver, const FcmOptions& options)
        : reactor_(reactor),
          source_(reactor, resolver, read_fcm_account(options.service_account, "service_account"),
                  options, [this] { pool_.resume(); }),
          pool_(reactor, resolver, *this, {"fcm", options.app}, pool_options(options)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "fcm"; }
    [[nodiscard]] std::string_view app() const noexcept override { return pool_.name().app; }
    [[nodiscard]] Error check(const PushContent& content) const override {
        return check_fcm(content);
    }
    /// None without a token: pushes wait where they can still be moved or given up.
    [[nodiscard]] std::size_t room() const noexcept override {
        return source_.current() ? pool_.room() : 0;
    }
    void send(const delivery::NotificationId& id, const PushContent& content,
              const delivery::PushDevice& device, std::function<void(PushOutcome)> done) override {
        // The value is replaced when it goes; here it keeps the field's place.
        pool_.send(fcm_request(source_.project_id(), "Bearer", id, content, device, reactor_.wall(),
                               payloads_),
                   std::move(done));
    }

  private:
    [[nodiscard]] bool authorize(Push& push) override {
        const FcmToken::ValueRef value = source_.current();
        if (!value) return false;
        push.generation = value->generation;
        push.authorization = value->authorization;
        return true;
    }
    [[nodiscard]] PushReading read(const Push& push, const PushAnswer& answer) override {
        PushReading reading = read_fcm_answer(answer, reactor_.wall(), push.attempt);
        guard_.check(reading);
        if (reading.token == TokenStep::renew) source_.refused(push.generation);
        return reading;
    }

    net::Reactor& reactor_;
    MassDropGuard guard_;
    FcmPayloads payloads_;
    FcmTokenSource source_;
    PushPool pool_;
};

} // namespace

std::unique_ptr<delivery::Provider> make_fcm(net::Reactor& reactor, net::BlockingThread& resolver,
                                             const FcmOptions& options) {
    return std::make_unique<Fcm>(reactor, resolver, options);
}

} // namespace fanfare::providers
