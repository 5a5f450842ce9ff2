#include "cli.hpp"
#include "config_api_key.hpp"

#include <ostream>

namespace fanfare::app {

int run_apikey_new(bool test, Terminal& terminal) {
    const ApiKey key = make_api_key(test);
    terminal.out
        << "# The key, for the backend's secrets. It is shown once and kept nowhere.\n"
        << key.text << "\n\n"
        << "# Its entry, below `keys:` of section `api:`. Name it, and choose its scopes.\n"
        << "    - name: backend\n"
        << "      " << key.hash_line << '\n'
        << "      scopes: [publish, read, notify, admin]\n";
    return exit_ok;
}

} // namespace fanfare::app
