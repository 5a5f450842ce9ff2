#include "desk.hpp"

#include <functional>

namespace sim {
namespace {

bool is_success(int status) {
    return status >= 200 && status < 300;
}

Step with_status(int status) {
    Step step;
    step.status = status;
    return step;
}

Step too_many(ServiceId id) {
    Step step = with_status(429);
    if (id == ServiceId::apns) step.reason = "TooManyRequests";
    return step;
}

} // namespace

Desk::Desk(ServiceId id, World& world, std::unique_ptr<Service> service, std::uint64_t seed)
    : settings(world.options.settings[static_cast<std::size_t>(id)]), id_(id), world_(world),
      service_(std::move(service)), dice_(seed) {}

void Desk::decide(Exchange& exchange, Peer& peer) {
    counters.add(Count::requests);
    count_credential(exchange.request.headers.get("authorization"));
    service_->judge(exchange, peer, settings);
    exchange.answer.delay = settings.latency.draw(dice_);
    // Only what would have been accepted takes a step of a script: a test counts its own messages.
    if (is_success(exchange.answer.status)) {
        const bool within =
            settings.token_requests == 0 ||
            world_.limits.take(exchange.target, settings.token_requests, settings.token_window);
        if (!within) {
            play(too_many(id_), exchange, peer);
        } else if (const auto step = world_.scripts.next(id_, exchange.target)) {
            play(*step, exchange, peer);
        } else if (settings.error_rate > 0 && dice_.next() < settings.error_rate) {
            constexpr int statuses[] = {500, 503, 429};
            Step error = with_status(statuses[static_cast<std::size_t>(dice_.next() * 3)]);
            if (error.status == 429) error = too_many(id_);
            play(error, exchange, peer);
        }
    }
    if (exchange.answer.deed == Deed::answer && is_success(exchange.answer.status)) {
        service_->accepted(exchange);
    }
}

/// Senders repeat theirs: the last one is compared first.
void Desk::count_credential(std::string_view value) {
    constexpr std::size_t known_max = 100'000;
    if (value.empty() || value == last_credential_) return;
    last_credential_ = value;
    if (credentials_.size() >= known_max) return;
    if (credentials_.insert(std::hash<std::string_view>{}(value)).second) {
        counters.add(Count::credentials);
    }
}

void Desk::reset() {
    settings = world_.options.settings[static_cast<std::size_t>(id_)];
    counters.clear();
    credentials_.clear();
    last_credential_.clear();
}

void Desk::play(const Step& step, Exchange& exchange, Peer& peer) {
    Answer& answer = exchange.answer;
    if (step.status != 0 || !step.reason.empty() || !step.form.empty()) {
        service_->say(step, exchange, peer, settings);
    }
    if (step.body) answer.body = *step.body;
    if (!step.retry_after.empty()) answer.headers.add("retry-after", step.retry_after);
    for (const auto& [name, value] : step.headers) answer.headers.add(name, value);
    answer.deed = step.deed;
    answer.error_code = step.error_code;
    answer.delay += step.delay;
    if (step.after != After::stay) {
        answer.after = step.after;
        answer.after_reason = step.after_reason;
    }
}

void Desk::answered(const Peer& peer, const Exchange& exchange) {
    const int status = exchange.answer.status;
    counters.add(status < 400   ? Count::answers_ok
                 : status < 500 ? Count::answers_4xx
                                : Count::answers_5xx);
    if (id_ != ServiceId::control) world_.recorder.add(id_, peer.connection, exchange, {});
}

void Desk::unanswered(const Peer& peer, const Exchange& exchange, std::string_view fate) {
    counters.add(Count::unanswered);
    if (id_ != ServiceId::control) world_.recorder.add(id_, peer.connection, exchange, fate);
}

bool Desk::drops(DropAt point) {
    if (settings.drop_at != point) return false;
    auto& left = world_.drops_left[static_cast<std::size_t>(id_)];
    // Negative: no end. Workers share the number.
    std::int64_t now = left.load();
    while (now > 0 && !left.compare_exchange_weak(now, now - 1)) {
    }
    return now != 0;
}

std::unique_ptr<Exchange> Desk::take_exchange() {
    if (spare_.empty()) return std::make_unique<Exchange>();
    auto exchange = std::move(spare_.back());
    spare_.pop_back();
    return exchange;
}

void Desk::give_back(std::unique_ptr<Exchange> exchange) {
    constexpr std::size_t spare_max = 4096;
    if (spare_.size() >= spare_max) return;
    exchange->clear();
    spare_.push_back(std::move(exchange));
}

} // namespace sim
