#include "fcm_token_source.hpp"

#include "openssl_ptr.hpp"
#include "push_pool.hpp"
#include "push_response.hpp"

#include <fanfare/base/log.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace fanfare::providers {
namespace {

http::H2Options pool_options(const ServiceUrl& url, const CredentialOptions& options) {
    http::H2Options pool;
    pool.name = PushName{"fcm_token", options.app}.pool();
    pool.host = url.host;
    pool.port = url.port;
    pool.tls = url.tls;
    pool.ca_file = options.ca;
    pool.proxy = options.proxy;
    pool.connections_max = 1;
    pool.idle_timeout = std::chrono::seconds{30}; // it is needed once in an hour
    return pool;
}

} // namespace

FcmTokenSource::FcmTokenSource(net::Reactor& reactor, net::BlockingThread& resolver,
                               FcmAccount account, const CredentialOptions& options,
                               std::function<void()> fresh)
    : reactor_(reactor), account_(std::move(account)),
      url_(read_service_url(account_.token_uri, "service_account: `token_uri`")),
      fresh_(std::move(fresh)), app_(options.app), token_(reactor.clock()),
      pool_(reactor, resolver, *this, pool_options(url_, options)) {
    // By a timer, since the reactor may not run yet.
    reactor_.timers().set(*this, std::chrono::milliseconds{0});
}

void FcmTokenSource::refused(std::uint64_t generation) {
    token_.refused(generation);
    look();
}

void FcmTokenSource::on_timer() {
    look();
}

void FcmTokenSource::look() {
    if (token_.claim() && !ask()) give_up({"no connection to the token's server", true, {}});
    if (const auto next = token_.next())
        reactor_.timers().set(*this, std::max(*next, std::chrono::milliseconds{1}));
}

bool FcmTokenSource::ask() {
    std::string body = fcm_grant_request(account_, reactor_.wall());
    const Cleanse cleanse{body};
    const std::array headers{
        http::H2Header{"content-type", "application/x-www-form-urlencoded", false},
        http::H2Header{"accept", "application/json", false}};
    http::H2Request request;
    request.path = url_.path;
    request.headers = headers;
    request.body = body;
    return pool_.send(request, *this, 0);
}

void FcmTokenSource::on_answer(std::uint64_t /*tag*/, const http::H2Answer& answer) {
    if (answer.kind != http::H2Answer::Kind::response) {
        give_up({answer.reason, true, {}});
        return look();
    }
    const auto read = read_fcm_grant(PushResponse{answer}.view(), reactor_.wall());
    if (const auto* const grant = std::get_if<FcmGrant>(&read))
        take(*grant);
    else
        give_up(std::get<FcmGrantFault>(read));
    look();
}

void FcmTokenSource::take(const FcmGrant& grant) {
    token_.granted(grant);
    if (!std::exchange(fault_, {}).empty()) log::info("fcm_token_fetched_again", {{"app", app_}});
    fresh_();
    reactor_.wake_at(reactor_.now_micros()); // there is room
}

void FcmTokenSource::give_up(const FcmGrantFault& fault) {
    token_.failed(fault);
    if (std::exchange(fault_, fault.reason) == fault.reason) return;
    const log::Fields fields{
        {"app", app_},
        {"reason", fault.reason},
        {"again_in_ms",
         std::int64_t{token_.next().value_or(std::chrono::milliseconds{0}).count()}}};
    if (fault.transient)
        log::warn("fcm_token_not_fetched", fields);
    else
        log::error("fcm_token_refused", fields);
}

} // namespace fanfare::providers
