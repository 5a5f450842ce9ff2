// Time moves notifications too: what is not acknowledged expires, and what is over is kept for a
// while. One index tells which row must be looked at next.

#include "inbox_log.hpp"

#include <algorithm>
#include <chrono>
#include <set>

namespace fanfare::stores {

using delivery::Event;
using delivery::Status;

namespace {

/// Between two looks at the index, when nothing was left over.
constexpr std::chrono::milliseconds slice_interval{200};
constexpr std::chrono::milliseconds keys_interval{10'000};
/// The wall clock may be set meanwhile.
constexpr std::chrono::milliseconds longest_wait{10'000};
constexpr std::chrono::milliseconds retry_interval{1'000};

} // namespace

void SqliteInbox::sweep_by(WallMillis time) {
    const std::int64_t wait = std::max<std::int64_t>(time - system_clock().wall(), 0);
    due_ = std::min(due_, system_clock().mono() + wait);
}

std::size_t SqliteInbox::sweep(std::size_t rows, const Moment& moment) {
    std::set<std::int64_t> thinned;
    InboxRows::Rows found = rows_.sweepable(moment.now, rows);
    for (NotificationRow& row : found) {
        if (delivery::is_final(row.status)) {
            // What was sent stood in line for its end, not for that of its record.
            if (row.expires + moment.options.keep.count() > moment.now) {
                rows_.keep(row, row.expires + moment.options.keep.count());
                continue;
            }
            rows_.remove(row);
            thinned.insert(row.inbox);
            continue;
        }
        rows_.move(row, Status::expired, Event::expired, moment, {});
        rows_.untold.push_back({row.id, Status::expired, moment.now, Event::expired});
    }
    for (const std::int64_t inbox : thinned)
        if (live_.find(rows_.user_of(inbox)) == nullptr) rows_.drop_if_empty(inbox);
    return found.size();
}

/// Whoever was sent it is gone, and nobody else asks for what is due: its time is ours to see.
void SqliteInbox::escalate(std::size_t rows, const Moment& moment) {
    for (NotificationRow& row : rows_.overdue(moment.now, rows)) {
        const std::string user = rows_.user_of(row.inbox);
        if (live_.find(user) == nullptr) rows_.spend(row, user, moment);
    }
}

void SqliteInbox::slice(std::size_t rows) {
    const MonoMillis now = system_clock().mono();
    const Moment moment = this->moment();
    const std::size_t swept = sweep(rows, moment);
    if (!moment.options.pushes_to.empty()) escalate(rows, moment);
    if (now >= keys_due_)
        keys_due_ = rows_.forget_keys(moment.now, rows) == rows ? now : now + keys_interval.count();
    std::int64_t wait = longest_wait.count();
    if (const std::optional<WallMillis> next = rows_.next_sweep())
        wait = std::min(wait, *next - moment.now);
    if (!moment.options.pushes_to.empty())
        if (const std::optional<WallMillis> next = rows_.next_overdue(moment.now))
            wait = std::min(wait, *next - moment.now);
    wait = swept == rows ? 0 : std::max(wait, slice_interval.count());
    due_ = std::min(now + wait, std::max(keys_due_, now));
}

void SqliteInbox::undo() noexcept {
    due_ = keys_due_ = system_clock().mono() + retry_interval.count();
}

} // namespace fanfare::stores
