#include "config_check.hpp"

#include "config_files.hpp"
#include "config_values.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/net/acceptor.hpp>

#include <climits>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <unistd.h>

namespace fanfare::app {
namespace {

void check_node_name(Checks& checks) {
    std::string& name = checks.config.node_name;
    if (name.empty()) {
        std::array<char, HOST_NAME_MAX + 1> host{};
        if (::gethostname(host.data(), host.size() - 1) == 0) name = host.data();
        if (name.empty() || !is_utf8(name) || has_control(name))
            checks.complain("node.name", "the host has no usable name; give this node one");
    }
    checks.config.session.node = name;
}

bool is_same_address(const std::string& a, const std::string& b) {
    const auto one = net::parse_listen_address(a);
    const auto two = net::parse_listen_address(b);
    // Port 0 is another one each time.
    return one && two && one->host == two->host && one->port == two->port && one->port != 0;
}

/// With SO_REUSEPORT the kernel does not mind two sockets at one address: it would deal out
/// connections between them at random.
void check_addresses(const Checks& checks) {
    const auto against = [&checks](std::string_view list, std::size_t index,
                                   const std::string& address, std::string_view other_list,
                                   const std::vector<std::string>& others, std::size_t end) {
        for (std::size_t i = 0; i < end; ++i)
            if (is_same_address(address, others[i]))
                checks.complain(fmt::format("{}[{}]", list, index),
                                fmt::format("is the same address as {}[{}]", other_list, i));
    };
    const auto& listen = checks.config.listen;
    const auto& ops = checks.config.ops_listen;
    for (std::size_t i = 0; i < listen.size(); ++i)
        against("server.listen", i, listen[i], "server.listen", listen, i);
    for (std::size_t i = 0; i < ops.size(); ++i) {
        against("server.ops_listen", i, ops[i], "server.ops_listen", ops, i);
        against("server.ops_listen", i, ops[i], "server.listen", listen, listen.size());
    }
}

void check_api_keys(Checks& checks) {
    std::set<std::string> names;
    std::set<std::string> hashes;
    const std::vector<auth::ApiKeyOptions>& keys = checks.config.api.keys;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (!names.insert(keys[i].name).second)
            checks.complain(fmt::format("api.keys[{}].name", i),
                            in_quotes(keys[i].name) +
                                " is the name of another key; each needs its own");
        if (!hashes.insert(keys[i].sha256).second)
            checks.complain(fmt::format("api.keys[{}].hash", i),
                            "is the hash of another key in this list; a key has one entry");
    }
    if (keys.empty() && !checks.config.embedded_default)
        checks.warn("api.keys", "none: the backend API answers 401 to everybody");
}

void check_queue(Checks& checks) {
    const session::Options& session = checks.config.session;
    if (session.send_queue_max >= session.message_bytes_max) return;
    checks.warn("clients.send_queue",
                fmt::format("{} is less than clients.max_message ({}): a larger message "
                            "disconnects whoever it is for",
                            show_size(session.send_queue_max),
                            show_size(session.message_bytes_max)));
}

/// A rule that can never match is hardly meant, and does no harm.
void check_rooms(Checks& checks) {
    std::vector<room::Rule>& rooms = checks.config.rooms;
    if (rooms.empty()) rooms.push_back(room::Rule{}); // protocol.md §6
    for (std::size_t i = 1; i < rooms.size(); ++i) {
        // As a room of that name, with the wildcards standing for text that only a wildcard can
        // match (a control character is in no name): what an earlier rule makes of it, it makes of
        // every room that this rule is for.
        std::string name = rooms[i].match;
        std::replace(name.begin(), name.end(), '*', '\x01');
        const auto end = rooms.begin() + static_cast<std::ptrdiff_t>(i);
        const auto earlier = std::find_if(rooms.begin(), end, [&name](const room::Rule& rule) {
            return room::glob_match(rule.match, name);
        });
        if (earlier != end)
            checks.warn(fmt::format("rooms[{}]", i),
                        fmt::format("{} never matches: {} comes first", in_quotes(rooms[i].match),
                                    in_quotes(earlier->match)));
    }
}

void check_store(const Checks& checks) {
    StoreOptions& store = checks.config.store;
    store.path_given = checks.find("store.path") != nullptr;
    if (store.path_given) checks.resolve("store.path", store.path);
}

void check_who_can_connect(Checks& checks) {
    const Config& config = checks.config;
    if (!config.session.anonymous && config.jwt.algorithms.empty())
        checks.warn("clients.anonymous",
                    "false, and auth.jwt accepts no token: no client can do anything");
    if (!config.embedded_default) return;
    for (const std::string& address : config.listen) {
        const auto parsed = net::parse_listen_address(address);
        if (parsed && !parsed->host.starts_with("127.") && parsed->host != "::1")
            checks.warn("server.listen", in_quotes(address) +
                                             " is not loopback: the embedded default refuses what "
                                             "comes from elsewhere; write a configuration file");
    }
}

/// Splits "rooms[1].match" at its first index.
struct Indexed {
    std::string_view list;
    std::size_t index = 0;
    std::string_view rest;
    bool is_item = false;
};
Indexed split_index(std::string_view key) {
    Indexed split{key, 0, {}, false};
    const std::size_t open = key.find('[');
    const std::size_t close = key.find(']');
    if (open == std::string_view::npos || close == std::string_view::npos) return split;
    split.list = key.substr(0, open);
    std::from_chars(key.data() + open + 1, key.data() + close, split.index);
    split.rest = key.substr(close + 1);
    if (split.rest.starts_with('.')) split.rest.remove_prefix(1);
    split.is_item = true;
    return split;
}

} // namespace

