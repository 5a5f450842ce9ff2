#pragma once
// Questions about dead letters, on the reader's thread. A filter may fit few of many letters, and
// others wait for the same thread: a walk looks at a bounded number of rows and says where to go
// on.

#include "database.hpp"

#include <fanfare/base/clock.hpp>
#include <fanfare/delivery/dead_letters.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace fanfare::stores {

class DeadLetterReader {
  public:
    explicit DeadLetterReader(Database& database);

    /// Rows that one walk looks at.
    static constexpr std::size_t rows_max = 10'000;

    /// The part of the letters that is asked for, walked upwards or downwards by id.
    struct Range {
        delivery::LetterFilter filter;
        bool upwards = true;
        std::int64_t after = 0; // where it begins: behind this one
        std::int64_t upto = 0;  // upwards: the last one
    };
    struct Seen {
        bool end = false; // nothing is behind what was seen; else `Range::after` has moved
    };
    /// Calls `take(row)` with those that fit until it says false; that one counts as not seen.
    /// Columns of the row: `id` first, then what `letter` reads.
    [[nodiscard]] Seen walk(Range& range, const std::function<bool(const Statement&)>& take);
    /// All but its content. Nothing if its notification is gone.
    [[nodiscard]] std::optional<delivery::DeadLetter> letter(const Statement& row);
    [[nodiscard]] std::optional<delivery::DeadLetter> find(std::int64_t id);
    /// The newest one's id; 0: there never was one.
    [[nodiscard]] std::int64_t newest();

    /// One moment for all that is asked between these two.
    void begin();
    void end() noexcept;

  private:
    struct Statements;
    struct Delete {
        void operator()(Statements* statements) const noexcept;
    };
    /// Where the filter's user and notification are.
    struct Place {
        std::optional<std::int64_t> inbox;
        std::optional<std::int64_t> offset;
    };
    [[nodiscard]] std::optional<Place> place_of(const delivery::LetterFilter& filter);
    [[nodiscard]] Statement& rows_of(const Range& range, const Place& place);

    Database& database_;
    std::unique_ptr<Statements, Delete> sql_;
};

} // namespace fanfare::stores
