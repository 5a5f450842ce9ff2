#pragma once
// Reads heads, and remembers the last one: keep-alive clients, backends above all, send the same
// bytes again and again, but for the number in Content-Length. For such a head nothing is parsed:
// it is compared with the remembered one, and what that meant holds again.
//
// Exact, not a guess: what a head means depends on its bytes alone, and of these only the digits of
// Content-Length may differ, whose value is read anew. Every other head is parsed. The bound on a
// head's size may be lowered meanwhile, so it is checked for each.

#include "h1_parser.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace fanfare::http {

class HeadReader {
  public:
    /// Longer heads are not remembered: a few readers are kept for ever.
    static constexpr std::size_t remembered_bytes_max = std::size_t{4} * 1024;

    /// As HeadParser::parse; begins anew after `complete` and `fault` by itself. What `head` shows
    /// afterwards does not depend on `input` any more.
    [[nodiscard]] HeadParser::Status read(std::string_view input, std::size_t head_bytes_max);
    /// After `complete`, until the next one; after `fault` as far as it was understood.
    [[nodiscard]] const ParsedHead& head() const noexcept { return head_; }
    /// After `fault`.
    [[nodiscard]] const Fault& fault() const noexcept { return parser_.fault(); }
    /// The last head was the same as the one before it: whatever follows from the head, but for
    /// the length of the body, is known already.
    [[nodiscard]] bool repeated() const noexcept { return repeated_; }
    /// The request is over, or will not become whole: begins anew.
    void end_request();
    /// A request begins, and its head is not known.
    void forget();

  private:
    [[nodiscard]] bool repeats(std::string_view input, std::size_t head_bytes_max) noexcept;

    HeadParser parser_;
    ParsedHead head_;           // its views show `bytes_`
    std::string bytes_;         // of the remembered head; empty: none
    std::size_t length_at_ = 0; // of the digits of Content-Length in `bytes_`
    std::size_t length_digits_ = 0;
    bool repeated_ = false;
};

} // namespace fanfare::http
