#pragma once
// delivery::InboxLog on SQLite: what changes an inbox on the writer's thread, questions on the
// reader's. Design: docs/decisions/0013-inbox.md.

#include "database.hpp"
#include "device_rows.hpp"
#include "inbox_rows.hpp"
#include "live_users.hpp"
#include "row_counter.hpp"
#include "writer.hpp"

#include <fanfare/base/metrics.hpp>
#include <fanfare/delivery/inbox_log.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace fanfare::stores {

class SqliteInbox final : public delivery::InboxLog, public Chores {
  public:
    /// `reader`: runs on `reader_database`. `devices`: of the same writer, and whoever owns them
    /// counts them; a user that is erased loses those too. Before the writer starts.
    SqliteInbox(Writer& writer, net::BlockingThread& reader, Database& reader_database,
                DeviceRows& devices, const SqliteOptions& options, Metrics& metrics);
    ~SqliteInbox() override;

    void set_options(const delivery::InboxOptions& options) override;
    void on_changes(std::function<void(std::vector<delivery::StatusChange>)> tell) override;

    [[nodiscard]] bool place(delivery::Order order,
                             std::function<void(delivery::Placed)> done) override;
    [[nodiscard]] bool page(delivery::PageWish wish,
                            std::function<void(delivery::Page)> done) override;
    void leave(const std::string& user, const std::string& session) override;
    [[nodiscard]] bool take_due(const std::string& user,
                                std::function<void(delivery::Due)> done) override;
    void give_back(const std::string& user, std::vector<room::MessageRef> messages) override;
    [[nodiscard]] bool acknowledge(delivery::Ack ack, bool count_unread,
                                   std::function<void(delivery::Acked)> done) override;
    [[nodiscard]] bool erase(const std::string& user, const Epoch& fresh,
                             std::function<void(delivery::Erased)> done) override;

    void view(delivery::InboxQuery query, std::function<void(delivery::InboxView)> done) override;
    void find(const delivery::NotificationId& id, bool timeline,
              std::function<void(delivery::Found)> done) override;
    void
    timelines(const std::string& user, std::vector<std::uint64_t> offsets,
              std::function<void(std::vector<std::vector<delivery::TimelineEntry>>)> done) override;

    /// For the push queue and dead letters; the writer's thread only.
    [[nodiscard]] InboxRows& rows() noexcept { return rows_; }
    [[nodiscard]] PushRows& push() noexcept { return push_; }
    [[nodiscard]] SendRows& sends() noexcept { return sends_; }
    [[nodiscard]] Moment moment() const;
    /// By then, the sweep looks again.
    void sweep_by(WallMillis time);

    // Chores: what expires, records whose time is over, and keys.
    void slice(std::size_t rows) override;
    void undo() noexcept override;
    [[nodiscard]] MonoMillis due() const noexcept override { return due_; }
    void settled(bool committed) noexcept override;

  private:
    using Tell = std::function<void(std::vector<delivery::StatusChange>)>;
    class UserTask;
    class Place;
    class TakePage;
    class Leave;
    class TakeDue;
    class GiveBack;
    class Acknowledge;
    class Erase;
    class Question;
    class View;
    class Find;
    class Timelines;
    struct ReadStatements;

    [[nodiscard]] std::size_t sweep(std::size_t rows, const Moment& moment);
    void escalate(std::size_t rows, const Moment& moment);

    Writer& writer_;
    net::BlockingThread& reader_;
    // Any thread. A reload may be seen in parts: each means something alone.
    std::atomic<std::chrono::milliseconds> ack_timeout_{delivery::InboxOptions{}.ack_timeout};
    std::atomic<std::size_t> attempts_{delivery::InboxOptions{}.attempts};
    std::atomic<std::chrono::milliseconds> keep_{delivery::InboxOptions{}.keep};
    /// It changes with a start only; each that was ever set is kept, since it may be read.
    std::vector<std::unique_ptr<const delivery::PushReach>> reaches_;
    std::mutex reaches_mutex_; // of who sets options: rare, and nobody else waits
    std::atomic<const delivery::PushReach*> pushes_to_{nullptr};
    std::unique_ptr<const Tell> told_; // set once
    std::atomic<const Tell*> tell_{nullptr};
    std::unique_ptr<ReadStatements> read_; // the reader's thread
    // the writer's thread only
    PushRows push_;
    SendRows sends_;
    InboxRows rows_;
    DeviceRows& devices_;
    LiveUsers live_;
    MonoMillis due_ = 0;
    MonoMillis keys_due_ = 0;
    // instruments, written by the writer's thread
    Gauge& depth_;
    Counter& redeliveries_;
    std::array<Counter*, delivery::status_count> moves_{};
    RowCounter counted_; // what was pending before
};

} // namespace fanfare::stores
