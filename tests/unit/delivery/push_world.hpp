#pragma once
// A dispatcher over a queue and providers that do what the test says, on a reactor that it turns by
// hand and under a clock that it moves.

#include "support/manual_clock.hpp"

#include <fanfare/delivery/dispatcher.hpp>
#include <fanfare/net/reactor.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace fanfare::delivery::test {

using namespace std::chrono_literals;
using Fate = PushResult::Fate;

/// Rows in memory with the rules of the store: a read sees what is there when it is asked, and is
/// answered later; a settlement happens as a whole, or not.
class MemoryQueue final : public PushQueue {
  public:
    explicit MemoryQueue(net::Reactor& reactor) : reactor_(reactor) {}
    void on_work(std::function<void()> tell) override { tell_ = std::move(tell); }
    void read(Priority lane, const PushCursor& after, WallMillis now, std::size_t limit,
              std::function<void(PushJobs)> done) override {
        ++reads;
        PushJobs page;
        page.end = after;
        if (read_fails) {
            page.code = Code::unavailable;
            page.detail = "the disk is gone";
            return answer(reads_held, [page, done] { done(page); });
        }
        const auto& rows = lanes_[static_cast<std::size_t>(lane)];
        for (auto at = rows.upper_bound(after); at != rows.end(); ++at) {
            if (at->first.due > now) {
                page.next = at->first.due;
                break;
            }
            if (page.jobs.size() == limit) {
                page.more = true;
                break;
            }
            page.jobs.push_back(at->second);
            page.end = at->first;
        }
        jobs_read += page.jobs.size();
        answer(reads_held, [page = std::move(page), done] { done(page); });
    }
    void settle(PushResults batch, std::function<void(Settled)> done) override {
        ++settles;
        largest_batch = std::max(largest_batch, batch->size());
        under_way_max = std::max(under_way_max, ++under_way_);
        Settled settled;
        if (settle_fails) {
            settled.code = Code::unavailable;
            settled.detail = "the disk is full";
        } else {
            for (const PushResult& result : *batch) apply(result, settled.changes);
        }
        answer(settles_held, [this, settled = std::move(settled), done] {
            --under_way_;
            done(settled);
        });
    }
    [[nodiscard]] PushDepth depth(Priority lane) const override {
        const auto& rows = lanes_[static_cast<std::size_t>(lane)];
        if (rows.empty()) return {};
        return {rows.size(), rows.begin()->second.queued};
    }

    /// As the store: it is there, and `tell` is called unless the test says otherwise.
    std::int64_t put(PushJob job, bool telling = true) {
        job.id = ++last_id_;
        places_[job.id] = {job.notification.priority, {job.due, job.id}};
        lanes_[static_cast<std::size_t>(job.notification.priority)].emplace(
            PushCursor{job.due, job.id}, job);
        if (telling && tell_) tell_();
        return job.id;
    }
    /// An acknowledgement.
    void remove(const NotificationId& id) {
        for (auto& rows : lanes_)
            for (auto at = rows.begin(); at != rows.end();) {
                const auto next = std::next(at);
                if (at->second.notification.id == id) erase(at->second.id);
                at = next;
            }
    }
    void tell() const { tell_(); }
    [[nodiscard]] const PushJob* find(std::int64_t id) const {
        const auto at = places_.find(id);
        if (at == places_.end()) return nullptr;
        return &lanes_[static_cast<std::size_t>(at->second.first)].at(at->second.second);
    }
    [[nodiscard]] std::size_t size() const { return places_.size(); }
    void release(std::optional<std::deque<std::function<void()>>>& held) {
        auto released = std::move(held.value());
        held.reset();
        for (auto& each : released)
            reactor_.post(
                [each = std::make_shared<std::function<void()>>(std::move(each))] { (*each)(); });
    }

    bool read_fails = false;
    bool settle_fails = false;
    std::optional<std::deque<std::function<void()>>> reads_held; // if set, answers wait in it
    std::optional<std::deque<std::function<void()>>> settles_held;
    std::size_t reads = 0;
    std::size_t jobs_read = 0;
    std::size_t settles = 0;
    std::size_t largest_batch = 0;
    std::size_t under_way_max = 0;
    std::vector<PushResult> results;  // settled
    std::map<std::int64_t, int> ends; // how often a job came to an end
    std::size_t unknown = 0;          // results of what is no job

