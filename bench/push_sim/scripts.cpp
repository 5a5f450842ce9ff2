#include "scripts.hpp"

#include <algorithm>

namespace sim {
namespace {

std::optional<Step> take(std::deque<Step>& steps) {
    if (steps.empty()) return std::nullopt;
    Step step = steps.front();
    if (step.times == 1) {
        steps.pop_front();
    } else if (step.times > 1) {
        --steps.front().times;
    }
    return step;
}

} // namespace

void Scripts::add(ServiceId service, const std::string& token, std::vector<Step> steps) {
    const auto at = static_cast<std::size_t>(service);
    const std::lock_guard lock{mutex_};
    auto& queue =
        token.ends_with('*') ? prefixes_[at][token.substr(0, token.size() - 1)] : exact_[at][token];
    std::move(steps.begin(), steps.end(), std::back_inserter(queue));
    any_[at] = true;
}

void Scripts::clear(ServiceId service) {
    const auto at = static_cast<std::size_t>(service);
    const std::lock_guard lock{mutex_};
    any_[at] = false;
    exact_[at].clear();
    prefixes_[at].clear();
}

std::optional<Step> Scripts::next(ServiceId service, std::string_view token) {
    const auto at = static_cast<std::size_t>(service);
    if (!any_[at].load(std::memory_order_acquire)) return std::nullopt;
    const std::lock_guard lock{mutex_};
    if (const auto found = exact_[at].find(token); found != exact_[at].end()) {
        return take(found->second);
    }
    std::deque<Step>* longest = nullptr; // the map is in order, so a longer match comes later
    for (auto& [prefix, steps] : prefixes_[at]) {
        if (token.starts_with(prefix)) longest = &steps;
    }
    return longest == nullptr ? std::nullopt : take(*longest);
}

} // namespace sim
