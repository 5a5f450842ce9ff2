#include <fanfare/delivery/send_expander.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/timer_wheel.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace fanfare::delivery {
namespace {

constexpr std::array lanes{Priority::critical, Priority::high, Priority::normal, Priority::low};
/// The queue is full, or the disk fails.
constexpr std::chrono::milliseconds again_after{250};

} // namespace

class SendExpander::Work : public std::enable_shared_from_this<Work> {
  public:
    Work(net::Reactor& reactor, SendLog& log, Place place)
        : reactor_(reactor), log_(log), place_(std::move(place)) {
        for (std::size_t i = 0; i < lanes.size(); ++i) {
            lanes_[i].work = this;
            lanes_[i].priority = lanes[i];
        }
    }

    /// Any thread.
    void wake() {
        if (woken_.exchange(true, std::memory_order_acq_rel)) return;
        reactor_.post(std::function<void()>{[self = shared_from_this()] {
            self->woken_.store(false, std::memory_order_release);
            for (Lane& lane : self->lanes_) self->look(lane);
        }});
    }
    void stop() {
        stopped_ = true;
        for (Lane& lane : lanes_) lane.cancel();
    }

  private:
    /// One slice of a priority is on its way at a time.
    struct Lane final : net::TimerWheel::Timer {
        Work* work = nullptr;
        Priority priority = Priority::normal;
        bool busy = false;
        bool woken = false;     // meanwhile
        std::int64_t after = 0; // the send that was served last
        void on_timer() override { work->look(*this); }
    };

    void look(Lane& lane) {
        lane.woken = lane.busy;
        if (lane.busy || stopped_) return;
        lane.busy = true;
        log_.next(lane.priority, lane.after, [self = shared_from_this(), &lane](SendSlice slice) {
            self->on_slice(lane, std::move(slice));
        });
    }

    void on_slice(Lane& lane, SendSlice slice) {
        lane.busy = false;
        if (stopped_) return;
        if (slice.code != Code::ok) return again(lane);
        if (slice.none) {
            if (lane.woken) look(lane);
            return;
        }
        lane.busy = true;
        lane.after = slice.order.step->send;
        place_(std::move(slice.order), [self = shared_from_this(), &lane](const Placed& placed) {
            self->on_placed(lane, placed);
        });
    }

    void on_placed(Lane& lane, const Placed& placed) {
        lane.busy = false;
        if (stopped_) return;
        // A conflict: what was read is older than what is there, and is read again.
        if (placed.code != Code::ok && placed.code != Code::conflict) return again(lane);
        look(lane);
    }

    void again(Lane& lane) { reactor_.timers().set(lane, again_after); }

    net::Reactor& reactor_;
    SendLog& log_;
    const Place place_;
    std::array<Lane, lanes.size()> lanes_;
    std::atomic<bool> woken_{false};
    bool stopped_ = false;
};

SendExpander::SendExpander(net::Reactor& reactor, SendLog& log, Place place)
    : work_(std::make_shared<Work>(reactor, log, std::move(place))) {
    log.on_work([work = work_] { work->wake(); });
}

SendExpander::~SendExpander() {
    work_->stop();
}

void SendExpander::start() {
    work_->wake();
}

void SendExpander::stop() {
    work_->stop();
}

} // namespace fanfare::delivery
