#include "settlement.hpp"

#include <fanfare/base/log.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
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
                       std::function<void(const PushResult&)> written,
                       std::function<void(const std::vector<StatusChange>&)> changed)
    : reactor_(reactor), queue_(queue), written_(std::move(written)), changed_(std::move(changed)),
      link_(std::make_shared<Link>(Link{this})) {}

Settlement::~Settlement() {
    link_->to = nullptr;
}

void Settlement::add(PushResult result) {
    if (waiting_.empty() || waiting_.back()->size() >= batch_max) {
        waiting_.push_back(std::make_shared<std::vector<PushResult>>());
        waiting_.back()->reserve(batch_max);
    }
    waiting_.back()->push_back(std::move(result));
    ++size_;
    if (waiting_.back()->size() >= batch_max) flush();
}

void Settlement::flush() {
    if (under_way_ || empty() || reactor_.now() < again_at_) return;
    if (batch_ == nullptr) {
        batch_ = std::move(waiting_.front());
        waiting_.pop_front();
    }
    under_way_ = true;
    queue_.settle(batch_, [link = link_](const Settled& settled) {
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
                        {"results", std::uint64_t{batch_->size()}}});
        return;
    }
    if (std::exchange(failures_, 0) != 0) log::info("push_results_stored_again");
    again_at_ = 0;
    const Batch written = std::exchange(batch_, nullptr);
    size_ -= written->size();
    for (const PushResult& result : *written) written_(result);
    if (!settled.changes.empty()) changed_(settled.changes);
}

MonoMillis Settlement::wakes_at() const noexcept {
    return under_way_ || batch_ == nullptr ? 0 : again_at_;
}

} // namespace fanfare::delivery
