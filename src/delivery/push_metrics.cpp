#include "push_metrics.hpp"

namespace fanfare::delivery {
namespace {

constexpr std::array<std::string_view, 7> outcome_names{
    "sent", "dropped", "refused", "later", "paused", "stopped", "not_attempted"};

/// A credential without a name has the series that it had before there were others.
Labels labels_of(std::string_view provider, std::string_view app) {
    Labels labels{{"provider", std::string{provider}}};
    if (!app.empty()) labels.emplace_back("app", std::string{app});
    return labels;
}

std::size_t outcome_index(const PushOutcome& outcome) noexcept {
    return outcome.not_attempted ? outcome_names.size() - 1
                                 : static_cast<std::size_t>(outcome.verdict);
}

} // namespace

PushMetrics::PushMetrics(Metrics& metrics, std::string_view provider, std::string_view app)
    : metrics_(metrics), labels_(labels_of(provider, app)),
      seconds_(metrics.histogram(
          "push_seconds", "From a push's hand-over to its provider to the outcome.", labels_)),
      in_flight_(metrics.gauge("push_in_flight", "Pushes whose outcome is awaited.", labels_)),
      breaker_(metrics.gauge("push_breaker",
                             "0: pushes go through; 1: one at a time, to see whether the service "
                             "works again; 2: none, since it fails or refuses the credential.",
                             labels_)) {}

void PushMetrics::answered(const PushOutcome& outcome, std::int64_t took_ms) {
    const std::size_t index = outcome_index(outcome);
    if (attempts_[index] == nullptr) {
        Labels labels = labels_;
        labels.emplace_back("outcome", std::string{outcome_names[index]});
        attempts_[index] = &metrics_.counter(
            "push_attempts_total", "Pushes that were handed to a provider, by outcome.", labels);
    }
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
