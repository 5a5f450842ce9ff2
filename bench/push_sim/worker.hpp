// One thread with its loop: listening sockets, connections, a desk for each service. Nothing of it
// is touched from outside but through post().
#pragma once

#include "connection.hpp"
#include "desk.hpp"
#include "poller.hpp"

#include <array>
#include <atomic>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace sim {

class Worker final : private Pollable {
  public:
    Worker(unsigned index, World& world);
    ~Worker() override;
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Before run(). Takes `fd`, a listening socket that does not block.
    void serve(ServiceId id, std::unique_ptr<Service> service, const Tls* tls, int fd);

    /// Until stop().
    void run();

    /// Any thread, and signal handlers.
    void stop();
    /// Any thread: `job` runs on this worker's.
    void post(std::function<void(Worker&)> job);

    /// Own thread.
    void command(ServiceId service, const Command& command);
    [[nodiscard]] Desk* desk(ServiceId id) { return desks_[static_cast<std::size_t>(id)].get(); }
    [[nodiscard]] bool is_too_fast(const Desk& desk);
    void bury(Connection& connection);
    [[nodiscard]] Poller& poller() { return poller_; }
    [[nodiscard]] Timers& timers() { return timers_; }
    [[nodiscard]] std::string& scratch() { return scratch_; }

    /// Any thread: counters are atomic, and the CPU clock is the kernel's.
    [[nodiscard]] const Counters* counters(ServiceId id) const;
    [[nodiscard]] Duration cpu_time() const;
    [[nodiscard]] unsigned index() const { return index_; }

  private:
    struct Listener;
    struct Newcomers { // of a service in the second that began then
        Instant began{};
        unsigned count = 0;
    };

    void on_events(std::uint32_t events) override;
    void accepted(Desk& desk, const Tls* tls, int fd);

    const unsigned index_;
    World& world_;
    Poller poller_;
    Timers timers_;
    std::string scratch_;
    int wake_fd_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> clock_known_{false};
    clockid_t cpu_clock_{};
    std::array<std::unique_ptr<Desk>, services_count> desks_;
    std::array<Newcomers, services_count> newcomers_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
    std::vector<std::uint64_t> buried_; // gone; freed when the batch of events is done
    std::mutex jobs_mutex_;             // control and this worker; held for a swap
    std::vector<std::function<void(Worker&)>> jobs_;
};

} // namespace sim
