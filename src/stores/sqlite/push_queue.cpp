#include "push_queue.hpp"

#include "device_values.hpp"

#include <fanfare/base/json_writer.hpp>
#include <fanfare/base/log.hpp>

#include <algorithm>
#include <utility>

namespace fanfare::stores {

using delivery::Event;
using delivery::PushCursor;
using delivery::PushJob;
using delivery::PushJobs;
using delivery::PushResult;
using delivery::PushResults;
using delivery::Settled;
using Fate = delivery::PushResult::Fate;

namespace {

constexpr std::size_t page_bytes_max = std::size_t{4} * 1024 * 1024;

/// What a timeline says of one device.
std::string detail_of(std::string_view device, const PushResult& result) {
    std::string text;
    JsonWriter json{text};
    json.begin_object().field("device", device).field("provider", result.provider);
    if (!result.app.empty()) json.field("app", result.app);
    if (result.outcome.status != 0)
        json.field("status", static_cast<std::uint64_t>(result.outcome.status));
    if (!result.outcome.reason.empty()) json.field("reason", result.outcome.reason);
    if (!result.outcome.provider_id.empty()) json.field("provider_id", result.outcome.provider_id);
    json.end_object();
    return text;
}

PushTurn turn_of(const PushResult& result) {
    return {static_cast<std::size_t>(result.lane), result.due, result.job};
}

PushJob job_of(const Statement& row) {
    PushJob job;
    job.id = row.integer(0);
    job.due = row.integer(1);
    job.attempts = static_cast<std::uint32_t>(row.integer(2));
    job.queued = row.integer(3);
    delivery::Notification& one = job.notification;
    one.user = row.text(4);
    one.offset = static_cast<std::uint64_t>(row.integer(5));
    one.id = id_of(row.blob(6));
    one.status = status_of(row.integer(7));
    one.priority = priority_of(row.integer(8));
    one.channels = static_cast<delivery::Channels>(row.integer(9));
    one.attempts = static_cast<std::uint32_t>(row.integer(10));
    one.created = row.integer(11);
    one.expires = row.integer(12);
    one.updated = row.integer(13);
    one.tried = row.integer(14);
    one.category = row.text(15);
    one.collapse_key = row.text(16);
    one.data = row.text(17);
    delivery::PushDevice& device = job.device;
    device.user = one.user;
    device.name = row.text(18);
    device.platform = platform_of(row.integer(19));
    device.token = row.text(20);
    device.p256dh = row.blob(21);
    device.auth = row.blob(22);
    device.app = row.text(23);
    device.locale = row.text(24);
    device.timezone = row.text(25);
    device.registered = row.integer(26);
    device.expires = row.integer(27);
    job.inbox = row.integer(28);
    job.device_row = row.integer(29);
    one.push_options = row.text(30);
    job.send = row.integer(31);
    return job;
}

} // namespace

struct SqlitePushQueue::ReadStatements {
    explicit ReadStatements(Database& db)
        : jobs(db, "SELECT j.id, j.due, j.attempts, j.queued, i.user, n.offset, n.id, n.status, "
                   "n.priority, n.channels, n.attempts, n.created, n.expires, n.updated, n.tried, "
                   "n.category, n.collapse_key, coalesce(j.content, " +
                       data_of("n") +
                       "), d.name, d.platform, "
                       "d.token, d.p256dh, "
                       "d.auth, d.app, d.locale, d.timezone, d.registered, d.expires, j.inbox, "
                       "j.device, " +
                       push_options_of("n") +
                       ", n.send "
                       "FROM push_jobs AS j LEFT JOIN inboxes AS i ON i.id = j.inbox "
                       "LEFT JOIN notifications AS n ON n.inbox = j.inbox AND n.offset = j.offset "
                       // The row of a device that went may be another user's now.
                       "LEFT JOIN devices AS d ON d.id = j.device AND d.user = i.user "
                       "WHERE j.lane = ?1 AND j.due <= ?2 AND (j.due, j.id) > (?3, ?4) "
                       "ORDER BY j.due, j.id LIMIT ?5"),
          next(db, "SELECT due FROM push_jobs WHERE lane = ?1 AND due > ?2 ORDER BY due LIMIT 1"),
          oldest(db, "SELECT queued FROM push_jobs WHERE lane = ?1 ORDER BY due, id LIMIT 1") {}
    Statement jobs;
    Statement next;
    Statement oldest;
};

SqlitePushQueue::SqlitePushQueue(Writer& writer, net::BlockingThread& reader,
                                 Database& reader_database, SqliteInbox& inbox, DeviceRows& devices)
    : writer_(writer), reader_(reader), inbox_(inbox), devices_(devices),
      read_(std::make_unique<ReadStatements>(reader_database)) {
    // What the process before left: its jobs are few against what else is in the file.
    Statement count{writer.database(),
                    "SELECT lane, count(*), max(id) FROM push_jobs GROUP BY lane"};
    std::int64_t last_id = 0;
    while (count.step()) {
        jobs_[static_cast<std::size_t>(priority_of(count.integer(0)))] = count.integer(1);
        last_id = std::max(last_id, count.integer(2));
    }
    inbox.push().ids_after(last_id);
}

SqlitePushQueue::~SqlitePushQueue() = default;

void SqlitePushQueue::on_work(std::function<void()> tell) {
    told_ = std::make_unique<const std::function<void()>>(std::move(tell));
    tell_.store(told_.get(), std::memory_order_release);
}

delivery::PushDepth SqlitePushQueue::depth(delivery::Priority lane) const {
    const auto at = static_cast<std::size_t>(lane);
    const std::int64_t jobs = jobs_[at].load(std::memory_order_relaxed);
    if (jobs <= 0) return {};
    return {static_cast<std::uint64_t>(jobs), oldest_[at].load(std::memory_order_relaxed)};
}

void SqlitePushQueue::settled(bool committed) noexcept {
    PushRows& push = inbox_.push();
    const auto tally = std::exchange(push.tally, {});
    const bool added = std::exchange(push.added, false);
    if (!committed) return;
    for (std::size_t lane = 0; lane < tally.size(); ++lane)
        if (tally[lane] != 0) jobs_[lane].fetch_add(tally[lane], std::memory_order_relaxed);
    if (!added) return;
    if (const auto* const tell = tell_.load(std::memory_order_acquire); tell != nullptr) (*tell)();
}

// --- reading ---

/// Jobs whose device was unregistered, or whose notification is no more.
class SqlitePushQueue::Drop final : public WriteTask {
  public:
    Drop(SqlitePushQueue& queue, std::vector<PushTurn> jobs)
        : queue_(queue), jobs_(std::move(jobs)) {}
    void apply() override {
        PushRows& push = queue_.inbox_.push();
        InboxRows& rows = queue_.inbox_.rows();
        const Moment moment = queue_.inbox_.moment();
        for (const PushTurn& turn : jobs_) {
            const std::optional<PushJobRow> job = push.find(turn);
            if (!job) continue;
            push.remove(turn);
            std::optional<NotificationRow> row = rows.at(job->inbox, job->offset);
            if (row && !push.any(job->inbox, job->offset)) rows.push_refused(*row, moment);
        }
    }
    void done() override {}

