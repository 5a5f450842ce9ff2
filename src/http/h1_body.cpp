#include "h1_body.hpp"

#include <algorithm>
#include <cstring>

namespace fanfare::http {
namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// What may stand in an extension or trailer value: anything but controls, with HTAB.
bool is_text(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

bool is_name_char(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
}

// 15 digits are 60 bits: no sum of ours can overflow, and no such chunk will ever arrive. Zeros in
// front count too, or a size line could go on for ever.
constexpr std::uint8_t size_digits_max = 15;

} // namespace

BodyDecoder BodyDecoder::of_length(std::uint64_t bytes) noexcept {
    BodyDecoder decoder;
    decoder.remaining_ = bytes;
    decoder.state_ = bytes == 0 ? State::done : State::length;
    return decoder;
}

BodyDecoder BodyDecoder::of_chunks() noexcept {
    BodyDecoder decoder;
    decoder.chunked_ = true;
    decoder.state_ = State::size_first;
    return decoder;
}

BodyDecoder::Step BodyDecoder::next(std::string_view input) {
    Step step;
    // Goes on through the lines behind a piece, so that the end of the body does not hide there.
    while (step.consumed < input.size() && state_ != State::done) {
        if (state_ != State::data && state_ != State::length) {
            step.error = take_line_byte(input[step.consumed]);
            if (step.error != errc::none) return step;
            ++step.consumed;
            continue;
        }
        if (!step.piece.empty()) return step;
        const auto bytes = static_cast<std::size_t>(
            std::min<std::uint64_t>(remaining_, input.size() - step.consumed));
        step.piece = input.substr(step.consumed, bytes);
        step.consumed += bytes;
        remaining_ -= bytes;
        if (remaining_ == 0) state_ = chunked_ ? State::data_cr : State::done;
    }
    return step;
}

errc BodyDecoder::expect(char c, char wanted, State then) {
    if (c != wanted) return errc::bad_chunk_line;
    state_ = then;
    return errc::none;
}

errc BodyDecoder::take_line_byte(char c) {
    switch (state_) {
    case State::size_first:
    case State::size:
    case State::size_space:
        return take_size(c);
    case State::extension:
        if (++overhead_ > chunk_overhead_max) return errc::chunk_overhead;
        if (c == '\r') return expect(c, '\r', State::size_lf);
        return is_text(c) ? errc::none : errc::bad_chunk_line;
    case State::size_lf:
        return expect(c, '\n', remaining_ != 0 ? State::data : State::trailer_first);
    case State::data_cr:
        return expect(c, '\r', State::data_lf);
    case State::data_lf:
        return expect(c, '\n', State::size_first);
    case State::end_lf:
        return expect(c, '\n', State::done);
    case State::trailer_first:
    case State::trailer_name:
    case State::trailer_value:
    case State::trailer_lf:
        return take_trailer(c);
    case State::length:
    case State::data:
    case State::done:
        break;
    }
    return errc::none;
}

errc BodyDecoder::take_size(char c) {
    if (state_ == State::size_first) {
        remaining_ = 0;
        digits_ = 0;
        if (hex_digit(c) < 0) return errc::bad_chunk_size;
        state_ = State::size;
    }
    if (state_ == State::size) {
        if (const int digit = hex_digit(c); digit >= 0) {
            if (++digits_ > size_digits_max) return errc::chunk_too_large;
            remaining_ = remaining_ * 16 + static_cast<std::uint64_t>(digit);
            return errc::none;
        }
        if (c == '\r') return expect(c, '\r', State::size_lf);
        if (c == '\n') return errc::bad_chunk_line;
    }
    if (++overhead_ > chunk_overhead_max) return errc::chunk_overhead;
    if (c == ';') return expect(c, ';', State::extension);
    if (c == ' ' || c == '\t') return expect(c, c, State::size_space);
    return errc::bad_chunk_size;
}

errc BodyDecoder::take_trailer(char c) {
    if (state_ == State::trailer_first && c == '\r') return expect(c, '\r', State::end_lf);
    if (state_ == State::trailer_lf)
        return c == '\n' ? expect(c, '\n', State::trailer_first) : errc::bad_chunk_line;
    if (++overhead_ > chunk_overhead_max) return errc::chunk_overhead;
    if (state_ == State::trailer_value) {
        if (c == '\r') return expect(c, '\r', State::trailer_lf);
        return is_text(c) ? errc::none : errc::bad_chunk_line;
    }
    if (c == '\r' || c == '\n') return c == '\n' ? errc::bad_chunk_line : errc::bad_trailer;
    if (c == ':' && state_ == State::trailer_name) return expect(c, ':', State::trailer_value);
    if (!is_name_char(c)) return errc::bad_trailer;
    return expect(c, c, State::trailer_name);
}

} // namespace fanfare::http
