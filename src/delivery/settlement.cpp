#include "settlement.hpp"

#include <fanfare/base/log.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace fanfare::delivery {
namespace {
constexpr MonoMillis again_start_ms = 500;
constexpr MonoMillis again_cap_ms = 8'000;
} // namespace

struct Settlement::Link {
    Settlement* to;
};

Settlement::Settlement(net::Reactor& reactor, PushQueue& queue,
                       std::function<void(const Entry&)> written,
                       std::function<void(const std::vector<StatusChange>&)> changed)
    : reactor_(reactor), queue_(queue), written_(std::move(written)), changed_(std::move(changed)),
      link_(std::make_shared<Link>(Link{this})) {}

Settlement::~Settlement() {
    link_->to = nullptr;
}

void Settlement::add(Entry entry) {
    waiting_.push_back(std::move(entry));
    if (waiting_.size() >= batch_max) flush();
}

void Settlement::flush() {
    if (under_way_ || empty() || reactor_.now() < again_at_) return;
    if (batch_.empty()) {
        const auto end =
            waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), batch_max));
        batch_.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
        waiting_.erase(waiting_.begin(), end);
    }
    std::vector<PushResult> results;
    results.reserve(batch_.size());
    for (const Entry& entry : batch_) results.push_back(entry.result);
    under_way_ = true;
    queue_.settle(std::move(results), [link = link_](const Settled& settled) {
        if (link->to != nullptr) link->to->on_settled(settled);
    });
}

void Settlement::on_settled(const Settled& settled) {
    under_way_ = false;
    if (settled.code != Code::ok) {
        const std::uint32_t doublings = std::min<std::uint32_t>(failures_, 8);
        again_at_ = reactor_.now() + std::min(again_start_ms << doublings, again_cap_ms);
        if (failures_++ == 0)
            log::error("push_results_not_stored",
                       {{"reason", settled.detail == nullptr ? "" : settled.detail},
                        {"results", std::uint64_t{batch_.size()}}});
        return;
    }
    if (std::exchange(failures_, 0) != 0) log::info("push_results_stored_again");
    again_at_ = 0;
    for (const Entry& entry : std::exchange(batch_, {})) written_(entry);
    if (!settled.changes.empty()) changed_(settled.changes);
}

MonoMillis Settlement::wakes_at() const noexcept {
    return under_way_ || batch_.empty() ? 0 : again_at_;
}

} // namespace fanfare::delivery
