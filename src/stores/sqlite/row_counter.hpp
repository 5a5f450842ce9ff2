#pragma once
// How many rows of a table there were when the process began. With millions of them that is read
// for seconds, so it has a thread and a connection of its own, and nobody waits for it: the figures
// rise to their value. It counts what was there at one moment, before the writer began; what has
// changed since is the writer's to count.

#include "database.hpp"

#include <fanfare/base/metrics.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace fanfare::stores {

class RowCounter {
  public:
    /// Rows are told apart by a column of small numbers: those of value i count into `gauges[i]`,
    /// those beyond them into none. Throws SqliteError.
    RowCounter(const std::string& path, const std::string& vfs, std::string table,
               std::string column, std::vector<Gauge*> gauges);
    /// Gives up if it is still counting.
    ~RowCounter();
    RowCounter(const RowCounter&) = delete;
    RowCounter& operator=(const RowCounter&) = delete;

  private:
    void count();
    void read();

    const std::string table_;
    const std::string column_;
    const std::vector<Gauge*> gauges_; // cells of its own
    Database database_;
    std::atomic<bool> stopped_{false};
    std::thread thread_;
};

} // namespace fanfare::stores
