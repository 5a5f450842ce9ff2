#pragma once
// Bytes of a client's WebSocket in, messages out: fragments, masks, limits, UTF-8, inflating.
//
// The common case is a short message that one read delivers whole. It is unmasked where it lies in
// the reactor's read buffer and handed out as a view: no copy, no allocation. Only what a read cuts
// (a header, a frame, a fragmented message) is kept, in a heap block that exists while something is
// unfinished; so an idle connection costs these 16 bytes.

#include <fanfare/base/bytes.hpp>
#include <fanfare/ws/deflate.hpp>
#include <fanfare/ws/frame.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace fanfare::ws {

/// Bounds of what a client may send; at each of them the answer is a fault.
struct ReaderLimits {
    /// Bytes of a message, announced, collected or inflated. Above: 1009, before it is buffered.
    std::size_t message_bytes_max = std::size_t{64} * 1024;
    /// Frames of one message. Above: 1009. Empty fragments cost no memory, but are work that no
    /// message limit counts; a message of message_bytes_max in single bytes still passes.
    std::uint32_t fragments_max = 128 * 1024;
};

/// One per connection; the connection's thread only.
/// Source: RFC 6455 §5, §7.1, §8.1; RFC 7692 §6, §7.2.2.
class MessageReader {
  public:
    enum class Kind : std::uint8_t {
        need_more, // the input is used up; come back with more
        text,      // a whole message, valid UTF-8
        binary,    // a whole message
        ping,      // answer with a pong of the same payload; may come inside a message
        pong,      //
        close,     // the peer closes; nothing more will be told
        fault,     // the peer broke a rule; nothing more will be told
    };
    struct Event {
        Kind kind = Kind::need_more;
        /// close: the peer's code (no_status: none given), the one to answer with.
        /// fault: the code to close with.
        CloseCode code = CloseCode::no_status;
        errc error = errc::need_more; // fault: which rule
        std::string_view reason;      // close: the peer's words; fault: ours
        ByteView payload;             // text, binary, ping, pong: 0 or more bytes
    };

    /// `deflate_agreed`: permessage-deflate with client_no_context_takeover was negotiated.
    explicit MessageReader(bool deflate_agreed) noexcept;
    ~MessageReader();
    MessageReader(MessageReader&&) noexcept;
    MessageReader& operator=(MessageReader&&) noexcept;

    /// Takes bytes from the front of `input` up to the next event. Call until need_more: only then
    /// `input` is empty, what is unfinished is kept inside, and what is not needed is freed.
    /// Writes to `input`'s bytes (unmasks in place). An event's views show those bytes, this object
    /// or `inflater`, and hold until the next call on any of the three.
    /// After close or fault all further input is taken and ignored (RFC 6455 §5.5.1, §7.1.7).
    [[nodiscard]] Event next(std::span<std::byte>& input, const ReaderLimits& limits,
                             Inflater& inflater);

    /// True if a frame or message has begun and is not complete, so memory is held for it.
    [[nodiscard]] bool holds_partial() const noexcept { return partial_ != nullptr; }

  private:
    struct Partial;

    [[nodiscard]] Partial& partial();
    [[nodiscard]] Result<FrameHeader> take_header(std::span<std::byte>& input);
    [[nodiscard]] std::optional<errc> admit(const FrameHeader& header, const ReaderLimits& limits);
    [[nodiscard]] Event whole_frame(const FrameHeader& header, std::span<std::byte> payload,
                                    const ReaderLimits& limits, Inflater& inflater);
    [[nodiscard]] std::optional<errc> collect(std::span<std::byte>& input);
    [[nodiscard]] std::optional<Event> end_of_frame(const ReaderLimits& limits, Inflater& inflater);
    [[nodiscard]] Event control_event(Opcode opcode, ByteView payload);
    [[nodiscard]] Event inflated_event(Opcode opcode, ByteView payload, const ReaderLimits& limits,
                                       Inflater& inflater);
    [[nodiscard]] Event fail(errc error);

    std::unique_ptr<Partial> partial_; // null: between messages, nothing kept
    bool deflate_agreed_;              // constant
    bool finished_ = false;            // after close or fault
};
static_assert(sizeof(MessageReader) <= 16);

} // namespace fanfare::ws
