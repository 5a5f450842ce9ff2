#pragma once
// What must hold of devices (device_rows.cpp).

#include "database.hpp"

#include <fanfare/stores/stores.hpp>

#include <functional>
#include <string>

namespace fanfare::stores {

/// Counts into `check`, and tells each fault. Never a token: whoever has one can push.
void check_devices(Database& database, SqliteCheck& check,
                   const std::function<void(std::string)>& fault);

} // namespace fanfare::stores
