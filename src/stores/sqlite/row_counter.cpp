#include "row_counter.hpp"

#include <fanfare/base/log.hpp>

#include <pthread.h>
#include <sched.h>
#include <utility>

namespace fanfare::stores {

RowCounter::RowCounter(const std::string& path, const std::string& vfs, std::string table,
                       std::string column, std::vector<Gauge*> gauges)
    : table_(std::move(table)), column_(std::move(column)), gauges_(std::move(gauges)),
      database_(path, Database::Mode::read_write, vfs) {
    database_.execute("PRAGMA query_only=1; BEGIN");
    // The first look fixes the moment.
    if (database_.number(("SELECT EXISTS (SELECT 1 FROM " + table_ + ")").c_str()) == 0) {
        database_.execute("COMMIT");
        return;
    }
    thread_ = std::thread{[this] { count(); }};
}

RowCounter::~RowCounter() {
    stopped_.store(true);
    if (thread_.joinable()) thread_.join();
}

void RowCounter::count() {
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

void RowCounter::read() {
    constexpr std::int64_t step = 1'000;
    Statement rows{database_, "SELECT " + column_ + " FROM " + table_};
    std::vector<std::int64_t> found(gauges_.size());
    const auto tell = [&] {
        for (std::size_t i = 0; i < found.size(); ++i) gauges_[i]->add(std::exchange(found[i], 0));
    };
    for (std::int64_t seen = 1; rows.step(); ++seen) {
        if (const auto value = static_cast<std::size_t>(rows.integer(0)); value < found.size())
            ++found[value];
        if (seen % step != 0) continue;
        tell();
        if (stopped_.load()) return;
    }
    tell();
}

} // namespace fanfare::stores
