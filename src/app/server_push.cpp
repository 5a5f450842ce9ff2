#include "server_push.hpp"

#include <utility>

namespace fanfare::app {
namespace {

using delivery::Platform;

template <class Options, class Section>
Options options_of(const Section& section, const std::string& app,
                   const http::H2ProxyOptions& proxy) {
    Options options;
    options.app = app;
    options.ca = section.ca;
    options.proxy = proxy;
    return options;
}

providers::ApnsOptions apns_options(const PushApp& app, const http::H2ProxyOptions& proxy) {
    auto options = options_of<providers::ApnsOptions>(app.apns, app.name, proxy);
    options.endpoint = app.apns.endpoint;
    options.topic = app.apns.topic;
    options.certificate = app.apns.certificate_text;
    (options.by_certificate() ? options.certificate_key : options.key) = app.apns.key_text;
    options.key_id = app.apns.key_id;
    options.team_id = app.apns.team_id;
    return options;
}

providers::FcmOptions fcm_options(const PushApp& app, const http::H2ProxyOptions& proxy) {
    auto options = options_of<providers::FcmOptions>(app.fcm, app.name, proxy);
    options.service_account = app.fcm.account_text;
    options.endpoint = app.fcm.endpoint;
    return options;
}

providers::WebPushOptions webpush_options(const PushApp& app, const http::H2ProxyOptions& proxy) {
    auto options = options_of<providers::WebPushOptions>(app.webpush, app.name, proxy);
    options.subject = app.webpush.subject;
    options.private_key = app.webpush.key_text;
    options.allow_private = app.webpush.private_addresses;
    return options;
}

} // namespace

delivery::PushOptions push_options(const Config& config) {
    delivery::PushOptions options = config.push;
    const auto add = [&options](const PushApp& app) {
        const auto rate = [&](const char* provider, std::size_t per_second) {
            if (per_second != 0)
                options.provider_rates.push_back(
                    {provider, app.name, static_cast<double>(per_second)});
        };
        rate("apns", app.apns.rate);
        rate("fcm", app.fcm.rate);
        rate("webpush", app.webpush.rate);
    };
    add(config.push_app);
    for (const PushApp& app : config.push_apps) add(app);
    return options;
}

ServerPush::App ServerPush::make_app(const PushApp& app, const http::H2ProxyOptions& proxy) {
    App made;
    if (!app.apns.key_text.empty())
        made.apns =
            providers::make_apns(reactor_, resolver_, apns_tokens_, apns_options(app, proxy));
    if (!app.fcm.account_text.empty())
        made.fcm = providers::make_fcm(reactor_, resolver_, fcm_options(app, proxy));
    if (!app.webpush.key_text.empty())
        made.webpush = providers::make_webpush(reactor_, resolver_, webpush_options(app, proxy));
    return made;
}

ServerPush::ServerPush(const Config& config, net::Reactor& reactor, delivery::PushQueue& queue,
                       std::function<void(const std::vector<delivery::StatusChange>&)> changed)
    : reactor_(reactor), resolver_("fanfare-names") {
    const net::Reactor::Scope scope{reactor};
    apps_.emplace("", make_app(config.push_app, config.push_proxy));
    for (const PushApp& app : config.push_apps)
        apps_.emplace(app.name, make_app(app, config.push_proxy));
    dispatcher_ = std::make_unique<delivery::Dispatcher>(
        reactor, queue, [this](const delivery::PushDevice& device) { return route(device); },
        push_options(config), std::move(changed));
    // By mail: the store's thread outlives the dispatcher, and mail for a reactor that has ended is
    // not read.
    queue.on_work([this] { tell([](delivery::Dispatcher& dispatcher) { dispatcher.wake(); }); });
    tell([](delivery::Dispatcher& dispatcher) { dispatcher.start(); });
}

ServerPush::~ServerPush() {
    const net::Reactor::Scope scope{reactor_};
    dispatcher_.reset();
    apps_.clear();
}

delivery::Provider* ServerPush::route(const delivery::PushDevice& device) {
    const auto app = apps_.find(device.app);
    if (app == apps_.end()) return nullptr;
    switch (device.platform) {
    case Platform::ios:
        return app->second.apns.get();
    case Platform::android:
        return app->second.fcm.get();
    case Platform::web:
        return app->second.webpush.get();
    }
    return nullptr;
}

/// By mail, like all that comes from outside.
void ServerPush::tell(std::function<void(delivery::Dispatcher&)> act) {
    reactor_.post(std::function<void()>{[this, act = std::move(act)] {
        if (dispatcher_) act(*dispatcher_);
    }});
}

void ServerPush::moved(const std::vector<delivery::StatusChange>& changes) {
    std::vector<delivery::NotificationId> over;
    for (const delivery::StatusChange& change : changes)
        if (delivery::is_over(change.status)) over.push_back(change.id);
    if (over.empty()) return;
    tell([over = std::move(over)](delivery::Dispatcher& dispatcher) { dispatcher.cancel(over); });
}

void ServerPush::forget_devices(std::function<bool(const delivery::PushDevice&)> gone,
                                net::Reactor& caller, std::function<void()> done) {
    tell([gone = std::move(gone)](delivery::Dispatcher& dispatcher) {
        dispatcher.forget_devices(gone);
    });
    reactor_.post(std::function<void()>{
        [&caller, done = std::move(done)]() mutable { caller.post(std::move(done)); }});
}

void ServerPush::reload(const delivery::PushOptions& options) {
    tell([options](delivery::Dispatcher& dispatcher) { dispatcher.reload(options); });
}

void ServerPush::drain(std::function<void()> done) {
    tell([this, done = std::move(done)](delivery::Dispatcher& dispatcher) {
        dispatcher.drain([this, done] {
            // Connections that are open would be waited for as clients are.
            dispatcher_.reset();
            apps_.clear();
            done();
        });
    });
}

} // namespace fanfare::app
