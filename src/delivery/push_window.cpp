#include "push_window.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/net/reactor.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::delivery {
namespace {

// Jobs of one read: each may be as large as a message.
constexpr std::size_t page_max = 250;
// A credential may have so many jobs of a lane here even if others have all the rest.
constexpr std::size_t least_part = 16;
// How far a transaction may be behind the time it says, and how soon and how often that is looked
// for. A pass over many jobs waits ten times as long as it took.
constexpr WallMillis back_ms = 10'000;
constexpr MonoMillis back_every_ms = 1'000;
// Everything is read again: what was overlooked for a reason that nobody thought of.
constexpr MonoMillis rescan_every_ms = 5 * 60'000;
constexpr MonoMillis after_failure_ms = 1'000;
// A timer for a time of the wall clock looks at it so often.
constexpr MonoMillis wall_look_ms = 10'000;
// What a wall clock may go back without being set.
constexpr WallMillis slack_ms = 500;

PushCursor before(const PushCursor& place) noexcept {
    return {place.due, place.id - 1};
}

bool waits(const HeldJob& held) noexcept {
    return held.state == HeldJob::State::waiting || held.state == HeldJob::State::resting;
}

} // namespace

std::size_t PushWindow::IdHash::operator()(const NotificationId& id) const noexcept {
    return static_cast<std::size_t>(hash_bytes(id.raw()));
}

struct PushWindow::Link {
    PushWindow* to;
};

PushWindow::PushWindow(net::Reactor& reactor, PushQueue& queue,
                       std::function<Credential*(const PushDevice&)> route,
                       std::function<void(HeldJob&)> orphan)
    : reactor_(reactor), queue_(queue), route_(std::move(route)), orphan_(std::move(orphan)),
      link_(std::make_shared<Link>(Link{this})) {
    for (Lane& lane : lanes_) lane.rescan_at = reactor.now() + rescan_every_ms;
}

PushWindow::~PushWindow() {
    link_->to = nullptr;
}

// --- reading ---

void PushWindow::news() {
    for (Lane& lane : lanes_) {
        lane.news = true;
        if (lane.back_at == 0)
            lane.back_at = std::max(reactor_.now() + back_every_ms, lane.back_not_before);
    }
}

void PushWindow::look() {
    for (const Priority lane : push_lanes) look(lane);
}

void PushWindow::look(Priority which) {
    Lane& lane = lanes_[lane_index(which)];
    if (lane.reading || reactor_.now() < lane.not_before) return;
    note_time(lane);
    lane.wanted = std::exchange(lane.news, false) || lane.wanted;
    Credential* const filling = hungry(which);
    if (filling != nullptr && (lane.hole_is_next || !lane.wanted)) return read(which, filling);
    if (lane.wanted) read(which, nullptr);
}

/// What the clocks say.
void PushWindow::note_time(Lane& lane) {
    const MonoMillis now = reactor_.now();
    const WallMillis wall = reactor_.wall();
    if (lane.next != 0 && wall >= lane.next) {
        lane.next = 0;
        lane.wanted = true;
    }
    if (lane.back_at != 0 && now >= lane.back_at) {
        lane.back_at = 0;
        go_back(lane, {lane.front.due - back_ms, 0});
    }
    if (now >= lane.rescan_at || wall + slack_ms < lane.read_at) {
        lane.rescan_at = now + rescan_every_ms;
        lane.read_at = wall;
        go_back(lane, {});
    }
}

/// One with a hole, half of whose jobs are gone.
Credential* PushWindow::hungry(Priority lane) {
    for (Credential* const credential : credentials_) {
        const LaneQueue& queue = credential->queue(lane);
        if (queue.hole && queue.held * 2 <= queue.held_at_hole) return credential;
    }
    return nullptr;
}

void PushWindow::read(Priority which, Credential* filling) {
    Lane& lane = lanes_[lane_index(which)];
    lane.reading = true;
    lane.hole_is_next = filling == nullptr;
    if (filling == nullptr && lane.pass_began == 0) lane.pass_began = reactor_.now();
    lane.read_at = reactor_.wall();
    const PushCursor after = filling != nullptr ? *filling->queue(which).hole : lane.front;
    const std::size_t limit = std::clamp<std::size_t>(size_ / 2, 1, page_max);
    queue_.read(which, after, lane.read_at, limit,
                [link = link_, which, after, filling, routing = routing_](PushJobs page) {
                    if (link->to == nullptr) return;
                    // The credential may be gone with its route.
                    const bool anew = routing != link->to->routing_;
                    if (anew) page = {};
                    link->to->on_page(which, after, anew ? nullptr : filling, page);
                });
}

