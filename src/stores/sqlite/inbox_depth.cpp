#include "inbox_depth.hpp"

#include <fanfare/base/log.hpp>

#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <utility>

namespace fanfare::stores {

InboxDepth::InboxDepth(const std::string& path, const std::string& vfs, Gauge& depth)
    : depth_(depth), database_(path, Database::Mode::read_write, vfs) {
    database_.execute("PRAGMA query_only=1; BEGIN");
    // The first look fixes the moment.
    if (database_.number("SELECT EXISTS (SELECT 1 FROM notifications)") == 0) {
        database_.execute("COMMIT");
        return;
    }
    thread_ = std::thread{[this] { count(); }};
}

InboxDepth::~InboxDepth() {
    stopped_.store(true);
    if (thread_.joinable()) thread_.join();
}

void InboxDepth::count() {
    ::pthread_setname_np(::pthread_self(), "fanfare-counter");
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_BATCH, &none);
    try {
        read();
        database_.execute("COMMIT"); // an open one would keep the log from beginning anew
    } catch (const SqliteError& error) {
        log::error("store_read_failed", {{"error", error.what()}, {"code", error.code()}});
        database_.close();
    }
}

void InboxDepth::read() {
    constexpr std::int64_t step = 1'000;
    Statement rows{database_, "SELECT status FROM notifications"};
    std::int64_t pending = 0;
    for (std::int64_t seen = 1; rows.step(); ++seen) {
        if (rows.integer(0) == 0) ++pending;
        if (seen % step != 0) continue;
        depth_.add(std::exchange(pending, 0));
        if (stopped_.load()) return;
    }
    depth_.add(pending);
}

} // namespace fanfare::stores
