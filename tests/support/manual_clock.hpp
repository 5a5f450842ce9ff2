#pragma once
// Time that stands still until the test moves it.

#include <fanfare/base/clock.hpp>

#include <atomic>

namespace fanfare::test {

/// Both times may be read from any thread while the test moves them.
class ManualClock final : public Clock {
  public:
    /// Wall time begins on 2026-01-01, far from zero: a forgotten unit or a mixed-up clock shows.
    explicit ManualClock(MonoMillis mono = 1'000, WallMillis wall = 1'767'225'600'000)
        : mono_(mono), wall_(wall) {}

    [[nodiscard]] MonoMillis mono() const noexcept override { return mono_.load(); }
    [[nodiscard]] WallMillis wall() const noexcept override { return wall_.load(); }

    /// Both clocks go on.
    void advance(std::chrono::milliseconds by) noexcept { advance(by.count()); }
    void advance(std::int64_t milliseconds) noexcept {
        mono_ += milliseconds;
        wall_ += milliseconds;
    }
    /// The wall clock jumps, as when an operator or NTP sets it; the monotonic one does not.
    void set_wall(WallMillis wall) noexcept { wall_ = wall; }

  private:
    std::atomic<MonoMillis> mono_;
    std::atomic<WallMillis> wall_;
};

} // namespace fanfare::test
