#pragma once
// A provider on a reactor that the test turns by hand, under a clock that it moves; sockets are
// real. What becomes of each push is noted.

#include "push_contents.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/net/blocking_thread.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/providers/providers.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <support/h2_server.hpp>
#include <support/manual_clock.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace fanfare::test {

class ProviderWorld {
  public:
    struct Told {
        delivery::PushOutcome outcome;
        int times = 0;
    };

    ProviderWorld() : reactor(0, clock, metrics), resolver("resolver"), scope_(reactor) {}
    ~ProviderWorld() {
        provider.reset();
        reactor.run_turn(); // what it retired
    }
    ProviderWorld(const ProviderWorld&) = delete;
    ProviderWorld& operator=(const ProviderWorld&) = delete;

    /// Turns the reactor until it holds. False: not in time.
    [[nodiscard]] bool wait(const std::function<bool()>& holds) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
        while (!holds()) {
            reactor.run_turn();
            if (std::chrono::steady_clock::now() > end) return false;
            std::this_thread::sleep_for(std::chrono::microseconds{50});
        }
        return true;
    }
    /// Time goes on at once, so that a PING has its answer before the time for that is over.
    void jump(std::chrono::milliseconds time) {
        clock.advance(time);
        reactor.run_turn();
    }
    void pass(std::chrono::milliseconds time) {
        for (auto left = time; left.count() > 0; left -= std::chrono::milliseconds{100}) {
            clock.advance(std::min(left, std::chrono::milliseconds{100}));
            reactor.run_turn();
        }
        reactor.run_turn();
    }

    /// Numbers count up from 0, and are the badges.
    void send() {
        delivery::PushContent content = hello();
        content.badge = static_cast<std::uint32_t>(sent);
        send(content);
    }
    void send(const delivery::PushContent& content) {
        const std::size_t number = sent++;
        provider->send(test_id(), content, device, [this, number](delivery::PushOutcome outcome) {
            Told& one = told[number];
            one.outcome = std::move(outcome);
            ++one.times;
        });
    }
    void send_many(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) send();
    }
    [[nodiscard]] bool wait_told(std::size_t count) {
        return wait([&] { return told.size() >= count; });
    }
    [[nodiscard]] bool wait_requests(H2Server& server, std::size_t count) {
        return wait([&] { return server.request_count() >= count; });
    }
    [[nodiscard]] bool wait_room(bool any) {
        return wait([&] { return (provider->room() != 0) == any; });
    }
    [[nodiscard]] const delivery::PushOutcome& outcome(std::size_t number) const {
        return told.at(number).outcome;
    }
    [[nodiscard]] std::size_t count(delivery::PushVerdict verdict) const {
        return static_cast<std::size_t>(
            std::count_if(told.begin(), told.end(), [verdict](const auto& one) {
                return one.second.outcome.verdict == verdict;
            }));
    }
    [[nodiscard]] bool each_once() const {
        return told.size() == sent && std::all_of(told.begin(), told.end(), [](const auto& one) {
                   return one.second.times == 1;
               });
    }

    ManualClock clock;
    Metrics metrics;
    net::Reactor reactor;
    net::BlockingThread resolver;

  private:
    net::Reactor::Scope scope_;

  public:
    std::unique_ptr<delivery::Provider> provider;
    delivery::PushDevice device;
    std::map<std::size_t, Told> told; // by number
    std::size_t sent = 0;
};

/// The message of what `act` throws; empty: nothing.
inline std::string thrown_by(const std::function<void()>& act) {
    try {
        act();
    } catch (const std::exception& error) {
        return error.what();
    }
    return {};
}

} // namespace fanfare::test
