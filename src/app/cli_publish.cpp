// `fanfare publish` is a client like any backend: it knows the API and nothing of the gateway.

#include "cli_http.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/base/json_writer.hpp>

#include <fmt/format.h>

#include <ostream>

namespace fanfare::app {
namespace {

/// What is wrong with the arguments; empty: nothing.
std::string usage_fault(const PublishCommand& command, const std::string& key) {
    for (const std::string* text : {&command.room, &command.event, &command.id})
        if (!is_utf8(*text)) return "publish: the room, event and id must be UTF-8";
    if (const JsonFault fault = check_json(command.data)) {
        std::string what = fmt::format("DATA: is not JSON: {} at byte {}", fault.what, fault.at);
        // A bare word is what people try first, and shells eat the quotes of the second try.
        const bool bare = !command.data.empty() && is_utf8(command.data) &&
                          command.data.find_first_of("{[\"'\\") == std::string::npos;
        if (bare)
            what += fmt::format("; a text needs quotes that the shell leaves alone: '\"{}\"'",
                                command.data);
        return what;
    }
    if (key.empty()) return "--key: none; give one, or set FANFARE_API_KEY";
    if (has_control(key)) return "--key: holds a control character";
    return "";
}

} // namespace

std::string publish_body(const PublishCommand& command) {
    std::string body;
    JsonWriter json{body};
    json.begin_object().field("room", command.room);
    if (!command.event.empty()) json.field("event", command.event);
    if (!command.id.empty()) json.field("id", command.id);
    if (command.ephemeral) json.field_bool("ephemeral", true);
    json.key("data").raw(command.data).end_object();
    return body;
}

int run_publish(const PublishCommand& command, Terminal& terminal) {
    const std::string key = api_key(command.key, terminal.environment);
    const std::string fault = usage_fault(command, key);
    if (!fault.empty()) {
        terminal.err << fault << '\n';
        return exit_usage;
    }
    const HttpAnswer answer =
        http_post_json(base_url(command.url) + "/api/v1/publish", key, publish_body(command));
    if (!answer.fault.empty()) {
        terminal.err << "publish: " << command.url << ": " << answer.fault << '\n';
        return exit_failed;
    }
    const bool done = answer.status >= 200 && answer.status < 300;
    (done ? terminal.out : terminal.err) << answer.body << '\n';
    if (!done) terminal.err << "publish: refused with HTTP status " << answer.status << '\n';
    return done ? exit_ok : exit_failed;
}

} // namespace fanfare::app