  private:
    void answer(std::optional<std::deque<std::function<void()>>>& held,
                std::function<void()> done) {
        if (held) return held->push_back(std::move(done));
        reactor_.post(
            [done = std::make_shared<std::function<void()>>(std::move(done))] { (*done)(); });
    }
    void erase(std::int64_t id) {
        const auto [lane, place] = places_.at(id);
        lanes_[static_cast<std::size_t>(lane)].erase(place);
        places_.erase(id);
    }
    void apply(PushResult result, std::vector<StatusChange>& changes) {
        results.push_back(result);
        const auto at = places_.find(result.job);
        if (at == places_.end()) {
            ++unknown;
            return;
        }
        auto& rows = lanes_[static_cast<std::size_t>(at->second.first)];
        PushJob job = rows.at(at->second.second);
        if (result.counts) ++job.attempts;
        erase(job.id);
        if (result.fate == Fate::again) {
            job.due = result.again_at;
            places_[job.id] = {job.notification.priority, {job.due, job.id}};
            rows.emplace(PushCursor{job.due, job.id}, job);
            return;
        }
        ++ends[job.id];
        if (result.fate == Fate::sent)
            changes.push_back({job.notification.id, Status::sent, 0, Event::sent});
        if (result.fate == Fate::dropped) drop(job.device.token);
    }
    void drop(const std::string& token) {
        std::vector<std::int64_t> ids;
        for (const auto& rows : lanes_)
            for (const auto& [place, job] : rows)
                if (job.device.token == token) ids.push_back(job.id);
        for (const std::int64_t id : ids) {
            erase(id);
            ++ends[id];
        }
    }

    net::Reactor& reactor_;
    std::function<void()> tell_;
    std::array<std::map<PushCursor, PushJob>, 4> lanes_;
    std::map<std::int64_t, std::pair<Priority, PushCursor>> places_;
    std::int64_t last_id_ = 0;
    std::size_t under_way_ = 0;
};

/// Takes as much as `capacity` says, and answers when the test does, or by its script.
class ScriptedProvider final : public Provider {
  public:
    explicit ScriptedProvider(std::string name, std::size_t places = 1'000, std::string app = {})
        : capacity(places), name_(std::move(name)), app_(std::move(app)) {}
    struct Call {
        NotificationId id;
        std::string title;
        std::string user;
        std::string token;
        Priority priority = Priority::normal;
        std::function<void(PushOutcome)> done;
    };

    [[nodiscard]] std::string_view name() const noexcept override { return name_; }
    [[nodiscard]] std::string_view app() const noexcept override { return app_; }
    [[nodiscard]] Error check(const PushContent& content) const override {
        if (content.title == "too large") return {Code::too_large, "4,097 bytes of 4,096", {}};
        return {};
    }
    [[nodiscard]] std::size_t room() const noexcept override {
        return capacity - std::min(capacity, calls.size());
    }
    void send(const NotificationId& id, const PushContent& content, const PushDevice& device,
              std::function<void(PushOutcome)> done) override {
        if (room() == 0) FAIL_CHECK("sent without room");
        for (const Call& call : calls)
            if (call.id == id && call.token == device.token) FAIL_CHECK("two in flight of one job");
        sent.emplace_back(content.title);
        Call call{id,           std::string{content.title}, device.user,
                  device.token, content.priority,           std::move(done)};
        if (script)
            if (const auto outcome = script(call)) return call.done(*outcome);
        calls.push_back(std::move(call));
    }
    [[nodiscard]] std::size_t in_flight(Priority lane) const {
        return static_cast<std::size_t>(
            std::count_if(calls.begin(), calls.end(),
                          [lane](const Call& call) { return call.priority == lane; }));
    }

    std::size_t capacity;
    std::function<std::optional<PushOutcome>(const Call&)> script; // nothing: it waits
    std::deque<Call> calls;                                        // in flight
    std::vector<std::string> sent;                                 // titles, in order

  private:
    std::string name_;
    std::string app_;
};

inline PushOutcome outcome(PushVerdict verdict, int status = 0) {
    PushOutcome made;
    made.verdict = verdict;
    made.status = status;
    made.reason = "as scripted";
    return made;
}
inline const PushOutcome taken = outcome(PushVerdict::done, 200);
inline const PushOutcome failing = outcome(PushVerdict::later, 503);
inline PushOutcome unseen() {
    PushOutcome made = outcome(PushVerdict::later);
    made.not_attempted = true;
    return made;
}

struct PushWorld {
    PushWorld() {
        options.user_rate_per_minute = 0;
        options.deadline = 24h; // what is not answered in a test is in flight
    }
    void start() {
        dispatcher = std::make_unique<Dispatcher>(
            reactor, queue,
            [this](const PushDevice& device) -> Provider* {
                if (device.app == "shop") return device.platform == Platform::ios ? &shop : nullptr;
                if (device.platform == Platform::ios) return ios;
                return device.platform == Platform::android ? android : nullptr;
            },
            options,
            [this](const std::vector<StatusChange>& told) {
                changes.insert(changes.end(), told.begin(), told.end());
            });
        run([this] { dispatcher->start(); });
    }

