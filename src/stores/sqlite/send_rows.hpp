#pragma once
// The steps of which a change of a send consists: in a transaction, on the writer's thread. Counts
// are added up meanwhile, and written at its end. Design: docs/decisions/0015-mass-sends.md.

#include "database.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/inbox_log.hpp>
#include <fanfare/delivery/send.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::stores {

/// What clients are sent of a notification: its own, or its send's. `table`: as the query calls it.
[[nodiscard]] inline std::string data_of(const std::string& table) {
    return "CASE WHEN " + table + ".send IS NULL THEN " + table +
           ".data ELSE (SELECT sends.data FROM sends WHERE sends.id = " + table + ".send) END";
}

/// The same of what is for push alone.
[[nodiscard]] inline std::string push_options_of(const std::string& table) {
    return "CASE WHEN " + table + ".send IS NULL THEN " + table +
           ".push_options ELSE (SELECT sends.push_options FROM sends WHERE sends.id = " + table +
           ".send) END";
}

/// What a transaction does to the figures.
struct SendTally {
    std::int64_t open = 0;   // whose audience is walked
    std::uint64_t users = 0; // that were placed
};

class SendRows {
  public:
    explicit SendRows(Database& database);

    SendTally tally;    // of this transaction; its owner clears it
    bool added = false; // the same: one waits to be walked
    struct Ended {
        delivery::NotificationId id;
        std::uint64_t accepted = 0;
        bool cut = false;
    };
    std::vector<Ended> ended; // the same: walks
    /// When one whose time this transaction has set is to be looked at.
    std::optional<WallMillis> soonest;

    // --- the walk ---
    /// `order` has an audience. It waits to be walked; users of an order for later with it.
    [[nodiscard]] std::int64_t make(const delivery::Order& order,
                                    const delivery::NotificationId& id, WallMillis now);
    struct Walk {
        delivery::SendCursor at;
        WallMillis expires = 0;
    };
    /// Nothing: there is no such send, or it has ended.
    [[nodiscard]] std::optional<Walk> walk(std::int64_t send);
    void step(const delivery::SendStep& step, WallMillis now);
    /// The walk has ended. `cut`: whoever was named and not placed is expired.
    void end(std::int64_t send, bool cut, WallMillis now, std::chrono::milliseconds keep);
    /// The same of one that was made in this transaction, and placed at once.
    void close(std::int64_t send, WallMillis now, std::chrono::milliseconds keep);
    /// Empty: it is not for a topic.
    [[nodiscard]] std::string topic(std::int64_t send);

    // --- counts ---
    /// A notification begins, pending. `found`: it is one that nobody named.
    void placed(std::int64_t send, bool found);
    void moved(std::int64_t send, delivery::Status from, delivery::Status to);
    /// A record has gone, and what became of it stays counted.
    void forgot(std::int64_t send);
    /// All of this inbox will be erased: they do not count any more.
    void erase(std::int64_t inbox);
    /// Writes them. At the end of the transaction, and before what looks at them.
    void seal(WallMillis now);
    /// The transaction is over.
    void settled() noexcept;

    // --- time ---
    /// Ends walks whose time is over, and deletes what is over. Returns how many it looked at.
    std::size_t sweep(WallMillis now, std::chrono::milliseconds keep, std::size_t limit);
    [[nodiscard]] std::optional<WallMillis> next_sweep();

  private:
    struct Counts {
        std::int64_t send = 0;
        std::int64_t accepted = 0;
        std::int64_t kept = 0;
        std::array<std::int64_t, delivery::status_count> status{};
    };
    [[nodiscard]] Counts& counts(std::int64_t send);
    Ended close(std::int64_t send, bool cut, WallMillis now, std::chrono::milliseconds keep);

    struct Statements;
    struct Delete {
        void operator()(Statements* statements) const noexcept;
    };
    Database& database_;
    std::unique_ptr<Statements, Delete> sql_;
    std::vector<Counts> counts_; // of this transaction
};

} // namespace fanfare::stores
