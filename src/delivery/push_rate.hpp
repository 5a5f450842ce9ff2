#pragma once
// How many pushes may begin: token buckets.
//
// A bucket is kept as the time at which it is full again, which is all one needs to know of it (the
// generic cell rate algorithm): one number, no refill, and a bucket whose time is over is as good
// as none.

#include <fanfare/base/clock.hpp>

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <string>

namespace fanfare::delivery {

/// How fast a bucket fills, and how much it holds.
struct Rate {
    double interval_ms = 0; // between two tokens; 0: no bound
    double burst = 1;       // tokens in a full bucket, at least 1

    /// A tenth of a second's tokens come at once: more than the timer wheel's tick, and smooth.
    [[nodiscard]] static Rate per_second(double tokens) noexcept;
    /// All of a minute may come at once.
    [[nodiscard]] static Rate per_minute(double tokens) noexcept;
    [[nodiscard]] bool unbounded() const noexcept { return interval_ms <= 0; }
};

class TokenBucket {
  public:
    /// When there is a token; `now` or earlier: there is one.
    [[nodiscard]] MonoMillis ready_at(const Rate& rate) const noexcept;
    void take(const Rate& rate, MonoMillis now) noexcept;
    [[nodiscard]] bool full(MonoMillis now) const noexcept {
        return full_at_ <= static_cast<double>(now);
    }

  private:
    double full_at_ = 0;
};

/// A bucket per user that was sent to lately.
class UserRates {
  public:
    /// At the bound, users beyond it are not limited: it is there to protect people from a flood,
    /// not the gateway.
    explicit UserRates(std::size_t users_max = 100'000) : users_max_(users_max) {}
    void set_rate(const Rate& rate);
    /// When the user may be sent to; `now` or earlier: at once.
    [[nodiscard]] MonoMillis ready_at(const std::string& user) const;
    void take(const std::string& user, MonoMillis now);
    [[nodiscard]] std::size_t size() const noexcept { return buckets_.size(); }

  private:
    void forget_idle(MonoMillis now);

    const std::size_t users_max_;
    Rate rate_;
    boost::unordered_flat_map<std::string, TokenBucket> buckets_;
    MonoMillis forget_at_ = 0;
};

} // namespace fanfare::delivery