void PushWindow::on_page(Priority which, const PushCursor& after, Credential* filling,
                         PushJobs& page) {
    Lane& lane = lanes_[lane_index(which)];
    if (page.code == Code::ok)
        on_read(which, after, filling, page);
    else
        lane.not_before = reactor_.now() + after_failure_ms;
    lane.reading = false;
    lane.gone.clear();
    lane.cancelled.clear();
    lane.forgotten.clear();
    if (const auto to = std::exchange(lane.reconsider, std::nullopt)) go_back(lane, *to);
}

void PushWindow::on_read(Priority which, const PushCursor& after, Credential* filling,
                         PushJobs& page) {
    Lane& lane = lanes_[lane_index(which)];
    if (filling != nullptr) filling->queue(which).hole.reset();
    for (PushJob& job : page.jobs) offer(which, std::move(job));
    const PushCursor end = page.jobs.empty() ? after : page.end;
    const bool more = page.more && !page.jobs.empty();
    if (filling != nullptr) {
        std::optional<PushCursor>& hole = filling->queue(which).hole;
        if (!hole && more && end < lane.front) hole = end;
        return;
    }
    lane.front = end;
    lane.wanted = more;
    if (more) return;
    if (page.next != 0) lane.next = lane.next == 0 ? page.next : std::min(lane.next, page.next);
    const MonoMillis took = reactor_.now() - std::exchange(lane.pass_began, 0);
    lane.back_not_before = reactor_.now() + std::max(back_every_ms, took * 10);
}

/// A job that is due.
void PushWindow::offer(Priority which, PushJob job) {
    Lane& lane = lanes_[lane_index(which)];
    if (jobs_.contains(job.id) || lane.gone.contains(job.id)) return;
    if (lane.cancelled.contains(job.notification.id)) return;
    const PushCursor place{job.due, job.id};
    const bool forgotten = std::any_of(lane.forgotten.begin(), lane.forgotten.end(),
                                       [&](const auto& gone) { return gone(job.device); });
    Credential* const credential = forgotten ? nullptr : route_(job.device);
    if (credential != nullptr) {
        if (std::find(credentials_.begin(), credentials_.end(), credential) == credentials_.end())
            credentials_.push_back(credential);
        LaneQueue& queue = credential->queue(which);
        if (queue.hole && *queue.hole < place) return;
        // As many as there are places left: each credential that comes finds some.
        const std::size_t left = size_ - std::min(lane.held, size_);
        if (queue.held >= std::max({left, size_ / least_part, std::size_t{1}})) {
            queue.hole = before(place);
            queue.held_at_hole = queue.held;
            return;
        }
    }
    const std::int64_t id = job.id;
    auto made = std::make_unique<HeldJob>();
    HeldJob& held = *made;
    held.job = std::move(job);
    held.lane = which;
    held.credential = credential;
    held.forgotten = forgotten;
    jobs_.emplace(id, std::move(made));
    HeldJob*& first = by_notification_[held.job.notification.id];
    held.next_of_notification = std::exchange(first, &held);
    if (credential != nullptr) return join_queue(held);
    held.state = HeldJob::State::ended;
    orphan_(held);
}

void PushWindow::go_back(Lane& lane, const PushCursor& to) {
    if (lane.reading) {
        lane.reconsider = std::min(lane.reconsider.value_or(to), to);
        return;
    }
    lane.front = std::min(lane.front, to);
    lane.wanted = true;
}

MonoMillis PushWindow::wakes_at() const {
    const MonoMillis now = reactor_.now();
    MonoMillis at = now + rescan_every_ms;
    if (!resting_.empty()) at = std::min(at, resting_.begin()->first);
    for (const Lane& lane : lanes_) {
        if (lane.reading) continue;
        at = std::min(at, lane.rescan_at);
        if (lane.not_before > now) at = std::min(at, lane.not_before);
        if (lane.back_at != 0) at = std::min(at, lane.back_at);
        if (lane.next != 0)
            at = std::min(
                at, now + std::clamp<MonoMillis>(lane.next - reactor_.wall(), 1, wall_look_ms));
    }
    return at;
}

// --- what is held ---

HeldJob* PushWindow::find(std::int64_t job) {
    const auto at = jobs_.find(job);
    return at == jobs_.end() ? nullptr : at->second.get();
}

void PushWindow::join_queue(HeldJob& held) {
    LaneQueue& queue = held.credential->queue(held.lane);
    queue.waiting.insert(held);
    ++queue.held;
    ++lane_of(held).held;
    held.state = HeldJob::State::waiting;
}

/// One that waits or rests. Its state is the caller's to change.
void PushWindow::leave_queue(HeldJob& held) {
    LaneQueue& queue = held.credential->queue(held.lane);
    if (held.state == HeldJob::State::waiting)
        queue.waiting.erase(queue.waiting.iterator_to(held));
    else
        std::erase_if(resting_, [&](const auto& entry) { return entry.second == &held; });
    --queue.held;
    --lane_of(held).held;
}

