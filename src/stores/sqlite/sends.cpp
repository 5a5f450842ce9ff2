#include "sends.hpp"

#include "inbox_values.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace fanfare::stores {

using delivery::Audience;
using delivery::SendLog;
using delivery::SendSlice;
using delivery::SendStep;

namespace {

/// Between two looks, when nothing was left over; and the wall clock may be set meanwhile.
constexpr std::int64_t shortest_wait_ms = 200;
constexpr std::int64_t longest_wait_ms = 10'000;
constexpr std::int64_t retry_ms = 1'000;

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (true) {
        const std::size_t end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return lines;
        text.remove_prefix(end + 1);
    }
}

} // namespace

struct SqliteSends::ReadStatements {
    explicit ReadStatements(Database& db)
        : database(db),
          pick(db, "SELECT p.send, p.place, p.after, s.public, s.target, s.topic, s.priority, "
                   "s.channels, s.created, s.expires, s.category, s.collapse_key, s.data "
                   "FROM send_progress p JOIN sends s ON s.id = p.send "
                   "WHERE p.expanded IS NULL AND p.lane = ?1 AND p.send > ?2 "
                   "ORDER BY p.send LIMIT 1"),
          users(db, "SELECT place, users FROM send_users WHERE send = ?1 AND place > ?2 "
                    "ORDER BY place LIMIT 2"),
          topic(db, "SELECT t.device, d.user FROM device_topics t CROSS JOIN devices d ON "
                    "d.id = t.device WHERE t.topic = ?1 AND t.device > ?2 AND "
                    "(d.expires IS NULL OR d.expires > ?3) ORDER BY t.device LIMIT ?4"),
          broadcast(db, "SELECT DISTINCT user FROM devices WHERE user > ?1 AND "
                        "(expires IS NULL OR expires > ?2) ORDER BY user LIMIT ?3") {}
    Database& database;
    Statement pick;
    Statement users;
    Statement topic;
    Statement broadcast;
};

SqliteSends::SqliteSends(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                         SqliteInbox& inbox, Metrics& metrics)
    : reader_(reader), inbox_(inbox), read_(std::make_unique<ReadStatements>(reader_database)),
      open_(metrics.gauge("sends_open", "Sends whose audience is being placed.")),
      users_(metrics.counter("send_users_total", "Users for whom a send was placed.")) {
    open_.set(
        writer.database().number("SELECT count(*) FROM send_progress WHERE expanded IS NULL"));
}

SqliteSends::~SqliteSends() = default;

void SqliteSends::on_work(std::function<void()> tell) {
    told_ = std::make_unique<const std::function<void()>>(std::move(tell));
    tell_.store(told_.get(), std::memory_order_release);
}

// --- the writer's thread ---

void SqliteSends::slice(std::size_t rows) {
    const MonoMillis now = system_clock().mono();
    const Moment moment = inbox_.moment();
    SendRows& sends = inbox_.sends();
    if (sends.sweep(moment.now, moment.options.keep, rows) == rows) {
        due_ = now;
        return;
    }
    std::int64_t wait = longest_wait_ms;
    if (const std::optional<WallMillis> next = sends.next_sweep())
        wait = std::clamp(*next - moment.now, shortest_wait_ms, longest_wait_ms);
    due_ = now + wait;
}

void SqliteSends::undo() noexcept {
    due_ = system_clock().mono() + retry_ms;
}

void SqliteSends::seal() {
    inbox_.sends().seal(system_clock().wall());
}

void SqliteSends::settled(bool committed) noexcept {
    SendRows& sends = inbox_.sends();
    const SendTally tally = sends.tally;
    const std::optional<WallMillis> soonest = sends.soonest;
    const bool added = sends.added;
    const std::vector<SendRows::Ended> ended = std::exchange(sends.ended, {});
    sends.settled();
    if (!committed) return;
    for (const SendRows::Ended& one : ended)
        log::info("send_expanded",
                  {{"send", one.id.text()}, {"users", one.accepted}, {"expired", one.cut}});
    open_.add(tally.open);
    users_.add(tally.users);
    if (!soonest) return;
    const std::int64_t wait = std::max<std::int64_t>(*soonest - system_clock().wall(), 0);
    due_ = std::min(due_, system_clock().mono() + wait);
    if (!added) return;
    if (const auto* const tell = tell_.load(std::memory_order_acquire); tell != nullptr) (*tell)();
}

