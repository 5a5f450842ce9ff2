// `fanfare publish` is a client like any backend: it knows the API and nothing of the gateway.

#include "cli.hpp"

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/json_check.hpp>
#include <fanfare/base/json_writer.hpp>

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <ostream>

namespace fanfare::app {
namespace {

constexpr long connect_seconds_max = 10;
constexpr long answer_seconds_max = 30;
constexpr std::size_t answer_bytes_max = std::size_t{1024} * 1024;

struct EasyFreer {
    void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
struct ListFreer {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

struct Answer {
    long status = 0;
    std::string body;
    std::string fault; // why there is none; empty: there is
};

std::size_t on_body(char* data, std::size_t, std::size_t size, void* to) {
    std::string& body = *static_cast<std::string*>(to);
    if (body.size() + size > answer_bytes_max) return 0;
    body.append(data, size);
    return size;
}

Answer post(const std::string& url, const std::string& key, const std::string& body) {
    Answer answer;
    const std::unique_ptr<CURL, EasyFreer> easy{curl_easy_init()};
    curl_slist* lines = nullptr;
    for (const std::string& line : {std::string{"Content-Type: application/json"},
                                    std::string{"Expect:"}, "X-API-Key: " + key})
        lines = curl_slist_append(lines, line.c_str());
    const std::unique_ptr<curl_slist, ListFreer> headers{lines};
    std::array<char, CURL_ERROR_SIZE> detail{};
    CURL* const call = easy.get();
    curl_easy_setopt(call, CURLOPT_ERRORBUFFER, detail.data());
    curl_easy_setopt(call, CURLOPT_URL, url.c_str());
    curl_easy_setopt(call, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(call, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(call, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(call, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(call, CURLOPT_CONNECTTIMEOUT, connect_seconds_max);
    curl_easy_setopt(call, CURLOPT_TIMEOUT, answer_seconds_max);
    curl_easy_setopt(call, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(call, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(call, CURLOPT_WRITEDATA, &answer.body);
    const CURLcode code = curl_easy_perform(call);
    if (code != CURLE_OK) {
        answer.fault = detail[0] != '\0' ? detail.data() : curl_easy_strerror(code);
        return answer;
    }
    curl_easy_getinfo(call, CURLINFO_RESPONSE_CODE, &answer.status);
    return answer;
}

std::string find_key(const PublishCommand& command, const Environment& environment) {
    if (!command.key.empty()) return command.key;
    const auto found = std::find_if(environment.begin(), environment.end(),
                                    [](const auto& one) { return one.first == "FANFARE_API_KEY"; });
    return found == environment.end() ? "" : found->second;
}

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
    const std::string key = find_key(command, terminal.environment);
    const std::string fault = usage_fault(command, key);
    if (!fault.empty()) {
        terminal.err << fault << '\n';
        return exit_usage;
    }
    std::string url = command.url;
    while (url.ends_with('/')) url.pop_back();
    const Answer answer = post(url + "/api/v1/publish", key, publish_body(command));
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
