#pragma once
// What is counted of a provider, by its name and its app's, which a credential may share with the
// one that a reload puts in its place.

#include <fanfare/base/metrics.hpp>
#include <fanfare/delivery/provider.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare::delivery {

/// On its reactor.
class PushMetrics {
  public:
    /// `app`: empty: none.
    PushMetrics(Metrics& metrics, std::string_view provider, std::string_view app);
    void began() noexcept { in_flight_.add(1); }
    void ended() noexcept { in_flight_.add(-1); }
    void answered(const PushOutcome& outcome, std::int64_t took_ms);
    /// A credential's breaker is in this state no longer, or now. The metric shows the worst.
    void left_state(std::size_t state) noexcept;
    void is_in_state(std::size_t state) noexcept;

  private:
    void show_state() noexcept;

    Metrics& metrics_;
    const Labels labels_;
    std::array<Counter*, 7> attempts_{}; // by outcome; made when first needed
    Histogram& seconds_;
    Gauge& in_flight_;
    Gauge& breaker_;
    std::array<std::size_t, 3> states_{}; // credentials in each
};

} // namespace fanfare::delivery