  private:
    SqlitePushQueue& queue_;
    const std::vector<PushTurn> jobs_;
};

class SqlitePushQueue::Read final : public net::BlockingTask {
  public:
    Read(SqlitePushQueue& queue, delivery::Priority lane, const PushCursor& after, WallMillis now,
         std::size_t limit, std::function<void(PushJobs)> tell)
        : queue_(queue), lane_(lane), after_(after), now_(now), limit_(limit),
          tell_(std::move(tell)) {}

    void run() override {
        try {
            look();
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
            found_ = {};
            found_.code = Code::unavailable;
            found_.detail = fault_text(error.code());
        }
        // An open one would keep the log from beginning anew.
        for (Statement* each : {&queue_.read_->jobs, &queue_.read_->next, &queue_.read_->oldest})
            each->reset();
    }
    void done() override {
        if (!orphans_.empty())
            queue_.writer_.post_always(std::make_unique<Drop>(queue_, std::move(orphans_)));
        tell_(std::move(found_));
    }

  private:
    void look() {
        ReadStatements& read = *queue_.read_;
        const auto lane = static_cast<int>(lane_);
        found_.end = after_;
        std::size_t bytes = 0;
        Statement& jobs = read.jobs.bind(lane, now_, after_.due, after_.id, limit_ + 1);
        while (jobs.step()) {
            found_.more = found_.jobs.size() == limit_ || bytes > page_bytes_max;
            if (found_.more) break;
            found_.end = {jobs.integer(1), jobs.integer(0)};
            if (jobs.is_null(4) || jobs.is_null(6) || jobs.is_null(18)) {
                orphans_.push_back(
                    {static_cast<std::size_t>(lane_), jobs.integer(1), jobs.integer(0)});
                continue;
            }
            found_.jobs.push_back(job_of(jobs));
            bytes += found_.jobs.back().notification.data.size() + 512;
        }
        if (!found_.more) {
            Statement& next = read.next.bind(lane, now_);
            if (next.step()) found_.next = next.integer(0);
        }
        Statement& oldest = read.oldest.bind(lane);
        queue_.oldest_[static_cast<std::size_t>(lane_)].store(oldest.step() ? oldest.integer(0) : 0,
                                                              std::memory_order_relaxed);
    }

