#pragma once
// Which web pages may open a WebSocket here. There is no CORS for WebSocket: where a cookie or an
// open gateway answers, this check is the only thing between a foreign page and our user.

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fanfare::ws {

/// May a request with this Origin open a socket?
/// `origin`: the header as it came; nothing if there is none, which passes: only browsers send it.
/// `host`: the Host header. `allowed`: "*" (any origin, `null` included), exact origins
/// ("https://app.example.com", "http://localhost:3000"), or "https://*.example.com" for every host
/// below example.com, not itself. Empty: the page's host and port must be those of `host`.
/// Scheme, host and port are compared, in any case, with the scheme's default port filled in; what
/// is no origin by RFC 6454 §7 matches nothing but "*". Any thread.
/// Source: RFC 6455 §4.2.2, §10.2; protocol.md §6 `clients.allowed_origins`.
[[nodiscard]] bool is_origin_allowed(std::optional<std::string_view> origin, std::string_view host,
                                     std::span<const std::string> allowed);

/// Can an entry of `allowed` ever match? For checking the configuration.
[[nodiscard]] bool is_origin_pattern(std::string_view entry);

} // namespace fanfare::ws
