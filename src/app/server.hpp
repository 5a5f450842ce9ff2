#pragma once
// The gateway as a whole: built in order, torn down in reverse.

#include "config.hpp"

#include <functional>

namespace fanfare::app {

/// Runs the gateway until it is told to stop. `reload` loads the configuration again (throws
/// ConfigError). Returns the exit status.
int serve(Config config, std::function<Config()> reload);

} // namespace fanfare::app
