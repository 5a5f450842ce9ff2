// Once a second: how many requests came, and how busy each thread was. The busiest second is what a
// benchmark wants to know: was the client the limit, or this program?
#pragma once

#include "exchange.hpp"
#include "worker.hpp"

#include <array>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sim {

class Monitor {
  public:
    explicit Monitor(const std::vector<Worker*>& workers);
    ~Monitor();
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;

    /// A member of a JSON object: `"seconds": {"last": …, "peak": …}`.
    [[nodiscard]] std::string to_json();
    /// `busiest second: 81234 requests (apns 81234), threads 97 % busy`; empty if none came.
    [[nodiscard]] std::string summary();
    /// Forgets the busiest second.
    void clear();

  private:
    struct Second {
        std::array<std::int64_t, services_count> requests{}; // per second
        std::array<std::int64_t, services_count> connects{};
        std::vector<double> busy; // share of a core, per worker
        [[nodiscard]] std::int64_t total() const;
    };
    struct Totals {
        Instant when{};
        std::array<std::int64_t, services_count> requests{};
        std::array<std::int64_t, services_count> connects{};
        std::vector<Duration> cpu;
    };

    void run();
    [[nodiscard]] Totals totals() const;
    static std::string to_json(const Second& second);

    const std::vector<Worker*> workers_;
    std::mutex mutex_; // the monitor's thread once a second, control when it is asked
    std::condition_variable ending_;
    bool end_ = false;
    Second last_;
    Second peak_;
    std::thread thread_;
};

} // namespace sim
