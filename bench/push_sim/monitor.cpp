#include "monitor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace sim {

std::int64_t Monitor::Second::total() const {
    return std::accumulate(requests.begin(), requests.end(), std::int64_t{0});
}

Monitor::Monitor(const std::vector<Worker*>& workers)
    : workers_(workers), thread_([this] { run(); }) {}

Monitor::~Monitor() {
    {
        const std::lock_guard lock{mutex_};
        end_ = true;
    }
    ending_.notify_all();
    thread_.join();
}

Monitor::Totals Monitor::totals() const {
    Totals now;
    now.when = Clock::now();
    for (const Worker* worker : workers_) {
        now.cpu.push_back(worker->cpu_time());
        for (std::size_t i = 0; i < services_count; ++i) {
            const Counters* counters = worker->counters(static_cast<ServiceId>(i));
            if (counters == nullptr) continue;
            now.requests[i] += counters->get(Count::requests);
            now.connects[i] += counters->get(Count::connections);
        }
    }
    return now;
}

void Monitor::run() {
    std::unique_lock lock{mutex_};
    Totals before = totals();
    while (!ending_.wait_for(lock, std::chrono::seconds(1), [this] { return end_; })) {
        const Totals now = totals();
        const double seconds = std::chrono::duration<double>(now.when - before.when).count();
        const auto rate = [&](std::int64_t from, std::int64_t to) {
            // A reset in between sets the counters back.
            return static_cast<std::int64_t>(
                static_cast<double>(std::max<std::int64_t>(0, to - from)) / seconds);
        };
        Second second;
        for (std::size_t i = 0; i < services_count; ++i) {
            second.requests[i] = rate(before.requests[i], now.requests[i]);
            second.connects[i] = rate(before.connects[i], now.connects[i]);
        }
        for (std::size_t i = 0; i < now.cpu.size(); ++i) {
            const Duration used = now.cpu[i] - before.cpu[i];
            second.busy.push_back(std::chrono::duration<double>(used).count() / seconds);
        }
        if (second.total() > peak_.total()) peak_ = second;
        last_ = second;
        before = now;
    }
}

std::string Monitor::to_json(const Second& second) {
    std::string out = "{\"requests\":{";
    for (std::size_t i = 0; i + 1 < services_count; ++i) {
        out += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", to_string(static_cast<ServiceId>(i)),
                           second.requests[i]);
    }
    out += "},\"connections\":{";
    for (std::size_t i = 0; i + 1 < services_count; ++i) {
        out += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", to_string(static_cast<ServiceId>(i)),
                           second.connects[i]);
    }
    out += "},\"busy\":[";
    for (std::size_t i = 0; i < second.busy.size(); ++i) {
        out += fmt::format("{}{:.3f}", i == 0 ? "" : ",", second.busy[i]);
    }
    return out + "]}";
}

std::string Monitor::to_json() {
    const std::lock_guard lock{mutex_};
    return fmt::format(R"("seconds":{{"last":{},"peak":{}}})", to_json(last_), to_json(peak_));
}

std::string Monitor::summary() {
    const std::lock_guard lock{mutex_};
    if (peak_.total() == 0) return {};
    std::string out = fmt::format("busiest second: {} requests (", peak_.total());
    bool first = true;
    for (std::size_t i = 0; i + 1 < services_count; ++i) {
        if (peak_.requests[i] == 0) continue;
        out += fmt::format("{}{} {}", first ? "" : ", ", to_string(static_cast<ServiceId>(i)),
                           peak_.requests[i]);
        first = false;
    }
    out += "), threads busy:";
    for (const double busy : peak_.busy) out += fmt::format(" {:.0f} %", busy * 100);
    return out;
}

void Monitor::clear() {
    const std::lock_guard lock{mutex_};
    peak_ = {};
}

} // namespace sim
