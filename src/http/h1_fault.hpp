#pragma once
// What can be wrong with an HTTP/1.1 request on the wire. Each fault has a name, a status and a
// sentence; the place goes into the detail. After any of them the connection is closed: where the
// next request begins is not certain any more.

#include <fanfare/http/message.hpp>

#include <cstdint>
#include <string>

namespace fanfare::http {

enum class errc : std::uint8_t {
    none,
    // the head, RFC 9112 §2–3, RFC 9110 §5
    malformed_request_line,   // not "METHOD target HTTP/1.1"
    bad_method,               // empty, or a character that no token may hold
    bad_target,               // not a path, "*" or http(s) URL, or a character no URL may hold
    connect_refused,          // CONNECT: this is no proxy
    bad_version,              // HTTP, but neither 1.0 nor 1.1
    too_many_empty_lines,     // before the request line
    bare_lf,                  // a line that does not end with CR LF
    bare_cr,                  // a CR that does not end a line
    control_character,        // NUL or another one
    obs_fold,                 // a header line that begins with white space
    missing_colon,            // a header line without ':'
    bad_header_name,          // empty, or a character that no token may hold
    space_before_colon,       // between header name and ':'
    bad_header_value,         // not what this header may hold
    head_too_large,           // more than head_bytes_max
    missing_host,             // HTTP/1.1 without Host
    duplicate_host,           //
    bad_host,                 // not host[:port]
    duplicate_header,         // a header that may come once only
    bad_content_length,       // not a plain decimal number, or beyond 64 bits
    duplicate_content_length, // even if equal
    length_and_encoding,      // Content-Length with Transfer-Encoding: request smuggling
    encoding_in_http_1_0,     // Transfer-Encoding in HTTP/1.0
    unknown_encoding,         // Transfer-Encoding other than "chunked"
    expectation_failed,       // Expect other than "100-continue"
    // the body, RFC 9112 §7.1
    bad_chunk_size,  // not a hexadecimal number
    chunk_too_large, // a chunk size beyond 60 bits
    bad_chunk_line,  // a chunk line or the end of a chunk is not CR LF, or holds controls
    chunk_overhead,  // more extensions and trailers than chunk_overhead_max
    bad_trailer,     // a trailer line that is not "name: value"
    body_too_large,  // more than the route takes
    // time
    head_timeout, // the head was not whole within head_timeout
    body_timeout, // the body made no progress for body_timeout
};

/// A fault and its place, e.g. "line 3, header \"Host\""; the place may be empty.
struct Fault {
    errc error = errc::none;
    std::string place;
    friend bool operator==(const Fault&, const Fault&) = default;
};

/// The enumerator's name, for logs and tests.
[[nodiscard]] std::string_view fault_name(errc error) noexcept;
/// HTTP status of the answer.
[[nodiscard]] int fault_status(errc error) noexcept;
/// The answer: a problem document that closes the connection.
[[nodiscard]] Response fault_response(const Fault& fault);

} // namespace fanfare::http
