// The commands that need no running gateway.

#include "cli.hpp"
#include "cli_http.hpp"

#include <fanfare/auth/token_issuer.hpp>
#include <fanfare/base/bytes.hpp>

#include <catch2/catch.hpp>
#include <simdjson.h>

#include <filesystem>
#include <regex>
#include <sstream>

namespace fanfare::app {
namespace {

struct Console {
    std::ostringstream out;
    std::ostringstream err;
    Terminal terminal;
    explicit Console(Environment environment = {}) : terminal{out, err, std::move(environment)} {}
};

const std::string secret(64, 's');

/// One of the first two parts of a compact JWS.
std::string part(const std::string& token, std::size_t index) {
    std::istringstream parts{token};
    std::string text;
    for (std::size_t i = 0; i <= index; ++i) std::getline(parts, text, '.');
    return from_base64url(text).value_or("not base64url");
}

std::string shipped(const char* name) {
    return (std::filesystem::path{__FILE__}.parent_path() / "../../../config" / name).string();
}

} // namespace

TEST_CASE("cli: token signs the claims that were asked for", "[cli]") {
    Console console{{{"FANFARE_AUTH__JWT__SECRET", secret},
                     {"FANFARE_AUTH__JWT__ALGORITHMS", R"(["HS384"])"},
                     {"FANFARE_AUTH__JWT__ISSUER", "us"},
                     {"FANFARE_AUTH__JWT__AUDIENCE", "them"}}};
    TokenCommand command;
    command.sub = "u\"1";
    command.subscribe = {"chat:*", "news"};
    command.publish = {"chat:42"};
    command.ttl = "90s";
    command.info = R"({"n": 1})";
    command.device = "phone";
    REQUIRE(run_token(command, 1000, console.terminal) == exit_ok);
    std::string token = console.out.str();
    REQUIRE(token.ends_with('\n'));
    token.pop_back();
    CHECK(part(token, 0) == R"({"alg":"HS384","typ":"JWT"})");
    CHECK(part(token, 1) == R"({"sub":"u\"1","iat":1000,"exp":1090,"iss":"us","aud":"them",)"
                            R"("rooms":{"subscribe":["chat:*","news"],"publish":["chat:42"]},)"
                            R"("info":{"n": 1},"device":"phone"})");
    CHECK(console.err.str().empty());
}

TEST_CASE("cli: token without claims to spare has none", "[cli]") {
    Console console{{{"FANFARE_AUTH__JWT__SECRET", secret}}};
    TokenCommand command;
    command.sub = "u1";
    REQUIRE(run_token(command, 0, console.terminal) == exit_ok);
    CHECK(part(console.out.str(), 1) == R"({"sub":"u1","iat":0,"exp":3600})");
}

TEST_CASE("cli: token refuses what it cannot sign", "[cli]") {
    TokenCommand command;
    command.sub = "u1";
    SECTION("no secret") {
        Console console;
        CHECK(run_token(command, 0, console.terminal) == exit_usage);
        CHECK(console.err.str().starts_with("auth.jwt.secret: none to sign with"));
    }
    SECTION("info that is not JSON") {
        Console console{{{"FANFARE_AUTH__JWT__SECRET", secret}}};
        command.info = "{";
        CHECK(run_token(command, 0, console.terminal) == exit_usage);
        CHECK(console.err.str().starts_with("--info: is not JSON"));
        CHECK(console.out.str().empty());
    }
    SECTION("a time without a unit") {
        Console console{{{"FANFARE_AUTH__JWT__SECRET", secret}}};
        command.ttl = "60";
        CHECK_THROWS_WITH(run_token(command, 0, console.terminal),
                          "--ttl: 60 has no unit; write 60s or 60ms");
    }
    SECTION("nobody") {
        Console console{{{"FANFARE_AUTH__JWT__SECRET", secret}}};
        command.sub.clear();
        CHECK(run_token(command, 0, console.terminal) == exit_usage);
    }
}

