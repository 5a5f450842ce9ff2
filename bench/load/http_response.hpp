// HTTP/1.1 responses from the client's side: the head, and the body in each of its framings. Bytes
// in, values out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace load {

/// A response's status line and the headers that decide how to go on. Views into the input.
struct ResponseHead {
    int status = 0;
    std::size_t size = 0; // bytes of the head, empty line included
    std::optional<std::uint64_t> content_length;
    bool chunked = false;
    bool close = false; // the server will end the connection after this response
    std::string_view fields;

    /// The value of the first header of that name, blanks trimmed; empty when absent.
    [[nodiscard]] std::string_view field(std::string_view name) const;
};

enum class HeadStatus {
    complete,
    need_more,
    bad, // not HTTP, or longer than 64 KiB
};

struct HeadResult {
    HeadStatus status = HeadStatus::need_more;
    ResponseHead head;
};

/// Parses the head that `in` begins with. No continuation lines (RFC 9112 §5.2 forbids them).
[[nodiscard]] HeadResult parse_response_head(std::string_view in);

/// Whether the comma-separated `list` names `token`, in any case.
[[nodiscard]] bool list_has_token(std::string_view list, std::string_view token);

/// Takes the transfer coding off a body, piece by piece, without copying.
class BodyReader {
  public:
    BodyReader() = default;
    explicit BodyReader(const ResponseHead& head);

    struct Piece {
        std::string_view data{}; // the next body bytes, a view into `in`; may be empty
        std::size_t used = 0;    // bytes of `in` that are done with; 0: needs more input
        bool bad = false;        // malformed chunk
    };

    /// The next piece of the body that `in` begins with.
    [[nodiscard]] Piece next(std::string_view in);

    /// Whether the body is complete. One without a length lasts until the connection ends.
    [[nodiscard]] bool is_complete() const { return state_ == State::complete; }

  private:
    enum class State {
        until_close, // no framing: everything belongs to the body
        data,        // remaining_ bytes of the body or of the chunk follow
        chunk_size,  // a chunk's size line is next
        chunk_end,   // the line end behind a chunk's data is next
        trailer,     // lines behind the last chunk, up to an empty one
        complete,
    };
    [[nodiscard]] Piece next_line(std::string_view in);

    State state_ = State::complete;
    bool chunked_ = false;
    std::uint64_t remaining_ = 0;
};

} // namespace load
