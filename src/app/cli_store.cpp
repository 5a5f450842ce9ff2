#include "cli.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/clock.hpp>
#include <fanfare/base/json_writer.hpp>
#include <fanfare/stores/stores.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ostream>
#include <stdexcept>

namespace fanfare::app {
namespace {

std::string path_of(const StoreCommand& command, const Environment& environment) {
    if (!command.path.empty()) return command.path;
    const Config config = command.config.empty() ? parse_config("", "command line", environment)
                                                 : load_config(command.config, environment);
    return config.store.path;
}

/// Names come from outside, and a damaged file holds anything.
std::string shown(std::string_view text) {
    std::string line{text};
    const bool utf8 = is_utf8(text);
    std::replace_if(
        line.begin(), line.end(),
        [utf8](char c) {
            const auto byte = static_cast<unsigned char>(c);
            return byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8);
        },
        '?');
    return line;
}

std::string grouped(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
    return text;
}

std::string size_text(std::uint64_t bytes) {
    static constexpr std::array<const char*, 5> units{"bytes", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1'023.95 && unit + 1 < units.size()) {
        value /= 1'024;
        ++unit;
    }
    return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, units[unit]);
}

std::string counts(const stores::SqliteCheck& check) {
    return fmt::format("schema {}, {} rooms, {} messages, {} publish keys, {} inboxes, "
                       "{} notifications, {} devices, {} dead letters",
                       check.schema, grouped(check.rooms), grouped(check.messages),
                       grouped(check.publish_keys), grouped(check.inboxes),
                       grouped(check.notifications), grouped(check.devices),
                       grouped(check.dead_letters));
}

int check(const std::string& path, Terminal& terminal) {
    const stores::SqliteCheck check = stores::check_sqlite(path);
    if (check.faults.empty()) {
        terminal.out << shown(path) << ": ok: " << counts(check) << '\n';
        return exit_ok;
    }
    for (const std::string& fault : check.faults) terminal.out << shown(fault) << '\n';
    terminal.err << shown(path) << ": damaged; put a backup in its place\n";
    return exit_failed;
}

int backup(const StoreCommand& command, const std::string& path, Terminal& terminal) {
    const stores::SqliteBackup backup = stores::backup_sqlite(path, command.to, command.force);
    terminal.out << shown(command.to) << ": " << size_text(backup.bytes) << ", "
                 << counts(backup.check) << '\n';
    if (backup.check.faults.empty()) return exit_ok;
    terminal.err << shown(path)
                 << " has faults, and so has its backup: " << shown(backup.check.faults.front())
                 << "; `fanfare store check` tells all of them\n";
    return exit_failed;
}

int vacuum(const std::string& path, Terminal& terminal) {
    const stores::SqliteVacuum vacuum = stores::vacuum_sqlite(path);
    terminal.out << shown(path) << ": " << size_text(vacuum.bytes_before) << " before, "
                 << size_text(vacuum.bytes_after) << " after\n";
    if (!vacuum.complete)
        terminal.out << "The file becomes smaller when the gateway copies its log next.\n";
    return exit_ok;
}

std::string json_of(const std::string& path, const stores::SqliteStats& stats) {
    std::string out;
    JsonWriter json{out};
    json.begin_object()
        .field("path", shown(path))
        .field("bytes", stats.bytes)
        .field("page_bytes", stats.page_bytes)
        .field("free_pages", stats.free_pages)
        .field("log_bytes", stats.log_bytes)
        .field("schema", static_cast<std::uint64_t>(stats.schema))
        .field("rooms", stats.rooms)
        .field("messages", stats.messages)
        .field("message_bytes", stats.message_bytes);
    const auto time = [&](std::string_view name, const std::optional<std::int64_t>& value) {
        json.key(name);
        value ? json.integer(*value) : json.null();
    };
    time("oldest", stats.oldest);
    time("newest", stats.newest);
    json.field("publish_keys", stats.publish_keys)
        .field("inboxes", stats.inboxes)
        .field("notifications", stats.notifications)
        .field("pending", stats.pending)
        .field("devices", stats.devices)
        .field("dead_letters", stats.dead_letters)
        .key("largest")
        .begin_array();
    for (const stores::SqliteStats::Room& room : stats.largest)
        json.begin_object()
            .field("room", shown(room.name))
            .field("messages", room.messages)
            .field("bytes", room.bytes)
            .field("offset", room.newest)
            .end_object();
    json.end_array().end_object();
    return out;
}

void print(const std::string& path, const stores::SqliteStats& stats, std::ostream& out) {
    const auto line = [&](std::string_view name, std::string_view value) {
        out << fmt::format("{:<14}{}\n", name, value);
    };
    const auto time = [](const std::optional<std::int64_t>& value) {
        return value ? rfc3339(*value) : std::string{"-"};
    };
    line("file", shown(path));
    line("size", size_text(stats.bytes));
    line("free", fmt::format("{} ({} pages)", size_text(stats.free_pages * stats.page_bytes),
                             grouped(stats.free_pages)));
    line("log", size_text(stats.log_bytes));
    line("schema", std::to_string(stats.schema));
    line("rooms", grouped(stats.rooms));
    line("messages", grouped(stats.messages));
    line("payloads", size_text(stats.message_bytes));
    line("oldest", time(stats.oldest));
    line("newest", time(stats.newest));
    line("publish keys", grouped(stats.publish_keys));
    line("inboxes", grouped(stats.inboxes));
    line("notifications",
         fmt::format("{} ({} pending)", grouped(stats.notifications), grouped(stats.pending)));
    line("devices", grouped(stats.devices));
    line("dead letters", grouped(stats.dead_letters));
    if (stats.largest.empty()) return;
    out << fmt::format("\n{:>12}{:>14}{:>14}  {}\n", "messages", "payloads", "offset", "room");
    for (const stores::SqliteStats::Room& room : stats.largest)
        out << fmt::format("{:>12}{:>14}{:>14}  {}\n", grouped(room.messages),
                           size_text(room.bytes), grouped(room.newest), shown(room.name));
}

int stats(const StoreCommand& command, const std::string& path, Terminal& terminal) {
    const stores::SqliteStats stats = stores::stats_sqlite(path);
    if (command.json)
        terminal.out << json_of(path, stats) << '\n';
    else
        print(path, stats, terminal.out);
    return exit_ok;
}

} // namespace

int run_store(const StoreCommand& command, Terminal& terminal) {
    const std::string path = path_of(command, terminal.environment);
    try {
        switch (command.action) {
        case StoreCommand::Action::check:
            return check(path, terminal);
        case StoreCommand::Action::backup:
            return backup(command, path, terminal);
        case StoreCommand::Action::vacuum:
            return vacuum(path, terminal);
        case StoreCommand::Action::stats:
            return stats(command, path, terminal);
        }
    } catch (const std::runtime_error& error) {
        terminal.err << shown(error.what()) << '\n';
    }
    return exit_failed;
}

} // namespace fanfare::app
