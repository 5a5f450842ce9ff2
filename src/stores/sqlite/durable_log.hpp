#pragma once
// room::DurableLog on SQLite: appends, trims and the sweep on the writer's thread, reads on the
// reader's.

#include "database.hpp"
#include "writer.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/room/durable_log.hpp>
#include <fanfare/room/rules.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace fanfare::stores {

/// What keeps how long: replaced as a whole by a reload.
struct Retention {
    room::RulesRef rules;
    std::chrono::milliseconds position_ttl{};
};

class SqliteLog final : public room::DurableLog, public Chores {
  public:
    /// `reader`: runs on `reader_database`.
    SqliteLog(Writer& writer, net::BlockingThread& reader, Database& reader_database,
              std::chrono::milliseconds key_window, std::shared_ptr<const Retention> retention);
    ~SqliteLog() override;

    void set_retention(std::shared_ptr<const Retention> retention) {
        retention_.store(std::move(retention));
    }

    void open(std::string_view room, std::uint64_t room_hash, const Epoch& fresh,
              const room::LogRange& recent, std::function<void(room::OpenedRoom)> done) override;
    [[nodiscard]] room::LoggedRoomRef adopt(std::string_view room, const Position& newest) override;
    [[nodiscard]] bool append(const room::LoggedRoomRef& room, const room::MessageRef& message,
                              WallMillis time, const room::IdempotencyKey* key, std::uint32_t part,
                              std::function<void(const room::Appended&)> done) override;
    void read(const room::LoggedRoomRef& room, const room::LogRange& range,
              std::function<void(room::LoggedMessages)> done) override;
    void trim(const room::LoggedRoomRef& room, std::uint64_t first) override;
    void erase(const room::LoggedRoomRef& room) override;

    // Chores: the sweep over all rooms and keys, and what `trim` asked for.
    void slice(std::size_t rows) override;
    void undo() noexcept override;
    [[nodiscard]] MonoMillis due() const noexcept override { return due_; }

  private:
    class Place; // LoggedRoom
    class Append;
    class Erase;
    class Trim;
    class Open;
    class Read;
    struct WriteStatements;
    struct ReadStatements;
    struct Rows;
    struct TrimWish {
        std::int64_t room;
        std::uint64_t first;
    };

    void ensure_row(Place& place);
    /// Deletes what is below `first` or before `not_before`, the oldest first, at most `rows` of
    /// it. Returns how many were deleted.
    std::size_t drop_oldest(std::int64_t room, std::uint64_t first, WallMillis not_before,
                            std::size_t rows);
    std::size_t sweep_room(std::int64_t id, std::string_view name, std::int64_t used,
                           const Retention& retention, std::size_t rows);

    Writer& writer_;
    net::BlockingThread& reader_;
    const std::chrono::milliseconds key_window_;
    std::atomic<std::shared_ptr<const Retention>> retention_;
    std::unique_ptr<WriteStatements> write_; // the writer's thread
    std::unique_ptr<ReadStatements> read_;   // the reader's thread
    // the writer's thread only
    std::uint32_t generation_ = 1; // of the rooms table: rows that a place knew may be gone
    std::deque<TrimWish> trims_;
    std::int64_t swept_to_ = 0; // id of the room that the sweep looked at last
    MonoMillis due_ = 0;
    MonoMillis pass_began_ = 0;
};

} // namespace fanfare::stores
