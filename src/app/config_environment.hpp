#pragma once
// FANFARE_SECTION__KEY: settings from the environment, laid over what the file says.

#include "config.hpp"
#include "config_keys.hpp"
#include "config_node.hpp"

#include <string>
#include <vector>

namespace fanfare::app {

/// Puts every setting of `environment` into the tree in place of what is there. Throws ConfigError
/// that names the variable, for unknown names and for lists that are not JSON. Variables that look
/// like settings but by their name cannot be one are told in `warnings`.
void lay_over(ConfigNode& root, const Environment& environment, const KeyTable<Config>& table,
              std::vector<std::string>& warnings);

} // namespace fanfare::app
