#pragma once
// The one table of error codes that the outside sees (protocol: docs/protocol.md, "Errors"):
// on a WebSocket in `{"op":"error","code":…}`, over HTTP in a problem document.

#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare {

enum class Code : std::uint8_t {
    ok,                     // no error; never sent
    bad_request,            // the request is not understood; the detail names what and where
    unknown_op,             // no such `op`
    unauthorized,           // no identity, or a bad one
    forbidden,              // the identity may not do this
    not_found,              // no such thing
    conflict,               // contradicts an earlier request
    already_subscribed,     //
    not_subscribed,         //
    too_large,              // more bytes or items than allowed
    rate_limited,           // too many requests; try later
    limit_reached,          // a bound of the session or the gateway; trying again does not help
    unavailable,            // cannot be done now; for a publish: outcome unknown
    internal,               // our fault
    method_not_allowed,     // HTTP only
    unsupported_media_type, // HTTP only
};

/// Name as sent, e.g. "bad_request".
[[nodiscard]] std::string_view code_name(Code code) noexcept;
/// HTTP status that carries the code, e.g. 400.
[[nodiscard]] int code_status(Code code) noexcept;

/// What is wrong, for people (`message`) and programs (`code`; `field`: the member that is wrong).
struct Error {
    Code code = Code::ok;
    std::string message;
    std::string field;
    explicit operator bool() const noexcept { return code != Code::ok; }
};

} // namespace fanfare
