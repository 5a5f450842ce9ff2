// The keys of the configuration, in the order of config/fanfare.yaml, which a test holds against
// this table. What several keys together allow or forbid is in config_check.cpp.

#include "config_keys.hpp"

#include <fanfare/base/bytes.hpp>

#include <utility>

namespace fanfare::app {
namespace {

using namespace std::chrono_literals;
using std::chrono::hours;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;
constexpr std::size_t gib = 1024 * mib;
constexpr hours day{24};

std::uint8_t bit(auth::Scope scope) {
    return static_cast<std::uint8_t>(scope);
}

/// The bits of the scopes that are listed.
Kind<std::uint8_t> scopes() {
    const std::vector<std::pair<std::string, auth::Scope>> names{{"publish", auth::Scope::publish},
                                                                 {"read", auth::Scope::read},
                                                                 {"notify", auth::Scope::notify},
                                                                 {"admin", auth::Scope::admin}};
    const auto all = distinct(list(choice(names), 1, names.size()));
    return {all.words,
            [all](const Value& value) {
                std::uint8_t bits = 0;
                for (const auth::Scope scope : all.read(value))
                    bits = static_cast<std::uint8_t>(bits | bit(scope));
                return bits;
            },
            [all, names](std::uint8_t bits) {
                std::vector<auth::Scope> set;
                for (const auto& one : names)
                    if ((bits & bit(one.second)) != 0) set.push_back(one.second);
                return all.show(set);
            },
            true};
}

KeyTable<auth::ApiKeyOptions> api_key_keys() {
    using auth::ApiKeyOptions;
    return {
        required(key("name", text("a name", 1, 64), "says whose key it is, in logs and metrics",
                     &ApiKeyOptions::name)),
        required(key("hash", key_hash(), "SHA-256 of the whole key; the key itself is not kept",
                     &ApiKeyOptions::sha256)),
        required(key("scopes", scopes(), "what it may do", &ApiKeyOptions::scopes)),
    };
}

KeyTable<room::Rule> rule_keys() {
    using room::HistoryLimits;
    using room::Rule;
    const auto subscribe = choice<room::SubscribeRight>({{"anyone", room::SubscribeRight::anyone},
                                                         {"user", room::SubscribeRight::user},
                                                         {"token", room::SubscribeRight::token}});
    const auto publish = choice<room::PublishRight>({{"server", room::PublishRight::server},
                                                     {"subscriber", room::PublishRight::subscriber},
                                                     {"token", room::PublishRight::token}});
    return {
        required(key("match", room_pattern(), "rooms it is for; the first rule that matches counts",
                     &Rule::match)),
        key("subscribe", subscribe, "anyone; user: has a valid token; token: the token grants it",
            &Rule::subscribe),
        key("publish", publish, "server: the API only; subscriber; token: the token grants it",
            &Rule::publish),
        key("presence", boolean(), "member list, join and leave", &Rule::presence),
        key("patterns", boolean(), "may be received through pattern subscriptions",
            &Rule::patterns),
        key("batch", duration(0ms, 1'000ms), "time that messages wait for others to leave with",
            &Rule::batch),
        key("history.size", count(0, 1'000'000), "messages kept; 0: none", &Rule::history,
            &HistoryLimits::size),
        key("history.ttl", duration(0ms, 365 * day), "age up to which they are kept",
            &Rule::history, &HistoryLimits::ttl),
        key("history.durable", boolean(), "kept in the store; 503 until the store exists",
            &Rule::history, &HistoryLimits::durable),
    };
}

void check_rule(const room::Rule& rule, const Value& value) {
    const auto complain = [&value](std::string_view name, std::string_view what) {
        fail(place_of(value.node, name), join_key(value.key, name), what);
    };
    if (rule.history.size > 0 && rule.history.ttl == 0ms)
        complain("history.ttl", "0s keeps nothing while history.size is above 0; give it a time "
                                "such as 5m, or history.size: 0");
    if (rule.history.size == 0 && rule.history.durable)
        complain("history.durable", "true keeps nothing while history.size is 0; give it a size");
}

/// Rows of one section, with the sections of lists spelt out.
template <class T>
Key<Config> with_inner(Key<Config> one, const KeyTable<T>& table) {
    one.inner = inner_help(one.name, table);
    return one;
}

KeyTable<Config> server_keys() {
    return {
        key("node.name", text("a name", 0, 255), "names this process to clients; default: the host",
            &Config::node_name),
        key("server.listen", distinct(list(listen_address(), 1, 64)),
            "where clients, API and operations are served", &Config::listen),
        key("server.ops_listen", distinct(list(listen_address(), 0, 64)),
            "where operations are served, and then only there", &Config::ops_listen),
        key("server.reactors", count(0, 1024), "threads; 0: one per core", &Config::reactors),
        key("server.tls.certificate", file("a PEM file"), "certificate and its chain", &Config::tls,
            &TlsOptions::certificate),
        key("server.tls.key", file("a PEM file"), "private key of the certificate", &Config::tls,
            &TlsOptions::key),
        key("server.tls.client_ca", file("a PEM file"), "who signs client certificates for /api",
            &Config::tls, &TlsOptions::client_ca),
        key("server.drain", duration(0ms, 1h), "SIGTERM: clients are sent away over this time",
            &Config::drain),
        key("server.max_head", size(kib, mib), "of an HTTP request's head; more: 431",
            &Config::http, &http::Options::head_bytes_max),
        key("server.head_timeout", duration(10ms, 10min), "to send the head; later: 408",
            &Config::http, &http::Options::head_timeout),
        key("server.body_timeout", duration(10ms, 1h), "without progress of a body; later: 408",
            &Config::http, &http::Options::body_timeout),
        key("server.keep_alive", duration(10ms, 1h), "idle between two requests; then closed",
            &Config::http, &http::Options::keep_alive),
        key("server.max_connections", count(0, 10'000'000),
            "served at once; more: 503; 0: from the descriptor limit", &Config::max_connections),
    };
}

KeyTable<Config> identity_keys() {
    const auto algorithms = choice<auth::Algorithm>({{"HS256", auth::Algorithm::hs256},
                                                     {"HS384", auth::Algorithm::hs384},
                                                     {"HS512", auth::Algorithm::hs512},
                                                     {"RS256", auth::Algorithm::rs256},
                                                     {"ES256", auth::Algorithm::es256}});
    const KeyTable<auth::ApiKeyOptions> api_keys = api_key_keys();
    return {
        with_inner(key("api.keys",
                       sections<auth::ApiKeyOptions>(
                           "keys with name, hash and scopes", api_keys,
                           [](const auth::ApiKeyOptions&, const Value&) {}, 1000),
                       "who may call the backend API", &Config::api, &ApiOptions::keys),
                   api_keys),
        key("api.max_body", size(kib, 64 * mib), "of a request; a batch: 8 times this; more: 413",
            &Config::api, &ApiOptions::body_bytes_max),
        key("api.max_batch", count(1, 1'000'000), "items of a batch; more: 413", &Config::api,
            &ApiOptions::batch_max),
        key("auth.jwt.algorithms", distinct(list(algorithms, 1, 5)),
            "accepted; default: HS256 with a secret, RS256 or ES256 by the public key",
            &Config::jwt, &auth::JwtOptions::algorithms),
        key("auth.jwt.secret", secret(), "for HS256, HS384, HS512: 32, 48, 64 bytes or more",
            &Config::jwt, &auth::JwtOptions::secret),
        key("auth.jwt.public_key", file("a PEM file"), "RSA from 2048 bits, or EC P-256",
            &Config::jwt, &auth::JwtOptions::public_key_path),
        key("auth.jwt.jwks_url", url({"https"}), "where public keys are fetched",
            &Config::jwks_url),
        key("auth.jwt.issuer", text("a text", 0, 1024), "what `iss` must be; empty: anything",
            &Config::jwt, &auth::JwtOptions::issuer),
        key("auth.jwt.audience", text("a text", 0, 1024),
            "what `aud` must be or hold; empty: anything", &Config::jwt,
            &auth::JwtOptions::audience),
        key("auth.jwt.leeway", whole_seconds(0s, 5min), "how far clocks may differ", &Config::jwt,
            &auth::JwtOptions::leeway),
    };
}

KeyTable<Config> client_keys() {
    using session::Options;
    return {
        key("clients.anonymous", boolean(), "sessions without a token may act", &Config::session,
            &Options::anonymous),
        key("clients.allowed_origins", distinct(list(origin(), 0, 1000)),
            "pages that may connect; empty: those of the request's own Host", &Config::session,
            &Options::allowed_origins),
        key("clients.heartbeat", duration(50ms, 1h), "between pings; two without an answer: 4409",
            &Config::session, &Options::heartbeat),
        key("clients.max_message", size(64, 16 * mib), "of a client's message; more: 1009",
            &Config::session, &Options::message_bytes_max),
        key("clients.send_queue", size(kib, gib), "bytes waiting for one client; more: 4408",
            &Config::session, &Options::send_queue_max),
        key("clients.max_rooms", count(1, 1'000'000), "of one session; more: limit_reached",
            &Config::session, &Options::rooms_max),
        key("clients.rate.messages", count(1, 1'000'000),
            "of one client in `per`; more: rate_limited", &Config::session,
            &Options::rate_messages),
        key("clients.rate.per", duration(10ms, 1h), "the window of `messages`", &Config::session,
            &Options::rate_window),
        key("clients.presence_linger", duration(0ms, 10min),
            "a user who is back within it has not left", &Config::room,
            &room::Options::presence_linger),
        key("clients.deflate_min", size(0, mib), "shorter messages are not compressed",
            &Config::session, &Options::deflate_min),
    };
}

KeyTable<Config> room_keys() {
    const KeyTable<room::Rule> rules = rule_keys();
    return {
        with_inner(key("rooms",
                       sections<room::Rule>("rules with match, subscribe, publish …", rules,
                                            check_rule, 1000),
                       "rules; first match wins, a room that no rule matches does not exist",
                       &Config::rooms),
                   rules),
        key("position_ttl", duration(1ms, 3650 * day),
            "a room's position is kept this long after the last publish", &Config::room,
            &room::Options::position_ttl),
        key("rooms_max", count(1, 1'000'000'000), "remembered; the oldest idle one goes first",
            &Config::room, &room::Options::rooms_max),
        key("idempotency.window", duration(1ms, 30 * day), "a repeat within it does nothing",
            &Config::idempotency, &room::IdempotencyOptions::window),
        key("idempotency.keys_max", count(1, 1'000'000'000), "remembered; the oldest goes first",
            &Config::idempotency, &room::IdempotencyOptions::keys_max),
    };
}

KeyTable<Config> backend_keys() {
    const auto broker = choice<BrokerOptions::Type>(
        {{"local", BrokerOptions::Type::local}, {"redis", BrokerOptions::Type::redis}});
    const auto store = choice<StoreOptions::Type>(
        {{"sqlite", StoreOptions::Type::sqlite}, {"redis", StoreOptions::Type::redis}});
    const auto synchronous =
        choice<StoreOptions::Synchronous>({{"full", StoreOptions::Synchronous::full},
                                           {"normal", StoreOptions::Synchronous::normal},
                                           {"off", StoreOptions::Synchronous::off}});
    return {
        key("broker.type", broker, "local: one node; redis: several", &Config::broker,
            &BrokerOptions::type),
        key("broker.redis.url", url({"redis", "rediss"}), "of the server that nodes share",
            &Config::broker, &BrokerOptions::redis_url),
        key("broker.redis.cluster", boolean(), "the server is a Redis Cluster", &Config::broker,
            &BrokerOptions::redis_cluster),
        key("broker.redis.prefix", text("a prefix of Redis keys", 1, 64), "of all keys it uses",
            &Config::broker, &BrokerOptions::redis_prefix),
        key("broker.redis.durable", boolean(), "history is kept in streams", &Config::broker,
            &BrokerOptions::redis_durable),
        key("store.type", store, "where what must survive is kept", &Config::store,
            &StoreOptions::type),
        key("store.path", text("a path", 1, 4096), "the SQLite file", &Config::store,
            &StoreOptions::path),
        key("store.synchronous", synchronous,
            "what an answered write survives. full: a power cut; normal: a power cut may take the "
            "last moments; off: a crash of the process only",
            &Config::store, &StoreOptions::synchronous),
        key("store.queue", size(64 * kib, 16 * gib), "bytes waiting for the disk; more: 503",
            &Config::store, &StoreOptions::queue_bytes_max),
        key("store.redis.url", url({"redis", "rediss"}), "of a store in Redis", &Config::store,
            &StoreOptions::redis_url),
        key("inbox.ttl", duration(1s, 3650 * day), "unacknowledged messages are kept this long",
            &Config::inbox, &delivery::InboxOptions::ttl),
        key("inbox.ack_timeout", duration(10ms, 1h), "between two attempts", &Config::inbox,
            &delivery::InboxOptions::ack_timeout),
        key("inbox.attempts", count(1, 100), "in all; then the next channel", &Config::inbox,
            &delivery::InboxOptions::attempts),
        key("inbox.keep", duration(1s, 3650 * day),
            "records and timelines are kept so long after a notification's time is over",
            &Config::inbox, &delivery::InboxOptions::keep),
    };
}

/// The credentials of one app: `app` leads from the table's target to its PushApp, and is empty
/// where that is the target.
template <class Target, class... App>
KeyTable<Target> credential_keys(const std::string& prefix, App... app) {
    const auto id = text("an id of 10 characters", 10, 10);
    const auto ca = file("a PEM file");
    const auto endpoint = url({"https", "http"});
    const auto rate = count(0, 10'000'000);
    const auto apns = [&](const char* name, auto kind, const char* help, auto member) {
        return key(prefix + "apns." + name, kind, help, app..., &PushApp::apns, member);
    };
    const auto fcm = [&](const char* name, auto kind, const char* help, auto member) {
        return key(prefix + "fcm." + name, kind, help, app..., &PushApp::fcm, member);
    };
    const auto webpush = [&](const char* name, auto kind, const char* help, auto member) {
        return key(prefix + "webpush." + name, kind, help, app..., &PushApp::webpush, member);
    };
    return {
        apns("endpoint", endpoint, "Apple's server", &ApnsOptions::endpoint),
        apns("key", file("a .p8 file"), "the signing key, EC P-256", &ApnsOptions::key),
        apns("key_id", id, "of the signing key", &ApnsOptions::key_id),
        apns("team_id", id, "of the developer account", &ApnsOptions::team_id),
        apns("certificate", ca, "of the app, instead of a signing key", &ApnsOptions::certificate),
        apns("certificate_key", ca, "the certificate's private key", &ApnsOptions::certificate_key),
        apns("topic", text("a bundle id", 1, 255), "the app's bundle id", &ApnsOptions::topic),
        apns("ca", ca, "who signs the server; empty: the system's", &ApnsOptions::ca),
        apns("rate", rate, "pushes per second; 0: no bound", &ApnsOptions::rate),
        fcm("service_account", file("a JSON file"), "the service account's key",
            &FcmOptions::service_account),
        fcm("endpoint", endpoint, "Google's server", &FcmOptions::endpoint),
        fcm("ca", ca, "who signs the server; empty: the system's", &FcmOptions::ca),
        fcm("rate", rate, "pushes per second; 0: no bound", &FcmOptions::rate),
        webpush("subject", text("a contact such as mailto:ops@example.com", 1, 255),
                "contact for push services", &WebPushOptions::subject),
        webpush("private_key", file("a PEM file"), "VAPID key, EC P-256",
                &WebPushOptions::private_key),
        webpush("ca", ca, "who signs the servers; empty: the system's", &WebPushOptions::ca),
        webpush("private_addresses", boolean(),
                "endpoints at private addresses are pushed to, e.g. of a push service of your own",
                &WebPushOptions::private_addresses),
        webpush("rate", rate, "pushes per second; 0: no bound", &WebPushOptions::rate),
    };
}

KeyTable<PushApp> app_keys() {
    KeyTable<PushApp> all{
        required(key("name", text("a name", 1, 64),
                     "what devices that are registered for it name as `app`", &PushApp::name))};
    const KeyTable<PushApp> credentials = credential_keys<PushApp>("");
    all.insert(all.end(), credentials.begin(), credentials.end());
    return all;
}

KeyTable<Config> push_keys() {
    using delivery::PushOptions;
    KeyTable<Config> all = credential_keys<Config>("push.", &Config::push_app);
    Key<Config> apps = key("push.apps",
                           sections<PushApp>(
                               "apps with a name and credentials", app_keys(),
                               [](const PushApp&, const Value&) {}, 100),
                           "further apps, with the same keys as above", &Config::push_apps);
    apps.inner = inner_help(apps.name, app_keys());
    const KeyTable<Config> rest{
        std::move(apps),
        key("push.proxy", proxy_url(), "an HTTP proxy that all connections go through; empty: none",
            &Config::push_proxy),
        key("push.attempts", count(1, 100), "at one device, in all; then it is a dead letter",
            &Config::push, &PushOptions::attempts),
        key("push.backoff", duration(10ms, 1h), "before the second attempt; then it doubles",
            &Config::push, &PushOptions::backoff_start),
        key("push.rate", count(0, 10'000'000), "pushes per second, in all; 0: no bound",
            &Config::push, &PushOptions::rate_per_second),
        key("push.user_rate", count(0, 1'000'000), "pushes per minute to one user; 0: no bound",
            &Config::push, &PushOptions::user_rate_per_minute),
    };
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
}

KeyTable<Config> log_keys() {
    const auto level = choice<log::Level>({{"debug", log::Level::debug},
                                           {"info", log::Level::info},
                                           {"warn", log::Level::warn},
                                           {"error", log::Level::error},
                                           {"off", log::Level::off}});
    const auto format =
        choice<log::Format>({{"json", log::Format::json}, {"text", log::Format::text}});
    return {
        key("log.level", level, "lines below it are dropped", &Config::log, &log::Options::level),
        key("log.format", format, "json: one object a line; text: for people", &Config::log,
            &log::Options::format),
    };
}

} // namespace

const KeyTable<Config>& config_keys() {
    static const KeyTable<Config> table = [] {
        KeyTable<Config> all;
        for (const auto& part : {server_keys(), identity_keys(), client_keys(), room_keys(),
                                 backend_keys(), push_keys(), log_keys()})
            all.insert(all.end(), part.begin(), part.end());
        return all;
    }();
    return table;
}

} // namespace fanfare::app