TEST_CASE("token issuer: each refusal has its code", "[auth]") {
    auth::JwtOptions options;
    auth::Claims claims;
    claims.sub = "u1";
    claims.expires = 1;
    CHECK(auth::issue_token(options, claims).error() == auth::issue_errc::no_secret);
    options.secret = secret;
    options.algorithms = {auth::Algorithm::rs256};
    CHECK(auth::issue_token(options, claims).error() == auth::issue_errc::no_secret);
    options.algorithms = {auth::Algorithm::rs256, auth::Algorithm::hs512};
    CHECK(part(*auth::issue_token(options, claims), 0) == R"({"alg":"HS512","typ":"JWT"})");
    claims.info = "x";
    CHECK(auth::issue_token(options, claims).error() == auth::issue_errc::bad_claims);
    claims.info.clear();
    claims.expires = 0;
    CHECK(auth::issue_token(options, claims).error() == auth::issue_errc::bad_claims);
    CHECK_FALSE(make_error_code(auth::issue_errc::signing_failed).message().empty());
}

TEST_CASE("cli: apikey prints a key once, and the hash that belongs to it", "[cli]") {
    const bool test = GENERATE(false, true);
    Console console;
    REQUIRE(run_apikey_new(test, console.terminal) == exit_ok);
    const std::string out = console.out.str();
    std::smatch found;
    REQUIRE(std::regex_search(
        out, found,
        std::regex{std::string{test ? "sk_test" : "sk_live"} + "_[A-Za-z0-9]{8}_[A-Za-z0-9]{43}"}));
    const std::string key = found.str();
    CHECK(out.find(key) == out.rfind(key));
    const std::string hash = "\"sha256:" + to_hex(as_byte_view(sha256(key))) + "\"";
    CHECK(out.find("hash: " + hash) != std::string::npos);
    // What follows the comment is ready to be pasted.
    const std::string item = out.substr(out.find("    - name:"));
    CHECK(parse_config("api:\n  keys:\n" + item, "f.yaml", {}).api.keys.size() == 1);
}

TEST_CASE("cli: check-config says ok, with warnings", "[cli]") {
    Console console;
    const std::string file = shipped("fanfare.yaml");
    CHECK(run_check_config({file, false}, console.terminal) == exit_ok);
    CHECK(console.out.str().ends_with(file + ": ok\n"));
    CHECK(console.out.str().starts_with("warning: " + file));
    CHECK_THROWS_AS(run_check_config({"/nonexistent", false}, console.terminal), ConfigError);

    Console keys;
    CHECK(run_check_config({"", true}, keys.terminal) == exit_ok);
    for (const KeyHelp& one : known_keys())
        CHECK(keys.out.str().find(one.name) != std::string::npos);
}

TEST_CASE("cli: publish sends data as it was given", "[cli]") {
    PublishCommand command;
    command.room = "a\"b";
    command.data = R"({"n": 1.0})";
    CHECK(publish_body(command) == R"({"room":"a\"b","data":{"n": 1.0}})");
    command.event = "e";
    command.id = "i";
    command.ephemeral = true;
    CHECK(publish_body(command) ==
          R"({"room":"a\"b","event":"e","id":"i","ephemeral":true,"data":{"n": 1.0}})");
}

