// Takes permessage-deflate off messages (RFC 7692 §7.2.2).
#pragma once

#include <zlib.h>

#include <optional>
#include <string>
#include <string_view>

namespace load {

/// One raw inflate stream with a window of 15 bits, about 40 kB. Where the server promised
/// server_no_context_takeover one is enough for all connections.
class Inflater {
  public:
    /// Throws std::bad_alloc.
    Inflater();
    ~Inflater();
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;

    /// Inflates a message's payload. `keep_context`: the next message may refer back to this one.
    /// Fails with no value on corrupt data or more than 64 MiB. The view is valid until the next
    /// call. Without context the same payload as the last one is compared, not inflated again: a
    /// server that compresses a message once sends the same bytes to thousands, and inflating them
    /// each time would make this program the one that is measured.
    [[nodiscard]] std::optional<std::string_view> inflate(std::string_view payload,
                                                          bool keep_context);

  private:
    [[nodiscard]] bool feed(std::string_view in);

    z_stream stream_{};
    std::string out_;
    std::string last_; // the payload that `out_` was inflated from, without context; empty: none
};

} // namespace load
