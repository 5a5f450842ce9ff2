#include "cli.hpp"
#include "server.hpp"

#include <ostream>

namespace fanfare::app {

int run_serve(const std::string& config, Terminal& terminal) {
    const Environment environment = terminal.environment;
    if (!config.empty())
        return serve(load_config(config, environment),
                     [config, environment] { return load_config(config, environment); });
    Config embedded = embedded_default(environment);
    // The key goes to whoever started the process, not into a log that is kept; a reload keeps it.
    const std::string key = embedded.fresh_api_key;
    if (!key.empty())
        terminal.out << "API key, shown once: " << key << std::endl; // at once: serve does not end
    return serve(std::move(embedded),
                 [environment, key] { return embedded_default(environment, key); });
}

} // namespace fanfare::app
