#include "config.hpp"

#include "config_check.hpp"
#include "config_environment.hpp"
#include "config_files.hpp"
#include "config_keys.hpp"
#include "config_yaml.hpp"

#include <filesystem>

namespace fanfare::app {

Config parse_config(std::string_view text, const std::string& source,
                    const Environment& environment) {
    Config config;
    config.source = source;
    ConfigNode root = parse_yaml(text, source);
    lay_over(root, environment, config_keys(), config.warnings);
    read_keys(config_keys(), root, "", config);
    check_config(config, root, std::filesystem::path{source}.parent_path().string());
    return config;
}

Config load_config(const std::string& path, const Environment& environment) {
    const Result<std::string> text = read_file(path, true);
    if (!text) throw ConfigError(complaint({}, path, "cannot be read: " + text.error().message()));
    return parse_config(*text, path, environment);
}

} // namespace fanfare::app
