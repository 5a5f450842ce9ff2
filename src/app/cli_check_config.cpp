#include "cli.hpp"

#include <ostream>

namespace fanfare::app {
namespace {

/// Everything that can be set, as YAML comments are: for people, and for grep.
void list_keys(std::ostream& out) {
    for (const KeyHelp& one : known_keys()) {
        out << one.name << "\n    " << one.help << "\n    " << one.type;
        if (!one.default_value.empty() && one.default_value != "\"\"")
            out << "; default: " << one.default_value;
        out << '\n';
        if (!one.environment.empty()) out << "    " << one.environment << '\n';
    }
}

} // namespace

int run_check_config(const CheckCommand& command, Terminal& terminal) {
    if (command.keys) list_keys(terminal.out);
    if (command.config.empty()) return exit_ok;
    const Config config = load_config(command.config, terminal.environment);
    for (const std::string& warning : config.warnings)
        terminal.out << "warning: " << warning << '\n';
    terminal.out << command.config << ": ok\n";
    return exit_ok;
}

} // namespace fanfare::app
