#pragma once
// HTTP requests and responses as the gateway's handlers see them, whatever the wire version.

#include <fanfare/base/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fanfare::http {

// NOLINTNEXTLINE(readability-identifier-naming): `delete` is a keyword
enum class Method : std::uint8_t { get, head, post, put, delete_, options, patch, other };
[[nodiscard]] std::string_view method_name(Method method) noexcept;

/// The request headers that some part of the gateway reads; all others are checked and skipped.
enum class Header : std::uint8_t {
    accept,
    access_control_request_headers,
    access_control_request_method,
    authorization,
    connection,
    content_type,
    cookie,
    expect,
    host,
    idempotency_key,
    if_none_match,
    last_event_id,
    origin,
    sec_websocket_extensions,
    sec_websocket_key,
    sec_websocket_protocol,
    sec_websocket_version,
    upgrade,
    user_agent,
    x_api_key,
    x_request_id,
    count_ // number of the above; NOLINT(readability-identifier-naming)
};

/// Views into the connection's buffer: valid until the handler returns, and while the request's
/// body is being received. What must live longer is copied by the handler.
struct RequestHead {
    Method method = Method::other;
    bool http_1_0 = false;
    std::string_view target; // as sent
    std::string_view path;   // before '?', still percent-encoded
    std::string_view query;  // after '?', still percent-encoded
    std::array<std::string_view, static_cast<std::size_t>(Header::count_)> headers{};
    /// A list header that came several times is joined with ", " (RFC 9110 §5.3).
    [[nodiscard]] std::string_view operator[](Header header) const noexcept {
        return headers[static_cast<std::size_t>(header)];
    }
    [[nodiscard]] bool has(Header header) const noexcept {
        return (*this)[header].data() != nullptr;
    }
};

/// The value of `name` in a query string, percent-decoded ('+' is a space); the first one.
/// Nothing if it is absent or its escapes are broken.
[[nodiscard]] std::optional<std::string> query_value(std::string_view query, std::string_view name);
/// All values of `name`, in order.
struct QueryItem {
    std::string name;
    std::string value;
};
/// Splits and decodes a whole query; nothing if an escape is broken or text is not UTF-8.
[[nodiscard]] std::optional<std::vector<QueryItem>> parse_query(std::string_view query);
/// Percent-decoding of one path segment; nothing if an escape is broken or the text is not UTF-8.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);
/// The token of `Authorization: Bearer …` (scheme without case, RFC 6750 §2.1); empty if none.
[[nodiscard]] std::string_view bearer_token(const RequestHead& head) noexcept;
/// True if the comma-separated `list` (Connection, Upgrade …) has `token`, compared without case.
[[nodiscard]] bool has_token(std::string_view list, std::string_view token) noexcept;

struct Response {
    int status = 200;
    std::string_view content_type = "application/json"; // static text; empty: no body, no type
    std::string body;
    /// Further header lines, each "Name: value\r\n". Values must not hold CR, LF or NUL.
    std::string headers;
    /// Close the connection after this answer.
    bool close = false;
};

/// RFC 9457 problem document: `type` about:blank, `title` (the reason phrase), `status`, `detail`,
/// `code`, and `field` if the error names one. `Retry-After: 1` is added for 429 and 503.
/// Bytes of the texts that are not UTF-8 are replaced, so any detail is safe to pass.
[[nodiscard]] Response problem(const Error& error);
[[nodiscard]] Response problem(Code code, std::string detail);
/// For a status that no code stands for by itself (431, 501 …).
[[nodiscard]] Response problem(int status, Code code, std::string detail);
[[nodiscard]] Response problem(int status, const Error& error);

/// The reason phrase of a status, e.g. "Not Found".
[[nodiscard]] std::string_view reason_phrase(int status) noexcept;

} // namespace fanfare::http
