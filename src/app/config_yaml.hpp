#pragma once
// YAML text to a tree of values.

#include "config_node.hpp"

#include <string>
#include <string_view>

namespace fanfare::app {

inline constexpr std::size_t config_bytes_max = std::size_t{1024} * 1024;
inline constexpr std::size_t config_depth_max = 32;
/// Values in a file, those that aliases repeat included.
inline constexpr std::size_t config_nodes_max = 100'000;

/// The document as a map; an empty document is an empty map. Throws ConfigError on everything else:
/// what is no YAML, more than one document, tags, duplicate keys, a bound from above exceeded.
[[nodiscard]] ConfigNode parse_yaml(std::string_view text, const std::string& source);

} // namespace fanfare::app
