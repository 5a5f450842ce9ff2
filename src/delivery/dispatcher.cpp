#include "credential.hpp"
#include "push_content.hpp"
#include "push_metrics.hpp"
#include "push_rate.hpp"
#include "push_window.hpp"
#include "retry.hpp"
#include "settlement.hpp"

#include <fanfare/base/assert.hpp>
#include <fanfare/base/ids.hpp>
#include <fanfare/delivery/dispatcher.hpp>
#include <fanfare/net/reactor.hpp>
#include <fanfare/net/timer_wheel.hpp>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <map>
#include <string>
#include <utility>

namespace fanfare::delivery {
namespace {

/// Pushes that one turn begins: what is urgent, and comes meanwhile, waits for so many.
constexpr std::size_t begun_max = 128;

} // namespace

/// All of it. At the end of each turn it looks at what may go: whatever gives a provider room
/// happens in a turn of this reactor.
class Dispatcher::Work final : net::TurnEnd, net::TimerWheel::Timer {
  public:
    Work(net::Reactor& reactor, PushQueue& queue, PushRoutes routes, const PushOptions& options,
         std::function<void(const std::vector<StatusChange>&)> changed);
    ~Work() override;

    void start() { started_ = true; }
    void wake() { tell(link_); }
    void cancel(const std::vector<NotificationId>& notifications) { window_.cancel(notifications); }
    void forget_devices(const std::function<bool(const PushDevice&)>& gone);
    void drain(std::function<void()> done);
    void reload(const PushOptions& options);

  private:
    /// Outlives it, for what is called late, and from other threads.
    struct Link {
        Link(net::Reactor& on, Work* work) : reactor(on), to(work) {}
        net::Reactor& reactor;
        Work* to; // its reactor only
        std::atomic<bool> woken{false};
    };
    static void tell(const std::shared_ptr<Link>& link);

    void on_turn_end() override;
    void on_timer() override {} // the turn's end does it
    void arm();
    void show_queue();

    [[nodiscard]] Credential* route(const PushDevice& device);
    void forget_unrouted();
    void send_what_may_go();
    void serve(Credential& credential, Priority lane);
    [[nodiscard]] bool may_begin(const Credential& credential, Priority lane) const;
    [[nodiscard]] bool end_if_over(HeldJob& held);
    void begin(HeldJob& held);
    void hand_over(HeldJob& held, const PushContent& content);
    void end_late_attempts();
    void on_outcome(std::int64_t job, std::uint64_t attempt, PushOutcome outcome);
    void rest(HeldJob& held, WallMillis until);
    void settle(HeldJob& held, const NextStep& step, PushOutcome outcome);
    void settle_unsent(HeldJob& held, PushResult::Fate fate, std::string reason);
    void on_orphan(HeldJob& held);
    void settle_forgotten(HeldJob& held);
    void on_written(const PushResult& result);
    void look_whether_drained();

