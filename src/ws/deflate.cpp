// How a libdeflate stream becomes a permessage-deflate payload.
//
// RFC 7692 wants what zlib gives after Z_SYNC_FLUSH: blocks that are not final, then an empty
// stored block, whose last four bytes 00 00 ff ff are not sent. libdeflate has no flush: it ends a
// stream with a block that has BFINAL=1 and zero bits up to the byte boundary. A payload with
// BFINAL=1 is legal, but Node 20 and aiohttp 3.8 deliver an empty message for it. So:
//
//  1. Clear the BFINAL bit of the *last* block. If the stream is one block, that is bit 0 of the
//     first byte, and the bit itself tells that it is one block. If not (libdeflate ends a block
//     after some 64 KiB), zlib walks over the blocks (Z_BLOCK) and tells at which bit the last one
//     begins, as its example gzappend.c does.
//  2. The zero bits that pad the last byte now read as the header of a block. If there are three
//     or more, they are exactly the 000 of the empty stored block and the receiver's 00 00 ff ff
//     completes it. If there are fewer, a byte 00 is added for it.
//  3. Decode it as a receiver would, with 00 00 ff ff 03 00 added (03 00 is an empty final block),
//     and compare. Nothing leaves here unchecked; what does not check out goes uncompressed.
//
// For one block, the number of padding bits is not known to us: both are tried, and the check of
// step 3 decides (it cannot accept the wrong one: LEN and NLEN of the stored block would differ).
// Rejected: zlib with Z_SYNC_FLUSH for everything, at nearly twice the instructions per message;
// cutting large messages into pieces of one block, which loses the window at each seam.

#include <fanfare/base/assert.hpp>
#include <fanfare/ws/deflate.hpp>
#include <fanfare/ws/frame.hpp>

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace fanfare::ws {

namespace {

// What every receiver appends (RFC 7692 §7.2.2), and an empty final block so that a decoder must
// come to a clean end: anything cut off, or left over, fails.
constexpr std::array<unsigned char, 6> tail{0x00, 0x00, 0xff, 0xff, 0x03, 0x00};

constexpr std::size_t chunk_bytes = std::size_t{16} * 1024; // first size of an output buffer
// A buffer that one large message has made larger is freed by the next small one.
constexpr std::size_t kept_bytes_max = std::size_t{256} * 1024;

// Scratch memory that only grows, so that it is zeroed once and not per message.
using Scratch = std::vector<unsigned char>;
void make_room(Scratch& scratch, std::size_t size) {
    if (scratch.size() > kept_bytes_max && size <= kept_bytes_max) Scratch{}.swap(scratch);
    if (scratch.size() < size) scratch.resize(size);
}

const unsigned char* data_of(ByteView bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data()); // NOLINT: bytes may alias
}
ByteView view_of(const Scratch& scratch, std::size_t size) {
    return std::as_bytes(std::span{scratch.data(), size});
}

// zlib's raw inflate with the window of 32 KiB.
class RawInflate {
  public:
    RawInflate() {
        // Fails only without memory or with another zlib than the one compiled against.
        const int result = inflateInit2(&stream, -MAX_WBITS); // NOLINT: zlib's macro casts
        FANFARE_ASSERT(result == Z_OK);
    }
    ~RawInflate() { inflateEnd(&stream); }
    RawInflate(const RawInflate&) = delete;
    RawInflate& operator=(const RawInflate&) = delete;

    void restart() { inflateReset(&stream); }
    void set_input(const unsigned char* data, std::size_t size) {
        stream.next_in = const_cast<unsigned char*>(data); // NOLINT: zlib 1.2 is not const-correct
        stream.avail_in = static_cast<uInt>(size);
    }
    void set_output(unsigned char* data, std::size_t size) {
        stream.next_out = data;
        stream.avail_out = static_cast<uInt>(size);
    }

    z_stream stream{};
};

// zlib and our tricks count in 32 bits; limits are far below.
constexpr std::size_t message_bytes_max = std::size_t{1} << 30U;

} // namespace

struct Deflater::State {
    std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)> compressor{
        libdeflate_alloc_compressor(1), &libdeflate_free_compressor};
    std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor{
        libdeflate_alloc_decompressor(), &libdeflate_free_decompressor};
    RawInflate walker;
    Scratch packed; // the payload, then room for one 00 and the tail
    Scratch check;  // what it decodes to

    [[nodiscard]] bool decodes_to(ByteView message, std::size_t size);
    [[nodiscard]] std::size_t seal_one_block(ByteView message, std::size_t size);
    [[nodiscard]] std::size_t seal_blocks(ByteView message, std::size_t size);
};

