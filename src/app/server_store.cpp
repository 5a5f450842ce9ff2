#include "server_store.hpp"

#include <fanfare/base/log.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace fanfare::app {
namespace {

stores::SqliteOptions sqlite_options(const Config& config) {
    stores::SqliteOptions options;
    options.path = config.store.path;
    options.synchronous = config.store.synchronous;
    options.queue_bytes_max = config.store.queue_bytes_max;
    return options;
}

/// A folder of our own for a store that ends with the process.
std::string make_passing_folder() {
    std::error_code ignored;
    std::string name = (std::filesystem::temp_directory_path(ignored) / "fanfare-XXXXXX").string();
    return ::mkdtemp(name.data()) != nullptr ? name : std::string{};
}

bool any_durable(const Config& config) {
    return std::any_of(config.rooms.begin(), config.rooms.end(),
                       [](const room::Rule& rule) { return rule.history.durable; });
}

} // namespace

ServerStore::ServerStore(const Config& config, net::Reactors& reactors, Metrics& metrics) {
    stores::SqliteOptions options = sqlite_options(config);
    std::error_code ignored;
    bool wanted = true;
    if (config.embedded_default && !config.store.path_given) {
        passing_folder_ = make_passing_folder();
        options.path = passing_folder_ + "/fanfare.db";
        options.synchronous = stores::SqliteOptions::Synchronous::off;
        wanted = !passing_folder_.empty();
    } else if (!config.store.path_given && !any_durable(config)) {
        wanted = std::filesystem::is_directory(std::filesystem::path{options.path}.parent_path(),
                                               ignored);
    }
    if (!wanted) {
        log::info("no_store", {{"path", options.path},
                               {"detail", "its directory does not exist, and store.path is not "
                                          "set: what is durable is refused"}});
        memory_ = stores::make_memory_idempotency(reactors, config.idempotency);
        return;
    }
    try {
        store_ = stores::make_sqlite(reactors, metrics, options, config.idempotency,
                                     std::make_shared<const room::Rules>(config.rooms),
                                     config.room.position_ttl);
    } catch (...) {
        if (!passing_folder_.empty()) std::filesystem::remove_all(passing_folder_, ignored);
        throw;
    }
}

ServerStore::~ServerStore() {
    store_.reset();
    std::error_code ignored;
    if (!passing_folder_.empty()) std::filesystem::remove_all(passing_folder_, ignored);
}

} // namespace fanfare::app
