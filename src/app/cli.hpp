#pragma once
// The command line: one file per command, each a struct of its options and a function that runs it.
// Only cli.cpp knows CLI11.
//
// Exit status: 0 ok, 1 failed, 2 wrong usage or bad configuration.

#include "config.hpp"

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace fanfare::app {

inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;

/// Parses the command line and runs the command. Answers go to stdout; what went wrong is one line
/// on stderr. Throws nothing. Returns the exit status.
int run_cli(int argc, char** argv);

/// Where a command writes, and the environment it sees.
struct Terminal {
    std::ostream& out;
    std::ostream& err;
    Environment environment;
};

/// `config`: path of the file; empty: the embedded default.
int run_serve(const std::string& config, Terminal& terminal);

struct CheckCommand {
    std::string config; // path
    bool keys = false;  // list all keys instead
};
int run_check_config(const CheckCommand& command, Terminal& terminal);

struct TokenCommand {
    std::string sub;
    std::vector<std::string> subscribe;
    std::vector<std::string> publish;
    std::string ttl = "1h";
    std::string info;
    std::string device;
    std::string config; // path; empty: defaults and the environment
};
/// `now`: Unix seconds.
int run_token(const TokenCommand& command, std::int64_t now, Terminal& terminal);

int run_apikey_new(bool test, Terminal& terminal);

struct PublishCommand {
    std::string room;
    std::string data; // JSON
    std::string url = "http://127.0.0.1:8080";
    std::string key; // empty: FANFARE_API_KEY
    std::string event;
    std::string id;
    bool ephemeral = false;
};
int run_publish(const PublishCommand& command, Terminal& terminal);
/// Body of `POST /api/v1/publish`. `data` is JSON.
[[nodiscard]] std::string publish_body(const PublishCommand& command);

struct DeadLettersCommand {
    enum class Action : std::uint8_t { list, show, edit, redrive, discard };
    Action action = Action::list;
    std::vector<std::string> ids; // show, edit: one
    // of list, redrive, discard; empty: any
    std::string user;
    std::string device;
    std::string provider;
    std::string reason;
    std::string notification;
    std::string since; // RFC 3339
    std::string until;
    bool all = false;        // redrive, discard
    bool oldest = false;     // list
    std::string cursor;      // list
    std::uint64_t limit = 0; // 0: the API's default
    // of edit
    std::optional<std::string> title;
    std::optional<std::string> body;
    std::optional<std::string> data;  // JSON
    std::optional<std::uint64_t> ttl; // seconds
    std::vector<std::string> remove;  // names of the above
    std::string url = "http://127.0.0.1:8080";
    std::string key;   // empty: FANFARE_API_KEY
    bool json = false; // the API's answer as it is
};
/// Lists, shows, changes, sends again or throws away what push gave up.
int run_dead_letters(const DeadLettersCommand& command, Terminal& terminal);
/// Bodies of `PATCH /api/v1/dead-letters/{id}` and `POST …/redrive`, `…/discard`.
[[nodiscard]] std::string letter_edit_body(const DeadLettersCommand& command);
[[nodiscard]] std::string letter_order_body(const DeadLettersCommand& command);

struct TopCommand {
    std::string url = "http://127.0.0.1:8080";
    std::string key; // empty: FANFARE_API_KEY, or none
    std::string interval = "2s";
    bool once = false; // one view as plain text, then the end
};
/// Shows a gateway's metrics until `q` or a signal; one view if stdout is not a terminal.
int run_top(const TopCommand& command, Terminal& terminal);

struct StoreCommand {
    enum class Action : std::uint8_t { check, backup, vacuum, stats };
    Action action = Action::check;
    std::string config; // path; at most one of these two
    std::string path;   // of the store. Neither: FANFARE_STORE__PATH, or the default
    std::string to;     // backup: the file to make
    bool force = false; // backup: it may exist
    bool json = false;  // stats: one JSON object
};
/// Works on a store's file, whether or not a gateway runs on it.
int run_store(const StoreCommand& command, Terminal& terminal);

int run_version(Terminal& terminal);

} // namespace fanfare::app