const ConfigNode* Checks::find(std::string_view key) const noexcept {
    const Indexed split = split_index(key);
    const ConfigNode* node = find_path(root_, split.list);
    if (!split.is_item || node == nullptr) return node;
    return split.index < node->items.size() ? find_path(node->items[split.index], split.rest)
                                            : nullptr;
}

Place Checks::place(std::string_view key) const {
    const Indexed split = split_index(key);
    const ConfigNode* node = find_path(root_, split.list);
    if (!split.is_item || node == nullptr || split.index >= node->items.size())
        return place_of(root_, split.list);
    return place_of(node->items[split.index], split.rest);
}

bool Checks::given(std::string_view section) const noexcept {
    const ConfigNode* node = find(section);
    return node != nullptr && !node->members.empty();
}

void Checks::complain(std::string_view key, std::string_view what) const {
    std::string text{what};
    // Whoever mends this next should know that it will not help yet.
    if (const std::string_view section = unbuilt_section(key); !section.empty())
        text += fmt::format(" (besides, {} is not built yet)", section);
    fail(place(key), key, text);
}

void Checks::complain_file(std::string_view key, const std::string& path,
                           std::string_view what) const {
    complain(key, fmt::format("{} {}", in_quotes(path), what));
}

void Checks::warn(std::string_view key, std::string_view what) {
    config.warnings.push_back(complaint(place(key), key, what));
}

void Checks::resolve(std::string_view key, std::string& path) const {
    // What the environment names starts from where the process runs, as in a shell.
    const bool from_file = place(key).line > 0;
    if (from_file && !directory_.empty() && !std::filesystem::path{path}.is_absolute())
        path = (std::filesystem::path{directory_} / path).string();
}

std::string Checks::read(std::string_view key, std::string& path) const {
    resolve(key, path);
    const Result<std::string> text = read_file(path, false);
    if (text) return *text;
    const error_code error = text.error();
    complain(key, fmt::format("cannot read {}: {}", in_quotes(path),
                              error.value() == EINVAL ? "not a plain file" : error.message()));
}

void check_config(Config& config, const ConfigNode& root, const std::string& directory) {
    Checks checks{config, root, directory};
    check_node_name(checks);
    check_addresses(checks);
    check_api_keys(checks);
    check_queue(checks);
    check_tokens(checks);
    check_rooms(checks);
    check_store(checks);
    check_who_can_connect(checks);
    check_push(checks);
    check_unbuilt(checks);
}

} // namespace fanfare::app