    SqlitePushQueue& queue_;
    const delivery::Priority lane_;
    const PushCursor after_;
    const WallMillis now_;
    const std::size_t limit_;
    std::function<void(PushJobs)> tell_;
    PushJobs found_;
    std::vector<PushTurn> orphans_;
};

void SqlitePushQueue::read(delivery::Priority lane, const PushCursor& after, WallMillis now,
                           std::size_t limit, std::function<void(PushJobs)> done) {
    reader_.post(std::make_unique<Read>(*this, lane, after, now, limit, std::move(done)));
}

// --- settling ---

/// A batch is written in parts, each a task, so that what is urgent comes between them. Told twice,
/// since another part failed, a result finds no job and changes nothing.
class SqlitePushQueue::Settle final : public WriteTask {
  public:
    static constexpr std::size_t part_max = 64;
    /// What the parts of a batch share. On the reactor that asked.
    struct Whole {
        PushResults results;
        std::function<void(Settled)> tell;
        std::size_t parts = 0; // that are under way
        Settled settled;       // the first failure, if there is one
    };
    Settle(SqlitePushQueue& queue, std::shared_ptr<Whole> whole, std::size_t begin)
        : queue_(queue), whole_(std::move(whole)), begin_(begin),
          end_(std::min(begin + part_max, whole_->results->size())) {}

    [[nodiscard]] Lane lane() const noexcept override { return Lane::high; }
    [[nodiscard]] std::size_t bytes() const noexcept override { return operations() * 256; }
    [[nodiscard]] std::size_t operations() const noexcept override { return end_ - begin_; }
    [[nodiscard]] std::size_t cost() const noexcept override { return operations() * 4; }
    void apply() override {
        const Moment moment = queue_.inbox_.moment();
        for (std::size_t i = begin_; i < end_; ++i) settle((*whole_->results)[i], moment);
    }
    void done() override {
        if (code != Code::ok && whole_->settled.code == Code::ok) {
            whole_->settled.code = code;
            whole_->settled.detail = detail;
        }
        if (--whole_->parts == 0) whole_->tell(std::move(whole_->settled));
    }

  private:
    [[nodiscard]] PushRows& push() noexcept { return queue_.inbox_.push(); }
    [[nodiscard]] InboxRows& rows() noexcept { return queue_.inbox_.rows(); }

    void settle(const PushResult& result, const Moment& moment) {
        if (result.fate == Fate::sent) return settle_sent(result, moment);
        const std::optional<PushJobRow> job = push().find(turn_of(result));
        if (!job) return; // it was acknowledged meanwhile, or erased
        std::optional<NotificationRow> row = rows().at(job->inbox, job->offset);
        const std::optional<PushRows::DeviceName> device = push().device(job->device);
        if (!row || !device) {
            push().remove(job->turn);
            if (row) end(*row, moment);
            return;
        }
        const std::uint32_t attempts = job->attempts + (result.counts ? 1 : 0);
        const auto note = [&](Event event) {
            rows().note_push(*row, moment, event, attempts, detail_of(device->name, result));
        };
        switch (result.fate) {
        case Fate::sent:
            break;
        case Fate::again:
            push().postpone(*job, result.again_at, attempts);
            if (!result.counts) break;
            note(Event::push_retry);
            rows().push_waits(*row, moment);
            break;
        case Fate::dropped:
            drop(*job, *device, result, attempts, *row, moment);
            break;
        case Fate::dead:
            note(Event::push_failed);
            push().bury(*job, device->name, result, attempts, moment.now);
            end(*row, moment);
            break;
        case Fate::void_:
            push().remove(job->turn);
            end(*row, moment);
            break;
        }
    }

    /// Of a mass nearly all are sent: nothing is looked up that the result says.
    void settle_sent(const PushResult& result, const Moment& moment) {
        if (!push().remove(turn_of(result))) return; // it was acknowledged meanwhile, or erased
        rows().push_taken(result, moment, detail_of(result.device, result));
    }

    void drop(const PushJobRow& job, const PushRows::DeviceName& device, const PushResult& result,
              std::uint32_t attempts, NotificationRow& row, const Moment& moment) {
        if (queue_.devices_.remove_dead(device.platform, device.token, result.outcome.dead_since) ==
            0) {
            // Registered again since the service lost it: it is worth another attempt.
            push().postpone(job, moment.now, attempts);
            return;
        }
        rows().note_push(row, moment, Event::device_dropped, attempts,
                         detail_of(device.name, result));
        for (const PushJobRow& each : push().of_device(job.inbox, job.device)) {
            push().remove(each.turn);
            if (each.turn.id == job.turn.id)
                end(row, moment);
            else if (std::optional<NotificationRow> other = rows().at(each.inbox, each.offset))
                end(*other, moment);
        }
    }

    /// One of its jobs has ended without being taken.
    void end(NotificationRow& row, const Moment& moment) {
        if (!push().any(row.inbox, row.offset)) rows().push_refused(row, moment);
    }

    SqlitePushQueue& queue_;
    const std::shared_ptr<Whole> whole_;
    const std::size_t begin_;
    const std::size_t end_;
};

void SqlitePushQueue::settle(PushResults results, std::function<void(Settled)> done) {
    auto whole = std::make_shared<Settle::Whole>();
    whole->results = std::move(results);
    whole->tell = std::move(done);
    const std::size_t size = whole->results->size();
    whole->parts = std::max<std::size_t>((size + Settle::part_max - 1) / Settle::part_max, 1);
    std::size_t begin = 0;
    do {
        writer_.post_always(std::make_unique<Settle>(*this, whole, begin));
        begin += Settle::part_max;
    } while (begin < size);
}

} // namespace fanfare::stores
