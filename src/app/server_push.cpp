#include "server_push.hpp"

#include <fanfare/providers/providers.hpp>

#include <utility>

namespace fanfare::app {
namespace {

using delivery::Platform;
using delivery::platform_bit;

providers::ApnsOptions apns_options(const ApnsOptions& config) {
    providers::ApnsOptions options;
    options.endpoint = config.endpoint;
    options.key = config.key_text;
    options.key_id = config.key_id;
    options.team_id = config.team_id;
    options.topic = config.topic;
    options.ca = config.ca;
    return options;
}

providers::FcmOptions fcm_options(const FcmOptions& config) {
    providers::FcmOptions options;
    options.service_account = config.account_text;
    options.endpoint = config.endpoint;
    options.ca = config.ca;
    return options;
}

providers::WebPushOptions webpush_options(const WebPushOptions& config) {
    providers::WebPushOptions options;
    options.subject = config.subject;
    options.private_key = config.key_text;
    options.ca = config.ca;
    options.allow_private = config.private_addresses;
    return options;
}

} // namespace

ServerPush::ServerPush(const Config& config, net::Reactor& reactor, delivery::PushQueue& queue,
                       std::function<void(const std::vector<delivery::StatusChange>&)> changed)
    : reactor_(reactor), resolver_("fanfare-names") {
    const net::Reactor::Scope scope{reactor};
    const delivery::Platforms served = config.inbox.pushes_to;
    if ((served & platform_bit(Platform::ios)) != 0)
        apns_ = providers::make_apns(reactor, resolver_, apns_options(config.apns));
    if ((served & platform_bit(Platform::android)) != 0)
        fcm_ = providers::make_fcm(reactor, resolver_, fcm_options(config.fcm));
    if ((served & platform_bit(Platform::web)) != 0)
        webpush_ = providers::make_webpush(reactor, resolver_, webpush_options(config.webpush));
    dispatcher_ = std::make_unique<delivery::Dispatcher>(
        reactor, queue, [this](const delivery::PushDevice& device) { return route(device); },
        config.push, std::move(changed));
    // By mail: the store's thread outlives the dispatcher, and mail for a reactor that has ended is
    // not read.
    queue.on_work(
        [this, &reactor] { reactor.post(std::function<void()>{[this] { dispatcher_->wake(); }}); });
    reactor.post(std::function<void()>{[this] { dispatcher_->start(); }});
}

ServerPush::~ServerPush() {
    const net::Reactor::Scope scope{reactor_};
    dispatcher_.reset();
    webpush_.reset();
    fcm_.reset();
    apns_.reset();
}

delivery::Provider* ServerPush::route(const delivery::PushDevice& device) {
    switch (device.platform) {
    case Platform::ios:
        return apns_.get();
    case Platform::android:
        return fcm_.get();
    case Platform::web:
        return webpush_.get();
    }
    return nullptr;
}

void ServerPush::moved(const std::vector<delivery::StatusChange>& changes) {
    std::vector<delivery::NotificationId> over;
    for (const delivery::StatusChange& change : changes)
        if (delivery::is_over(change.status)) over.push_back(change.id);
    if (over.empty()) return;
    reactor_.post(
        std::function<void()>{[this, over = std::move(over)] { dispatcher_->cancel(over); }});
}

void ServerPush::reload(const delivery::PushOptions& options) {
    reactor_.post(std::function<void()>{[this, options] { dispatcher_->reload(options); }});
}

void ServerPush::drain(std::function<void()> done) {
    reactor_.post(
        std::function<void()>{[this, done = std::move(done)] { dispatcher_->drain(done); }});
}

} // namespace fanfare::app