    /// Of a user "u", for an own device.
    PushJob job(const std::string& title, Priority priority = Priority::normal,
                Platform platform = Platform::ios) {
        PushJob made;
        made.notification.id = NotificationId::make(clock.wall());
        made.notification.priority = priority;
        made.notification.data = R"({"title":")" + title + R"("})";
        made.notification.expires = clock.wall() + 86'400'000;
        made.device.user = "u";
        made.device.platform = platform;
        made.device.token = "token-" + std::to_string(++tokens);
        made.due = made.queued = clock.wall();
        return made;
    }
    std::int64_t put(const std::string& title, Priority priority = Priority::normal,
                     Platform platform = Platform::ios) {
        return queue.put(job(title, priority, platform));
    }
    void put_many(std::size_t count, Priority priority = Priority::normal,
                  Platform platform = Platform::ios) {
        for (std::size_t i = 0; i < count; ++i)
            queue.put(job(std::to_string(i), priority, platform), false);
        if (dispatcher) queue.tell();
    }

    void run(const std::function<void()>& act) {
        {
            const net::Reactor::Scope scope{reactor};
            act();
        }
        settle();
    }
    void settle() {
        for (int round = 0; round < 4; ++round) reactor.run_turn();
    }
    void settle_until(const std::function<bool()>& condition) {
        for (int round = 0; round < 20'000 && !condition(); ++round) reactor.run_turn();
        REQUIRE(condition());
    }
    void pass(std::chrono::milliseconds time, std::chrono::milliseconds step = 25ms) {
        for (; time.count() > 0; time -= step) {
            clock.advance(std::min(time, step));
            reactor.run_turn();
        }
        settle();
    }
    /// Answers the one that waits longest.
    void answer(ScriptedProvider& provider, const PushOutcome& with) {
        REQUIRE_FALSE(provider.calls.empty());
        const auto call = std::move(provider.calls.front());
        provider.calls.pop_front();
        run([&] { call.done(with); });
    }
    void answer_all(ScriptedProvider& provider, const PushOutcome& with) {
        run([&] {
            for (const auto& call : std::exchange(provider.calls, {})) call.done(with);
        });
    }
    [[nodiscard]] std::string text() const { return metrics.text(); }

    fanfare::test::ManualClock clock;
    Metrics metrics;
    net::Reactor reactor{0, clock, metrics};
    MemoryQueue queue{reactor};
    ScriptedProvider apns{"apns"};
    ScriptedProvider fcm{"fcm"};
    ScriptedProvider shop{"apns", 1'000, "shop"};
    Provider* ios = &apns;
    Provider* android = &fcm;
    PushOptions options;
    std::vector<StatusChange> changes;
    int tokens = 0;
    std::unique_ptr<Dispatcher> dispatcher;
};

} // namespace fanfare::delivery::test