    net::Reactor& reactor_;
    PushQueue& queue_;
    const PushRoutes routes_;
    PushOptions options_;
    // by provider and app
    std::map<std::pair<std::string, std::string>, std::unique_ptr<PushMetrics>> metrics_;
    std::vector<std::unique_ptr<Credential>> credentials_;
    std::size_t first_served_ = 0; // they take turns at being the first
    Rate rate_;
    TokenBucket bucket_;
    UserRates user_rates_;
    PushText text_;
    Settlement settlement_;
    PushWindow window_;
    JobsByDeadline deadlines_;   // of what is in flight, the earliest first
    std::uint64_t attempts_ = 0; // numbers them
    std::size_t begun_ = 0;      // in this turn
    MonoMillis timer_at_ = 0;
    bool started_ = false;
    bool draining_ = false;
    MonoMillis drain_until_ = 0;
    std::function<void()> drained_;
    std::shared_ptr<Link> link_;
};

Dispatcher::Work::Work(net::Reactor& reactor, PushQueue& queue, PushRoutes routes,
                       const PushOptions& options,
                       std::function<void(const std::vector<StatusChange>&)> changed)
    : reactor_(reactor), queue_(queue), routes_(std::move(routes)), options_(options),
      settlement_(
          reactor, queue, [this](const PushResult& result) { on_written(result); },
          std::move(changed)),
      window_(
          reactor, queue, [this](const PushDevice& device) { return route(device); },
          [this](HeldJob& held) { on_orphan(held); }),
      link_(std::make_shared<Link>(reactor, this)) {
    rate_ = Rate::per_second(options_.rate_per_second);
    user_rates_.set_rate(Rate::per_minute(options_.user_rate_per_minute));
    window_.set_size(options_.window);
    show_queue();
    queue_.on_work([link = link_] { tell(link); });
    reactor_.add_turn_end(*this);
}

Dispatcher::Work::~Work() {
    reactor_.remove_turn_end(*this);
    link_->to = nullptr;
}

void Dispatcher::Work::show_queue() {
    for (const Priority lane : push_lanes) {
        const Labels labels{{"lane", std::string{priority_name(lane)}}};
        reactor_.metrics().gauge_from(
            "push_queue", "Pushes that wait to be sent, or to be sent again.",
            [&queue = queue_, lane] { return static_cast<double>(queue.depth(lane).jobs); },
            labels);
        reactor_.metrics().gauge_from(
            "push_queue_oldest_seconds", "How long the oldest of them has been there; 0: none.",
            [&queue = queue_, &clock = reactor_.clock(), lane] {
                const WallMillis oldest = queue.depth(lane).oldest;
                if (oldest == 0) return 0.0;
                return static_cast<double>(std::max<WallMillis>(clock.wall() - oldest, 0)) / 1e3;
            },
            labels);
    }
}

/// Many calls before the next turn are one.
void Dispatcher::Work::tell(const std::shared_ptr<Link>& link) {
    if (link->woken.exchange(true)) return;
    link->reactor.post([link] {
        link->woken = false;
        if (link->to != nullptr) link->to->window_.news();
    });
}

// --- turns ---

void Dispatcher::Work::on_turn_end() {
    if (!started_) return;
    end_late_attempts();
    window_.end_rests();
    for (const auto& credential : credentials_) credential->show_state(reactor_.now());
    if (!draining_) send_what_may_go();
    settlement_.flush();
    // A result that cannot be written is a reason to read nothing more: orphans need no provider.
    if (!draining_ && !settlement_.full()) window_.look();
    look_whether_drained();
    arm();
}

void Dispatcher::Work::arm() {
    const MonoMillis now = reactor_.now();
    MonoMillis at = window_.wakes_at();
    const auto also = [&at, now](MonoMillis time) {
        if (time > now) at = std::min(at, time);
    };
    also(settlement_.wakes_at());
    for (const auto& credential : credentials_)
        if (credential->anything_waits()) {
            also(credential->wakes_at(now));
            also(bucket_.ready_at(rate_));
        }
    if (!deadlines_.empty()) also(deadlines_.front().deadline);
    if (drained_) also(drain_until_);
    if (armed() && at == timer_at_) return;
    timer_at_ = at;
    reactor_.timers().set(*this, std::chrono::milliseconds{std::max<MonoMillis>(at - now, 1)});
}

void Dispatcher::Work::drain(std::function<void()> done) {
    FANFARE_ASSERT(!draining_);
    started_ = true; // turns are looked at
    draining_ = true;
    drain_until_ = reactor_.now() + options_.drain.count();
    drained_ = std::move(done);
}

void Dispatcher::Work::look_whether_drained() {
    if (!drained_) return;
    const bool over = deadlines_.empty() && settlement_.empty();
    if (!over && reactor_.now() < drain_until_) return;
    // Posted, since it may want to destroy this.
    reactor_.post(std::exchange(drained_, nullptr));
}

// --- routes ---

Credential* Dispatcher::Work::route(const PushDevice& device) {
    Provider* const provider = routes_(device);
    if (provider == nullptr) return nullptr;
    for (const auto& known : credentials_)
        if (&known->provider == provider && known->name == provider->name() &&
            known->app == provider->app()) {
            known->routed = true;
            return known.get();
        }
    auto& metrics = metrics_[{std::string{provider->name()}, std::string{provider->app()}}];
    if (!metrics)
        metrics =
            std::make_unique<PushMetrics>(reactor_.metrics(), provider->name(), provider->app());
    credentials_.push_back(
        std::make_unique<Credential>(*provider, *metrics, options_, reactor_.now()));
    return credentials_.back().get();
}

void Dispatcher::Work::reload(const PushOptions& options) {
    options_ = options;
    rate_ = Rate::per_second(options_.rate_per_second);
    user_rates_.set_rate(Rate::per_minute(options_.user_rate_per_minute));
    window_.set_size(options_.window);
    for (const auto& credential : credentials_) {
        credential->set_options(options_);
        credential->routed = false;
    }
    window_.reroute();
    forget_unrouted();
}

void Dispatcher::Work::forget_unrouted() {
    std::erase_if(credentials_, [](const auto& credential) {
        return !credential->routed && credential->in_flight == 0;
    });
}

// --- sending ---

void Dispatcher::Work::send_what_may_go() {
    const std::size_t count = credentials_.size();
    if (count == 0) return;
    first_served_ = (first_served_ + 1) % count;
    begun_ = 0;
    for (const Priority lane : push_lanes)
        for (std::size_t i = 0; i < count; ++i)
            serve(*credentials_[(first_served_ + i) % count], lane);
    if (begun_ >= begun_max) reactor_.wake_at(reactor_.now_micros()); // there may be more
}

void Dispatcher::Work::serve(Credential& credential, Priority lane) {
    auto& waiting = credential.queue(lane).waiting;
    PushCursor at;
    // What is begun may end in the call and change the queue: the place is looked for again.
    for (auto next = waiting.begin(); next != waiting.end(); next = waiting.upper_bound(at)) {
        HeldJob& held = *next;
        at = held.place();
        if (settlement_.full()) return;
        if (end_if_over(held)) continue;
        if (!may_begin(credential, lane)) return;
        if (const auto lower = credential.overdue_below(lane)) {
            HeldJob& first = *credential.queue(*lower).waiting.begin();
            if (!end_if_over(first)) begin(first);
            if (!may_begin(credential, lane)) return;
            if (waiting.find(at) == waiting.end()) continue; // its device has just been found dead
        }
        begin(held);
    }
}

bool Dispatcher::Work::may_begin(const Credential& credential, Priority lane) const {
    const MonoMillis now = reactor_.now();
    return begun_ < begun_max && credential.may_send(lane, now) && bucket_.ready_at(rate_) <= now &&
           !settlement_.full();
}

bool Dispatcher::Work::end_if_over(HeldJob& held) {
    if (held.job.notification.expires > reactor_.wall()) return false;
    settle_unsent(held, PushResult::Fate::void_, "expired");
    return true;
}

/// What may begin, as far as its provider is concerned.
void Dispatcher::Work::begin(HeldJob& held) {
    const MonoMillis user_at = user_rates_.ready_at(held.job.device.user);
    if (user_at > reactor_.now()) return window_.rest(held, user_at);
    const PushContent content = text_.content_of(held.job.notification);
    if (const Error wrong = held.credential->provider.check(content))
        return settle_unsent(held, PushResult::Fate::dead, wrong.message);
    hand_over(held, content);
}

void Dispatcher::Work::hand_over(HeldJob& held, const PushContent& content) {
    const MonoMillis now = reactor_.now();
    Credential& credential = *held.credential;
    window_.take(held);
    held.attempt = ++attempts_;
    ++begun_;
    held.since = now;
    held.deadline = now + options_.deadline.count();
    held.probe = credential.began(held.lane, now);
    bucket_.take(rate_, now);
    user_rates_.take(held.job.device.user, now);
    // All have the same time, but for a reload: the place is most often the last.
    auto place = deadlines_.end();
    while (place != deadlines_.begin() && std::prev(place)->deadline > held.deadline) --place;
    deadlines_.insert(place, held);
    credential.provider.send(
        held.job.notification.id, content, held.job.device,
        [link = link_, job = held.job.id, attempt = held.attempt](PushOutcome outcome) {
            if (link->to != nullptr) link->to->on_outcome(job, attempt, std::move(outcome));
        });
}

// --- outcomes ---

void Dispatcher::Work::end_late_attempts() {
    while (!deadlines_.empty() && deadlines_.front().deadline <= reactor_.now()) {
        const HeldJob& late = deadlines_.front();
        PushOutcome outcome;
        outcome.reason = "no answer in time";
        on_outcome(late.job.id, late.attempt, std::move(outcome));
    }
}

void Dispatcher::Work::on_outcome(std::int64_t job, std::uint64_t attempt, PushOutcome outcome) {
    HeldJob* const held = window_.find(job);
    // Behind its deadline: it was taken as failed.
    if (held == nullptr || held->state != HeldJob::State::in_flight || held->attempt != attempt)
        return;
    deadlines_.erase(deadlines_.iterator_to(*held));
    const MonoMillis now = reactor_.now();
    Credential& credential = *held->credential;
    credential.ended(outcome, held->probe, now - held->since, now);
    Tried tried;
    tried.attempts = held->job.attempts;
    tried.repeats = held->repeats;
    tried.now = reactor_.wall();
    tried.expires = held->job.notification.expires;
    tried.random = static_cast<double>(random_u64() >> 11) * 0x1p-53;
    const NextStep step = next_step(outcome, tried, options_);
    const bool unseen = outcome.verdict == PushVerdict::later && outcome.not_attempted;
    if (unseen && step.fate == PushResult::Fate::again)
        rest(*held, step.again_at);
    else
        settle(*held, step, std::move(outcome));
    if (!credential.routed) forget_unrouted();
}

/// Nothing has happened that would have to be written down.
void Dispatcher::Work::rest(HeldJob& held, WallMillis until) {
    if (held.cancelled) return window_.drop(held);
    if (held.forgotten) return settle_forgotten(held);
    ++held.repeats;
    held.credential = route(held.job.device);
    if (held.credential == nullptr) return on_orphan(held);
    window_.rest(held, reactor_.now() + (until - reactor_.wall()));
}

void Dispatcher::Work::settle(HeldJob& held, const NextStep& step, PushOutcome outcome) {
    PushResult result{held.job};
    result.fate = step.fate;
    result.again_at = step.again_at;
    result.counts = step.counts;
    if (held.credential != nullptr) {
        result.provider = held.credential->name;
        result.app = held.credential->app;
    }
    if (step.fate == PushResult::Fate::dropped)
        result.siblings = window_.end_siblings(held, outcome.dead_since);
    result.outcome = std::move(outcome);
    window_.end(held);
    settlement_.add(std::move(result));
}

void Dispatcher::Work::settle_unsent(HeldJob& held, PushResult::Fate fate, std::string reason) {
    PushOutcome outcome;
    outcome.verdict = PushVerdict::fix;
    outcome.reason = std::move(reason);
    outcome.not_attempted = true;
    settle(held, {fate, 0, false}, std::move(outcome));
}

/// The store knows that the device is no more, and what that means for the notification.
void Dispatcher::Work::settle_forgotten(HeldJob& held) {
    settle_unsent(held, PushResult::Fate::void_, "unregistered");
}

void Dispatcher::Work::forget_devices(const std::function<bool(const PushDevice&)>& gone) {
    for (HeldJob* const held : window_.forget_devices(gone)) settle_forgotten(*held);
}

void Dispatcher::Work::on_orphan(HeldJob& held) {
    if (held.forgotten) return settle_forgotten(held);
    std::string reason =
        "no provider is configured for " + std::string{platform_name(held.job.device.platform)};
    if (!held.job.device.app.empty()) reason.append(" of app ").append(held.job.device.app);
    settle_unsent(held, PushResult::Fate::dead, std::move(reason));
}

void Dispatcher::Work::on_written(const PushResult& result) {
    const bool again = result.fate == PushResult::Fate::again;
    window_.forget(result.job, again ? result.again_at : 0);
    for (const std::int64_t sibling : result.siblings) window_.forget(sibling, 0);
}

// --- the outside ---

Dispatcher::Dispatcher(net::Reactor& reactor, PushQueue& queue, PushRoutes routes,
                       const PushOptions& options,
                       std::function<void(const std::vector<StatusChange>&)> changed)
    : work_(
          std::make_unique<Work>(reactor, queue, std::move(routes), options, std::move(changed))) {}

Dispatcher::~Dispatcher() = default;
void Dispatcher::start() {
    work_->start();
}
void Dispatcher::wake() {
    work_->wake();
}
void Dispatcher::cancel(const std::vector<NotificationId>& notifications) {
    work_->cancel(notifications);
}
void Dispatcher::forget_devices(const std::function<bool(const PushDevice&)>& gone) {
    work_->forget_devices(gone);
}
void Dispatcher::drain(std::function<void()> done) {
    work_->drain(std::move(done));
}
void Dispatcher::reload(const PushOptions& options) {
    work_->reload(options);
}

} // namespace fanfare::delivery
