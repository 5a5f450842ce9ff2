#pragma once
// HTTP calls of commands: to a gateway, as any client makes them. Only cli_http.cpp knows libcurl.

#include "cli.hpp"

#include <string>
#include <string_view>

namespace fanfare::app {

struct HttpAnswer {
    long status = 0;
    std::string body;
    std::string fault; // why there is none; empty: there is
};

/// Blocks for at most half a minute. `key` empty: none is sent.
[[nodiscard]] HttpAnswer http_get(const std::string& url, const std::string& key);
[[nodiscard]] HttpAnswer http_post_json(const std::string& url, const std::string& key,
                                        const std::string& body);
[[nodiscard]] HttpAnswer http_patch_json(const std::string& url, const std::string& key,
                                         const std::string& body);

/// The key that was given, else FANFARE_API_KEY of the environment, else none.
[[nodiscard]] std::string api_key(const std::string& given, const Environment& environment);
/// As a value in a query.
[[nodiscard]] std::string percent_encoded(std::string_view text);
/// Without slashes at the end.
[[nodiscard]] std::string base_url(std::string url);

} // namespace fanfare::app
