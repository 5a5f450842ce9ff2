#pragma once
// The configuration as the program uses it: every folder's Options, filled from a YAML file and the
// environment, completely checked. A Config that exists can be served.
//
//   load_config ─ config_yaml         text to a tree of values that remember their lines
//               ─ config_environment  FANFARE_SECTION__KEY laid over the tree
//               ─ config_keys         the table of keys: name, type, range, target, help
//               ─ config_check        what only several keys together tell; files; warnings
//
// Start-up and reload only; any thread, but not two at once (the environment is read).

#include <fanfare/auth/options.hpp>
#include <fanfare/base/log.hpp>
#include <fanfare/delivery/options.hpp>
#include <fanfare/http/h2_client.hpp>
#include <fanfare/http/server.hpp>
#include <fanfare/room/options.hpp>
#include <fanfare/room/rules.hpp>
#include <fanfare/session/options.hpp>
#include <fanfare/stores/stores.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fanfare::app {

/// One line for the operator: `file:line: key: what is wrong and what would be right`, or
/// `environment FANFARE_X__Y: key: …`. Never holds a secret.
class ConfigError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct ApiOptions {
    std::vector<auth::ApiKeyOptions> keys;
    std::size_t body_bytes_max = std::size_t{1024} * 1024; // of a request; a batch: 8 times this
    std::size_t batch_max = 1000;                          // items of a batch
};

// What is checked already and built later: each struct moves to its folder when that exists.
struct TlsOptions { // paths of PEM files; all empty: no TLS
    std::string certificate;
    std::string key;
    std::string client_ca;
};
struct BrokerOptions {
    enum class Type : std::uint8_t { local, redis };
    Type type = Type::local;
    std::string redis_url = "redis://127.0.0.1:6379"; // may hold a password
    bool redis_cluster = false;
    std::string redis_prefix = "fanfare";
    bool redis_durable = false;
};
struct StoreOptions {
    enum class Type : std::uint8_t { sqlite, redis };
    using Synchronous = stores::SqliteOptions::Synchronous;
    Type type = Type::sqlite;
    std::string path = "/var/lib/fanfare/fanfare.db";
    bool path_given = false; // else a missing directory means: no store
    Synchronous synchronous = Synchronous::full;
    std::size_t queue_bytes_max = std::size_t{64} * 1024 * 1024; // waiting for the disk; more: 503
    std::string redis_url = "redis://127.0.0.1:6379";            // may hold a password
};
/// `key`, `certificate`, `certificate_key` and `ca` are paths; neither key nor certificate: off.
struct ApnsOptions {
    std::string endpoint = "https://api.push.apple.com";
    std::string key;
    std::string key_id;
    std::string team_id;
    std::string certificate; // instead of the three above
    std::string certificate_key;
    std::string topic;
    std::string ca;
    std::size_t rate = 0; // pushes per second; 0: no bound
    std::string key_text; // of the file, of the certificate's key in certificate mode; a secret
    std::string certificate_text; // of the file
};
struct FcmOptions { // `service_account` and `ca` are paths; service_account empty: off
    std::string service_account;
    std::string endpoint = "https://fcm.googleapis.com";
    std::string ca;
    std::size_t rate = 0;     // pushes per second; 0: no bound
    std::string account_text; // of the file; a secret
};
struct WebPushOptions { // `private_key` and `ca` are paths; private_key empty: off
    std::string subject;
    std::string private_key;
    std::string ca;
    bool private_addresses = false; // endpoints in private networks are pushed to
    std::size_t rate = 0;           // pushes per second; 0: no bound
    std::string key_text;           // of the file; a secret
};
/// The credentials of one app; those without a name are of the devices that name no app.
struct PushApp {
    std::string name;
    ApnsOptions apns;
    FcmOptions fcm;
    WebPushOptions webpush;
};

struct Config {
    std::string source; // the file's path; "embedded default" without one

    std::string node_name; // never empty once loaded: the host name by default
    std::vector<std::string> listen{"0.0.0.0:8080"};
    std::vector<std::string> ops_listen; // empty: operations are served with everything else
    std::size_t reactors = 0;            // 0: one per core
    std::chrono::milliseconds drain{30'000};
    std::size_t max_connections = 0; // 0: from the descriptor limit
    TlsOptions tls;
    http::Options http;
    ApiOptions api;
    auth::JwtOptions jwt;
    std::string jwks_url;
    session::Options session; // `node` is node_name
    std::vector<room::Rule> rooms{room::Rule{}};
    room::Options room;
    room::IdempotencyOptions idempotency;
    BrokerOptions broker;
    StoreOptions store;
    delivery::InboxOptions inbox;
    PushApp push_app;               // without a name
    std::vector<PushApp> push_apps; // the others
    http::H2ProxyOptions push_proxy;
    delivery::PushOptions push; // but for the rates of credentials
    log::Options log;

    /// Only requests whose Host is loopback are served, and there is a demo page at `/`.
    bool embedded_default = false;
    /// The fresh key of the embedded default, in clear, to be shown once; its hash is in
    /// `api.keys`. Empty otherwise.
    std::string fresh_api_key;
    /// What is allowed but hardly meant, each with its place; to be logged once.
    std::vector<std::string> warnings;
};

/// Names and values, e.g. {"FANFARE_SERVER__DRAIN", "10s"}. Names that do not begin with `FANFARE_`
/// or have no `__` after it are not settings and are ignored.
using Environment = std::vector<std::pair<std::string, std::string>>;
/// The FANFARE_… part of this process's environment.
[[nodiscard]] Environment process_environment();

/// Reads, checks and completes a configuration. Relative paths in the file start from the file's
/// directory, those in the environment from the working directory. Throws ConfigError.
[[nodiscard]] Config load_config(const std::string& path, const Environment& environment);

/// The same from text. `source` is what messages call it; relative paths start from its directory.
[[nodiscard]] Config parse_config(std::string_view text, const std::string& source,
                                  const Environment& environment);

/// What `fanfare serve` runs without a file, with the environment laid over it. `api_key` in clear
/// becomes the one key with every scope; empty: a fresh one. If the environment sets `api.keys`,
/// there is neither. Pass the key of the running process to reload. Throws ConfigError.
[[nodiscard]] Config embedded_default(const Environment& environment, std::string api_key = {});

/// Names of the keys whose values differ, e.g. "server.listen"; for a reload that must tell what it
/// cannot change. Values are not shown: some are secrets.
[[nodiscard]] std::vector<std::string> changed_keys(const Config& before, const Config& after);

/// One key for `fanfare check-config --keys`, and for the test that holds the example against it.
struct KeyHelp {
    std::string name;          // "server.max_head"; in lists "rooms[].match"
    std::string environment;   // "FANFARE_SERVER__MAX_HEAD"; empty: only in the file
    std::string type;          // "a size from 1KiB to 1MiB"
    std::string default_value; // as it would be written; empty: none
    std::string help;
};
[[nodiscard]] std::vector<KeyHelp> known_keys();

} // namespace fanfare::app
