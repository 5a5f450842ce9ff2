#include "ws_frame.hpp"

#include <array>
#include <cstring>

namespace load {
namespace {

// More than the largest message a gateway is configured for; beyond it the length is taken as
// wrong.
constexpr std::uint64_t payload_bytes_max = std::size_t{64} * 1024 * 1024;

std::uint64_t big_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
    return value;
}

Frame fault(const char* what) {
    Frame frame;
    frame.fault = what;
    return frame;
}

} // namespace

Frame parse_frame(std::string_view in) {
    Frame frame;
    if (in.size() < 2) return frame;
    const auto first = static_cast<unsigned char>(in[0]);
    const auto second = static_cast<unsigned char>(in[1]);
    if ((first & 0x30) != 0) return fault("ws_reserved_bits");
    if ((second & 0x80) != 0) return fault("ws_masked_by_server");
    const unsigned opcode = first & 0x0fU;
    if ((opcode > 2 && opcode < 8) || opcode > 10) return fault("ws_unknown_opcode");

    std::uint64_t length = second & 0x7fU;
    std::size_t header = 2;
    if (length >= 126) {
        header = length == 126 ? 4 : 10;
        if (in.size() < header) return frame;
        length = big_endian(in.substr(2, header - 2));
        if (length < (header == 4 ? 126U : 65'536U)) return fault("ws_length_not_shortest");
        if (length > payload_bytes_max) return fault("ws_frame_too_long");
    }
    frame.opcode = static_cast<Opcode>(opcode);
    frame.fin = (first & 0x80) != 0;
    frame.compressed = (first & 0x40) != 0;
    if (opcode >= 8 && (!frame.fin || frame.compressed || length > 125)) {
        return fault("ws_bad_control_frame");
    }
    if (opcode == 0 && frame.compressed) return fault("ws_compressed_continuation");
    if (in.size() < header + length) return frame;
    frame.payload = in.substr(header, length);
    frame.size = header + length;
    return frame;
}

std::string encode_frame(Opcode opcode, std::string_view payload, std::uint32_t mask) {
    std::string out;
    out.reserve(payload.size() + 14);
    out += static_cast<char>(0x80U | static_cast<unsigned>(opcode));
    const std::size_t length_bytes = payload.size() < 126 ? 0 : payload.size() < 65'536 ? 2 : 8;
    const std::size_t short_length = length_bytes == 0   ? payload.size()
                                     : length_bytes == 2 ? 126
                                                         : 127;
    out += static_cast<char>(0x80U | short_length);
    for (std::size_t i = length_bytes; i > 0; --i) {
        out += static_cast<char>(payload.size() >> (8 * (i - 1)) & 0xffU);
    }
    std::array<char, 4> key;
    std::memcpy(key.data(), &mask, key.size());
    out.append(key.data(), key.size());
    for (std::size_t i = 0; i < payload.size(); ++i) {
        out += static_cast<char>(payload[i] ^ key[i % 4]);
    }
    return out;
}

} // namespace load
