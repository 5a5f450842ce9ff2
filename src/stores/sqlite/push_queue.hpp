#pragma once
// delivery::PushQueue on SQLite: jobs are made and cancelled with their notifications (inbox_rows),
// read on the reader's thread, and settled on the writer's.

#include "inbox_log.hpp"

#include <fanfare/delivery/push_queue.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

namespace fanfare::stores {

class SqlitePushQueue final : public delivery::PushQueue, public Chores {
  public:
    /// Before the writer starts.
    SqlitePushQueue(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                    SqliteInbox& inbox, DeviceRows& devices);
    ~SqlitePushQueue() override;

    void on_work(std::function<void()> tell) override;
    void read(delivery::Priority lane, const delivery::PushCursor& after, WallMillis now,
              std::size_t limit, std::function<void(delivery::PushJobs)> done) override;
    void settle(delivery::PushResults results,
                std::function<void(delivery::Settled)> done) override;
    [[nodiscard]] delivery::PushDepth depth(delivery::Priority lane) const override;

    // Chores: none, but what a transaction did to the queue is counted.
    void settled(bool committed) noexcept override;

  private:
    class Read;
    class Settle;
    class Drop;
    struct ReadStatements;

    Writer& writer_;
    net::BlockingThread& reader_;
    SqliteInbox& inbox_;
    DeviceRows& devices_;
    std::unique_ptr<ReadStatements> read_;              // the reader's thread
    std::unique_ptr<const std::function<void()>> told_; // set once
    std::atomic<const std::function<void()>*> tell_{nullptr};
    // Written by the writer's thread, the oldest by the reader's; read by any.
    std::array<std::atomic<std::int64_t>, priority_count> jobs_{};
    std::array<std::atomic<WallMillis>, priority_count> oldest_{};
};

} // namespace fanfare::stores
