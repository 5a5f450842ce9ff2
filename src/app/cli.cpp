#include "cli.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <tuple>

namespace fanfare::app {
namespace {

/// All options of all commands: CLI11 writes into them while it parses.
struct Arguments {
    bool version = false;
    std::string config; // before or after `serve`
    CheckCommand check;
    TokenCommand token;
    bool test_key = false;
    PublishCommand publish;
    DeadLettersCommand letters;
    TopCommand top;
    StoreCommand store;
};

struct Commands {
    CLI::App* serve = nullptr;
    CLI::App* check = nullptr;
    CLI::App* token = nullptr;
    CLI::App* apikey_new = nullptr;
    CLI::App* publish = nullptr;
    CLI::App* letters = nullptr;
    CLI::App* top = nullptr;
    CLI::App* store = nullptr;
    CLI::App* version = nullptr;
};

void add_token_options(CLI::App& command, TokenCommand& token) {
    command.add_option("--sub", token.sub, "The user")->required();
    // One value each: a pattern that follows another without an option is a mistake.
    command.add_option("--subscribe", token.subscribe, "Room or pattern to grant; repeatable")
        ->type_name("PATTERN")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command.add_option("--publish", token.publish, "Room or pattern to grant; repeatable")
        ->type_name("PATTERN")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    command.add_option("--ttl", token.ttl, "Valid for this long")->capture_default_str();
    command.add_option("--info", token.info, "JSON that presence shows");
    command.add_option("--device", token.device, "Names a read position in the inbox");
    command.add_option("--config", token.config,
                       "File with auth.jwt; else FANFARE_AUTH__JWT__SECRET and its like");
}

void add_publish_options(CLI::App& command, PublishCommand& publish) {
    command.add_option("room", publish.room, "The room")->required();
    command.add_option("data", publish.data, "The message, as JSON")->required();
    command.add_option("--url", publish.url, "The gateway")->capture_default_str();
    command.add_option("--key", publish.key, "API key; else FANFARE_API_KEY");
    command.add_option("--event", publish.event, "Event name");
    command.add_option("--id", publish.id, "Idempotency key: a repeat does nothing");
    command.add_flag("--ephemeral", publish.ephemeral, "Not numbered and not kept");
}

void add_letter_filters(CLI::App& command, DeadLettersCommand& letters) {
    command.add_option("--user", letters.user, "Of this user");
    command.add_option("--device", letters.device, "Of this device_id");
    command.add_option("--provider", letters.provider, "Given up at this one: apns, fcm, webpush");
    command.add_option("--reason", letters.reason, "For this reason, the whole text of it");
    command.add_option("--notification", letters.notification, "Of the notification of this id");
    command.add_option("--since", letters.since, "Given up then or later, 2026-11-20T10:58:00Z");
    command.add_option("--until", letters.until, "Given up before, 2026-11-20T10:58:00Z");
}

void add_letter_edits(CLI::App& command, DeadLettersCommand& letters) {
    command.add_option("--title", letters.title, "Another title");
    command.add_option("--body", letters.body, "Another text");
    command.add_option("--data", letters.data, "Other data, as JSON");
    command.add_option("--ttl", letters.ttl, "Seconds to live, from the redrive on")
        ->check(CLI::PositiveNumber);
    command.add_option("--remove", letters.remove, "title, body, data or ttl; repeatable")
        ->type_name("NAME")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->check(CLI::IsMember({"title", "body", "data", "ttl"}));
}

void add_letter_commands(CLI::App& letters, DeadLettersCommand& command) {
    using Action = DeadLettersCommand::Action;
    letters.require_subcommand(1);
    const auto add = [&](const char* name, const char* help, Action action) {
        CLI::App* const one = letters.add_subcommand(name, help);
        one->add_option("--url", command.url, "The gateway")->capture_default_str();
        one->add_option("--key", command.key, "API key with scope admin; else FANFARE_API_KEY");
        one->add_flag("--json", command.json, "The API's answer as it is");
        one->callback([&command, action] { command.action = action; });
        return one;
    };
    CLI::App* const list = add("list", "List them, newest first", Action::list);
    add_letter_filters(*list, command);
    list->add_flag("--oldest", command.oldest, "Oldest first");
    list->add_option("--limit", command.limit, "So many; default 100, at most 1,000")
        ->check(CLI::PositiveNumber);
    list->add_option("--cursor", command.cursor, "Go on where a list said that there is more");
    CLI::App* const show = add("show", "Show one, with its content", Action::show);
    show->add_option("id", command.ids, "The letter")->required()->expected(1);
    CLI::App* const edit = add("edit", "Change what one says when it is sent again", Action::edit);
    edit->add_option("id", command.ids, "The letter")->required()->expected(1);
    add_letter_edits(*edit, command);
    for (const auto& [name, help, action] :
         {std::tuple{"redrive", "Send them again; oldest first", Action::redrive},
          std::tuple{"discard", "Throw them away; oldest first", Action::discard}}) {
        CLI::App* const many = add(name, help, action);
        many->add_option("ids", command.ids, "The letters; or filters, or --all");
        add_letter_filters(*many, command);
        many->add_flag("--all", command.all, "All there are");
        many->add_option("--limit", command.limit, "At most so many; default 1,000, at most 10,000")
            ->check(CLI::PositiveNumber);
    }
}

void add_top_options(CLI::App& command, TopCommand& top) {
    command.add_option("--url", top.url, "The gateway, or its ops_listen")->capture_default_str();
    command.add_option("--key", top.key, "API key with scope read; else FANFARE_API_KEY");
    command.add_option("--interval", top.interval, "Time between views")->capture_default_str();
    command.add_flag("--once", top.once, "Print one view and end");
}

void add_store_commands(CLI::App& store, StoreCommand& command) {
    using Action = StoreCommand::Action;
    store.require_subcommand(1);
    const auto add = [&](const char* name, const char* help, Action action) {
        CLI::App* const one = store.add_subcommand(name, help);
        CLI::Option* const config =
            one->add_option("--config", command.config, "File with store.path");
        one->add_option("--path", command.path,
                        "The store; without both: FANFARE_STORE__PATH, or the default")
            ->excludes(config);
        one->callback([&command, action] { command.action = action; });
        return one;
    };
    add("check", "Look for damage; a gateway may run meanwhile", Action::check);
    CLI::App* const backup =
        add("backup", "Copy it into one file; a gateway may run meanwhile", Action::backup);
    backup->add_option("file", command.to, "The file to make")->required();
    backup->add_flag("--force", command.force, "Replace the file if it exists");
    add("vacuum", "Give free pages back; in small steps while a gateway runs", Action::vacuum);
    add("stats", "Print sizes, counts and the largest rooms", Action::stats)
        ->add_flag("--json", command.json, "As one JSON object");
}

Commands add_commands(CLI::App& app, Arguments& arguments) {
    app.description("Fanfare, a push gateway. Without a command: serve.");
    app.require_subcommand(0, 1);
    app.add_flag("--version", arguments.version, "Print the version");
    app.add_option("--config", arguments.config, "Configuration file; none: the embedded default");
    Commands commands;
    commands.serve = app.add_subcommand("serve", "Run the gateway");
    commands.serve->add_option("--config", arguments.config,
                               "Configuration file; none: the embedded default");
    commands.check = app.add_subcommand("check-config", "Check a configuration");
    commands.check->add_option("file", arguments.check.config, "Configuration file");
    commands.check->add_flag("--keys", arguments.check.keys, "List all keys and their defaults");
    commands.token = app.add_subcommand("token", "Make a token for a client");
    add_token_options(*commands.token, arguments.token);
    CLI::App* apikey = app.add_subcommand("apikey", "Make API keys");
    apikey->require_subcommand(1);
    commands.apikey_new = apikey->add_subcommand("new", "Make a key and its hash");
    commands.apikey_new->add_flag("--test", arguments.test_key, "Begin it with sk_test_");
    commands.publish = app.add_subcommand("publish", "Publish one message");
    add_publish_options(*commands.publish, arguments.publish);
    commands.letters =
        app.add_subcommand("dead-letters", "List, mend and send again what push gave up");
    add_letter_commands(*commands.letters, arguments.letters);
    commands.top = app.add_subcommand("top", "Watch a running gateway");
    add_top_options(*commands.top, arguments.top);
    commands.store = app.add_subcommand("store", "Check, copy and shrink the store's file");
    add_store_commands(*commands.store, arguments.store);
    commands.version = app.add_subcommand("version", "Print the version");
    return commands;
}

int wrong_usage(Terminal& terminal, std::string_view what) {
    terminal.err << what << '\n';
    return exit_usage;
}

int run(const Commands& commands, Arguments& arguments, Terminal& terminal) {
    const bool serve =
        commands.serve->parsed() ||
        !(commands.check->parsed() || commands.token->parsed() || commands.apikey_new->parsed() ||
          commands.publish->parsed() || commands.letters->parsed() || commands.top->parsed() ||
          commands.store->parsed() || commands.version->parsed());
    if (arguments.version || commands.version->parsed()) return run_version(terminal);
    if (serve) return run_serve(arguments.config, terminal);
    if (commands.token->parsed()) {
        if (arguments.token.config.empty()) arguments.token.config = arguments.config;
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        return run_token(arguments.token,
                         std::chrono::duration_cast<std::chrono::seconds>(now).count(), terminal);
    }
    if (commands.store->parsed()) {
        if (!arguments.config.empty()) {
            if (!arguments.store.path.empty())
                return wrong_usage(terminal, "--config, --path: one of them names the store");
            if (arguments.store.config.empty()) arguments.store.config = arguments.config;
        }
        return run_store(arguments.store, terminal);
    }
    if (!arguments.config.empty())
        return wrong_usage(terminal, "--config: has no meaning for this command");
    if (commands.check->parsed()) {
        if (arguments.check.config.empty() && !arguments.check.keys)
            return wrong_usage(terminal, "check-config: expected the name of a file");
        return run_check_config(arguments.check, terminal);
    }
    if (commands.apikey_new->parsed()) return run_apikey_new(arguments.test_key, terminal);
    if (commands.letters->parsed()) return run_dead_letters(arguments.letters, terminal);
    if (commands.top->parsed()) return run_top(arguments.top, terminal);
    return run_publish(arguments.publish, terminal);
}

} // namespace

int run_cli(int argc, char** argv) {
    try {
        Arguments arguments;
        CLI::App app{"", "fanfare"};
        const Commands commands = add_commands(app, arguments);
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& error) {
            // CLI11 has a status per kind of mistake; help is not one.
            return app.exit(error) == 0 ? exit_ok : exit_usage;
        }
        Terminal terminal{std::cout, std::cerr, process_environment()};
        const int status = run(commands, arguments, terminal);
        std::cout.flush();
        // A full disk or a closed pipe: whoever waits for the answer did not get it.
        return status == exit_ok && !std::cout ? exit_failed : status;
    } catch (const ConfigError& error) {
        std::cerr << error.what() << '\n';
        return exit_usage;
    } catch (const std::exception& error) {
        std::cerr << "fanfare: " << error.what() << '\n';
        return exit_failed;
    }
}

} // namespace fanfare::app
