// What a Deflater makes, an Inflater reads back; and no bytes do an Inflater harm.

#include <fanfare/base/assert.hpp>
#include <fanfare/base/bytes.hpp>
#include <fanfare/ws/deflate.hpp>
#include <fanfare/ws/frame.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

using namespace fanfare;
using namespace fanfare::ws;

namespace {

// Grows the input to several blocks: many copies of it, each a little different.
std::string enlarge(ByteView seed, std::size_t copies) {
    std::string out;
    for (std::size_t copy = 0; copy < copies; ++copy) {
        out += as_text(seed);
        out += std::to_string(copy * 2654435761U);
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // They live as long as a reactor's: state that leaks from one message to the next is found.
    static Deflater deflater;
    static Inflater inflater;
    if (size == 0) return 0;
    const ByteView bytes = std::as_bytes(std::span{data + 1, size - 1});

    constexpr std::size_t limit = 32 * 1024;
    const auto arbitrary = inflater.inflate(bytes, limit);
    if (arbitrary)
        FANFARE_ASSERT(arbitrary->size() <= limit);
    else
        FANFARE_ASSERT(arbitrary.error() == errc::bad_deflate ||
                       arbitrary.error() == errc::message_too_large);

    const std::size_t copies = data[0] < 16 ? data[0] * std::size_t{500} : 0;
    const std::string message = copies == 0 ? std::string{as_text(bytes)} : enlarge(bytes, copies);
    if (message.size() > (std::size_t{1} << 20U)) return 0;
    if (const auto payload = deflater.compress(as_byte_view(message))) {
        FANFARE_ASSERT(payload->size() < message.size());
        const auto back = inflater.inflate(*payload, message.size());
        FANFARE_ASSERT(back.has_value() && as_text(*back) == message);
    }
    return 0;
}
