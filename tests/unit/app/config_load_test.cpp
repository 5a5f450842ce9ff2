// What a good configuration becomes: values, defaults, environment, files, the shipped examples.

#include "config.hpp"
#include "config_node.hpp"
#include "config_yaml.hpp"

#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace fanfare::app {
namespace {

using namespace std::chrono_literals;
using auth::Algorithm;

Config parse(const std::string& yaml, const Environment& environment = {}) {
    return parse_config(yaml, "f.yaml", environment);
}

std::string refusal(const std::string& yaml, const Environment& environment) {
    try {
        static_cast<void>(parse(yaml, environment));
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

/// config/ of the tree that these tests were compiled from.
std::filesystem::path shipped() {
    return std::filesystem::path{__FILE__}.parent_path() / "../../../config";
}
std::string read(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream{path}.rdbuf();
    return text.str();
}

const std::string secret(64, 's');

} // namespace

TEST_CASE("config: nothing given is the documented defaults", "[config]") {
    const auto* const yaml =
        GENERATE("", "# nothing\n", "---\n", "{}", "server:\nrooms:\n", "\xEF\xBB\xBFlog: {}\r\n");
    const Config config = parse(yaml);
    CHECK_FALSE(config.node_name.empty());
    CHECK(config.session.node == config.node_name);
    CHECK(config.listen == std::vector<std::string>{"0.0.0.0:8080"});
    CHECK(config.ops_listen.empty());
    CHECK(config.reactors == 0);
    CHECK(config.drain == 30s);
    CHECK(config.http.head_bytes_max == 65536);
    CHECK(config.http.head_timeout == 10s);
    CHECK(config.api.body_bytes_max == 1048576);
    CHECK(config.api.batch_max == 1000);
    CHECK(config.jwt.algorithms.empty());
    CHECK(config.jwt.leeway == 30s);
    CHECK_FALSE(config.session.anonymous);
    CHECK(config.session.heartbeat == 30s);
    CHECK(config.session.message_bytes_max == 65536);
    CHECK(config.session.send_queue_max == 1048576);
    CHECK(config.session.rooms_max == 128);
    CHECK(config.session.rate_messages == 100);
    CHECK(config.session.rate_window == 1s);
    CHECK(config.room.presence_linger == 5s);
    CHECK(config.room.position_ttl == 24h);
    CHECK(config.room.rooms_max == 10'000'000);
    CHECK(config.idempotency.window == 10min);
    CHECK(config.idempotency.keys_max == 1'000'000);
    CHECK(config.log.level == log::Level::info);
    CHECK(config.log.format == log::Format::json);
    CHECK_FALSE(config.embedded_default);
    REQUIRE(config.rooms.size() == 1);
    CHECK(config.rooms[0].match == "*");
    CHECK(config.rooms[0].subscribe == room::SubscribeRight::user);
    CHECK(config.rooms[0].publish == room::PublishRight::server);
}

TEST_CASE("config: values arrive where they belong", "[config]") {
    const Config config = parse(R"(
node: {name: gw-1}
server:
  listen: ["127.0.0.1:0", "[::1]:9000"]
  ops_listen: [":9001"]
  reactors: 3
  drain: 250ms
  max_head: 4096
  head_timeout: 500ms
  body_timeout: 2m
  keep_alive: 1h
  max_connections: 77
api:
  keys:
    - {name: a, hash: "sha256:)" +
                                std::string(64, 'A') + R"(", scopes: [publish, admin]}
  max_body: 2MiB
  max_batch: 5
auth: {jwt: {algorithms: [HS512, HS256], secret: )" +
                                secret + R"(, issuer: i, audience: a, leeway: 1m}}
clients:
  anonymous: true
  allowed_origins: ["https://app.example.com", "http://[::1]:3000", "https://*.example.com", "*"]
  heartbeat: 500ms
  max_message: 128
  send_queue: 2KiB
  max_rooms: 1
  rate: {messages: 7, per: 2s}
  presence_linger: 0s
  deflate_min: 0
rooms:
  - match: "chat:*"
    subscribe: token
    publish: subscriber
    presence: true
    patterns: true
    history: {size: 1000, ttl: 7d, durable: true}
  - match: "*"
    subscribe: anyone
position_ttl: 1d
rooms_max: 12
idempotency: {window: 1s, keys_max: 9}
log: {level: debug, format: text}
)");
    CHECK(config.node_name == "gw-1");
    CHECK(config.listen == std::vector<std::string>{"127.0.0.1:0", "[::1]:9000"});
    CHECK(config.ops_listen == std::vector<std::string>{":9001"});
    CHECK(config.reactors == 3);
    CHECK(config.drain == 250ms);
    CHECK(config.http.head_bytes_max == 4096);
    CHECK(config.http.head_timeout == 500ms);
    CHECK(config.http.body_timeout == 2min);
    CHECK(config.http.keep_alive == 1h);
    CHECK(config.max_connections == 77);
    REQUIRE(config.api.keys.size() == 1);
    CHECK(config.api.keys[0].name == "a");
    CHECK(config.api.keys[0].sha256 == std::string(32, '\xaa'));
    CHECK(config.api.keys[0].scopes == 9);
    CHECK(config.api.body_bytes_max == 2097152);
    CHECK(config.api.batch_max == 5);
    CHECK(config.jwt.algorithms == std::vector{Algorithm::hs512, Algorithm::hs256});
    CHECK(config.jwt.secret == secret);
    CHECK(config.jwt.issuer == "i");
    CHECK(config.jwt.audience == "a");
    CHECK(config.jwt.leeway == 60s);
    CHECK(config.session.anonymous);
    CHECK(config.session.allowed_origins.size() == 4);
    CHECK(config.session.heartbeat == 500ms);
    CHECK(config.session.message_bytes_max == 128);
    CHECK(config.session.send_queue_max == 2048);
    CHECK(config.session.rooms_max == 1);
    CHECK(config.session.rate_messages == 7);
    CHECK(config.session.rate_window == 2s);
    CHECK(config.session.deflate_min == 0);
    CHECK(config.room.presence_linger == 0s);
    REQUIRE(config.rooms.size() == 2);
    CHECK(config.rooms[0].subscribe == room::SubscribeRight::token);
    CHECK(config.rooms[0].publish == room::PublishRight::subscriber);
    CHECK(config.rooms[0].presence);
    CHECK(config.rooms[0].patterns);
    CHECK(config.rooms[0].history.size == 1000);
    CHECK(config.rooms[0].history.ttl == 168h);
    CHECK(config.rooms[0].history.durable);
    CHECK(config.rooms[1].publish == room::PublishRight::server);
    CHECK(config.rooms[1].history.size == 100);
    CHECK(config.room.position_ttl == 24h);
    CHECK(config.room.rooms_max == 12);
    CHECK(config.idempotency.window == 1s);
    CHECK(config.idempotency.keys_max == 9);
    CHECK(config.log.level == log::Level::debug);
    CHECK(config.log.format == log::Format::text);
    CHECK(config.warnings.empty());
}

TEST_CASE("config: anchors, aliases and merges", "[config]") {
    const Config config = parse("rooms:\n"
                                "  - &base {match: a, subscribe: anyone, history: &h {size: 7}}\n"
                                "  - <<: *base\n"
                                "    match: b\n"
                                "  - {match: c, history: *h}\n");
    REQUIRE(config.rooms.size() == 3);
    CHECK(config.rooms[1].match == "b");
    CHECK(config.rooms[1].subscribe == room::SubscribeRight::anyone);
    CHECK(config.rooms[1].history.size == 7);
    CHECK(config.rooms[2].history.size == 7);
    CHECK(config.rooms[2].subscribe == room::SubscribeRight::user);
}

TEST_CASE("config: a secret without algorithms means HS256", "[config]") {
    CHECK(parse("auth: {jwt: {secret: " + secret + "}}").jwt.algorithms ==
          std::vector{Algorithm::hs256});
}

TEST_CASE("config: warnings name their place", "[config]") {
    const auto has = [](const Config& config, const std::string& line) {
        return std::find(config.warnings.begin(), config.warnings.end(), line) !=
               config.warnings.end();
    };
    const Config rooms = parse("rooms:\n"
                               "  - match: a\n"
                               "  - match: \"chat:*\"\n"
                               "  - match: \"chat:*:x\"\n"
                               "  - match: a\n"
                               "  - match: \"*\"\n"
                               "  - match: b\n");
    CHECK(has(rooms, "f.yaml:4: rooms[2]: \"chat:*:x\" never matches: \"chat:*\" comes first"));
    CHECK(has(rooms, "f.yaml:5: rooms[3]: \"a\" never matches: \"a\" comes first"));
    CHECK(has(rooms, "f.yaml:7: rooms[5]: \"b\" never matches: \"*\" comes first"));
    CHECK(has(rooms, "f.yaml: api.keys: none: the backend API answers 401 to everybody"));
    CHECK(rooms.warnings.size() == 5);

    CHECK(has(parse("clients:\n  send_queue: 1KiB"),
              "f.yaml:2: clients.send_queue: 1KiB is less than clients.max_message (64KiB): a "
              "larger message disconnects whoever it is for"));
    CHECK(has(parse("", {{"FANFARE_ROOMS_MAX", "5"}}),
              "environment FANFARE_ROOMS_MAX: is not a setting: a key without a section can be set "
              "in the file only"));
}

TEST_CASE("config: the environment overrides the file", "[config]") {
    const Config config =
        parse("server: {drain: 5s, listen: [\"127.0.0.1:1\"]}\nauth:\nnode: {name: a}",
              {{"FANFARE_SERVER__LISTEN", R"(["127.0.0.1:9999", "[::1]:9999"])"},
               {"FANFARE_SERVER__DRAIN", "1s"},
               {"FANFARE_SERVER__REACTORS", "2"},
               {"FANFARE_AUTH__JWT__SECRET", "12345678901234567890123456789012"},
               {"FANFARE_AUTH__JWT__ALGORITHMS", R"(["HS256"])"},
               {"FANFARE_CLIENTS__ANONYMOUS", "true"},
               {"FANFARE_CLIENTS__RATE__MESSAGES", "5"},
               {"FANFARE_NODE__NAME", "5"},
               {"FANFARE_API__KEYS", R"([{"name":"k","hash":"sha256:)" + std::string(64, 'b') +
                                         R"(","scopes":["read"]}])"},
               {"FANFARE_API_KEY", "sk_live_x"},
               {"FANFARE_HOME", "/"},
               {"PATH__X", "/"}});
    CHECK(config.listen == std::vector<std::string>{"127.0.0.1:9999", "[::1]:9999"});
    CHECK(config.drain == 1s);
    CHECK(config.reactors == 2);
    CHECK(config.jwt.secret.size() == 32);
    CHECK(config.jwt.algorithms == std::vector{Algorithm::hs256});
    CHECK(config.session.anonymous);
    CHECK(config.session.rate_messages == 5);
    CHECK(config.node_name == "5");
    REQUIRE(config.api.keys.size() == 1);
    CHECK(config.api.keys[0].scopes == 2);
    CHECK(config.warnings.empty());
}

