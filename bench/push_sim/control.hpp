// The control API: a service of its own, on a loop of its own, over plain HTTP/1.1 on loopback.
#pragma once

#include "monitor.hpp"
#include "service.hpp"
#include "worker.hpp"

#include <memory>
#include <vector>

namespace sim {

/// `workers` play the services; the control API waits for them, never they for it. `base`: where
/// browsers say that their endpoints are, https://127.0.0.1:9003.
[[nodiscard]] std::unique_ptr<Service>
make_control(World& world, const std::vector<Worker*>& workers, Monitor& monitor, std::string base);

} // namespace sim
