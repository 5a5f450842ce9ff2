#pragma once
// What must hold of dead letters (dead_letter_rows.cpp).

#include "database.hpp"

#include <fanfare/stores/stores.hpp>

#include <functional>
#include <string>

namespace fanfare::stores {

/// Counts into `check`, and tells each fault.
void check_dead_letters(Database& database, SqliteCheck& check,
                        const std::function<void(std::string)>& fault);

} // namespace fanfare::stores