TEST_CASE("cli: publish explains what is wrong with its arguments", "[cli]") {
    Console console;
    PublishCommand command;
    command.room = "news";
    SECTION("a bare word") {
        command.data = "hello";
        CHECK(run_publish(command, console.terminal) == exit_usage);
        CHECK(console.err.str().ends_with(
            "; a text needs quotes that the shell leaves alone: '\"hello\"'\n"));
    }
    SECTION("broken JSON") {
        command.data = "{\"a\":}";
        CHECK(run_publish(command, console.terminal) == exit_usage);
        CHECK(console.err.str().find("at byte 5") != std::string::npos);
        CHECK(console.err.str().find("quotes") == std::string::npos);
    }
    SECTION("no key") {
        command.data = "1";
        CHECK(run_publish(command, console.terminal) == exit_usage);
        CHECK(console.err.str() == "--key: none; give one, or set FANFARE_API_KEY\n");
    }
    SECTION("no gateway there") {
        command.data = "1";
        command.key = "k";
        command.url = "http://127.0.0.1:1/";
        CHECK(run_publish(command, console.terminal) == exit_failed);
        CHECK(console.err.str().starts_with("publish: http://127.0.0.1:1/: "));
    }
    SECTION("no URL of HTTP") {
        command.data = "1";
        command.key = "k";
        command.url = "file:///etc/passwd";
        CHECK(run_publish(command, console.terminal) == exit_failed);
    }
    CHECK(console.out.str().empty());
}

TEST_CASE("cli: dead-letters sends what was asked for", "[cli]") {
    DeadLettersCommand command;
    command.ids = {"3", "17"};
    command.limit = 2;
    CHECK(letter_order_body(command) == R"({"ids":[3,17],"limit":2})");
    command = {};
    command.all = true;
    CHECK(letter_order_body(command) == R"({"all":true})");
    command = {};
    command.user = "a\"b";
    command.device = "d";
    command.provider = "apns";
    command.reason = "r";
    command.notification = "n";
    command.since = "s";
    command.until = "u";
    CHECK(letter_order_body(command) ==
          R"({"filter":{"user_id":"a\"b","device_id":"d","provider":"apns","reason":"r",)"
          R"("notification_id":"n","since":"s","until":"u"}})");
    command = {};
    command.title = "";
    command.body = "ü\n";
    command.data = R"({"n": 1e400})";
    command.ttl = 60;
    CHECK(letter_edit_body(command) == R"({"title":"","body":"ü\n","data":{"n": 1e400},"ttl":60})");
    command = {};
    command.remove = {"title", "ttl"};
    CHECK(letter_edit_body(command) == R"({"title":null,"ttl":null})");
}

TEST_CASE("cli: dead-letters explains what is wrong with its arguments", "[cli]") {
    using Action = DeadLettersCommand::Action;
    Console console;
    DeadLettersCommand command;
    command.key = "k";
    SECTION("nothing is named") {
        command.action = Action::redrive;
    }
    SECTION("two ways at once") {
        command.action = Action::discard;
        command.all = true;
        command.provider = "apns";
    }
    SECTION("no id") {
        command.action = Action::show;
        command.ids = {"1?x=2"};
    }
    SECTION("an edit of nothing") {
        command.action = Action::edit;
        command.ids = {"1"};
    }
    SECTION("a text that is none") {
        command.action = Action::edit;
        command.ids = {"1"};
        command.title = "\xff";
    }
    SECTION("a filter that is no text") {
        command.reason = "\xff";
    }
    SECTION("no key") {
        command.key = "";
    }
    SECTION("a key of two lines") {
        command.key = "k\nX: y";
    }
    CHECK(run_dead_letters(command, console.terminal) == exit_usage);
    CHECK(console.out.str().empty());
    CHECK_FALSE(console.err.str().empty());
}

TEST_CASE("cli: values in a query are encoded", "[cli]") {
    CHECK(percent_encoded("aZ0-._~") == "aZ0-._~");
    CHECK(percent_encoded("a b&c=\xc3\xa4+%") == "a%20b%26c%3D%C3%A4%2B%25");
}

TEST_CASE("cli: version names the program and its libraries", "[cli]") {
    Console console;
    CHECK(run_version(console.terminal) == exit_ok);
    CHECK(console.out.str().starts_with("fanfare " FANFARE_VERSION "\n"));
    CHECK(console.out.str().find("openssl: 3.") != std::string::npos);
}

} // namespace fanfare::app
