#pragma once
// Where the body of an HTTP/1.1 request ends: by Content-Length or by chunks (RFC 9112 §6–7).
//
// Bytes in, pieces of the body out as views of the input; nothing is kept but a few counters, so a
// chunk line may arrive byte by byte. Not Beast's: that needs each chunk line and the trailers
// whole in one buffer, and bounds neither extensions nor trailers.

#include "h1_fault.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fanfare::http {

class BodyDecoder {
  public:
    /// Extensions and trailers of one body together; they are ignored, so they need not be long.
    static constexpr std::size_t chunk_overhead_max = std::size_t{16} * 1024;

    /// No body.
    BodyDecoder() = default;
    [[nodiscard]] static BodyDecoder of_length(std::uint64_t bytes) noexcept;
    [[nodiscard]] static BodyDecoder of_chunks() noexcept;

    struct Step {
        std::size_t consumed = 0; // bytes of the input that are done with, `piece` included
        std::string_view piece;   // of the body; may be empty although more follows
        errc error = errc::none;
    };
    /// Takes the next piece. Call again with the rest until the input is used up or `done`; on an
    /// error the piece is not worth anything any more.
    [[nodiscard]] Step next(std::string_view input);
    [[nodiscard]] bool done() const noexcept { return state_ == State::done; }
    [[nodiscard]] bool chunked() const noexcept { return chunked_; }
    /// Bytes of the body still to come; only if not chunked.
    [[nodiscard]] std::uint64_t remaining() const noexcept { return remaining_; }

  private:
    enum class State : std::uint8_t {
        length,        // `remaining_` bytes until the end
        size_first,    // the first digit of a chunk size
        size,          // further digits
        size_space,    // white space before an extension
        extension,     // ignored up to the end of the line
        size_lf,       // LF that ends the chunk line
        data,          // `remaining_` bytes of the chunk
        data_cr,       // CR LF behind them
        data_lf,       //
        trailer_first, // the first byte of a trailer line, or the CR of the empty one
        trailer_name,  // up to the colon
        trailer_value, // up to the CR
        trailer_lf,    //
        end_lf,        // LF of the empty line
        done,
    };
    [[nodiscard]] errc take_line_byte(char c);
    [[nodiscard]] errc take_size(char c);
    [[nodiscard]] errc take_trailer(char c);
    [[nodiscard]] errc expect(char c, char wanted, State then);

    std::uint64_t remaining_ = 0;
    std::uint32_t overhead_ = 0;
    std::uint8_t digits_ = 0;
    bool chunked_ = false;
    State state_ = State::done;
};

} // namespace fanfare::http
