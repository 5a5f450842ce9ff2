#include "cli_http.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

namespace fanfare::app {
namespace {

constexpr long connect_seconds_max = 10;
constexpr long answer_seconds_max = 30;
constexpr std::size_t answer_bytes_max = std::size_t{4} * 1024 * 1024;

struct EasyFreer {
    void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
struct ListFreer {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

std::size_t on_body(char* data, std::size_t, std::size_t size, void* to) {
    std::string& body = *static_cast<std::string*>(to);
    if (body.size() + size > answer_bytes_max) return 0;
    body.append(data, size);
    return size;
}

HttpAnswer call(const std::string& url, const std::vector<std::string>& lines,
                const std::string* body, const char* method = nullptr) {
    HttpAnswer answer;
    const std::unique_ptr<CURL, EasyFreer> easy{curl_easy_init()};
    curl_slist* list = nullptr;
    for (const std::string& line : lines) list = curl_slist_append(list, line.c_str());
    const std::unique_ptr<curl_slist, ListFreer> headers{list};
    std::array<char, CURL_ERROR_SIZE> detail{};
    CURL* const handle = easy.get();
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, detail.data());
    curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
    if (body != nullptr) { // a POST, if nothing else is said
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body->c_str());
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                         static_cast<curl_off_t>(body->size()));
    }
    if (method != nullptr) curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, connect_seconds_max);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, answer_seconds_max);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer.body);
    const CURLcode code = curl_easy_perform(handle);
    if (code != CURLE_OK) {
        answer.fault = detail[0] != '\0' ? detail.data() : curl_easy_strerror(code);
        return answer;
    }
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer.status);
    return answer;
}

HttpAnswer send_json(const std::string& url, const std::string& key, const std::string& body,
                     const char* method) {
    std::vector<std::string> lines{"Content-Type: application/json", "Expect:"};
    if (!key.empty()) lines.push_back("X-API-Key: " + key);
    return call(url, lines, &body, method);
}

} // namespace

HttpAnswer http_get(const std::string& url, const std::string& key) {
    std::vector<std::string> lines;
    if (!key.empty()) lines.push_back("X-API-Key: " + key);
    return call(url, lines, nullptr);
}

HttpAnswer http_post_json(const std::string& url, const std::string& key, const std::string& body) {
    return send_json(url, key, body, nullptr);
}

HttpAnswer http_patch_json(const std::string& url, const std::string& key,
                           const std::string& body) {
    return send_json(url, key, body, "PATCH");
}

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            out += c;
        else
            out.append({'%', digits[byte >> 4U], digits[byte & 15U]});
    }
    return out;
}

std::string api_key(const std::string& given, const Environment& environment) {
    if (!given.empty()) return given;
    const auto found = std::find_if(environment.begin(), environment.end(),
                                    [](const auto& one) { return one.first == "FANFARE_API_KEY"; });
    return found == environment.end() ? "" : found->second;
}

std::string base_url(std::string url) {
    while (url.ends_with('/')) url.pop_back();
    return url;
}

} // namespace fanfare::app
