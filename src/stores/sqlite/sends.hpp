#pragma once
// delivery::SendLog on SQLite: sends are made and placed with their notifications (inbox_place),
// what comes next of one is read on the reader's thread.

#include "inbox_log.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/delivery/send_log.hpp>

#include <atomic>
#include <functional>
#include <memory>

namespace fanfare::stores {

class SqliteSends final : public delivery::SendLog, public Chores {
  public:
    /// Before the writer starts.
    SqliteSends(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                SqliteInbox& inbox, Metrics& metrics);
    ~SqliteSends() override;

    void on_work(std::function<void()> tell) override;
    void next(delivery::Priority priority, std::int64_t after,
              std::function<void(delivery::SendSlice)> done) override;

    // Chores: counts at the end of each transaction; walks and rows whose time is over.
    void slice(std::size_t rows) override;
    void undo() noexcept override;
    void seal() override;
    void settled(bool committed) noexcept override;
    [[nodiscard]] MonoMillis due() const noexcept override { return due_; }

  private:
    class Next;
    struct ReadStatements;

    net::BlockingThread& reader_;
    SqliteInbox& inbox_;
    std::unique_ptr<ReadStatements> read_;              // the reader's thread
    std::unique_ptr<const std::function<void()>> told_; // set once
    std::atomic<const std::function<void()>*> tell_{nullptr};
    MonoMillis due_ = 0; // the writer's thread
    Gauge& open_;
    Counter& users_;
};

} // namespace fanfare::stores