// --- the reader's thread ---

class SqliteSends::Next final : public net::BlockingTask {
  public:
    Next(SqliteSends& sends, delivery::Priority priority, std::int64_t after,
         std::function<void(SendSlice)> tell)
        : read_(*sends.read_), priority_(priority), after_(after), tell_(std::move(tell)) {}

    void run() override {
        try {
            read_.database.execute("BEGIN"); // one moment for all
            look();
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
            slice_ = {};
            slice_.code = Code::unavailable;
            slice_.detail = fault_text(error.code());
        }
        end();
    }
    void done() override { tell_(std::move(slice_)); }

  private:
    void look() {
        if (!pick(after_) && (after_ == 0 || !pick(0))) {
            slice_.none = true;
            return;
        }
        switch (order().audience->kind) {
        case Audience::Kind::users:
            return walk_users();
        case Audience::Kind::topic:
            return walk_topic();
        case Audience::Kind::broadcast:
            return walk_all();
        }
    }

    [[nodiscard]] bool pick(std::int64_t after) {
        Statement& row = read_.pick.bind(static_cast<int>(priority_), after);
        if (!row.step()) return false;
        SendStep step;
        step.send = row.integer(0);
        step.from = {row.integer(1), std::string{row.text(2)}};
        step.to = step.from;
        step.id = id_of(row.blob(3));
        order().step = step;
        order().audience = Audience{audience_of(row.integer(4)), std::string{row.text(5)}};
        order().priority = priority_of(row.integer(6));
        order().channels = static_cast<delivery::Channels>(row.integer(7));
        order().created = row.integer(8);
        order().expires = row.integer(9);
        order().category = row.text(10);
        order().collapse_key = row.text(11);
        order().data = row.text(12);
        row.reset();
        return true;
    }

    void walk_users() {
        Statement& rows = read_.users.bind(step().send, step().from.place);
        if (rows.step()) {
            step().to.place = rows.integer(0);
            order().users = lines_of(rows.text(1));
        }
        step().last = !rows.step();
    }

    void walk_topic() {
        std::unordered_set<std::string> met;
        std::size_t devices = 0;
        Statement& rows = read_.topic.bind(std::string_view{order().audience->topic},
                                           step().from.place, now_, SendLog::slice_max);
        for (; rows.step(); ++devices) {
            step().to.place = rows.integer(0);
            std::string user{rows.text(1)};
            if (met.insert(user).second) order().users.push_back(std::move(user));
        }
        step().last = devices < SendLog::slice_max;
    }

    void walk_all() {
        Statement& rows =
            read_.broadcast.bind(std::string_view{step().from.user}, now_, SendLog::slice_max);
        while (rows.step()) order().users.emplace_back(rows.text(0));
        step().last = order().users.size() < SendLog::slice_max;
        if (!order().users.empty()) step().to.user = order().users.back();
    }

    void end() noexcept {
        for (Statement* each : {&read_.pick, &read_.users, &read_.topic, &read_.broadcast})
            each->reset(); // an open one would keep the log from beginning anew
        if (!read_.database.in_transaction()) return;
        try {
            read_.database.execute("COMMIT");
        } catch (const SqliteError& error) {
            log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
        }
    }

    [[nodiscard]] delivery::Order& order() noexcept { return slice_.order; }
    [[nodiscard]] SendStep& step() noexcept { return *slice_.order.step; }

    ReadStatements& read_;
    const delivery::Priority priority_;
    const std::int64_t after_;
    const WallMillis now_ = system_clock().wall();
    std::function<void(SendSlice)> tell_;
    SendSlice slice_;
};

void SqliteSends::next(delivery::Priority priority, std::int64_t after,
                       std::function<void(SendSlice)> done) {
    reader_.post(std::make_unique<Next>(*this, priority, after, std::move(done)));
}

} // namespace fanfare::stores
