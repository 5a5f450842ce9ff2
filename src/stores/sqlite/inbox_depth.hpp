#pragma once
// How many notifications were pending when the process began. With millions of them that is read
// for seconds, so it has a thread and a connection of its own, and nobody waits for it: the figure
// rises to its value. It counts what was there at one moment, before the writer began; what has
// changed since is the writer's to count.

#include "database.hpp"

#include <fanfare/base/metrics.hpp>

#include <atomic>
#include <string>
#include <thread>

namespace fanfare::stores {

class InboxDepth {
  public:
    /// `depth`: a cell of its own. Throws SqliteError.
    InboxDepth(const std::string& path, const std::string& vfs, Gauge& depth);
    /// Gives up if it is still counting.
    ~InboxDepth();
    InboxDepth(const InboxDepth&) = delete;
    InboxDepth& operator=(const InboxDepth&) = delete;

  private:
    void count();
    void read();

    Gauge& depth_;
    Database database_;
    std::atomic<bool> stopped_{false};
    std::thread thread_;
};

} // namespace fanfare::stores
