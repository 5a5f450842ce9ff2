#include <fanfare/ws/frame.hpp>

#include <algorithm>
#include <bit>
#include <cstring>

namespace fanfare::ws {

namespace {

constexpr std::uint8_t fin_bit = 0x80;
constexpr std::uint8_t rsv1_bit = 0x40;
constexpr std::uint8_t rsv23_bits = 0x30;
constexpr std::uint8_t opcode_bits = 0x0f;
constexpr std::uint8_t mask_bit = 0x80;
constexpr std::uint8_t length_bits = 0x7f;
constexpr std::uint8_t length_16 = 126; // the length follows in 2 bytes
constexpr std::uint8_t length_64 = 127; // the length follows in 8 bytes

std::uint8_t byte_at(ByteView in, std::size_t at) {
    return std::to_integer<std::uint8_t>(in[at]);
}

std::uint64_t big_endian(ByteView bytes) {
    std::uint64_t value = 0;
    for (const std::byte b : bytes) value = value << 8U | std::to_integer<std::uint64_t>(b);
    return value;
}

void write_big_endian(char* to, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = bytes; i-- > 0; value >>= 8U) to[i] = static_cast<char>(value & 0xffU);
}

bool is_known(std::uint8_t opcode) {
    return opcode <= 2 || (opcode >= 8 && opcode <= 10);
}

} // namespace

const char* describe(errc e) noexcept {
    switch (e) {
    case errc::need_more:
        return "the frame header is not complete";
    case errc::reserved_bits:
        return "reserved bits set";
    case errc::reserved_opcode:
        return "reserved opcode";
    case errc::control_fragmented:
        return "fragmented control frame";
    case errc::control_too_long:
        return "control frame longer than 125 bytes";
    case errc::not_masked:
        return "frame not masked";
    case errc::length_not_shortest:
        return "frame length not in its shortest form";
    case errc::unexpected_continuation:
        return "continuation without a message";
    case errc::expected_continuation:
        return "new message inside a fragmented one";
    case errc::too_many_fragments:
        return "too many fragments";
    case errc::message_too_large:
        return "message too big";
    case errc::not_utf8:
        return "text is not UTF-8";
    case errc::bad_deflate:
        return "compressed data is corrupt";
    case errc::close_truncated:
        return "close payload of one byte";
    case errc::close_code_invalid:
        return "invalid close code";
    case errc::close_reason_not_utf8:
        return "close reason is not UTF-8";
    }
    return "unknown WebSocket error";
}

const boost::system::error_category& error_category() noexcept {
    static const Category<errc> category{"fanfare.ws", describe};
    return category;
}

CloseCode close_code_for(errc fault) noexcept {
    switch (fault) {
    case errc::message_too_large:
    case errc::too_many_fragments:
        return CloseCode::too_big;
    case errc::not_utf8:
    case errc::bad_deflate:
    case errc::close_reason_not_utf8:
        return CloseCode::invalid_payload;
    default:
        return CloseCode::protocol_error;
    }
}

const CloseCodeRow* find_close_code(CloseCode code) noexcept {
    const auto row = std::find_if(close_codes.begin(), close_codes.end(),
                                  [code](const CloseCodeRow& r) { return r.code == code; });
    return row == close_codes.end() ? nullptr : &*row;
}