void PushWindow::take(HeldJob& held) {
    leave_queue(held);
    held.state = HeldJob::State::in_flight;
}

void PushWindow::rest(HeldJob& held, MonoMillis until) {
    if (held.state == HeldJob::State::in_flight) join_queue(held);
    JobsByTurn& waiting = held.credential->queue(held.lane).waiting;
    waiting.erase(waiting.iterator_to(held));
    held.state = HeldJob::State::resting;
    resting_.emplace(until, &held);
}

void PushWindow::end_rests() {
    while (!resting_.empty() && resting_.begin()->first <= reactor_.now()) {
        HeldJob& held = *resting_.begin()->second;
        resting_.erase(resting_.begin());
        held.credential->queue(held.lane).waiting.insert(held);
        held.state = HeldJob::State::waiting;
    }
}

void PushWindow::end(HeldJob& held) {
    if (waits(held)) leave_queue(held);
    held.state = HeldJob::State::ended;
}

void PushWindow::forget(std::int64_t job, WallMillis again_at) {
    HeldJob* const held = find(job);
    if (held == nullptr) return;
    Lane& lane = lane_of(*held);
    if (again_at != 0) {
        // A read may have gone past its new place before it was there.
        if (again_at <= lane.read_at)
            go_back(lane, {again_at, job - 1});
        else
            lane.next = lane.next == 0 ? again_at : std::min(lane.next, again_at);
    }
    erase(*held);
}

void PushWindow::drop(HeldJob& held) {
    if (waits(held)) leave_queue(held);
    erase(held);
}

void PushWindow::erase(HeldJob& held) {
    Lane& lane = lane_of(held);
    if (lane.reading) lane.gone.insert(held.job.id);
    const auto first = by_notification_.find(held.job.notification.id);
    HeldJob** at = &first->second;
    while (*at != &held) at = &(*at)->next_of_notification;
    *at = held.next_of_notification;
    if (first->second == nullptr) by_notification_.erase(first);
    jobs_.erase(held.job.id);
}

void PushWindow::cancel(const std::vector<NotificationId>& notifications) {
    for (Lane& lane : lanes_)
        if (lane.reading) lane.cancelled.insert(notifications.begin(), notifications.end());
    for (const NotificationId& id : notifications) {
        std::vector<HeldJob*> found;
        const auto first = by_notification_.find(id);
        if (first == by_notification_.end()) continue;
        for (HeldJob* at = first->second; at != nullptr; at = at->next_of_notification)
            found.push_back(at);
        for (HeldJob* const held : found) {
            held->cancelled = true;
            if (waits(*held)) drop(*held);
        }
    }
}

std::vector<HeldJob*>
PushWindow::forget_devices(const std::function<bool(const PushDevice&)>& gone) {
    for (Lane& lane : lanes_)
        if (lane.reading) lane.forgotten.push_back(gone);
    std::vector<HeldJob*> waiting;
    for (auto& each : jobs_) {
        HeldJob& held = *each.second;
        if (!gone(held.job.device)) continue;
        held.forgotten = true;
        if (waits(held)) waiting.push_back(&held);
    }
    return waiting;
}

std::vector<std::int64_t> PushWindow::end_siblings(const HeldJob& dead, WallMillis dead_since) {
    std::vector<std::int64_t> ended;
    const PushDevice& device = dead.job.device;
    for (auto& [id, held] : jobs_) {
        const PushDevice& other = held->job.device;
        if (!waits(*held) || other.platform != device.platform || other.token != device.token)
            continue;
        // Registered since then: the token lives again, and the store keeps it.
        if (dead_since != 0 && other.registered > dead_since) continue;
        end(*held);
        ended.push_back(id);
    }
    return ended;
}

void PushWindow::reroute() {
    ++routing_;
    for (Credential* const credential : credentials_)
        for (const Priority lane : push_lanes) credential->queue(lane) = {};
    credentials_.clear();
    for (Lane& lane : lanes_) {
        lane.held = 0;
        go_back(lane, {});
    }
    for (auto& each : jobs_) {
        auto& held = each.second;
        if (!waits(*held)) continue;
        held->credential = route_(held->job.device);
        if (held->credential == nullptr) {
            if (held->state == HeldJob::State::resting)
                std::erase_if(resting_, [&](const auto& entry) { return entry.second == &*held; });
            held->state = HeldJob::State::ended;
            orphan_(*held);
            continue;
        }
        if (std::find(credentials_.begin(), credentials_.end(), held->credential) ==
            credentials_.end())
            credentials_.push_back(held->credential);
        const bool rests = held->state == HeldJob::State::resting;
        join_queue(*held);
        if (!rests) continue;
        held->credential->queue(held->lane).waiting.erase(held->place());
        held->state = HeldJob::State::resting;
    }
}

} // namespace fanfare::delivery
