#pragma once
// The wire forms of a message and of a presence change (room::Encoder, one class per form).
//
// An encode makes one allocation, the shared bytes in their final size, and copies the payload
// once: what stands before and after the payload is written to scratch strings that are kept.
// One instance per reactor.

#include "json_replies.hpp"

#include <fanfare/room/encoder.hpp>
#include <fanfare/ws/deflate.hpp>

#include <cstddef>
#include <string>

namespace fanfare::protocols {

/// One WebSocket text frame.
class WsJsonEncoder final : public room::Encoder {
  public:
    [[nodiscard]] SharedBytesRef encode(const room::Message& message) override;
    [[nodiscard]] SharedBytesRef encode(const room::PresenceChange& change) override;
    [[nodiscard]] room::Form fallback() const noexcept override { return room::Form::ws_json; }

  private:
    std::string head_;
    std::string tail_;
};

/// The same, compressed (RFC 7692). Null where the text is shorter than `deflate_min` bytes or
/// compression does not make it smaller.
class WsJsonDeflateEncoder final : public room::Encoder {
  public:
    explicit WsJsonDeflateEncoder(std::size_t deflate_min) : deflate_min_(deflate_min) {}
    [[nodiscard]] SharedBytesRef encode(const room::Message& message) override;
    [[nodiscard]] SharedBytesRef encode(const room::PresenceChange& change) override;
    [[nodiscard]] room::Form fallback() const noexcept override { return room::Form::ws_json; }

  private:
    [[nodiscard]] SharedBytesRef compress();

    std::size_t deflate_min_;
    std::string text_;
    ws::Deflater deflater_;
};

/// One HTTP/1.1 chunk with one event.
class SseEncoder final : public room::Encoder {
  public:
    enum class IdLine : bool {
        cursor, // of the message's room alone: for streams of one room
        none,   // the stream writes its own before it: for streams of several rooms
    };
    explicit SseEncoder(IdLine id_line) : id_line_(id_line) {}
    /// An ephemeral message has no id line in either form: the client's cursor stays.
    [[nodiscard]] SharedBytesRef encode(const room::Message& message) override;
    [[nodiscard]] SharedBytesRef encode(const room::PresenceChange& change) override;
    [[nodiscard]] room::Form fallback() const noexcept override {
        return id_line_ == IdLine::cursor ? room::Form::sse : room::Form::sse_part;
    }

  private:
    IdLine id_line_;
    std::string head_;
    std::string lines_; // a payload with line ends, split
    std::string tail_;
};

} // namespace fanfare::protocols
