#include "webpush_origins.hpp"

#include "webpush_answer.hpp"

#include <fanfare/net/address.hpp>
#include <fanfare/net/reactor.hpp>

#include <memory>
#include <netdb.h>
#include <sys/socket.h>
#include <utility>

namespace fanfare::providers {
namespace {

using delivery::PushOutcome;
using delivery::PushVerdict;

// An origin that does not take our key: an operator must look, and others go on.
constexpr std::chrono::milliseconds pause = std::chrono::minutes{5};

// Pushes for an origin without a connection: one that is down must not take the places of others.
constexpr std::size_t unconnected_max = 64;
// Those that wait for a stream, if there is one; the provider's bound comes first.
constexpr std::size_t line_max = 1'000;

/// A proxy looks names up where the guard does not see it; at least an address is seen here. In all
/// the ways that C libraries read one: 127.1 and 0x7f000001 are some.
bool is_private_address(const std::string& host) {
    addrinfo wish{};
    wish.ai_flags = AI_NUMERICHOST;
    wish.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), nullptr, &wish, &found) != 0) return false;
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{found, ::freeaddrinfo};
    return !net::is_public_address(*found->ai_addr);
}

/// `guarded`: what the guard said of the last address. It outlives the pool.
http::H2Options pool_options(const WebPushEndpoint& endpoint, const WebPushOptions& options,
                             bool& guarded) {
    http::H2Options pool;
    pool.host = endpoint.host;
    pool.port = endpoint.port;
    pool.ca_file = options.ca;
    pool.proxy = options.proxy;
    pool.connections_max = 2;
    pool.idle_timeout = std::chrono::minutes{5};
    if (!options.allow_private)
        pool.address_guard = [&guarded](const sockaddr& address) {
            guarded = !net::is_public_address(address);
            return !guarded;
        };
    return pool;
}

} // namespace

WebPushOrigin::WebPushOrigin(net::Reactor& reactor, net::BlockingThread& resolver,
                             const WebPushEndpoint& endpoint, const WebPushOptions& options)
    : reactor_(reactor), barred_(!options.allow_private && !options.proxy.host.empty() &&
                                 is_private_address(endpoint.host)),
      pool_(reactor, resolver, *this, {"webpush", options.app},
            pool_options(endpoint, options, guarded_), line_max) {}

bool WebPushOrigin::paused() const noexcept {
    return reactor_.now() < paused_until_;
}

std::optional<PushOutcome> WebPushOrigin::refusal() const {
    PushOutcome outcome;
    outcome.not_attempted = true;
    if (barred_) {
        outcome.verdict = PushVerdict::fix;
        outcome.reason = "the address is not allowed";
        return outcome;
    }
    if (paused()) {
        outcome.reason = "the push service is paused";
        outcome.retry_after = std::chrono::milliseconds{paused_until_ - reactor_.now()};
        return outcome;
    }
    if (pool_.connected() || pool_.in_flight() < unconnected_max) return std::nullopt;
    outcome.reason = "no connection to the push service";
    return outcome;
}

PushReading WebPushOrigin::read(const Push& /*push*/, const PushAnswer& answer) {
    // There is one key for each app. Which one a browser has subscribed with is not known.
    PushReading reading = read_webpush_answer(answer, reactor_.wall(), SubscribedWith::this_key);
    if (reading.pause_origin) paused_until_ = reactor_.now() + pause.count();
    return reading;
}

void WebPushOrigin::no_answer(http::H2Answer::Kind kind, PushOutcome& outcome) {
    // It does not help to try that again soon. The device stays: a resolver may have lied.
    if (kind == http::H2Answer::Kind::unreachable && guarded_) outcome.verdict = PushVerdict::fix;
}

WebPushOrigin* WebPushOrigins::find(const WebPushEndpoint& endpoint) {
    auto found = origins_.find(endpoint.origin);
    if (found == origins_.end()) {
        if (origins_.size() >= origins_max && !make_place()) return nullptr;
        found = origins_
                    .emplace(endpoint.origin, std::make_unique<WebPushOrigin>(reactor_, resolver_,
                                                                              endpoint, options_))
                    .first;
    }
    found->second->used = ++uses_;
    return found->second.get();
}

/// One that is paused goes only if there is no other: its pause would be forgotten.
bool WebPushOrigins::make_place() {
    auto oldest = origins_.end();
    const auto rank = [](const auto& each) {
        return std::pair{each.second->paused(), each.second->used};
    };
    for (auto each = origins_.begin(); each != origins_.end(); ++each)
        if (each->second->idle() && (oldest == origins_.end() || rank(*each) < rank(*oldest)))
            oldest = each;
    if (oldest == origins_.end()) return false;
    origins_.erase(oldest);
    return true;
}

} // namespace fanfare::providers