TEST_CASE("config: mistakes in the environment name the variable", "[config]") {
    struct Case {
        const char* name;
        const char* value;
        const char* line;
    };
    const std::vector<Case> cases{
        {"FANFARE_X__Y", "1", "environment FANFARE_X__Y: unknown key"},
        {"FANFARE_SERVER__LISEN", "[]",
         "environment FANFARE_SERVER__LISEN: unknown key; did you mean FANFARE_SERVER__LISTEN?"},
        {"FANFARE_server__drain", "1s",
         "environment FANFARE_server__drain: unknown key; did you mean FANFARE_SERVER__DRAIN?"},
        {"FANFARE_SERVER__TLS", "{}",
         "environment FANFARE_SERVER__TLS: unknown key; it is a section: set its keys, such as "
         "FANFARE_SERVER__TLS__CERTIFICATE"},
        {"FANFARE_API__KEYS__0__NAME", "a",
         "environment FANFARE_API__KEYS__0__NAME: unknown key; set FANFARE_API__KEYS to a JSON "
         "list"},
        {"FANFARE_SERVER__", "1",
         "environment FANFARE_SERVER__: unknown key; did you mean FANFARE_SERVER__DRAIN?"},
        {"FANFARE___", "1", "environment FANFARE___: unknown key"},
        {"FANFARE_SERVER__DRAIN", "30",
         "environment FANFARE_SERVER__DRAIN: server.drain: 30 has no unit; write 30s or 30ms"},
        {"FANFARE_SERVER__DRAIN", "",
         "environment FANFARE_SERVER__DRAIN: server.drain: \"\" is not a duration from 0s to 1h, "
         "such as 250ms, 30s, 5m, 1h or 7d"},
        {"FANFARE_SERVER__LISTEN", "127.0.0.1:80",
         "environment FANFARE_SERVER__LISTEN: server.listen: is not JSON (something follows the "
         "end of the value at byte 5); expected a JSON list such as [\"…\",\"…\"]"},
        {"FANFARE_SERVER__LISTEN", "\"a\"",
         "environment FANFARE_SERVER__LISTEN: server.listen: is not a list; expected a JSON list "
         "such as [\"…\",\"…\"]"},
        {"FANFARE_SERVER__LISTEN", "[\"127.0.0.1:x\"]",
         "environment FANFARE_SERVER__LISTEN: server.listen[0]: \"127.0.0.1:x\" is no address to "
         "listen at; write one such as \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\""},
        {"FANFARE_SERVER__LISTEN", "[1e99]",
         "environment FANFARE_SERVER__LISTEN: server.listen[0]: 1e+99 is no text; write \"1e+99\""},
        {"FANFARE_API__KEYS", R"([{"name":"a","name":"b"}])",
         "environment FANFARE_API__KEYS: name: is given twice; keep one of them"},
        {"FANFARE_API__KEYS", R"([{"name":"a","nam":"b"}])",
         "environment FANFARE_API__KEYS: api.keys[0].nam: unknown key; did you mean name?"},
        {"FANFARE_AUTH__JWT__SECRET", "short",
         "environment FANFARE_AUTH__JWT__SECRET: auth.jwt.secret: has 5 bytes; HS256 needs at "
         "least 32"},
        {"FANFARE_BROKER__TYPE", "redis",
         "environment FANFARE_BROKER__TYPE: broker.type: redis is not built yet; use local, on one "
         "node"},
        {"FANFARE_NODE__NAME", "\xff", "environment FANFARE_NODE__NAME: node.name: is not UTF-8"},
    };
    for (const Case& one : cases) {
        CAPTURE(one.name, one.value);
        CHECK(refusal("", {{one.name, one.value}}) == one.line);
    }
    // The file's mistake stays the file's when the environment reaches below it.
    CHECK(refusal("server: 5", {{"FANFARE_SERVER__DRAIN", "1s"}}) ==
          "f.yaml:1: server: is a section; expected keys below it, such as listen");
}

