// The embedded default is a configuration like any other: YAML, the environment over it, the same
// checks. Only its API key is made anew each time, and its flag makes the server refuse Hosts that
// are not loopback.

#include "config.hpp"
#include "config_api_key.hpp"
#include "config_check.hpp"
#include "config_environment.hpp"
#include "config_keys.hpp"
#include "config_yaml.hpp"

#include <fanfare/base/bytes.hpp>

namespace fanfare::app {
namespace {

constexpr std::string_view source = "embedded default";
constexpr std::string_view yaml = R"(
server: {listen: ["127.0.0.1:8080"]}
clients: {anonymous: true}
rooms:
  - match: "*"
    subscribe: anyone
    publish: subscriber
    presence: true
    patterns: true
    history: {size: 100, ttl: 5m}
log: {format: text}
)";
constexpr std::uint8_t every_scope = 15;

} // namespace

Config embedded_default(const Environment& environment, std::string api_key) {
    Config config;
    config.source = source;
    config.embedded_default = true;
    ConfigNode root = parse_yaml(yaml, config.source);
    lay_over(root, environment, config_keys(), config.warnings);
    read_keys(config_keys(), root, "", config);
    check_config(config, root, "");
    if (config.api.keys.empty()) {
        config.fresh_api_key = api_key.empty() ? make_api_key(false).text : std::move(api_key);
        config.api.keys.push_back({"default", sha256(config.fresh_api_key), every_scope});
    }
    return config;
}

} // namespace fanfare::app
