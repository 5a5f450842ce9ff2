#pragma once
// Values of devices as columns hold them. What is none of ours is SQLite's own fault code, as with
// notifications (inbox_values.hpp).

#include "inbox_values.hpp"

#include <fanfare/delivery/devices.hpp>

#include <cstdint>

namespace fanfare::stores {

inline delivery::Platform platform_of(std::int64_t value) {
    if (value < 0 || value > static_cast<std::int64_t>(delivery::Platform::web))
        damaged("a device's platform is not one");
    return static_cast<delivery::Platform>(value);
}

} // namespace fanfare::stores
