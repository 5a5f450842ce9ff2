#pragma once
// The head of an HTTP/1.1 request (RFC 9112 §2–6): bytes in, RequestHead or a named fault out.
//
// Two steps. A scan looks for the end of the head, line by line, and remembers how far it came, so
// a head that arrives byte by byte is read once. On its way it refuses what would make two parsers
// disagree about where a line ends. Then Beast's parser reads the whole head with a sink of ours,
// which keeps views of the headers that matter and checks what Beast leaves open. The result does
// not depend on how the bytes were split.

#include "h1_fault.hpp"

#include <fanfare/http/message.hpp>

#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <string>
#include <string_view>

namespace fanfare::http {

/// A request up to its body. The views point into the input that was parsed, but for list headers
/// that came several times: those point into `joined`.
struct ParsedHead {
    RequestHead head;
    std::size_t bytes = 0; // of the input that belong to the head, empty lines before it included
    std::uint64_t content_length = 0;
    std::string_view length_digits; // what Content-Length said; empty: it was not there
    bool chunked = false;
    bool keep_alive = false;
    bool expects_continue = false;
    std::forward_list<std::string> joined;

    /// The head was copied from `from` to `to`: lets the views show the copy.
    void rebase(const char* from, const char* to) noexcept;
    /// Nothing shows the input any more; `method`, `http_1_0` and the plain values stay.
    void forget_views() noexcept;
};

class HeadParser {
  public:
    enum class Status : std::uint8_t { need_more, complete, fault };
    /// A client may send a stray CR LF after a body (RFC 9112 §2.2); more than a few are no client.
    static constexpr unsigned empty_lines_max = 4;

    /// `input`: everything received since the last request ended; each call has the bytes of the
    /// one before and more. `complete` and `fault` end the use until `reset`.
    [[nodiscard]] Status parse(std::string_view input, std::size_t head_bytes_max, ParsedHead& out);
    [[nodiscard]] const Fault& fault() const noexcept { return fault_; }
    void reset() noexcept;

  private:
    [[nodiscard]] Status scan(std::string_view input, std::size_t head_bytes_max);
    [[nodiscard]] Status line_fault(errc error, std::string_view input, std::size_t line_start);

    std::size_t scanned_ = 0;    // no line ends before here that was not looked at
    std::size_t line_start_ = 0; // of the line that is being scanned
    std::size_t head_start_ = 0; // behind the empty lines
    std::size_t head_end_ = 0;   // behind the empty line that ends the head
    unsigned empty_lines_ = 0;
    Fault fault_;
};

} // namespace fanfare::http
