// Every way to get a configuration wrong names its place: file, line and key.

#include "config.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <string>

namespace fanfare::app {
namespace {

/// The one line that a configuration is refused with; empty: it is not.
std::string refusal(const std::string& yaml, const Environment& environment = {}) {
    try {
        static_cast<void>(parse_config(yaml, "f.yaml", environment));
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

const std::string hash_a = "sha256:" + std::string(64, 'a');
const std::string hash_b = "sha256:" + std::string(64, 'b');
const std::string secret_32(32, 's');

struct Bad {
    const char* name;
    std::string yaml;
    std::string line;
};
void check_all(const std::vector<Bad>& cases) {
    for (const Bad& bad : cases) {
        CAPTURE(bad.name, bad.yaml);
        const std::string line = refusal(bad.yaml);
        CHECK(line == bad.line);
        CHECK(line.find('\n') == std::string::npos);
    }
}

} // namespace

TEST_CASE("config: names that are not known, or known already", "[config]") {
    check_all({
        {"typo", "server:\n  lisen: []",
         "f.yaml:2: server.lisen: unknown key; did you mean listen?"},
        {"section typo", "sever: {}", "f.yaml:1: sever: unknown key; did you mean server?"},
        {"dash", "server:\n  max-head: 1KiB",
         "f.yaml:2: server.max-head: unknown key; did you mean max_head?"},
        {"other section", "server:\n  heartbeat: 30s",
         "f.yaml:2: server.heartbeat: unknown key; did you mean clients.heartbeat?"},
        {"nothing alike", "log:\n  colours: true",
         "f.yaml:2: log.colours: unknown key; expected one of level, format"},
        {"below a value", "node:\n  name: {first: a}",
         "f.yaml:2: node.name: is a section; expected a name"},
        {"dotted", "server.drain: 5s",
         "f.yaml:1: server.drain: unknown key; a dot makes no section: write drain below its "
         "section"},
        {"in a rule", "rooms:\n  - match: a\n    publsh: server",
         "f.yaml:3: rooms[0].publsh: unknown key; did you mean publish?"},
        {"in a rule's history", "rooms:\n  - match: a\n    history:\n      sice: 5",
         "f.yaml:4: rooms[0].history.sice: unknown key; did you mean size?"},
        {"in a key", "api:\n  keys:\n    - {name: a, scope: [read]}",
         "f.yaml:3: api.keys[0].scope: unknown key; did you mean scopes?"},
        {"control characters", "\"a\\nb\": 1",
         "f.yaml:1: \"a\\nb\": unknown key; expected one of node, server, api, auth, clients, "
         "rooms, position_ttl, rooms_max, idempotency, broker, store, inbox, push, log"},
        {"twice", "server:\n  drain: 1s\n  reactors: 1\n  drain: 2s",
         "f.yaml:4: server.drain: is given twice, first in line 2; keep one of them"},
        {"section twice", "log: {}\nnode: {}\nlog: {}",
         "f.yaml:3: log: is given twice, first in line 1; keep one of them"},
        {"twice in a rule", "rooms:\n  - match: a\n    match: b",
         "f.yaml:3: rooms[0].match: is given twice, first in line 2; keep one of them"},
    });
}

TEST_CASE("config: values of the wrong type", "[config]") {
    check_all({
        {"section is a text", "server: yes",
         "f.yaml:1: server: is a section; expected keys below "
         "it, such as listen"},
        {"section is a list", "log:\n  - level",
         "f.yaml:2: log: is a section; expected keys below it, such as level"},
        {"list is a text", "server:\n  listen: 127.0.0.1:80",
         "f.yaml:2: server.listen: is not a list; expected a list of addresses such as "
         "\"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\", in brackets"},
        {"list is a section", "rooms:\n  match: a",
         "f.yaml:2: rooms: is a section; expected a list of rules with match, subscribe, publish "
         "…"},
        {"rule is a text", "rooms: [a]",
         "f.yaml:1: rooms[0]: is not one of rules with match, subscribe, publish …"},
        {"number in quotes", "server: {reactors: \"2\"}",
         "f.yaml:1: server.reactors: \"2\" is a text; leave the quotes away"},
        {"number is a word", "server: {reactors: all}",
         "f.yaml:1: server.reactors: \"all\" is not a number from 0 to 1024"},
        {"number is negative", "server: {reactors: -1}",
         "f.yaml:1: server.reactors: \"-1\" is not a number from 0 to 1024"},
        {"number is a fraction", "api: {max_batch: 1.5}",
         "f.yaml:1: api.max_batch: \"1.5\" is not a number from 1 to 1000000"},
        {"number is huge", "rooms_max: 99999999999999999999999",
         "f.yaml:1: rooms_max: \"99999999999999999999999\" is not a number from 1 to 1000000000"},
        {"boolean is yes", "clients: {anonymous: yes}",
         "f.yaml:1: clients.anonymous: \"yes\" is not true or false"},
        {"boolean in quotes", "clients: {anonymous: \"true\"}",
         "f.yaml:1: clients.anonymous: \"true\" is not true or false"},
        {"text is a number", "node: {name: 5}", "f.yaml:1: node.name: 5 is no text; write \"5\""},
        {"text is a boolean", "node: {name: true}",
         "f.yaml:1: node.name: true is no text; write \"true\""},
        {"text is a list", "node: {name: [a]}", "f.yaml:1: node.name: is a list; expected a name"},
        {"no value", "node:\n  name:\nlog: {}",
         "f.yaml:2: node.name: has no value; expected a name"},
        {"another word", "log:\n  level: loud",
         "f.yaml:2: log.level: \"loud\" is not debug, info, warn, error or off"},
        {"upper case", "log: {format: JSON}", "f.yaml:1: log.format: \"JSON\" is not json or text"},
        {"duration without a unit", "server: {drain: 30}",
         "f.yaml:1: server.drain: 30 has no unit; write 30s or 30ms"},
        {"duration with a blank", "server: {drain: 30 s}",
         "f.yaml:1: server.drain: \"30 s\" is not a duration from 0s to 1h, such as 250ms, 30s, "
         "5m, 1h or 7d"},
        {"duration with a fraction", "server: {drain: 1.5s}",
         "f.yaml:1: server.drain: \"1.5s\" is not a duration from 0s to 1h, such as 250ms, 30s, "
         "5m, 1h or 7d"},
        {"negative duration", "server: {drain: -5s}",
         "f.yaml:1: server.drain: \"-5s\" is not a duration from 0s to 1h, such as 250ms, 30s, 5m, "
         "1h or 7d"},
        {"duration that overflows", "server: {drain: 9999999999999999d}",
         "f.yaml:1: server.drain: \"9999999999999999d\" is not a duration from 0s to 1h, such as "
         "250ms, 30s, 5m, 1h or 7d"},
        {"size of thousands", "server: {max_head: 64KB}",
         "f.yaml:1: server.max_head: \"64KB\" is not a size from 1KiB to 1MiB, such as 64KiB, 1MiB "
         "or plain bytes"},
        {"size that overflows", "server: {max_head: 99999999999GiB}",
         "f.yaml:1: server.max_head: \"99999999999GiB\" is not a size from 1KiB to 1MiB, such as "
         "64KiB, 1MiB or plain bytes"},
    });
}

TEST_CASE("config: values that cannot be", "[config]") {
    check_all({
        {"no heartbeat", "clients:\n  heartbeat: 0s",
         "f.yaml:2: clients.heartbeat: \"0s\" is not a duration from 50ms to 1h"},
        {"drain of a day", "server: {drain: 1d}",
         "f.yaml:1: server.drain: \"1d\" is not a duration from 0s to 1h"},
        {"head of a gigabyte", "server: {max_head: 1GiB}",
         "f.yaml:1: server.max_head: \"1GiB\" is not a size from 1KiB to 1MiB"},
        {"empty message", "clients: {max_message: 0}",
         "f.yaml:1: clients.max_message: \"0\" is not a size from 64 to 16MiB"},
        {"no messages", "clients: {rate: {messages: 0}}",
         "f.yaml:1: clients.rate.messages: \"0\" is not a number from 1 to 1000000"},
        {"leeway of half a second", "auth: {jwt: {leeway: 500ms}}",
         "f.yaml:1: auth.jwt.leeway: \"500ms\" is not in whole seconds"},
        {"no attempts", "inbox: {attempts: 0}",
         "f.yaml:1: inbox.attempts: \"0\" is not a number from 1 to 100"},
        {"nowhere to listen", "server:\n  listen: []",
         "f.yaml:2: server.listen: is empty; expected a list of addresses such as "
         "\"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\", at least 1"},
        {"host name", "server:\n  listen:\n    - example.com:80",
         "f.yaml:3: server.listen[0]: \"example.com:80\" is no address to listen at; write one "
         "such as \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\""},
        {"port too large", "server: {listen: [\"127.0.0.1:70000\"]}",
         "f.yaml:1: server.listen[0]: \"127.0.0.1:70000\" is no address to listen at; write one "
         "such as \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\""},
        {"port only", "server: {listen: [8080]}",
         "f.yaml:1: server.listen[0]: 8080 is no text; write \"8080\""},
        {"address twice", "server: {listen: [\"127.0.0.1:80\", \"127.0.0.1:80\"]}",
         "f.yaml:1: server.listen[1]: is the same as server.listen[0]; keep one of them"},
        {"address twice, spelt otherwise", "server: {listen: [\":80\",\n \"0.0.0.0:80\"]}",
         "f.yaml:2: server.listen[1]: is the same address as server.listen[0]"},
        {"operations at the clients' address",
         "server:\n  listen: [\"127.0.0.1:80\"]\n  ops_listen: [\"127.0.0.1:80\"]",
         "f.yaml:3: server.ops_listen[0]: is the same address as server.listen[0]"},
        {"origin with a path", "clients: {allowed_origins: [\"https://a.example/x\"]}",
         "f.yaml:1: clients.allowed_origins[0]: \"https://a.example/x\" is no origin; write "
         "\"https://app.example.com\" without a path, \"https://*.example.com\" or \"*\""},
        {"origin without a scheme", "clients: {allowed_origins: [a.example]}",
         "f.yaml:1: clients.allowed_origins[0]: \"a.example\" is no origin; write "
         "\"https://app.example.com\" without a path, \"https://*.example.com\" or \"*\""},
        {"another protocol", "broker: {redis: {url: \"http://:pw@h\"}}",
         "f.yaml:1: broker.redis.url: is not a URL that begins with redis:// or rediss://"},
        {"control character", "node: {name: \"a\\tb\"}",
         "f.yaml:1: node.name: holds a control character; expected a name"},
    });
}

TEST_CASE("config: room rules", "[config]") {
    check_all({
        {"no pattern", "rooms:\n  - subscribe: user",
         "f.yaml:2: rooms[0]: lacks match; expected a room's name, with * for any run of "
         "characters"},
        {"empty pattern", "rooms:\n  - match: \"\"",
         "f.yaml:2: rooms[0].match: is empty; \"*\" matches every room"},
        {"reserved", "rooms:\n  - match: \"@me\"",
         "f.yaml:2: rooms[0].match: \"@me\": names that begin with @ are the gateway's own; no "
         "rule is for them"},
        {"too long", "rooms:\n  - match: " + std::string(256, 'r'),
         "f.yaml:2: rooms[0].match: is longer than 255 bytes, as no room's name is"},
        {"control character", "rooms: [{match: \"a\\0\"}]",
         "f.yaml:1: rooms[0].match: holds a control character; expected a room's name, with * for "
         "any run of characters"},
        {"no such right", "rooms:\n  - match: a\n    subscribe: everyone",
         "f.yaml:3: rooms[0].subscribe: \"everyone\" is not anyone, user or token"},
        {"history without time", "rooms:\n  - match: a\n    history:\n      size: 5\n      ttl: 0s",
         "f.yaml:5: rooms[0].history.ttl: 0s keeps nothing while history.size is above 0; give it "
         "a time such as 5m, or history.size: 0"},
        {"default history without time", "rooms: [{match: a, history: {ttl: 0s}}]",
         "f.yaml:1: rooms[0].history.ttl: 0s keeps nothing while history.size is above 0; give it "
         "a time such as 5m, or history.size: 0"},
        {"durable nothing", "rooms: [{match: a, history: {size: 0, durable: true}}]",
         "f.yaml:1: rooms[0].history.durable: true keeps nothing while history.size is 0; give it "
         "a size"},
    });
    CHECK(refusal("rooms: [{match: a, history: {size: 0, ttl: 0s}}]").empty());
}

TEST_CASE("config: API keys", "[config]") {
    const std::string head = "api:\n  keys:\n    - {name: a, hash: \"" + hash_a + "\", scopes: ";
    check_all({
        {"unknown scope", head + "[write]}",
         "f.yaml:3: api.keys[0].scopes[0]: \"write\" is not publish, read, notify or admin"},
        {"scope twice", head + "[read, read]}",
         "f.yaml:3: api.keys[0].scopes[1]: is the same as api.keys[0].scopes[0]; keep one of them"},
        {"no scope", head + "[]}",
         "f.yaml:3: api.keys[0].scopes: is empty; expected a list of publish, read, notify or "
         "admin, at least 1"},
        {"no scopes", "api:\n  keys:\n    - {name: a, hash: \"" + hash_a + "\"}",
         "f.yaml:3: api.keys[0]: lacks scopes; expected a list of publish, read, notify or admin"},
        {"short hash", "api: {keys: [{name: a, hash: \"sha256:abc\", scopes: [read]}]}",
         "f.yaml:1: api.keys[0].hash: is not \"sha256:\" and 64 hex digits; `fanfare apikey new` "
         "makes a key and its hash"},
        {"the key itself", "api: {keys: [{name: a, hash: sk_live_a_b, scopes: [read]}]}",
         "f.yaml:1: api.keys[0].hash: is the key itself, which does not belong here; expected "
         "\"sha256:\" and 64 hex digits; `fanfare apikey new` makes a key and its hash"},
        {"name twice", head + "[read]}\n    - {name: a, hash: \"" + hash_b + "\", scopes: [read]}",
         "f.yaml:4: api.keys[1].name: \"a\" is the name of another key; each needs its own"},
        {"hash twice", head + "[read]}\n    - {name: b, hash: \"" + hash_a + "\", scopes: [read]}",
         "f.yaml:4: api.keys[1].hash: is the hash of another key in this list; a key has one "
         "entry"},
    });
}

TEST_CASE("config: tokens", "[config]") {
    const auto jwt = [](const std::string& keys) { return "auth:\n  jwt:\n" + keys; };
    check_all({
        {"algorithm without a secret", jwt("    algorithms: [HS256]"),
         "f.yaml:3: auth.jwt.algorithms: HS256 needs auth.jwt.secret, at least 32 bytes"},
        {"algorithm without a public key", jwt("    algorithms: [ES256]"),
         "f.yaml:3: auth.jwt.algorithms: ES256 needs auth.jwt.public_key, a PEM file with an EC "
         "P-256 key"},
        {"short secret", jwt("    secret: " + std::string(31, 's')),
         "f.yaml:3: auth.jwt.secret: has 31 bytes; HS256 needs at least 32"},
        {"short for another hash",
         jwt("    algorithms: [HS256, HS512]\n    secret: " + std::string(63, 's')),
         "f.yaml:4: auth.jwt.secret: has 63 bytes; HS512 needs at least 64"},
        {"none", jwt("    algorithms: [none]"),
         "f.yaml:3: auth.jwt.algorithms[0]: \"none\" is not HS256, HS384, HS512, RS256 or ES256"},
        {"empty list", jwt("    algorithms: []\n    secret: " + secret_32),
         "f.yaml:3: auth.jwt.algorithms: is empty; expected a list of HS256, HS384, HS512, RS256 "
         "or ES256, at least 1"},
        {"PEM as a secret", jwt("    secret: |\n      -----BEGIN PUBLIC KEY-----\n      MFkw\n"),
         "f.yaml:3: auth.jwt.secret: is a PEM text, which is not secret if it is a public key; put "
         "a public key into a file and name it in auth.jwt.public_key"},
        {"number as a secret", jwt("    secret: " + std::string(32, '7')),
         "f.yaml:3: auth.jwt.secret: is a number; write it in quotes"},
        {"key set", jwt("    jwks_url: \"https://id.example/jwks\""),
         "f.yaml:3: auth.jwt.jwks_url: fetching keys is not built yet; name a file in "
         "auth.jwt.public_key"},
        {"key set in clear", jwt("    jwks_url: \"http://id.example/jwks\""),
         "f.yaml:3: auth.jwt.jwks_url: is not a URL that begins with https://"},
        {"missing file", jwt("    public_key: /nonexistent/pub.pem"),
         "f.yaml:3: auth.jwt.public_key: cannot read \"/nonexistent/pub.pem\": No such file or "
         "directory"},
        {"a directory", jwt("    public_key: /tmp"),
         "f.yaml:3: auth.jwt.public_key: cannot read \"/tmp\": Is a directory"},
        {"a device", jwt("    public_key: /dev/zero"),
         "f.yaml:3: auth.jwt.public_key: cannot read \"/dev/zero\": not a plain file"},
    });
}

TEST_CASE("config: no secret is shown in a message", "[config]") {
    for (const std::string secret : {"hunter2hunter2", "123456789", "-----BEGIN hunter2"}) {
        CAPTURE(secret);
        const std::string line = refusal("auth: {jwt: {secret: \"" + secret + "\"}}");
        CHECK_FALSE(line.empty());
        CHECK(line.find(secret) == std::string::npos);
    }
    const std::string line = refusal("store: {redis: {url: \"redis://:hunter2@a b\"}}");
    CHECK(line.find("store.redis.url") != std::string::npos);
    CHECK(line.find("hunter2") == std::string::npos);
}

TEST_CASE("config: credentials of push services", "[config]") {
    check_all({
        {"apns without a topic", "push:\n  apns: {key: k, key_id: ABCDE12345, team_id: ABCDE12345}",
         "f.yaml:2: push.apns.topic: is missing; expected the app's bundle id"},
        {"apns with a short id", "push: {apns: {key_id: ABC}}",
         "f.yaml:1: push.apns.key_id: is shorter than 10 bytes; expected an id of 10 characters"},
        {"fcm", "push:\n  fcm:\n    service_account: /nonexistent/sa.json",
         "f.yaml:3: push.fcm.service_account: cannot read \"/nonexistent/sa.json\": No such file "
         "or directory"},
        {"webpush", "push:\n  webpush: {subject: ops, private_key: k}",
         "f.yaml:2: push.webpush.subject: \"ops\" is no contact; write mailto:ops@example.com or "
         "https://…"},
        {"both kinds of APNs credential",
         "push:\n  apns:\n    certificate: c\n    certificate_key: k\n    team_id: ABCDE12345",
         "f.yaml:5: push.apns.team_id: and push.apns.certificate exclude each other: Apple knows "
         "the sender by a signing key, or by a certificate"},
        {"half a key", "push: {apns: {key: k, topic: t}}",
         "f.yaml:1: push.apns.key_id: is missing; expected the key's id of 10 characters"},
        {"half a certificate", "push: {apns: {certificate: c, topic: t}}",
         "f.yaml:1: push.apns.certificate_key: is missing; expected a PEM file with the "
         "certificate's private key"},
        {"the other half", "push: {apns: {certificate_key: k, topic: t}}",
         "f.yaml:1: push.apns.certificate: is missing; expected a PEM file with the app's "
         "certificate"},
        {"a certificate without TLS",
         "push: {apns: {certificate: c, certificate_key: k, topic: t, endpoint: \"http://a\"}}",
         "f.yaml:1: push.apns.endpoint: must begin with https://: without TLS nobody asks for the "
         "certificate"},
        {"only a rate", "push: {fcm: {rate: 5}}",
         "f.yaml:1: push.fcm.service_account: is missing; expected the JSON file of a service "
         "account"},
        {"a rate below zero", "push: {rate: -1}",
         "f.yaml:1: push.rate: \"-1\" is not a number from 0 to 10000000"},
        {"an app without a name", "push:\n  apps:\n    - {fcm: {service_account: a}}",
         "f.yaml:3: push.apps[0]: lacks name; expected a name"},
        {"an app without a credential", "push:\n  apps:\n    - {name: a}",
         "f.yaml:3: push.apps[0]: has no credential; expected apns, fcm or webpush"},
        {"an app's credential", "push:\n  apps:\n    - name: a\n      apns: {key: k}",
         "f.yaml:4: push.apps[0].apns.key_id: is missing; expected the key's id of 10 characters"},
        {"a misspelt key of an app", "push: {apps: [{name: a, fmc: {}}]}",
         "f.yaml:1: push.apps[0].fmc: unknown key; did you mean fcm?"},
        {"no list of apps", "push: {apps: {name: a}}",
         "f.yaml:1: push.apps: is a section; expected a list of apps with a name and credentials"},
    });
}

TEST_CASE("config: a proxy for push", "[config]") {
    const Config config =
        parse_config("push: {proxy: \"http://ops%40x:p%3a%20s@proxy.example.com:3128/\"}", "f", {});
    CHECK(config.push_proxy.host == "proxy.example.com");
    CHECK(config.push_proxy.port == 3'128);
    CHECK(config.push_proxy.user == "ops@x");
    CHECK(config.push_proxy.password == "p: s");
    CHECK(parse_config("push: {proxy: \"http://[::1]:8080\"}", "f", {}).push_proxy.host == "::1");
    CHECK(parse_config("push: {proxy: \"\"}", "f", {}).push_proxy.host.empty());
    CHECK(changed_keys(config, parse_config("push: {proxy: \"http://ops%40x:other@proxy.example.com"
                                            ":3128\"}",
                                            "f", {})) == std::vector<std::string>{"push.proxy"});
    for (const char* const wrong :
         {"https://u:hunter2@a:1", "u:hunter2@a:1", "http://u:hunter2@a", "http://:hunter2@a:1",
          "http://u:hunter2@a:0", "http://u:hunter2@a:65536", "http://u:hunter2@a:1/path",
          "http://u%zz:hunter2@a:1", "http://u%3a:hunter2@a:1", "http://u%0a:hunter2@a:1",
          "http://u:hunter2@[::1]", "http://u:hunter2%@a:1", "http://u:hunter2@a b:1"}) {
        CAPTURE(wrong);
        const std::string line = refusal("push: {proxy: \"" + std::string{wrong} + "\"}");
        CHECK(line == "f.yaml:1: push.proxy: is not a URL such as "
                      "http://user:password@proxy.example.com:3128");
    }
}

TEST_CASE("config: what is not built yet is checked, then refused", "[config]") {
    check_all({
        {"broker", "broker:\n  type: redis",
         "f.yaml:2: broker.type: redis is not built yet; use local, on one node"},
        {"store", "store:\n  type: redis",
         "f.yaml:2: store.type: redis is not built yet; use sqlite"},
        {"tls without a key", "server:\n  tls:\n    certificate: /nonexistent/c.pem",
         "f.yaml:2: server.tls.key: is missing; expected a PEM file with the certificate's private "
         "key (besides, server.tls is not built yet)"},
        {"tls with a missing file", "server:\n  tls: {certificate: /nonexistent/c, key: k}",
         "f.yaml:2: server.tls.certificate: cannot read \"/nonexistent/c\": No such file or "
         "directory (besides, server.tls is not built yet)"},
    });
    // The contract's exceptions: accepted, though there is no store yet.
    CHECK(refusal("store: {type: sqlite, path: /x}\ninbox: {ttl: 1d}\n"
                  "rooms: [{match: a, history: {durable: true}}]")
              .empty());
    // An empty section asks for nothing.
    CHECK(refusal("server:\n  tls:\npush:\n").empty());
}

TEST_CASE("config: what is no configuration at all", "[config]") {
    check_all({
        {"a list", "- a", "f.yaml:1: must be a map of sections such as \"server:\""},
        {"a text", "\nhello", "f.yaml:2: must be a map of sections such as \"server:\""},
        {"two documents", "log: {}\n---\nlog: {}",
         "f.yaml:2: a second document begins here; a configuration is one document"},
        {"open bracket", "log: {level: info", "f.yaml:1: no YAML: end of map flow not found"},
        {"tab", "log:\n\tlevel: info", "f.yaml:2: no YAML: illegal map value"},
        {"unknown alias", "log: *a", "f.yaml:1: no YAML: the referenced anchor is not defined"},
        {"alias of itself", "rooms: &a [*a]", "f.yaml:1: this alias stands for what it is in"},
        {"tag", "log: !python/object {level: info}",
         "f.yaml:1: the tag \"!python/object\" has no meaning here; remove it"},
        {"a key that is a list", "? [a]\n: b", "f.yaml:1: the name of a key must be a plain word"},
        {"a merge of a text", "log:\n  <<: a",
         "f.yaml:2: <<: takes an alias of a section, or a list of those"},
        {"end of text in the middle", std::string("log: {}\n# \x04\nfoo: 1"),
         "f.yaml:2: holds the control character 0x04"},
        {"a zero byte", std::string("a: \0", 4), "f.yaml:1: holds the control character 0x00"},
        {"not UTF-8", "log: {}\nnode: {name: \"\xff\"}", "f.yaml:2: is not UTF-8"},
        {"too deep", "a: " + std::string(100, '['), "f.yaml:1: nested deeper than 32 levels"},
        {"too large", std::string(1024 * 1024 + 1, '#'), "f.yaml: is larger than 1048576 bytes"},
    });
}

TEST_CASE("config: hostile nesting and repetition end early", "[config]") {
    for (const char* piece : {"[", "{", "- ", "? ", "{a: ", "a: [", "[{", "&a [", "!a ", "- - "}) {
        CAPTURE(piece);
        std::string yaml;
        while (yaml.size() < 100'000) yaml += piece;
        CHECK_FALSE(refusal(yaml).empty());
    }
    std::string laughs = "a0: &a0 [x]\n";
    for (int i = 1; i < 30; ++i)
        laughs += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
    CHECK(refusal(laughs).ends_with("more than 100000 values, aliases counted"));
}

TEST_CASE("config: a file that cannot be read", "[config]") {
    const auto load = [](const char* path) -> std::string {
        try {
            static_cast<void>(load_config(path, {}));
        } catch (const ConfigError& error) {
            return error.what();
        }
        return "";
    };
    CHECK(load("/nonexistent.yaml") ==
          "/nonexistent.yaml: cannot be read: No such file or directory");
    CHECK(load("/tmp") == "/tmp: cannot be read: Is a directory");
    CHECK(load("/dev/zero") == "/dev/zero: cannot be read: File too large");
}

} // namespace fanfare::app
