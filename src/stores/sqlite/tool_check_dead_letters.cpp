#include "tool_check_dead_letters.hpp"

#include <fanfare/base/json_check.hpp>

#include <fmt/format.h>

namespace fanfare::stores {

void check_dead_letters(Database& database, SqliteCheck& check,
                        const std::function<void(std::string)>& fault) {
    Statement rows{database,
                   "SELECT d.id, d.content, d.ttl, n.offset FROM dead_letters d LEFT JOIN "
                   "notifications n ON n.inbox = d.inbox AND n.offset = d.offset ORDER BY d.id"};
    while (rows.step()) {
        ++check.dead_letters;
        // They go together.
        if (rows.is_null(3))
            fault(fmt::format("the notification of dead letter {} is missing", rows.integer(0)));
        // It is pushed as it is.
        if (const JsonFault wrong = rows.is_null(1) ? JsonFault{} : check_json(rows.text(1)))
            fault(fmt::format("dead letter {}: its content is not JSON: {} at byte {}",
                              rows.integer(0), wrong.what, wrong.at));
        if (!rows.is_null(2) && rows.integer(2) < 1)
            fault(fmt::format("dead letter {}: {} seconds are no time to live", rows.integer(0),
                              rows.integer(2)));
    }
}

} // namespace fanfare::stores
