#pragma once
// permessage-deflate (RFC 7692) without context takeover in either direction.
//
// Every message is compressed on its own, so a frame made once is right for every subscriber, and
// neither side keeps a compressor per connection (268 KB each with zlib's defaults): a reactor has
// one Deflater and one Inflater and lends them to all of its connections. Compression is libdeflate
// level 1, which costs about half of zlib's; see deflate.cpp for how its output is made to fit.

#include <fanfare/base/bytes.hpp>
#include <fanfare/base/result.hpp>

#include <cstddef>
#include <memory>
#include <optional>

namespace fanfare::ws {

/// Compresses whole messages. One thread at a time; made for one reactor.
class Deflater {
  public:
    Deflater();
    ~Deflater();
    Deflater(const Deflater&) = delete;
    Deflater& operator=(const Deflater&) = delete;

    /// Returns the payload of a frame with RSV1: raw deflate with a 32 KiB window, no block with
    /// BFINAL=1, without the last 00 00 ff ff, checked by decoding it. Shows memory of this object,
    /// valid until the next call. Nothing if it would not be smaller than `message` (always so for
    /// an empty one): send that uncompressed, which is legal at any time. Never fails otherwise.
    /// Source: RFC 7692 §7.2.1.
    [[nodiscard]] std::optional<ByteView> compress(ByteView message);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Decompresses whole messages. One thread at a time; made for one reactor.
class Inflater {
  public:
    Inflater();
    ~Inflater();
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;

    /// `payload`: the message's payload bytes of all fragments, unmasked, as they came (without
    /// the 00 00 ff ff). `size_max`: limit of the result; memory grows with what really comes
    /// out, never by more than that. Returns bytes of this object, valid until the next call.
    /// Fails with errc::message_too_large, or errc::bad_deflate also when the data ends inside a
    /// block: half a message must not look like one. Source: RFC 7692 §7.2.2.
    [[nodiscard]] Result<ByteView> inflate(ByteView payload, std::size_t size_max);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace fanfare::ws