// Does the payload of `size` bytes in `packed` give `message` at the other side?
bool Deflater::State::decodes_to(ByteView message, std::size_t size) {
    std::copy(tail.begin(), tail.end(), packed.begin() + static_cast<std::ptrdiff_t>(size));
    std::size_t taken = 0;
    std::size_t given = 0;
    const auto result =
        libdeflate_deflate_decompress_ex(decompressor.get(), packed.data(), size + tail.size(),
                                         check.data(), message.size(), &taken, &given);
    return result == LIBDEFLATE_SUCCESS && taken == size + tail.size() && given == message.size() &&
           std::memcmp(check.data(), message.data(), given) == 0;
}

// Both return the payload's size, or 0 if no payload can be made of it.
std::size_t Deflater::State::seal_one_block(ByteView message, std::size_t size) {
    packed[0] &= 0xfeU;
    if (decodes_to(message, size)) return size;
    packed[size] = 0;
    return decodes_to(message, size + 1) ? size + 1 : 0;
}

std::size_t Deflater::State::seal_blocks(ByteView message, std::size_t size) {
    constexpr int in_last_block = 64; // bits of z_stream::data_type, see inflate() in zlib.h
    constexpr int at_block_end = 128;
    constexpr int spare_bits = 7;

    walker.restart();
    walker.set_input(packed.data(), size);
    walker.set_output(check.data(), message.size());
    std::size_t last_block_at = 0; // in bits
    for (;;) {
        if (::inflate(&walker.stream, Z_BLOCK) != Z_OK) return 0;
        const int where = walker.stream.data_type;
        if ((where & at_block_end) == 0) return 0;
        if ((where & in_last_block) != 0) break;
        last_block_at =
            (size - walker.stream.avail_in) * 8 - static_cast<std::size_t>(where & spare_bits);
    }
    const int spare = walker.stream.data_type & spare_bits;
    packed[last_block_at / 8] &= static_cast<unsigned char>(~(1U << last_block_at % 8));
    if (spare < 3) packed[size++] = 0;
    return decodes_to(message, size) ? size : 0;
}

Deflater::Deflater() : state_(std::make_unique<State>()) {
    FANFARE_ASSERT(state_->compressor != nullptr && state_->decompressor != nullptr);
}
Deflater::~Deflater() = default;

std::optional<ByteView> Deflater::compress(ByteView message) {
    if (message.empty() || message.size() > message_bytes_max) return std::nullopt;
    State& s = *state_;
    // libdeflate stops up to 8 bytes before the end of its room; a larger result is of no use.
    const std::size_t room = message.size() + 16;
    make_room(s.packed, room + 1 + tail.size());
    make_room(s.check, message.size());
    std::size_t size = libdeflate_deflate_compress(s.compressor.get(), message.data(),
                                                   message.size(), s.packed.data(), room);
    if (size == 0 || size >= message.size()) return std::nullopt;
    const bool one_block = (s.packed[0] & 1U) != 0;
    size = one_block ? s.seal_one_block(message, size) : s.seal_blocks(message, size);
    if (size == 0 || size >= message.size()) return std::nullopt;
    return view_of(s.packed, size);
}

struct Inflater::State {
    RawInflate decoder;
    Scratch out;
};

Inflater::Inflater() : state_(std::make_unique<State>()) {}
Inflater::~Inflater() = default;

Result<ByteView> Inflater::inflate(ByteView payload, std::size_t size_max) {
    // Nothing, and the tail alone would be no valid stream; zlib's own receivers take it as empty.
    if (payload.empty()) return ByteView{};
    if (payload.size() > message_bytes_max) return errc::message_too_large;
    size_max = std::min(size_max, message_bytes_max);

    State& s = *state_;
    z_stream& stream = s.decoder.stream;
    s.decoder.restart();
    s.decoder.set_input(data_of(payload), payload.size());
    make_room(s.out, chunk_bytes);
    bool in_tail = false;
    std::size_t size = 0;
    for (;;) {
        // One byte of room beyond the limit tells "exactly the limit" from "more".
        if (size == s.out.size())
            s.out.resize(std::min(std::max(s.out.size() * 2, chunk_bytes), size_max + 1));
        const std::size_t room = std::min(s.out.size(), size_max + 1) - size;
        s.decoder.set_output(s.out.data() + size, room);
        const int result = ::inflate(&stream, Z_NO_FLUSH);
        size += room - stream.avail_out;
        if (size > size_max) return errc::message_too_large;

        if (result == Z_STREAM_END) {
            if (in_tail) {
                if (stream.avail_in != 0) return errc::bad_deflate;
                break;
            }
            // A sender that cannot flush may end with a final block (RFC 7692 §7.2.3.4). What
            // follows it is a new stream; if nothing does, there is nothing to complete.
            if (stream.avail_in == 0) break;
            inflateReset(&stream); // keeps input and output as they are
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return errc::bad_deflate;
        } else if (stream.avail_in == 0 && stream.avail_out != 0) {
            if (in_tail) return errc::bad_deflate; // ends inside a block
            in_tail = true;
            s.decoder.set_input(tail.data(), tail.size());
        }
    }
    return view_of(s.out, size);
}

} // namespace fanfare::ws
