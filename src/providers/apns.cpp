// Apple's push service.

#include "apns_answer.hpp"
#include "apns_payload.hpp"
#include "apns_request.hpp"
#include "apns_tokens.hpp"
#include "mass_drop_guard.hpp"
#include "push_pool.hpp"
#include "service_url.hpp"

#include <fanfare/base/log.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/providers/providers.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace fanfare::providers {
namespace {

using delivery::PushContent;
using delivery::PushOutcome;
using delivery::PushVerdict;

class Apns final : public delivery::Provider, PushVendor {
  public:
    Apns(net::Reactor& reactor, net::BlockingThread& resolver, ApnsTokens& tokens,
         const ApnsOptions& options);

    [[nodiscard]] std::string_view name() const noexcept override { return "apns"; }
    [[nodiscard]] std::string_view app() const noexcept override { return pool_.name().app; }
    [[nodiscard]] Error check(const PushContent& content) const override {
        return check_apns(content, topic_);
    }
    [[nodiscard]] std::size_t room() const noexcept override { return pool_.room(); }
    void send(const delivery::NotificationId& id, const PushContent& content,
              const delivery::PushDevice& device, std::function<void(PushOutcome)> done) override;

  private:
    [[nodiscard]] bool authorize(Push& push) override;
    [[nodiscard]] PushReading read(const Push& push, const PushAnswer& answer) override;
    void no_answer(http::H2Answer::Kind kind, PushOutcome& outcome) override;
    void on_goaway(std::string_view debug_data) override;
    void change_token(PushReading& reading, std::uint64_t generation);

    net::Reactor& reactor_;
    const std::string topic_;
    std::shared_ptr<ApnsToken> token_; // null: a client certificate
    MassDropGuard guard_;
    ApnsPayloads payloads_;
    std::string refused_; // why Apple ended a connection: this credential; empty: it did not
    PushPool pool_;
};

std::string checked_topic(const std::string& topic) {
    const bool plain =
        std::all_of(topic.begin(), topic.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (topic.empty() || !plain) throw std::runtime_error{"topic must be the app's bundle id"};
    return topic;
}

std::shared_ptr<ApnsToken> find_token(ApnsTokens& tokens, const ApnsOptions& options,
                                      const Clock& clock) {
    if (options.by_certificate()) return nullptr;
    return tokens.shelf().find(options, clock);
}

http::H2Options pool_options(const ApnsOptions& options) {
    const ServiceUrl url = read_service_origin(options.endpoint, "endpoint");
    if (options.by_certificate() && !url.tls)
        throw std::runtime_error{"endpoint must be https: without TLS nobody asks for the "
                                 "certificate"};
    http::H2Options pool;
    pool.host = url.host;
    pool.port = url.port;
    pool.tls = url.tls;
    pool.ca_file = options.ca;
    pool.proxy = options.proxy;
    pool.certificate = options.certificate;
    pool.key = options.certificate_key;
    if (options.by_certificate()) return pool;
    // Apple allows one stream until it has seen a valid token. No more than that one wait below,
    // with a token already in them: those that wait above get the newest when they go.
    pool.initial_streams = 1;
    pool.waiting_max = 1;
    return pool;
}

Apns::Apns(net::Reactor& reactor, net::BlockingThread& resolver, ApnsTokens& tokens,
           const ApnsOptions& options)
    : reactor_(reactor), topic_(checked_topic(options.topic)),
      token_(find_token(tokens, options, reactor.clock())),
      pool_(reactor, resolver, *this, {"apns", options.app}, pool_options(options)) {}

void Apns::send(const delivery::NotificationId& id, const PushContent& content,
                const delivery::PushDevice& device, std::function<void(PushOutcome)> done) {
    // Replaced when it goes; here it keeps the field's place.
    const std::string_view authorization = token_ ? "bearer" : "";
    pool_.send(apns_request(topic_, authorization, id, content, device, reactor_.wall(), payloads_),
               std::move(done));
}

bool Apns::authorize(Push& push) {
    if (!token_) return true;
    const ApnsToken::ValueRef value = token_->current();
    push.generation = value->generation;
    push.authorization = value->authorization;
    return true;
}

PushReading Apns::read(const Push& push, const PushAnswer& answer) {
    PushReading reading = read_apns_answer(answer, reactor_.wall(), push.attempt);
    guard_.check(reading);
    if (reading.outcome.verdict == PushVerdict::done) refused_.clear();
    if (token_) change_token(reading, push.generation);
    return reading;
}

void Apns::change_token(PushReading& reading, std::uint64_t generation) {
    if (reading.token == TokenStep::hold) token_->hold(generation);
    if (reading.token != TokenStep::renew || token_->renew(generation)) return;
    reading.again = false;
    if (reading.outcome.verdict != PushVerdict::later) return;
    // Each push would hear the same until Apple takes a new one.
    reading.outcome.verdict = PushVerdict::pause;
    reading.outcome.retry_after = token_->wait();
    reading.alert = true;
}

void Apns::on_goaway(std::string_view debug_data) {
    // The pool logs what it says; this is about what it means.
    const std::string reason = apns_reason(debug_data);
    if (apns_goaway_refuses(reason)) refused_ = reason;
}

void Apns::no_answer(http::H2Answer::Kind /*kind*/, PushOutcome& outcome) {
    if (refused_.empty()) return;
    outcome.verdict = PushVerdict::stop;
    outcome.reason = refused_;
}

} // namespace

std::unique_ptr<delivery::Provider> make_apns(net::Reactor& reactor, net::BlockingThread& resolver,
                                              ApnsTokens& tokens, const ApnsOptions& options) {
    return std::make_unique<Apns>(reactor, resolver, tokens, options);
}

} // namespace fanfare::providers
