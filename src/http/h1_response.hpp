#pragma once
// The head of an HTTP/1.1 answer as bytes, and the chunks of a body without a known length.

#include <fanfare/base/clock.hpp>
#include <fanfare/http/message.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fanfare::http {

/// The Date header's value (RFC 9110 §5.6.7), made once a second and shared by all connections of
/// a reactor.
class DateCache {
  public:
    /// Valid until the next call.
    [[nodiscard]] std::string_view at(WallMillis now);

  private:
    std::int64_t second_ = -1;
    std::string text_;
};

/// What answers begin with: status line, Date, Content-Type. Composed once for all that have the
/// same within a second.
class AnswerStart {
  public:
    /// Valid until the next call.
    [[nodiscard]] std::string_view of(const Response& response, WallMillis now);

  private:
    DateCache date_;
    std::int64_t second_ = -1;
    int status_ = 0;
    std::string_view type_;
    std::string text_;
};

/// How the end of an answer's body is told.
enum class Framing : std::uint8_t {
    length,      // Content-Length, which HEAD gets too
    chunked,     // HTTP/1.1, length unknown
    until_close, // HTTP/1.0, length unknown
};

struct ResponseHead {
    const Response& response;
    Framing framing = Framing::length;
    std::string_view start{};      // of AnswerStart
    std::string_view request_id{}; // empty: none
    bool close = false;
    bool http_1_0 = false; // keep-alive must be said
};

/// Appends the head with the empty line behind it.
void append_head(std::string& out, const ResponseHead& head);
/// True if the answer may have a body by its status (RFC 9110 §6.4.1); then it has a length too.
[[nodiscard]] bool may_have_body(int status) noexcept;

/// Appends the size line of a chunk; its bytes and chunk_end follow.
void append_chunk_size(std::string& out, std::size_t bytes);
inline constexpr std::string_view chunk_end = "\r\n";
inline constexpr std::string_view last_chunk = "0\r\n\r\n";
inline constexpr std::string_view continue_head = "HTTP/1.1 100 Continue\r\n\r\n";

/// A request id that may be repeated in headers and logs: 1–128 visible ASCII characters.
[[nodiscard]] bool is_sane_request_id(std::string_view id) noexcept;

} // namespace fanfare::http
