#pragma once
// The gateway as a process: started, steered by signals (SIGHUP reloads, SIGTERM and SIGINT drain
// and end it).

#include "config.hpp"

#include <functional>

namespace fanfare::app {

/// Runs the gateway until it is told to stop. `reload` loads the configuration again (throws
/// ConfigError). Returns the exit status.
int serve(Config config, const std::function<Config()>& reload);

} // namespace fanfare::app
