#pragma once
// The steps of which a change of the push queue consists: in a transaction, on the writer's thread.
// Design: docs/decisions/0014-push-queue.md.

#include "database.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/options.hpp>
#include <fanfare/delivery/push_queue.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::stores {

inline constexpr std::size_t priority_count = 4;

/// Where a job stands.
struct PushTurn {
    std::size_t lane = 0;
    WallMillis due = 0;
    std::int64_t id = 0;
};
struct PushJobRow {
    PushTurn turn;
    std::int64_t inbox = 0;
    std::uint64_t offset = 0;
    std::int64_t device = 0;
    std::uint32_t attempts = 0;
};

class PushRows {
  public:
    explicit PushRows(Database& database);

    /// What this transaction does to the number of jobs, by lane; its owner clears it.
    std::array<std::int64_t, priority_count> tally{};
    bool added = false;       // the same: there are new ones
    std::int64_t letters = 0; // the same, to the number of dead letters
    /// Ids are above this.
    void ids_after(std::int64_t id) noexcept { last_id_ = id; }

    /// One job for each of the user's devices that a provider serves; with a topic, of those that
    /// have it. Returns how many.
    std::size_t add(std::int64_t inbox, std::uint64_t offset, std::size_t lane,
                    std::string_view user, std::string_view topic,
                    const delivery::PushReach& served, WallMillis now);
    /// One job for one device. `content` empty: what its notification says.
    void add_one(std::int64_t inbox, std::uint64_t offset, std::size_t lane, std::int64_t device,
                 std::string_view content, WallMillis now);
    [[nodiscard]] std::optional<PushJobRow> find(const PushTurn& turn);
    [[nodiscard]] std::vector<PushJobRow> of_device(std::int64_t inbox, std::int64_t device);
    /// Whether anything of a notification still waits.
    [[nodiscard]] bool any(std::int64_t inbox, std::uint64_t offset);
    void postpone(const PushJobRow& job, WallMillis due, std::uint32_t attempts);
    /// False: there is none.
    bool remove(const PushTurn& turn);
    /// All jobs of a notification. It was acknowledged, or its time is over.
    void cancel(std::int64_t inbox, std::uint64_t offset);
    /// What is kept of a notification beside its jobs, with them.
    void forget(std::int64_t inbox, std::uint64_t offset);
    /// The same for all of an inbox.
    void forget_all(std::int64_t inbox);

    struct DeviceName {
        std::string name;
        delivery::Platform platform = delivery::Platform::ios;
        std::string token;
    };
    [[nodiscard]] std::optional<DeviceName> device(std::int64_t id);
    /// Makes a dead letter of a job, which goes.
    void bury(const PushJobRow& job, std::string_view device_name,
              const delivery::PushResult& result, std::uint32_t attempts, WallMillis now);

  private:
    struct Statements;
    struct Delete {
        void operator()(Statements* statements) const noexcept;
    };
    [[nodiscard]] std::vector<PushJobRow> all_of(Statement& rows);

    Database& database_;
    std::unique_ptr<Statements, Delete> sql_;
    std::int64_t last_id_ = 0;
};

} // namespace fanfare::stores
