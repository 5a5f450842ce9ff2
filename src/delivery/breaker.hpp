#pragma once
// Leaves a service alone that fails. Closed: everything goes through, and the answers of the last
// while are counted. Open: nothing goes through for a time. Half open: one push at a time, until
// one succeeds.
//
// Answers are counted in slots, so the window slides in tenths of itself.

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/options.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace fanfare::delivery {

class Breaker {
  public:
    /// As the metric shows them.
    enum class State : std::uint8_t { closed = 0, half_open = 1, open = 2 };
    enum class Answer : std::uint8_t {
        success, // the service works, whatever it says of this push
        failure,
        nothing, // the service never saw it, or was not asked in earnest
    };
    /// What an answer changed.
    enum class Change : std::uint8_t { none, opened, closed };

    explicit Breaker(const BreakerOptions& options) : options_(options) {}
    /// What was counted stays.
    void set_options(const BreakerOptions& options) noexcept { options_ = options; }

    [[nodiscard]] State state(MonoMillis now) const noexcept;
    /// Whether a push may go now.
    [[nodiscard]] bool allows(MonoMillis now) const noexcept;
    /// A push goes; true if it is the one that tries whether the service works again.
    [[nodiscard]] bool sent(MonoMillis now) noexcept;
    /// `probe`: what `sent` said of it. What was sent before it opened changes nothing any more.
    Change answered(Answer answer, bool probe, MonoMillis now) noexcept;
    /// Opens, whatever was counted: the credential is refused.
    Change trip(bool probe, MonoMillis now) noexcept;
    /// When it lets one through; a time that is over if it does not wait for a time.
    [[nodiscard]] MonoMillis opens_at() const noexcept { return open_until_; }

    struct Counts {
        std::size_t answers = 0;
        std::size_t failures = 0;
    };
    /// Of the window.
    [[nodiscard]] Counts counts(MonoMillis now) const noexcept;

  private:
    static constexpr std::size_t slots = 10;
    struct Slot {
        std::int64_t number = -1; // of the slots since the clock's start
        Counts counts;
    };
    [[nodiscard]] std::int64_t slot_number(MonoMillis now) const noexcept;
    void count(bool failure, MonoMillis now) noexcept;
    Change open(MonoMillis now) noexcept;

    BreakerOptions options_;
    std::array<Slot, slots> counted_;
    bool closed_ = true;
    bool probing_ = false; // the one is on its way
    MonoMillis open_until_ = 0;
};

} // namespace fanfare::delivery
