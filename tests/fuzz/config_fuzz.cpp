// No text is worse than a ConfigError of one line. What is accepted is accepted again, and equal.

#include "config.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace fanfare::app;
    // NOLINTNEXTLINE: bytes and chars alias by the language's own rule.
    const std::string text{reinterpret_cast<const char*>(data), size};
    try {
        const Config config = parse_config(text, "fuzz.yaml", {});
        if (!changed_keys(config, parse_config(text, "fuzz.yaml", {})).empty()) std::abort();
        if (config.rooms.empty() || config.listen.empty() || config.node_name.empty()) std::abort();
    } catch (const ConfigError& error) {
        const std::string_view line = error.what();
        if (line.empty() || line.find('\n') != std::string_view::npos) std::abort();
    }
    // The same bytes as a value from the environment, where lists are JSON.
    if (text.find('\0') != std::string::npos) return 0;
    for (const char* variable : {"FANFARE_API__KEYS", "FANFARE_SERVER__DRAIN"}) {
        try {
            static_cast<void>(parse_config("", "fuzz.yaml", {{variable, text}}));
        } catch (const ConfigError& error) {
            if (std::string_view{error.what()}.find('\n') != std::string_view::npos) std::abort();
        }
    }
    return 0;
}
