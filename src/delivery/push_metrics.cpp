#include "push_metrics.hpp"

namespace fanfare::delivery {
namespace {

constexpr std::array<std::string_view, 7> outcome_names{
    "sent", "dropped", "refused", "later", "paused", "stopped", "not_attempted"};

std::size_t outcome_index(const PushOutcome& outcome) noexcept {
    return outcome.not_attempted ? outcome_names.size() - 1
                                 : static_cast<std::size_t>(outcome.verdict);
}

} // namespace

PushMetrics::PushMetrics(Metrics& metrics, std::string_view provider)
    : metrics_(metrics), provider_(provider),
      seconds_(metrics.histogram("push_seconds",
                                 "From a push's hand-over to its provider to the outcome.",
                                 {{"provider", provider_}})),
      in_flight_(metrics.gauge("push_in_flight", "Pushes whose outcome is awaited.",
                               {{"provider", provider_}})),
      breaker_(metrics.gauge("push_breaker",
                             "0: pushes go through; 1: one at a time, to see whether the service "
                             "works again; 2: none, since it fails or refuses the credential.",
                             {{"provider", provider_}})) {}

void PushMetrics::answered(const PushOutcome& outcome, std::int64_t took_ms) {
    const std::size_t index = outcome_index(outcome);
    if (attempts_[index] == nullptr)
        attempts_[index] = &metrics_.counter(
            "push_attempts_total", "Pushes that were handed to a provider, by outcome.",
            {{"provider", provider_}, {"outcome", std::string{outcome_names[index]}}});
    attempts_[index]->add();
    seconds_.observe(static_cast<double>(took_ms) / 1e3);
}

void PushMetrics::left_state(std::size_t state) noexcept {
    --states_[state];
    show_state();
}

void PushMetrics::is_in_state(std::size_t state) noexcept {
    ++states_[state];
    show_state();
}

void PushMetrics::show_state() noexcept {
    std::int64_t worst = 0;
    for (std::size_t state = 0; state < states_.size(); ++state)
        if (states_[state] != 0) worst = static_cast<std::int64_t>(state);
    breaker_.set(worst);
}

} // namespace fanfare::delivery