TEST_CASE("config: the embedded default", "[config]") {
    const Config config = embedded_default({});
    CHECK(config.embedded_default);
    CHECK(config.listen == std::vector<std::string>{"127.0.0.1:8080"});
    CHECK(config.session.anonymous);
    REQUIRE(config.rooms.size() == 1);
    CHECK(config.rooms[0].match == "*");
    CHECK(config.rooms[0].subscribe == room::SubscribeRight::anyone);
    CHECK(config.rooms[0].publish == room::PublishRight::subscriber);
    CHECK(config.rooms[0].presence);
    CHECK(config.rooms[0].patterns);
    CHECK(config.warnings.empty());
    REQUIRE(config.api.keys.size() == 1);
    CHECK(config.api.keys[0].sha256 == sha256(config.fresh_api_key));
    CHECK(config.api.keys[0].scopes == 15);
    CHECK(embedded_default({}).fresh_api_key != config.fresh_api_key);
    CHECK(embedded_default({}, config.fresh_api_key).fresh_api_key == config.fresh_api_key);

    const Config other = embedded_default({{"FANFARE_SERVER__LISTEN", R"(["0.0.0.0:9999"])"}});
    CHECK(other.listen == std::vector<std::string>{"0.0.0.0:9999"});
    CHECK(other.warnings.size() == 1);
    const Config keyed = embedded_default(
        {{"FANFARE_API__KEYS",
          R"([{"name":"k","hash":"sha256:)" + std::string(64, 'b') + R"(","scopes":["read"]}])"}});
    CHECK(keyed.fresh_api_key.empty());
    CHECK(keyed.api.keys.size() == 1);
    CHECK_THROWS_AS(embedded_default({{"FANFARE_SERVER__X", "1"}}), ConfigError);
}