Result<FrameHeader> parse_header(ByteView in, bool deflate_agreed) {
    if (in.empty()) return errc::need_more;
    const std::uint8_t first = byte_at(in, 0);
    const auto opcode_number = static_cast<std::uint8_t>(first & opcode_bits);
    const auto opcode = static_cast<Opcode>(opcode_number);
    FrameHeader header;
    header.opcode = opcode;
    header.fin = (first & fin_bit) != 0;
    header.rsv1 = (first & rsv1_bit) != 0;
    if ((first & rsv23_bits) != 0) return errc::reserved_bits;
    if (!is_known(opcode_number)) return errc::reserved_opcode;
    // RFC 7692 §6: RSV1 marks a message, so only the first frame of a data message may carry it.
    const bool begins_message = opcode == Opcode::text || opcode == Opcode::binary;
    if (header.rsv1 && !(deflate_agreed && begins_message)) return errc::reserved_bits;
    if (is_control(opcode) && !header.fin) return errc::control_fragmented;

    if (in.size() < 2) return errc::need_more;
    const std::uint8_t second = byte_at(in, 1);
    const auto short_length = static_cast<std::uint8_t>(second & length_bits);
    if ((second & mask_bit) == 0) return errc::not_masked;
    if (is_control(opcode) && short_length > control_payload_bytes_max)
        return errc::control_too_long;

    std::size_t length_bytes = 0;
    if (short_length == length_16) length_bytes = 2;
    if (short_length == length_64) length_bytes = 8;
    if (in.size() < 2 + length_bytes) return errc::need_more;
    header.length = length_bytes == 0 ? short_length : big_endian(in.subspan(2, length_bytes));
    // "The minimal number of bytes MUST be used", and the top bit of 64 must be 0 (RFC 6455 §5.2).
    if (length_bytes == 2 && header.length < length_16) return errc::length_not_shortest;
    if (length_bytes == 8 && (header.length <= 0xffff || header.length >> 63U != 0))
        return errc::length_not_shortest;

    const std::size_t mask_at = 2 + length_bytes;
    if (in.size() < mask_at + header.mask.size()) return errc::need_more;
    std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(mask_at), header.mask.size(),
                header.mask.begin());
    header.header_bytes = static_cast<std::uint8_t>(mask_at + header.mask.size());
    return header;
}

void unmask(std::span<std::byte> bytes, const MaskKey& key, std::uint64_t offset) noexcept {
    // The key, turned so that it begins at bytes[0] and repeated to a word. Words are loaded and
    // stored with memcpy, which makes alignment and byte order a non-question.
    std::array<std::byte, 8> pattern{};
    for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = key[(offset + i) % key.size()];
    const auto word = std::bit_cast<std::uint64_t>(pattern);

    std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    // Four words a round: g++ -O2 turns the fixed inner loop into two vector operations.
    for (; left >= 32; at += 32, left -= 32) {
        std::array<std::uint64_t, 4> words;
        std::memcpy(words.data(), at, sizeof words);
        for (std::uint64_t& w : words) w ^= word;
        std::memcpy(at, words.data(), sizeof words);
    }
    for (; left >= 8; at += 8, left -= 8) {
        std::uint64_t w = 0;
        std::memcpy(&w, at, sizeof w);
        w ^= word;
        std::memcpy(at, &w, sizeof w);
    }
    for (std::size_t i = 0; i < left; ++i) at[i] ^= pattern[i];
}

std::size_t write_header(char* to, Opcode opcode, bool rsv1, std::size_t length) noexcept {
    to[0] = static_cast<char>(fin_bit | (rsv1 ? rsv1_bit : 0U) | static_cast<unsigned>(opcode));
    const std::size_t size = header_size(length);
    if (size == 2) {
        to[1] = static_cast<char>(length);
    } else {
        to[1] = static_cast<char>(size == 4 ? length_16 : length_64);
        write_big_endian(to + 2, length, size - 2);
    }
    return size;
}

Result<ClosePayload> parse_close(ByteView payload) {
    if (payload.empty()) return ClosePayload{};
    if (payload.size() == 1) return errc::close_truncated;
    const auto code = static_cast<std::uint16_t>(big_endian(payload.first(2)));
    if (!is_valid_close_code(code)) return errc::close_code_invalid;
    const std::string_view reason = as_text(payload.subspan(2));
    if (!is_utf8(reason)) return errc::close_reason_not_utf8;
    return ClosePayload{static_cast<CloseCode>(code), reason};
}

std::size_t write_close(char* to, CloseCode code, std::string_view reason) noexcept {
    if (code == CloseCode::no_status) return 0;
    write_big_endian(to, static_cast<std::uint16_t>(code), 2);
    std::size_t size = std::min(reason.size(), close_reason_bytes_max);
    if (size < reason.size()) {
        // reason[size] is the first byte left out: while it continues a code point, that code
        // point's beginning must go too.
        while (size > 0 && (static_cast<unsigned char>(reason[size]) & 0xc0U) == 0x80U) --size;
    }
    std::copy_n(reason.data(), size, to + 2);
    return 2 + size;
}

} // namespace fanfare::ws
