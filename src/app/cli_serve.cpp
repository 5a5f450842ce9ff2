#include "cli.hpp"
#include "serve.hpp"

namespace fanfare::app {

int run_serve(const std::string& config, Terminal& terminal) {
    const Environment environment = terminal.environment;
    if (!config.empty())
        return serve(load_config(config, environment),
                     [config, environment] { return load_config(config, environment); });
    Config embedded = embedded_default(environment);
    // `serve` shows the key once; a reload keeps it.
    const std::string key = embedded.fresh_api_key;
    return serve(std::move(embedded),
                 [environment, key] { return embedded_default(environment, key); });
}

} // namespace fanfare::app