TEST_CASE("config: what a reload changes is known by key", "[config]") {
    const std::string yaml = "node: {name: a}\nrooms: [{match: a, history: {size: 5}}]\n";
    CHECK(changed_keys(parse(yaml), parse(yaml)).empty());
    CHECK(changed_keys(parse(yaml), parse("node: {name: b}\nlog: {level: warn}\n"
                                          "rooms: [{match: a, history: {size: 6}}]")) ==
          std::vector<std::string>{"node.name", "rooms", "log.level"});
}

TEST_CASE("config: every kind of default is shown as it is written", "[config]") {
    // What known_keys() shows must read back as the same default.
    for (const KeyHelp& one : known_keys()) {
        CAPTURE(one.name, one.default_value);
        CHECK_FALSE(one.type.empty());
        CHECK_FALSE(one.help.empty());
        const bool own = one.default_value.empty() || one.default_value == "\"\"" ||
                         one.default_value == "[]" || one.name.find("[]") != std::string::npos ||
                         one.name.starts_with("push."); // not without its other keys
        if (own) continue;
        std::string yaml;
        std::istringstream words{one.name};
        for (std::string word; std::getline(words, word, '.');) yaml += "{" + word + ": ";
        yaml += one.default_value;
        yaml += std::string(
            static_cast<std::size_t>(1 + std::count(one.name.begin(), one.name.end(), '.')), '}');
        CAPTURE(yaml);
        CHECK(changed_keys(parse("node: {name: n}"), parse(yaml, {{"FANFARE_NODE__NAME", "n"}}))
                  .empty());
    }
}

