// `fanfare dead-letters` is a client like any operator's script: it knows the API and nothing of
// the gateway.

#include "cli_http.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/base/json_writer.hpp>

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ostream>
#include <string_view>

namespace fanfare::app {
namespace {

using Action = DeadLettersCommand::Action;

constexpr std::string_view path = "/api/v1/dead-letters";

// --- what is asked ---

struct Restriction {
    const char* name; // in the API
    const std::string& value;
};

std::array<Restriction, 7> restrictions(const DeadLettersCommand& command) {
    return {{{"user_id", command.user},
             {"device_id", command.device},
             {"provider", command.provider},
             {"reason", command.reason},
             {"notification_id", command.notification},
             {"since", command.since},
             {"until", command.until}}};
}

bool is_restricted(const DeadLettersCommand& command) {
    const auto all = restrictions(command);
    return std::any_of(all.begin(), all.end(),
                       [](const Restriction& one) { return !one.value.empty(); });
}

bool is_id(std::string_view text) {
    return !text.empty() && text.size() <= 18 &&
           text.find_first_not_of("0123456789") == std::string_view::npos &&
           text.find_first_not_of('0') == 0;
}

std::string edit_fault(const DeadLettersCommand& command) {
    if (!command.title && !command.body && !command.data && !command.ttl && command.remove.empty())
        return "dead-letters edit: nothing to change; give --title, --body, --data, --ttl or "
               "--remove";
    for (const auto* text : {&command.title, &command.body})
        if (*text && !is_utf8(**text)) return "dead-letters edit: texts must be UTF-8";
    if (command.data)
        if (const JsonFault fault = check_json(*command.data))
            return fmt::format("--data: is not JSON: {} at byte {}", fault.what, fault.at);
    return "";
}

/// What is wrong with the arguments; empty: nothing.
std::string usage_fault(const DeadLettersCommand& command, const std::string& key) {
    for (const Restriction& one : restrictions(command))
        if (!is_utf8(one.value)) return "dead-letters: filters must be UTF-8";
    for (const std::string& id : command.ids)
        if (!is_id(id)) return fmt::format("ID: must be an integer ≥ 1, and `{}` is none", id);
    if (command.action == Action::edit)
        if (std::string fault = edit_fault(command); !fault.empty()) return fault;
    if (command.action == Action::redrive || command.action == Action::discard) {
        const int which = (command.ids.empty() ? 0 : 1) + (is_restricted(command) ? 1 : 0) +
                          (command.all ? 1 : 0);
        if (which != 1)
            return "dead-letters: name letters by their IDs, or by filters, or say --all: one of "
                   "the three";
    }
    if (key.empty()) return "--key: none; give one, or set FANFARE_API_KEY";
    if (has_control(key)) return "--key: holds a control character";
    return "";
}

std::string list_query(const DeadLettersCommand& command) {
    std::string query;
    const auto add = [&](std::string_view name, std::string_view value) {
        if (value.empty()) return;
        query.append(query.empty() ? "?" : "&")
            .append(name)
            .append("=")
            .append(percent_encoded(value));
    };
    for (const Restriction& one : restrictions(command)) add(one.name, one.value);
    if (command.oldest) add("order", "oldest");
    if (command.limit != 0) add("limit", std::to_string(command.limit));
    add("cursor", command.cursor);
    return query;
}

HttpAnswer ask(const DeadLettersCommand& command, const std::string& key) {
    const std::string url = base_url(command.url).append(path);
    switch (command.action) {
    case Action::list:
        return http_get(url + list_query(command), key);
    case Action::show:
        return http_get(url + "/" + command.ids.front(), key);
    case Action::edit:
        return http_patch_json(url + "/" + command.ids.front(), key, letter_edit_body(command));
    case Action::redrive:
        return http_post_json(url + "/redrive", key, letter_order_body(command));
    case Action::discard:
        break;
    }
    return http_post_json(url + "/discard", key, letter_order_body(command));
}

// --- what is shown ---

namespace ondemand = simdjson::ondemand;

/// Reasons are a service's words: a terminal obeys what is among them.
std::string shown(std::string_view text) {
    std::string line{text};
    std::replace_if(
        line.begin(), line.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return line;
}

/// A text as it is, anything else as JSON; empty: there is none.
std::string member(const simdjson::dom::element& of, std::string_view name) {
    simdjson::dom::element value;
    if (of[name].get(value) != simdjson::SUCCESS) return "";
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) return shown(text);
    return simdjson::minify(value);
}

bool print_list(std::string_view body, std::ostream& out) {
    static constexpr std::array<const char*, 8> names{"id",       "time",   "user_id",  "device_id",
                                                      "provider", "status", "attempts", "reason"};
    simdjson::dom::parser parser;
    simdjson::dom::element answer;
    simdjson::dom::array letters;
    if (parser.parse(body.data(), body.size()).get(answer) != simdjson::SUCCESS ||
        answer["dead_letters"].get(letters) != simdjson::SUCCESS)
        return false;
    using Row = std::array<std::string, names.size()>;
    std::vector<Row> rows{
        {"ID", "TIME", "USER", "DEVICE", "PROVIDER", "STATUS", "ATTEMPTS", "REASON"}};
    for (const simdjson::dom::element letter : letters) {
        Row& row = rows.emplace_back();
        for (std::size_t i = 0; i < names.size(); ++i) row[i] = member(letter, names[i]);
    }
    std::array<std::size_t, names.size()> widths{};
    for (const Row& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    for (const Row& row : rows) {
        for (std::size_t i = 0; i + 1 < row.size(); ++i)
            out << fmt::format("{:<{}}  ", row[i], widths[i]);
        out << row.back() << '\n';
    }
    if (const std::string cursor = member(answer, "cursor"); !cursor.empty())
        out << "There is more: --cursor " << cursor << '\n';
    return true;
}

/// The content is any JSON, numbers of any size included, so it is shown as it came.
bool print_letter(std::string_view body, std::ostream& out) {
    const simdjson::padded_string padded{body};
    ondemand::parser parser;
    ondemand::document document;
    ondemand::object letter;
    if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
        document.get_object().get(letter) != simdjson::SUCCESS)
        return false;
    for (auto item : letter) {
        std::string_view name;
        ondemand::value value;
        if (item.unescaped_key().get(name) != simdjson::SUCCESS ||
            item.value().get(value) != simdjson::SUCCESS)
            return false;
        std::string_view text;
        if (value.get_string().get(text) == simdjson::SUCCESS) {
            out << fmt::format("{:<21}{}\n", name, shown(text));
        } else if (simdjson::to_json_string(value).get(text) == simdjson::SUCCESS) {
            out << fmt::format("{:<21}{}\n", name, shown(text));
        }
    }
    return true;
}

/// "redriven 3, skipped 1 (device_gone 1), remaining 0".
bool print_done(std::string_view body, const char* what, std::ostream& out) {
    simdjson::dom::parser parser;
    simdjson::dom::element answer;
    simdjson::dom::object skipped;
    if (parser.parse(body.data(), body.size()).get(answer) != simdjson::SUCCESS ||
        answer["skipped"].get(skipped) != simdjson::SUCCESS)
        return false;
    out << what << ' ' << member(answer, what);
    std::uint64_t sum = 0;
    std::string reasons;
    for (const auto& one : skipped) {
        std::uint64_t count = 0;
        static_cast<void>(one.value.get(count) == simdjson::SUCCESS);
        sum += count;
        reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", shown(one.key), count);
    }
    if (sum != 0) out << ", skipped " << sum << " (" << reasons << ')';
    out << ", remaining " << member(answer, "remaining") << '\n';
    return true;
}

bool print(const DeadLettersCommand& command, const std::string& body, std::ostream& out) {
    if (command.json) {
        out << body << '\n';
        return true;
    }
    switch (command.action) {
    case Action::list:
        return print_list(body, out);
    case Action::show:
    case Action::edit:
        return print_letter(body, out);
    case Action::redrive:
        return print_done(body, "redriven", out);
    case Action::discard:
        break;
    }
    return print_done(body, "discarded", out);
}

/// Whoever names letters wants each of them.
bool skipped_any(const std::string& body) {
    simdjson::dom::parser parser;
    simdjson::dom::element answer;
    simdjson::dom::object skipped;
    return parser.parse(body).get(answer) == simdjson::SUCCESS &&
           answer["skipped"].get(skipped) == simdjson::SUCCESS && skipped.size() != 0;
}

} // namespace

std::string letter_edit_body(const DeadLettersCommand& command) {
    std::string body;
    JsonWriter json{body};
    json.begin_object();
    if (command.title) json.field("title", *command.title);
    if (command.body) json.field("body", *command.body);
    if (command.data) json.key("data").raw(*command.data);
    if (command.ttl) json.field("ttl", *command.ttl);
    for (const std::string& name : command.remove) json.key(name).null();
    json.end_object();
    return body;
}

std::string letter_order_body(const DeadLettersCommand& command) {
    std::string body;
    JsonWriter json{body};
    json.begin_object();
    if (!command.ids.empty()) {
        json.key("ids").begin_array();
        for (const std::string& id : command.ids) json.raw(id);
        json.end_array();
    } else if (command.all) {
        json.field_bool("all", true);
    } else {
        json.key("filter").begin_object();
        for (const Restriction& one : restrictions(command))
            if (!one.value.empty()) json.field(one.name, one.value);
        json.end_object();
    }
    if (command.limit != 0) json.field("limit", command.limit);
    json.end_object();
    return body;
}

int run_dead_letters(const DeadLettersCommand& command, Terminal& terminal) {
    const std::string key = api_key(command.key, terminal.environment);
    if (const std::string fault = usage_fault(command, key); !fault.empty()) {
        terminal.err << fault << '\n';
        return exit_usage;
    }
    const HttpAnswer answer = ask(command, key);
    if (!answer.fault.empty()) {
        terminal.err << "dead-letters: " << command.url << ": " << answer.fault << '\n';
        return exit_failed;
    }
    if (answer.status < 200 || answer.status >= 300) {
        terminal.err << answer.body << '\n'
                     << "dead-letters: refused with HTTP status " << answer.status << '\n';
        return exit_failed;
    }
    if (!print(command, answer.body, terminal.out)) {
        terminal.err << "dead-letters: " << command.url << ": the answer is not the API's\n";
        return exit_failed;
    }
    const bool named =
        command.action != Action::show && command.action != Action::edit && !command.ids.empty();
    return named && skipped_any(answer.body) ? exit_failed : exit_ok;
}

} // namespace fanfare::app
