// Requests per name in fixed windows: a device token, a project. Asked only where a limit is set.
#pragma once

#include "clock.hpp"

#include <mutex>
#include <string>
#include <unordered_map>

namespace sim {

class RateLimits {
  public:
    /// Counts one request of `name`; whether it is within `max` per `window`.
    [[nodiscard]] bool take(const std::string& name, unsigned max, Duration window) {
        const std::lock_guard lock{mutex_};
        if (windows_.size() > names_max) windows_.clear();
        Window& current = windows_[name];
        const Instant now = Clock::now();
        if (now - current.began >= window) current = {now, 0};
        return ++current.count <= max;
    }
    void clear() {
        const std::lock_guard lock{mutex_};
        windows_.clear();
    }

  private:
    static constexpr std::size_t names_max = 100'000;
    struct Window {
        Instant began{};
        unsigned count = 0;
    };
    std::mutex mutex_; // limits are for tests: workers may wait for each other here
    std::unordered_map<std::string, Window> windows_;
};

} // namespace sim