TEST_CASE("config: the examples are good", "[config]") {
    const Environment environment{{"FANFARE_AUTH__JWT__SECRET", secret}};
    CHECK(load_config((shipped() / "fanfare.yaml").string(), {}).rooms.size() == 2);
    CHECK(load_config((shipped() / "examples/chat.yaml").string(), environment).rooms.size() == 3);
    CHECK(load_config((shipped() / "examples/dashboard.yaml").string(), {}).warnings.empty());
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator{shipped() / "examples"}) {
        CAPTURE(entry.path().string());
        CHECK_NOTHROW(load_config(entry.path().string(), environment));
        ++files;
    }
    CHECK(files == 2);
}

TEST_CASE("config: fanfare.yaml has every key and shows the defaults", "[config]") {
    const std::string text = read(shipped() / "fanfare.yaml");
    const Config example = parse_config(text, "fanfare.yaml", {});
    // Only the rooms are an example.
    Config defaults = parse("", {{"FANFARE_NODE__NAME", example.node_name}});
    CHECK(changed_keys(defaults, example) == std::vector<std::string>{"rooms"});

    // A setting behind `#` without a blank is one that was commented out.
    const std::string all = std::regex_replace(text, std::regex{"(^|\n)( *)#([^ \n])"}, "$1$2$3");
    const ConfigNode root = parse_yaml(all, "fanfare.yaml");
    for (const KeyHelp& one : known_keys()) {
        CAPTURE(one.name);
        const std::size_t list = one.name.find("[].");
        if (list == std::string::npos) {
            CHECK(find_path(root, one.name) != nullptr);
            continue;
        }
        const ConfigNode* items = find_path(root, one.name.substr(0, list));
        REQUIRE(items != nullptr);
        CHECK(std::any_of(items->items.begin(), items->items.end(), [&](const ConfigNode& item) {
            return find_path(item, one.name.substr(list + 3)) != nullptr;
        }));
    }
}

} // namespace fanfare::app
