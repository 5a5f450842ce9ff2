// Any split of a client's bytes gives the same events, and no bytes do harm.
//
// Input: byte 0 flags (bit 0: deflate agreed, bit 1: a small message limit), byte 1 seeds the cuts,
// the rest is the stream.

#include "message_reader.hpp"

#include <fanfare/base/assert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

using namespace fanfare;
using namespace fanfare::ws;

namespace {

class Run {
  public:
    Run(bool deflate, const ReaderLimits& limits) : limits_(limits), reader_(deflate) {}

    void feed(std::span<const std::uint8_t> bytes) {
        // A heap block of exact size, dead after the call: a view that lives too long is found.
        std::vector<std::byte> buffer(bytes.size());
        for (std::size_t i = 0; i < bytes.size(); ++i) buffer[i] = std::byte{bytes[i]};
        std::span<std::byte> input{buffer};
        for (;;) {
            const auto event = reader_.next(input, limits_, inflater_);
            if (event.kind == MessageReader::Kind::need_more) break;
            FANFARE_ASSERT(event.payload.size() <= limits_.message_bytes_max ||
                           event.payload.size() <= control_payload_bytes_max);
            if (event.kind == MessageReader::Kind::text)
                FANFARE_ASSERT(is_utf8(as_text(event.payload)));
            if (event.kind == MessageReader::Kind::fault)
                FANFARE_ASSERT(find_close_code(event.code) != nullptr);
            log_ += static_cast<char>('a' + static_cast<int>(event.kind));
            log_ += std::to_string(static_cast<unsigned>(event.code));
            log_ += '(';
            log_ += event.reason;
            log_ += as_text(event.payload);
            log_ += ')';
        }
        FANFARE_ASSERT(input.empty());
    }
    [[nodiscard]] const std::string& log() const { return log_; }

  private:
    Inflater inflater_;
    ReaderLimits limits_;
    MessageReader reader_;
    std::string log_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const bool deflate = (data[0] & 1U) != 0;
    ReaderLimits limits;
    if ((data[0] & 2U) != 0) limits = {.message_bytes_max = 40, .fragments_max = 4};
    std::uint32_t cuts = data[1];
    const std::span<const std::uint8_t> stream{data + 2, size - 2};

    Run whole{deflate, limits};
    whole.feed(stream);

    Run pieces{deflate, limits};
    for (std::size_t at = 0; at < stream.size();) {
        cuts = cuts * 1664525U + 1013904223U; // Numerical Recipes' generator: cheap, repeatable
        const std::size_t piece = std::min<std::size_t>(1 + (cuts >> 24U) % 17, stream.size() - at);
        pieces.feed(stream.subspan(at, piece));
        at += piece;
    }
    FANFARE_ASSERT(whole.log() == pieces.log());
    return 0;
}
