#include "wire.hpp"

#include <openssl/evp.h>

#include <array>
#include <charconv>
#include <cstdint>

namespace floor_server {
namespace {

std::uint64_t big_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
}

} // namespace

std::string_view between(std::string_view in, std::string_view begin, std::string_view end) {
    const std::size_t at = in.find(begin);
    if (at == in.npos) return {};
    in.remove_prefix(at + begin.size());
    return in.substr(0, in.find(end));
}

std::size_t content_length(std::string_view head) {
    const std::string_view text = between(head, "Content-Length: ", "\r\n");
    std::size_t length = 0;
    std::from_chars(text.data(), text.data() + text.size(), length);
    return length;
}

std::string accept_for(std::string_view key) {
    const std::string text = std::string{key} + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, 20> digest{};
    unsigned int digest_size = 0;
    EVP_Digest(text.data(), text.size(), digest.data(), &digest_size, EVP_sha1(), nullptr);
    std::array<unsigned char, 32> out{};
    const int size = EVP_EncodeBlock(out.data(), digest.data(), static_cast<int>(digest_size));
    return {reinterpret_cast<const char*>(out.data()), static_cast<std::size_t>(size)};
}

std::string percent_decode(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        unsigned value = 0;
        if (text[0] == '%' && text.size() >= 3 &&
            std::from_chars(text.data() + 1, text.data() + 3, value, 16).ptr == text.data() + 3) {
            out += static_cast<char>(value);
            text.remove_prefix(3);
        } else {
            out += text[0];
            text.remove_prefix(1);
        }
    }
    return out;
}

void append_frame(std::string& out, unsigned opcode, std::string_view payload) {
    out += static_cast<char>(0x80U | opcode);
    const std::uint64_t size = payload.size();
    const int length_bytes = size < 126 ? 0 : size < 65'536 ? 2 : 8;
    out += static_cast<char>(length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127);
    for (int i = length_bytes - 1; i >= 0; --i) out += static_cast<char>(size >> (8 * i) & 0xffU);
    out += payload;
}

void append_chunk(std::string& out, std::string_view data) {
    std::array<char, 16> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), data.size(), 16).ptr;
    out.append(size.data(), end);
    out += "\r\n";
    out += data;
    out += "\r\n";
}

ClientFrame parse_frame(std::string_view in) {
    constexpr std::size_t mask_bytes = 4;
    if (in.size() < 2) return {};
    const unsigned opcode = static_cast<unsigned char>(in[0]) & 0x0fU;
    std::uint64_t length = static_cast<unsigned char>(in[1]) & 0x7fU;
    const std::size_t length_bytes = length < 126 ? 0 : length == 126 ? 2 : 8;
    const std::size_t begin = 2 + length_bytes + mask_bytes;
    if (in.size() < begin) return {};
    if (length_bytes > 0) length = big_endian(in.substr(2, length_bytes));
    if (in.size() - begin < length) return {};
    const std::string_view mask = in.substr(begin - mask_bytes, mask_bytes);
    ClientFrame frame{.size = begin + length, .opcode = opcode, .payload = {}};
    frame.payload = in.substr(begin, length);
    for (std::size_t i = 0; i < frame.payload.size(); ++i) {
        frame.payload[i] = static_cast<char>(frame.payload[i] ^ mask[i % mask_bytes]);
    }
    return frame;
}

} // namespace floor_server
